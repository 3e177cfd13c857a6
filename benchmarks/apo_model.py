"""Accelerated preference optimisation against iterative DPO on the embedded model: rounds to equal reward.

    python benchmarks/apo_model.py --out runs/apo [--seeds 0-2] [--rules plain apo fair] [--write]

SmolLM2-135M-Instruct answers short questions; the reward is the reading level (one unit is one US school
year easier). A round draws 4 answers of at most 24 tokens to each of 8 new questions, takes the easiest
against the hardest, trains an adapter on these pairs with DPO against the iterate before, and extrapolates
along the last step (momentum alpha; 0 is iterative DPO). As beta (1 - alpha) is the fair opponent of alpha,
iterative DPO is shown with that beta too. After every round one answer to each of 40 held-out questions is
scored, for all rules with the same seeds, so that differences between rules are differences of pairs.

The level to be reached is, seed by seed, the reward of plain iterative DPO after its last round; the figure
is the number of rounds until a rule's reward first reaches it, between rounds by a straight line. Means with
95 % intervals (t) over seeds.

What is done is not done again: the same command goes on where it was stopped, and with --write seeds are
added to those in results/apo_model.json.
"""

import argparse
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from superhf import numbers

from palate.choice import share_interval
from palate.policy.data import Loaded, TextGroup
from palate.policy.rollouts import RolloutOptions
from palate.policy.trainer import Lora, TrainOptions, Watch
from palate.recipes import Job, apo, measure_policy, open_policy, reward_named
from palate.types import Message

RESULT = Path(__file__).parent / "results" / "apo_model.md"
ROWS = RESULT.with_suffix(".json")
EARLIER = "## Earlier"  # from here the page is written by hand, and stays
EACH, SAMPLES, TOKENS = 8, 4, 24
WORDS = (
    "rain snow wind thunder a rainbow the moon the sun a comet an atom a cell gravity friction heat "
    "light sound electricity a magnet a battery an engine a bridge a dam a canal a harbour a lighthouse "
    "a compass a map a clock a calendar money a bank a loan a tax a market a contract a law a court a "
    "vote a parliament a vaccine a virus a fever an allergy the heart the lungs the liver a bone a "
    "muscle a nerve sleep hunger bread cheese salt sugar yeast honey a seed a root a forest a desert a "
    "glacier a volcano an earthquake a river a tide an island a whale a bee a spider a fossil a poem a "
    "novel an orchestra a museum a camera a telescope a computer a password a satellite a rocket "
)


def questions() -> list[TextGroup]:
    """One a thing, in an order of their own."""
    things: list[str] = []
    article = ""
    for word in WORDS.split():
        if word in ("a", "an", "the"):
            article = f"{word} "
            continue
        things.append(article + word)
        article = ""
    order = np.random.default_rng(0).permutation(len(things))
    return [TextGroup((Message("user", f"What is {things[i]}?"),)) for i in order]


def job_of(given: argparse.Namespace, model: Path, seed: int) -> Job:
    asked = questions()
    train, held = asked[: EACH * given.rounds], asked[EACH * given.rounds :][: given.held]
    if len(held) < given.held:
        raise SystemExit(f"{given.rounds} rounds leave {len(held)} questions to hold out; give fewer")
    options = TrainOptions(
        steps=given.updates,
        batch=4,
        learning_rate=given.rate,
        schedule="constant",
        seed=seed,
        lora=Lora(r=8),
        watch=Watch(prompts=0),
    )
    judge = reward_named("reading-level")
    return Job(model, given.out, Loaded(tuple(train)), Loaded(tuple(held)), options, judge=judge)


def one(job: Job, momentum: float, beta: float, rounds: int) -> list[dict[str, float]]:
    """The measures of each round, from the run's folder if it is done."""
    file = job.out / "measured.json"
    if not file.is_file():
        done = apo(job, momentum=momentum, beta=beta, rounds=rounds, samples=SAMPLES, max_tokens=TOKENS)
        file.write_text(json.dumps([dict(row) for row in done.rounds]), encoding="utf-8")
    shutil.rmtree(job.out / "model", ignore_errors=True)  # half a gigabyte that nobody reads
    return json.loads(file.read_text(encoding="utf-8"))


def before(job: Job) -> dict[str, float]:
    """The same measures of the model that all begin with."""
    file = job.out / "before.json"
    if not file.is_file():
        job.out.mkdir(parents=True, exist_ok=True)
        policy = open_policy(job.model)
        drawing = RolloutOptions(SAMPLES, max_tokens=TOKENS, seed=job.options.seed)
        found = measure_policy(job, policy, policy.model, job.rewards(), job.out, drawing)
        file.write_text(json.dumps(found), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def share_first_round(source: Path, target: Path, *, trained: bool) -> None:
    """The answers of the first round are the same for all rules, and its training for all with one beta."""
    old, new = source / "round-01", target / "round-01"
    if new.exists():
        return
    part = target / ".part-round-01"
    shutil.rmtree(part, ignore_errors=True)
    left_out = ("measured.jsonl", *(() if trained else ("run",)))
    shutil.copytree(old, part, ignore=shutil.ignore_patterns(*left_out))
    part.rename(new)


def rounds_needed(start: float, rewards: list[float], level: float) -> float:
    """When a curve first reaches a level, in rounds; infinity if it never does."""
    curve = [start, *rewards]
    for t in range(1, len(curve)):
        if curve[t] >= level:
            rise = curve[t] - curve[t - 1]
            return t - 1 + (min(1.0, max(0.0, (level - curve[t - 1]) / rise)) if rise > 0 else 0.0)
    return math.inf


def interval(values: list[float]) -> str:
    mean = float(np.mean(values))
    if len(values) < 2 or not math.isfinite(mean):
        return f"{mean:.2f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return f"{mean:.2f} ± {half:.2f}"


def rules_of(given: argparse.Namespace) -> dict[str, tuple[str, float, float]]:
    """Name, momentum and beta of each rule, by its key."""
    fair = given.beta * (1 - given.alpha)
    return {
        "plain": (f"iterative DPO, beta {given.beta:g}", 0.0, given.beta),
        "apo": (f"APO, alpha {given.alpha:g}, beta {given.beta:g}", given.alpha, given.beta),
        "fair": (f"iterative DPO, beta {fair:g}", 0.0, fair),
    }


def seed_rows(given: argparse.Namespace, model: Path, seed: int) -> dict[str, Any]:
    """What the rules measure with one seed; kept in a file that the runs' folders need not outlive."""
    job = job_of(given, model, seed)
    found: dict[str, Any] = {"before": before(replace(job, out=given.out / f"before-{seed}"))["reward"]}
    for number, (key, (name, momentum, beta)) in enumerate(rules_of(given).items()):
        if key not in given.rules:
            continue
        out = given.out / f"rule-{number}-{seed}"
        out.mkdir(parents=True, exist_ok=True)
        if number:
            share_first_round(given.out / f"rule-0-{seed}", out, trained=beta == given.beta)
        curve = one(replace(job, out=out), momentum, beta, given.rounds)
        found[key] = [{what: row[what] for what in ("reward", "kl", "similarity")} for row in curve]
        print(name, seed, [round(row["reward"], 2) for row in curve], flush=True)
    return found


def table(given: argparse.Namespace, model: Path, rows: dict[str, dict[str, Any]]) -> str:
    seeds = sorted(rows, key=int)
    starts = [rows[seed]["before"] for seed in seeds]
    lines = [
        "# Accelerated preference optimisation on a small model",
        "",
        f"`python benchmarks/apo_model.py --seeds {shown_numbers(seeds)} --rules {' '.join(given.rules)}`, "
        f"{given.rounds} rounds: "
        f"{model.name}, {EACH} questions a round, {SAMPLES} answers of at most {TOKENS} tokens to each, "
        f"{given.updates} updates of 4 pairs, learning rate {given.rate:g}, an adapter of rank 8; reward: "
        f"negative Flesch–Kincaid grade of answers to {given.held} held-out questions, {interval(starts)} "
        "before; mean ± 95 % (t) over seeds. The level is the reward of the first rule after its last round, "
        "of the same seed; fewer: in how many seeds a rule needs fewer rounds to it [95 %].",
        "",
        "| rule | seeds | "
        + " | ".join(f"reward after {t + 1}" for t in range(given.rounds))
        + " | KL, nats | similarity | rounds to the level | fewer | more than plain at the end |",
        "|" + "---|" * (given.rounds + 7),
    ]
    for key, (name, *_) in rules_of(given).items():
        made = [rows[seed] for seed in seeds if key in rows[seed]]
        if not made:
            continue
        rewards = [interval([row[key][t]["reward"] for row in made]) for t in range(given.rounds)]
        ends = [interval([row[key][-1][what] for row in made]) for what in ("kl", "similarity")]
        shown = compared(made, key, given.rounds) if key != "plain" else " | | "
        lines.append(f"| {name} | {len(made)} | {' | '.join(rewards)} | {' | '.join(ends)} | {shown} |")
    lines += ["", "Rounds to the level are given seed by seed, and their mean where all reach it."]
    return "\n".join(lines) + "\n"


def compared(made: list[dict[str, Any]], key: str, rounds: int) -> str:
    """Three cells: rounds to plain's last level, in how many seeds fewer, and the gain at the end."""
    needed = [
        rounds_needed(row["before"], [at["reward"] for at in row[key]], row["plain"][-1]["reward"])
        for row in made
    ]
    level = [
        rounds_needed(row["before"], [at["reward"] for at in row["plain"]], row["plain"][-1]["reward"])
        for row in made
    ]
    shown = ", ".join(f"{n:.1f}" if math.isfinite(n) else f"> {rounds}" for n in needed)
    shown += f" ({interval(needed)})" if all(map(math.isfinite, needed)) else ""
    fewer = sum(mine < its for mine, its in zip(needed, level, strict=True))
    low, high = share_interval(fewer, len(made))
    gain = interval([row[key][-1]["reward"] - row["plain"][-1]["reward"] for row in made])
    return f"{shown} | {fewer} of {len(made)} [{low:.2f}, {high:.2f}] | {gain}"


def shown_numbers(seeds: list[str]) -> str:
    low, high = int(seeds[0]), int(seeds[-1])
    return f"{low}-{high}" if 1 < len(seeds) == high - low + 1 else ",".join(seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="folder of another model")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2], help="such as 0-2,5")
    parser.add_argument(
        "--rules", nargs="+", choices=("plain", "apo", "fair"), default=["plain", "apo", "fair"]
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--held", type=int, default=40)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--write", action="store_true", help=f"add the seeds to {RESULT.name}")
    given = parser.parse_args()
    model = given.model
    if model is None:
        from palate.models import convert_gguf, fetch_weights

        model = convert_gguf(fetch_weights())
    rows: dict[str, dict[str, Any]] = {}
    if given.write and ROWS.is_file():
        rows = json.loads(ROWS.read_text(encoding="utf-8"))
    for seed in given.seeds:
        rows[str(seed)] = seed_rows(given, model, seed)
        if given.write:
            ROWS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            kept = RESULT.read_text(encoding="utf-8").partition(EARLIER)[1:] if RESULT.is_file() else ()
            RESULT.write_text("".join([table(given, model, rows), "\n", *kept]), encoding="utf-8")
    print(table(given, model, rows))


if __name__ == "__main__":
    main()
