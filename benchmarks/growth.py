"""Does a pool that grows while votes come in find better candidates than a fixed one, at equal votes?

    python benchmarks/growth.py pool [--seeds 60]
    python benchmarks/growth.py tasks [--data ../shared/data] [--work FOLDER] [--seeds 3] [--tasks a,b]

*pool*: candidates are points in four dimensions, the first ones drawn from a standard normal distribution. A
rater prefers what is closer to a point 4 standard deviations away, which no first candidate is near:
u(x) = -c |x - x*|^2, with c such that u has a standard deviation of 2 log-odds over first candidates.
Children cross two of the ten best by roulette (each coordinate from either) and add normal noise of deviation
0.5. In the second world children are junk: draws from the normal distribution on the far side of the first
candidates. 60 votes. A study *finds* the optimum if its report loses no more than 60 % of duels against it.

*tasks*: the instruction-induction tasks, model, simulated rater and scores of
``benchmarks/instruction_induction.py`` (pool without demonstrations, embedded model, 60 votes on 12 inputs,
true score on 12 held-back inputs). Fixed: 60 induced candidates and the seed prompt. Growing: the first 30 of
them and the seed prompt, and up to 30 that OPRO and both forms of EvoPrompt make with the same model (its
4-bit weights, which generate five times as fast as the dequantised ones that score), behind the gate's
rules. Answers and scores are kept under --work, so a run that was stopped goes on.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from instruction_induction import (
    TASKS,
    Memory,
    Question,
    held_back_scores,
    load_task,
    make_pool,
    score,
)

from palate.judges import SimulatedJudge
from palate.models import Ledger, MeteredModel, embedded_model, transformers_model, wordllama_model
from palate.proposers import EvoPromptDe, EvoPromptGa, Gate, Opro
from palate.strategies import DuelBandit, duel_bandit, worth_of_growing
from palate.targets import InstructionTarget
from palate.types import Candidate, Known, Standing, digest
from palate.wording import beside_embedding

VOTES, FIRST, MOST, CHUNK, EARLIEST = 60, 30, 30, 4, 10
DIMENSIONS, FAR, NOISE, SLOPE, PARENTS = 4, 4.0, 0.5, 2.0, 10
FOUND = 0.10  # of win rate below the optimum


def sigmoid(x: Any) -> Any:
    """Logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


def due(policy: str, bandit: DuelBandit, kin: Sequence[tuple[int, int]], grown: int, votes: int) -> bool:
    """Whether a round of growth begins now."""
    if policy.startswith("fixed") or grown >= MOST or votes < EARLIEST:
        return False
    if policy == "at once":
        return True
    if policy == "evenly":
        return grown < MOST * (votes - EARLIEST + 1) / (VOTES - 2 * EARLIEST)
    return worth_of_growing(bandit, children=CHUNK, kin=kin, clicks=VOTES - votes).grow


# -- points with a known optimum -------------------------------------------------------------------


def pool_study(policy: str, world: str, seed: int) -> tuple[float, int]:
    """Win rate that the report lacks against the optimum, and how many candidates were grown."""
    rng, rater, maker = (np.random.default_rng([seed, part]) for part in range(3))
    towards = rng.standard_normal(DIMENSIONS)
    star = FAR * towards / np.linalg.norm(towards)
    spread = -((rng.standard_normal((4000, DIMENSIONS)) - star) ** 2).sum(axis=1)
    unit = SLOPE / spread.std()
    x = rng.standard_normal((FIRST + MOST, DIMENSIONS))[: None if policy == "fixed 60" else FIRST]
    bandit, kin, grown = duel_bandit("default", x, seed), [], 0

    def utility(rows: Any) -> Any:
        return -unit * ((rows - star) ** 2).sum(axis=1)

    for votes in range(VOTES):
        if due(policy, bandit, kin, grown, votes):
            parents, children = make_children(bandit, x, star, world, min(CHUNK, MOST - grown), maker)
            kin += [(p, len(x) + k) for k, p in enumerate(parents)]
            x, grown = np.concatenate([x, children]), grown + len(children)
            bandit.add(children)
        i, j = bandit.ask()
        left, right = utility(x[[i, j]])
        bandit.tell(i, j, "left" if rater.random() < sigmoid(left - right) else "right")
    report = utility(x[[bandit.best()]])[0]
    return float(sigmoid(0.0 - report)) - 0.5, grown


def make_children(
    bandit: DuelBandit, x: Any, star: Any, world: str, count: int, rng: np.random.Generator
) -> tuple[list[int], Any]:
    """Parents by roulette among the ten best, and a child of each."""
    mean_N = bandit.posterior().mean_N
    top = np.argsort(-mean_N)[:PARENTS]
    fitness = sigmoid(mean_N[top] - mean_N[0])
    parents, children = [], []
    for _ in range(count):
        one, other = rng.choice(top, size=2, p=fitness / fitness.sum())
        crossed = np.where(rng.random(DIMENSIONS) < 0.5, x[one], x[other])
        child = crossed + NOISE * rng.standard_normal(DIMENSIONS)
        if world == "junk":
            child = rng.standard_normal(DIMENSIONS) - 2.0 * star / np.linalg.norm(star)
        parents.append(int(one))
        children.append(child)
    return parents, np.array(children)


def pool_part(seeds: int, memory: Memory, out: Path, only: str | None) -> None:
    """All policies in both worlds, or one of them; what was run before is remembered."""
    rows: list[str] = []
    for world in ("outside", "junk"):
        for policy in ("fixed 60", "fixed 30", "evenly", "at once", "worth"):
            # What is not grown does not depend on what children are like.
            lived = "outside" if policy.startswith("fixed") else world
            runs = []
            for seed in range(seeds):
                key = digest(["growth", policy, lived, seed, VOTES, FIRST, MOST, FAR, NOISE, SLOPE])
                known = memory.get(key)
                if known is None and only in (None, f"{world}/{policy}"):
                    known = memory.put(key, pool_study(policy, lived, seed))
                runs += [] if known is None else [known]
            if len(runs) == seeds:
                rows.append(pool_row(world, policy, runs))
    head = "| world | policy | found the optimum | win rate lacking | grown |\n|---|---|---|---|---|\n"
    write(out, "pool", f"{seeds} seeds; ± one standard error.\n\n{head}" + "\n".join(rows))


def pool_row(world: str, policy: str, runs: Sequence[tuple[float, int]]) -> str:
    """A line of the table."""
    lacking, grown = np.array([run[0] for run in runs]), np.mean([run[1] for run in runs])
    found, root = lacking <= FOUND, np.sqrt(len(runs))
    return (
        f"| {world} | {policy} | {found.mean():.2f} ± {found.std() / root:.2f} | "
        f"{lacking.mean():.3f} ± {lacking.std() / root:.3f} | {grown:.0f} |"
    )


# -- real tasks ------------------------------------------------------------------------------------


async def task_study(name: str, seed: int, grows: bool, models: Any, memory: Memory, data: Path) -> dict:
    """One study of one task; the true score of the report."""
    model, embedder, writer = models
    task, target = load_task(data, name), InstructionTarget(model)
    everybody = await make_pool(task, "a", model, memory)
    pool = everybody[: 1 + FIRST] if grows else everybody
    references = [Question(question.text, question.options[:1]) for question in task.voting]

    async def look(candidates: Sequence[Candidate]) -> tuple[Any, Any]:
        rows = [[q[0] for q in await score(target, c, references, memory, "vote")] for c in candidates]
        texts = [target.features_text(c) for c in candidates]
        return np.array(rows), beside_embedding(await embedder.embed(texts), texts)

    voting_NQ, feature_ND = await look(pool)
    bandit, rater = duel_bandit("default", feature_ND, seed), SimulatedJudge(lambda *_: 0.0, 1.0)
    rng = np.random.default_rng([seed, VOTES])
    asked = MeteredModel(writer, cache=memory, ledger=Ledger())
    options = {"max_tokens": 96, "attempts": 2, "longest": 600}
    growers = [Opro(asked, shown=8, **options), EvoPromptGa(asked, **options), EvoPromptDe(asked, **options)]
    kin, rounds, empty, refused = [], 0, 0, []
    for votes in range(VOTES):
        grown = len(pool) - 1 - FIRST
        if grows and empty < 2 * len(growers) and due("worth", bandit, kin, grown, votes):
            known = Known(pool, task.exemplars, standings=standings(bandit, pool))
            draw = np.random.default_rng([seed, rounds])
            made = await growers[rounds % 3].propose(min(CHUNK, MOST - grown), known=known, rng=draw)
            checked = await Gate().sort(made, pool)
            refused += checked.refused
            rounds, empty = rounds + 1, 0 if checked.passed else empty + 1
            if checked.passed:
                place = {c.id: k for k, c in enumerate(pool)}
                kin += [(place[c.lineage.parents[0]], len(pool) + k) for k, c in enumerate(checked.passed)]
                more_NQ, more_ND = await look(checked.passed)
                pool, voting_NQ = [*pool, *checked.passed], np.concatenate([voting_NQ, more_NQ])
                bandit.add(more_ND)
        i, j = bandit.ask()
        question = int(rng.integers(voting_NQ.shape[1]))
        odds = rater.odds(voting_NQ[i, question], voting_NQ[j, question])
        bandit.tell(i, j, "left" if rng.random() < odds.left else "right", input_id=str(question))
    best = pool[bandit.best()]
    held = held_back_scores(await score(target, best, task.held_back, memory, "held"))
    return {
        "score": held,
        "candidates": len(pool),
        "grown_report": best.lineage.origin not in ("seed", "induction"),
        "pool_mean": [float(voting_NQ[: 1 + FIRST].mean()), float(voting_NQ[1 + FIRST :].mean())],
        "pool_best": float(voting_NQ.mean(axis=1).max()),
        "refused": len(refused),
        "prompt": best.text,
    }


def standings(bandit: DuelBandit, pool: Sequence[Candidate]) -> dict[str, Standing]:
    """What a study would tell its proposers."""
    chance = bandit.p_best()
    rates = [(0.5, 0.5, 0.5) if row == 0 else bandit.win_rate(row, 0) for row in range(len(pool))]
    return {c.id: Standing(c.id, *rates[row], float(chance[row]), 0) for row, c in enumerate(pool)}


async def tasks_part(given: argparse.Namespace) -> None:
    """Every task with one seed, then the next seed."""
    memory = Memory(given.work / "scores.jsonl")
    models = (transformers_model(None, batch=48, threads=1), wordllama_model(), embedded_model(threads=1))
    runs: dict[tuple[str, int], dict[bool, dict]] = {}
    for seed in range(given.seeds):
        for name in given.tasks.split(","):
            started = time.monotonic()
            both = {
                grows: await task_study(name, seed, grows, models, memory, given.data)
                for grows in (False, True)
            }
            runs[name, seed] = both
            print(name, seed, f"{time.monotonic() - started:.0f} s", both, flush=True)
            write(given.out, "tasks", tasks_table(runs))
    for model in models:
        await model.close()


def tasks_table(runs: dict[tuple[str, int], dict[bool, dict]]) -> str:
    """Means over runs, the paired difference, and each task."""
    scores = {grows: np.array([both[grows]["score"] for both in runs.values()]) for grows in (False, True)}
    gain = scores[True] - scores[False]
    error = gain.std(axis=0, ddof=min(1, len(gain) - 1)) / np.sqrt(len(gain))
    lines = [
        f"`python benchmarks/growth.py tasks --seeds {1 + max(seed for _, seed in runs)}`",
        "",
        f"{len({task for task, _ in runs})} tasks, {len(runs)} pairs of studies; ± one standard error of the "
        "paired difference.",
        "",
        "| pool | mean log-probability of the reference (nats/token) | choice accuracy |",
        "|---|---|---|",
        f"| fixed, 60 | {scores[False][:, 0].mean():.2f} | {scores[False][:, 1].mean():.2f} |",
        f"| growing, 30 + up to 30 | {scores[True][:, 0].mean():.2f} | {scores[True][:, 1].mean():.2f} |",
        f"| difference | {gain[:, 0].mean():+.2f} ± {error[0]:.2f} "
        f"| {gain[:, 1].mean():+.2f} ± {error[1]:.2f} |",
        "",
        "| task | seed | fixed | growing | grown | refused | report was grown | mean of first / of grown |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (task, seed), both in runs.items():
        grown = both[True]
        first, later = grown["pool_mean"]
        lines.append(
            f"| {task} | {seed} | {both[False]['score'][0]:.2f} | {grown['score'][0]:.2f} | "
            f"{grown['candidates'] - 1 - FIRST} | {grown['refused']} | "
            f"{'yes' if grown['grown_report'] else 'no'} | {first:.2f} / {later:.2f} |"
        )
    return "\n".join(lines)


def write(out: Path, part: str, text: str) -> None:
    """Replace one part of the results page."""
    titles = {"pool": "A known optimum outside the first candidates", "tasks": "Instruction induction"}
    kept = out.read_text(encoding="utf-8").split("\n## ") if out.exists() else []
    parts = {piece.partition("\n")[0]: piece.partition("\n")[2].strip() for piece in kept[1:]}
    parts[titles[part]] = text
    head = (
        "# Growing pools against fixed ones\n\nMade by `python benchmarks/growth.py`; what was done and how "
        "is in its first lines."
    )
    pieces = [f"## {title}\n\n{parts[title]}" for title in titles.values() if title in parts]
    out.write_text("\n\n".join([head, *pieces]) + "\n", encoding="utf-8")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("pool", "tasks"))
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PALATE_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "palate-real-run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "growth.md")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--only", default=None, help="one row of the first table, such as junk/worth")
    given = parser.parse_args()
    if given.part == "pool":
        pool_part(given.seeds or 60, Memory(given.work / "growth.jsonl"), given.out, given.only)
        return
    given.seeds = given.seeds or 3
    asyncio.run(tasks_part(given))


if __name__ == "__main__":
    main()
