"""What knowing the candidates' responses is worth: ``python benchmarks/response_features.py [--write]``.

Six tasks with 160 prompts and the real responses of a small model to 20 inputs (prompt_responses). Votes
are about single responses: a simulated rater prefers the one that scores better, with log-odds of --slope
times the difference, in standard deviations of the scores of one input. Equal scores are called a tie, or
decided by a coin. Each study votes on 14 of the inputs, drawn by its seed. The figure is the report's true
mean score, as a share of the way from the average candidate to the best: over all 20 inputs, and over the 6
that nobody voted on.

    prompts          the default strategy told nothing of responses; inputs in turn
    different        the same; of the inputs on which responses differ, the least used
    voted            it learns from the responses that were voted on; inputs in turn
    known            all responses are known from the start; inputs in turn
    known, chosen    the same, and it chooses the inputs
    ahead 4          the responses to four of the inputs are known from the start; inputs in turn, after those
                     on which the two are known to answer alike, as a study with `answers_ahead = 4` asks
    ahead 4, only    the same, and only these four are voted on
    ahead 8, ahead 8, only    the same with eight
    random, random known    random pairs and inputs, for comparison, believed as in "prompts" and "known"

Intervals are 95 % bootstrap intervals over studies, those of differences paired.
"""

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import platform
import shlex
import sys
import time
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from palate.models import wordllama_model
from palate.strategies import DuelBandit, duel_bandit
from palate.wording import beside_embedding

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "prompt_responses"
CHECKPOINTS = (5, 10, 25, 50, 100)
VOTED_INPUTS = 14
VARIANTS = (
    "prompts", "different", "voted", "known", "known, chosen", "random", "random known",
    "ahead 4", "ahead 4, only", "ahead 8", "ahead 8, only",
)  # fmt: skip


@cache
def _problem(task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores ``(N, X)``, features of prompts ``(N, D)`` and responses ``(N, X, F)``, and which are equal."""
    with gzip.open(DATA / f"{task}.json.gz") as file:
        table = json.load(file)
    score_NX = np.array(table["score"], dtype=float)
    texts = [text.strip() for row in table["response"] for text in row]
    embed = wordllama_model().embed
    prompt_ND = beside_embedding(np.array(asyncio.run(embed(table["prompts"]))), table["prompts"])
    response_KF = np.array(asyncio.run(embed([text or "(empty)" for text in texts])))
    response_KF = beside_embedding(response_KF, texts)
    code = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    kind_NX = np.array([code[text] for text in texts]).reshape(score_NX.shape)
    return score_NX, prompt_ND, response_KF.reshape(*score_NX.shape, -1), kind_NX


def _ahead(variant: str, inputs: list[str]) -> list[str]:
    """The inputs whose responses are known from the start."""
    if "known" in variant:
        return inputs
    return inputs[: int(variant.split()[1].rstrip(","))] if variant.startswith("ahead") else []


def _question(variant: str, bandit: DuelBandit, inputs: list[str], uses: dict, kind_NX: np.ndarray, rng):
    """The next pair and input."""
    if variant == "known, chosen":
        return bandit.ask_where(inputs)
    if variant.startswith("random"):
        i, j = (int(k) for k in rng.choice(len(bandit), 2, replace=False))
        return i, j, inputs[rng.integers(len(inputs))]
    i, j = bandit.ask()
    ahead = _ahead(variant, inputs)
    told = inputs if variant == "different" else [] if "known" in variant else ahead
    if variant.endswith("only"):
        inputs = ahead
    count = {
        name: uses.get(name, 0)
        + 1000 * uses.get((min(i, j), max(i, j), name), 0)
        + 10**6 * (name in told and kind_NX[i, int(name)] == kind_NX[j, int(name)])
        for name in inputs
    }
    least = min(count.values())
    return i, j, rng.choice([name for name in inputs if count[name] == least])


def play(unit: tuple) -> dict:
    """One study: the share of the way at each checkpoint, over all inputs and over those not voted on."""
    variant, task, seed, equal, slope, votes, voted_inputs, *candidates = unit
    table = _problem(task)
    rng = np.random.default_rng([seed, zlib.crc32(task.encode())])
    order = rng.permutation(table[0].shape[1])
    some_N = rng.permutation(len(table[0]))[: candidates[0]] if candidates else np.arange(len(table[0]))
    score_NX, prompt_ND, response_NXF, kind_NX = (part[some_N] for part in table)
    inputs = [str(x) for x in np.sort(order[:voted_inputs])]
    truths = [score_NX.mean(axis=1), score_NX[:, order[voted_inputs:]].mean(axis=1)]
    spread = float(np.sqrt(score_NX.var(axis=0).mean()))
    bandit = duel_bandit("default", prompt_ND, seed)
    for row in range(len(score_NX)):
        for name in _ahead(variant, inputs):
            bandit.responded(row, name, response_NXF[row, int(name)])
    uses: dict = {}
    found, level, milliseconds = [], 0, []
    for count in range(1, votes + 1):
        started = time.perf_counter()
        i, j, name = _question(variant, bandit, inputs, uses, kind_NX, rng)
        milliseconds.append(1e3 * (time.perf_counter() - started))
        i, j = (i, j) if rng.random() < 0.5 else (j, i)
        x = int(name)
        gap = float(score_NX[i, x] - score_NX[j, x]) / spread
        level += gap == 0.0
        won = rng.random() < 1.0 / (1.0 + np.exp(-slope * gap))
        verdict = "tie" if gap == 0.0 and equal == "tie" else "left" if won else "right"
        seen = response_NXF[[i, j], x] if variant == "voted" else None
        bandit.tell(i, j, verdict, input_id=name, response_features=seen)
        pair = (min(i, j), max(i, j), name)
        uses[name], uses[pair] = uses.get(name, 0) + 1, uses.get(pair, 0) + 1
        if count in CHECKPOINTS:
            best = bandit.best()
            found.append([float((u[best] - u.mean()) / (u.max() - u.mean() or np.nan)) for u in truths])
    return {"key": "|".join(map(str, unit)), "found": found, "level": level / votes,
            "ms": float(np.median(milliseconds))}  # fmt: skip


def interval(value_S: np.ndarray) -> str:
    """Mean and 95 % bootstrap interval; studies in which all candidates score alike are left out."""
    value_S = value_S[np.isfinite(value_S)]
    draw_BS = np.random.default_rng(0).integers(len(value_S), size=(2000, len(value_S)))
    low, high = np.quantile(value_S[draw_BS].mean(axis=1), [0.025, 0.975])
    return f"{value_S.mean():.3f} ({low:.2f} – {high:.2f})"


def run(wanted: list[tuple], cache_file: Path, jobs: int) -> dict[str, dict]:
    """Play what is not yet kept."""
    done: dict[str, dict] = {}
    if cache_file.is_file():
        done = {row["key"]: row for row in map(json.loads, cache_file.read_text().splitlines())}
    missing = [unit for unit in wanted if "|".join(map(str, unit)) not in done]
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool, cache_file.open("a") as file:
        for row in pool.imap_unordered(play, missing, chunksize=1):
            done[row["key"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
    return done


def table(done: dict[str, dict], chosen: argparse.Namespace, tasks: list[str], equal: str) -> list[str]:
    """One table: all variants under one kind of rater."""
    points = [c for c in CHECKPOINTS if c <= chosen.votes]

    def studies(variant: str) -> list[dict]:
        fixed = (equal, chosen.slope, chosen.votes, chosen.inputs, *chosen.candidates)
        return [done["|".join(map(str, (variant, task, seed, *fixed)))]
                for task in tasks for seed in range(chosen.seeds)]  # fmt: skip

    base = np.array([row["found"] for row in studies("prompts")])
    lines = [
        f"## Equal scores: {equal}", "",
        "| told | " + " | ".join(map(str, points)) + " | inputs not voted on, at the end | ahead of "
        "*prompts* at the end | equal scores | ms |", "|---|" + "--:|" * (len(points) + 4),
    ]  # fmt: skip
    for variant in chosen.variants:
        rows = studies(variant)
        found = np.array([row["found"] for row in rows])
        shown = " | ".join(interval(found[:, k, 0]) for k in range(len(points)))
        ahead = "–" if variant == "prompts" else interval(found[:, -1, 0] - base[:, -1, 0])
        level, ms = np.mean([row["level"] for row in rows]), np.median([row["ms"] for row in rows])
        lines.append(
            f"| {variant} | {shown} | {interval(found[:, -1, 1])} | {ahead} | {level:.0%} | {ms:.1f} |"
        )
    return [*lines, ""]


def main() -> None:
    """Play, print, and write if asked."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--votes", type=int, default=100)
    parser.add_argument("--slope", type=float, default=2.0)
    parser.add_argument("--inputs", type=int, default=VOTED_INPUTS, help="inputs that are voted on")
    parser.add_argument(
        "--candidates", nargs=1, type=int, default=[], help="of the 160, drawn by the seed; all if left out"
    )
    parser.add_argument("--equal", nargs="+", choices=("tie", "coin"), default=["tie", "coin"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--tasks", nargs="+", default=None)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "palate" / "response_features.jsonl"
    )
    parser.add_argument("--name", default="response_features", help="of the file under --write")
    parser.add_argument("--write", action="store_true", help="write Markdown to results/")
    chosen = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not there; the benchmark needs the tables of responses")
    tasks = chosen.tasks or sorted(path.name.split(".")[0] for path in DATA.glob("*.json.gz"))
    chosen.variants = list(dict.fromkeys(["prompts", *chosen.variants]))
    wanted = [
        (variant, task, seed, equal, chosen.slope, chosen.votes, chosen.inputs, *chosen.candidates)
        for seed in range(chosen.seeds)
        for task in tasks
        for equal in chosen.equal
        for variant in chosen.variants
    ]
    done = run(wanted, chosen.cache, chosen.jobs)
    kept = [a for k, a in enumerate(sys.argv[1:]) if not {"--cache", "--jobs"} & {a, sys.argv[max(k, 1)]}]
    lines = [
        "# What knowing responses is worth", "",
        f"`python benchmarks/response_features.py {shlex.join(kept)}`".replace(" `", "`"), "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; {len(tasks)} "
        f"tasks, {chosen.seeds} seeds each, slope {chosen.slope:g}, votes on {chosen.inputs} inputs, "
        f"{(*chosen.candidates, 160)[0]} candidates. Share of the way from the average to "
        "the best candidate, with 95 % intervals over studies.", "",
    ]  # fmt: skip
    for equal in chosen.equal:
        lines += table(done, chosen, tasks, equal)
    text = "\n".join(lines)
    print(text)
    if chosen.write:
        (HERE / "results" / f"{chosen.name}.md").write_text(text)


if __name__ == "__main__":
    main()
