"""SuperHF on a small model: what the divergence from the first model buys, and how often a run improves.

    python benchmarks/superhf.py --data prompts.jsonl --out runs/superhf [--reward reading-level] [--seeds 3]
    python benchmarks/superhf.py --data prompts.jsonl --out runs/superhf --sweep 20 [--only 11-14]

The model is the embedded SmolLM2-135M-Instruct unless --model names another folder. Part 1 runs prior_kl of
0, 0.1, 0.2, 0.35 and 0.5 with each seed and tables reward, KL, length and METEOR similarity of one answer to
each of 32 held-out prompts: mean and range over seeds. Part 2 draws learning rate (a range as wide as the
published one, 30 times, around --rate), prior_kl (0 to 0.5), samples and prompts a superbatch at random, and
counts the runs whose held-out reward is above the first model's with the same seed.

A run of 20 superbatches of 2 prompts with 16 answers of 32 tokens takes 4 to 6 minutes on one core; part 1
with three seeds is 15 runs, the sweep another 20. What is done is not done again. Rows of the sweep are kept
in results/superhf_sweep.json too, so that a few of its runs (--only) can be made where the others' files are
gone; then part 1 is left as it stands in the table.
"""

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np

from palate.choice import share_interval
from palate.errors import InputError
from palate.models import convert_gguf, fetch_weights
from palate.policy.data import Loaded, TextGroup, read_groups, read_rows, split_by_prompt
from palate.policy.rollouts import RolloutOptions
from palate.policy.trainer import Lora, TrainOptions, Watch
from palate.recipes import Job, measure_policy, open_policy, reward_named, superhf

RESULT = Path(__file__).parent / "results" / "superhf.md"
ROWS = RESULT.with_name("superhf_sweep.json")
SWEEP_HEAD = "## The sweep"
PRIORS = (0.0, 0.1, 0.2, 0.35, 0.5)
MEASURED = ("reward", "kl", "length", "similarity")
LORA = Lora(r=4, alpha=32, dropout=0.05, targets=("q_proj", "v_proj"))


def prompts(file: Path, most: int) -> tuple[Loaded, Loaded]:
    """Short prompts only: of each conversation what was asked first."""
    found = []
    for group in read_groups(read_rows(file)).groups:
        prompt = group.prompt if isinstance(group.prompt, str) else group.prompt[:1]
        if 0 < len(prompt if isinstance(prompt, str) else prompt[0].content) <= 300:
            found.append(TextGroup(prompt))
    train, held = split_by_prompt(list(dict.fromkeys(found)), 0.2)
    return Loaded(tuple(train[:most])), Loaded(tuple(held[:32]))


def one(job: Job, **options: float) -> dict[str, float]:
    """The measures of a run, from its folder if it is done."""
    file = job.out / "measured.json"
    if not file.is_file():
        job.out.mkdir(parents=True, exist_ok=True)
        numbers = superhf(job, **options).numbers  # pyright: ignore
        file.write_text(json.dumps(dict(numbers)), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def first(job: Job, tokens: int) -> dict[str, float]:
    """The same measures of the model before."""
    policy = open_policy(job.model)
    job.out.mkdir(parents=True, exist_ok=True)
    drawing = RolloutOptions(max_tokens=tokens, seed=job.options.seed)
    return measure_policy(job, policy, policy.model, job.rewards(), job.out, drawing)


def cells(rows: list[dict[str, float]]) -> str:
    shown = []
    for name in MEASURED:
        values = [row[name] for row in rows]
        shown.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    return " | ".join(shown)


def priors(job: Job, given: argparse.Namespace) -> list[str]:
    """Part 1."""
    seeded = [replace(job, options=replace(job.options, seed=seed)) for seed in range(given.seeds)]
    before = [first(work, given.tokens) for work in seeded]
    lines = [
        "# SuperHF on a small model",
        "",
        f"{job.model.name}, reward {given.reward}, {given.superbatches} superbatches of 2 prompts with "
        f"{given.samples} answers of at most {given.tokens} tokens, learning rate {given.rate:g} "
        f"(`python benchmarks/superhf.py --data {given.data.name} --out runs/superhf --rate {given.rate:g} "
        f"--seeds {given.seeds}`); {len(job.held.groups)} held-out prompts; "
        f"mean (least to largest) of {given.seeds} seeds.",
        "",
        "| prior_kl | reward | KL, nats an answer | length, tokens | similarity |",
        "|---|---|---|---|---|",
        f"| before | {cells(before)} |",
    ]
    for prior in PRIORS:
        rows = []
        for seed, work in enumerate(seeded):
            rows.append(
                one(
                    replace(work, out=given.out / f"kl-{prior}-{seed}"),
                    superbatches=given.superbatches,
                    samples=given.samples,
                    prior_kl=prior,
                    max_tokens=given.tokens,
                )
            )
        lines.append(f"| {prior} | {cells(rows)} |")
        print(lines[-1], flush=True)
    return lines


def numbers(text: str) -> list[int]:
    """`0-10,15` as its numbers."""
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def drawn(runs: int, rate: float) -> list[dict[str, float]]:
    """What each run of the sweep tries; the same for every call."""
    draw = random.Random(0)
    return [
        {
            "rate": rate * 30 ** draw.uniform(-0.5, 0.5),
            "prior_kl": draw.uniform(0, 0.5),
            "samples": draw.choice((4, 8, 16)),
            "prompts": draw.choice((1, 2, 4)),
        }
        for _ in range(runs)
    ]


def swept(job: Job, given: argparse.Namespace, tried: dict[str, float]) -> dict[str, float | str]:
    """One run of the sweep: its measures, or why it ended."""
    before = first(replace(job, out=given.out / "first"), given.tokens)["reward"]  # by the same draws
    try:
        done = one(
            job,
            superbatches=given.superbatches,
            accumulate_prompts=tried["prompts"],
            samples=tried["samples"],
            prior_kl=tried["prior_kl"],
            max_tokens=given.tokens,
        )
    except InputError as error:  # it says nothing any more, or nothing finite
        return {"before": before, "ended": str(error)}
    return {"before": before} | {name: done[name] for name in ("reward", "kl", "similarity")}


def sweep(job: Job, given: argparse.Namespace) -> list[str]:
    trials = drawn(given.sweep, given.rate)
    rows: dict[str, dict[str, float | str]] = {}
    if given.only is not None and ROWS.is_file():
        rows = json.loads(ROWS.read_text(encoding="utf-8"))
    for number in range(given.sweep) if given.only is None else given.only:
        options = replace(job.options, learning_rate=trials[number]["rate"], seed=number)
        work = replace(job, out=given.out / f"sweep-{number:02d}", options=options)
        rows[str(number)] = swept(work, given, trials[number])
        print(number, rows[str(number)], flush=True)
        kept = {str(n): rows[str(n)] for n in range(given.sweep) if str(n) in rows}
        ROWS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return sweep_table(trials, rows)


def sweep_table(trials: list[dict[str, float]], rows: dict[str, dict[str, float | str]]) -> list[str]:
    lines = [
        f"`--sweep {len(trials)}`: B answers to each of A prompts a superbatch; rewards before and "
        "after by the same seed.",
        "",
        "| run | learning rate | prior_kl | B | A | reward before | after | KL | similarity |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    better = done = 0
    for number, tried in enumerate(trials):
        row = rows.get(str(number))
        if row is None:
            continue
        done += 1
        better += "ended" not in row and row["reward"] > row["before"]
        found = (
            f"{row['ended']} | | "
            if "ended" in row
            else f"{row['reward']:.2f} | {row['kl']:.1f} | {row['similarity']:.3f}"
        )
        lines.append(
            f"| {number} | {tried['rate']:.1e} | {tried['prior_kl']:.2f} | {tried['samples']} | "
            f"{tried['prompts']} | {row['before']:.2f} | {found} |"
        )
    low, high = share_interval(better, done)
    noted = [f"Run {number}: {row['note']}." for number, row in rows.items() if "note" in row]
    return [*lines, "", f"{better} of {done} runs improve [{low:.2f}, {high:.2f}].", *noted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--reward", default="reading-level")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--superbatches", type=int, default=20)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--sweep", type=int, default=0)
    parser.add_argument("--only", type=numbers, help="of the sweep only these runs, as 0-10,15")
    given = parser.parse_args()
    train, held = prompts(given.data, 200)
    options = TrainOptions(batch=2, learning_rate=given.rate, warmup=2, lora=LORA, watch=Watch(prompts=0))
    model = given.model or convert_gguf(fetch_weights())
    job = Job(model, given.out / "first", train, held, options, judge=reward_named(given.reward))
    if given.only is None:
        text = "\n".join(priors(job, given))
    else:
        text = RESULT.read_text(encoding="utf-8").partition(SWEEP_HEAD)[0].rstrip()
    if given.sweep:
        text = "\n".join([text, "", SWEEP_HEAD, "", *sweep(job, given)])
    RESULT.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
