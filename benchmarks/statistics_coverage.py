"""How often the 95 % intervals of ratings hold the truth, in simulated tournaments.

python benchmarks/statistics_coverage.py --write benchmarks/results/statistics_coverage.md

Scores are drawn from a standard normal, in log-odds; a vote is a toss with the model's own odds, or with ties
the mean of two such tosses, so that a tie is half a win on average. Pairs are drawn without looking, or by
looking: every second duel is the leader of the last fit against somebody, the rest at random.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from palate.choice import ELO, bootstrap_scores, count_comparisons, fit_ratings
from palate.types import Array

Z = 1.959963984540054
REFIT = 20  # votes between two fits of the looking kind


class Case(NamedTuple):
    """A kind of tournament."""

    n: int
    m: int
    ties: bool
    looks: bool = False
    rounds: int = 0


CASES = (
    Case(3, 60, False),
    Case(6, 100, True),
    Case(6, 300, False),
    Case(6, 300, True),
    Case(10, 400, False),
    Case(20, 1000, True),
    Case(6, 300, True, rounds=200),
    Case(6, 300, False, looks=True),
    Case(10, 400, False, looks=True),
)


def play(rng: np.random.Generator, case: Case) -> tuple[Array, tuple[Array, Array, Array]]:
    """True scores, and the votes: first, second, outcome."""
    score_N = rng.normal(size=case.n)
    score_N -= score_N.mean()
    first_M, second_M = np.zeros(case.m, dtype=np.intp), np.zeros(case.m, dtype=np.intp)
    outcome_M = np.zeros(case.m)
    step = REFIT if case.looks else case.m
    leader = -1
    for begin in range(0, case.m, step):
        part = slice(begin, min(begin + step, case.m))
        size = part.stop - begin
        first = rng.integers(0, case.n, size)
        if leader >= 0:
            first = np.where(rng.random(size) < 0.5, leader, first)
        second = (first + rng.integers(1, case.n, size)) % case.n
        prob = 1 / (1 + np.exp(score_N[second] - score_N[first]))
        said = (rng.random(size) < prob).astype(float)
        if case.ties:
            said = (said + (rng.random(size) < prob)) / 2
        first_M[part], second_M[part], outcome_M[part] = first, second, said
        if case.looks:
            sofar = count_comparisons(first_M[: part.stop], second_M[: part.stop], outcome_M[: part.stop])
            leader = int(np.nanargmax(fit_ratings(sofar, case.n).score_N))
    return score_N, (first_M, second_M, outcome_M)


def cover(case: Case, runs: int) -> str:
    """A row of the table."""
    rng = np.random.default_rng([case.n, case.m, case.ties, case.looks, case.rounds])
    pair = np.triu_indices(case.n, 1)
    held: dict[str, list[tuple[float, float]]] = {}
    flattered: list[float] = []
    for _ in range(runs):
        truth_N, votes = play(rng, case)
        rows = count_comparisons(*votes)
        found = fit_ratings(rows, case.n)
        if not found.rated_N.all():
            continue
        miss_N = found.score_N - truth_N
        leader = int(np.argmax(found.score_N))
        flattered.append(ELO * float(miss_N[leader]))
        if case.rounds:
            score_BN = bootstrap_scores(rows, found, rng, rounds=case.rounds)
            gap_BX = score_BN[:, pair[0]] - score_BN[:, pair[1]]
            low, high = np.quantile(gap_BX, [0.025, 0.975], axis=0)
            gap = truth_N[pair[0]] - truth_N[pair[1]]
            lows, highs = np.quantile(score_BN, [0.025, 0.975], axis=0)
            both = float(((low <= gap) & (gap <= high)).mean())
            held.setdefault("bootstrap", []).append(
                (both, float(((lows <= truth_N) & (truth_N <= highs)).mean()))
            )
            continue
        spread_N = found.std_N**2
        reach_NN = Z * np.sqrt(np.maximum(spread_N[:, None] + spread_N[None, :] - 2 * found.covariance_NN, 0))
        gaps = np.abs(miss_N[:, None] - miss_N) <= reach_NN + 1e-12
        scores = np.abs(miss_N) <= Z * found.std_N
        held.setdefault(found.method, []).append((float(gaps[pair].mean()), float(scores.mean())))
    lines = []
    for method, shares in sorted(held.items()):
        gaps_mean, scores_mean = np.mean(shares, axis=0)
        lines.append(
            f"| {case.n} | {case.m} | {'yes' if case.ties else 'no'} | "
            f"{'by looking' if case.looks else 'at random'} | {method} | {len(shares)} | "
            f"{100 * gaps_mean:.1f} % | {100 * scores_mean:.1f} % | {np.mean(flattered):+.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    head = [
        "# Do the intervals of ratings hold the truth?",
        "",
        "`python benchmarks/statistics_coverage.py`",
        "",
        f"{options.runs:,} simulated tournaments a kind (of the bootstrap a fifth), nominal 95 %. The method",
        "is what `fit_ratings` chose by itself for the tournament: *model* where votes are few, *prior*",
        "where somebody only won or only lost. *Leader* is how far the leader's rating lies above its true",
        "one, in Elo points, on average over all tournaments of that kind: being picked flatters it.",
        "",
        "| prompts | votes | ties | pairs | method | tournaments | differences | ratings | leader |",
        "|--:|--:|---|---|---|--:|--:|--:|--:|",
    ]
    rows = [cover(case, options.runs // 5 if case.rounds else options.runs) for case in CASES]
    text = "\n".join([*head, *rows]) + "\n"
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
