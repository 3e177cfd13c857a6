"""Ten raters of whom three toss a coin: what it costs, and how soon they are known.

python benchmarks/spammers.py --seeds 200 --write benchmarks/results/spammers.md

64 candidates whose utilities are drawn from a Gaussian process over 8 features; every vote is cast by a rater
drawn at random on the pair that the default strategy asks for. *Clean*: all ten are honest. *Weighted*: three
of ten toss a coin, and the strategy knows who cast which vote. *Unweighted*: the same, without names. *Left
out*: the same, but somebody who knows the three throws their votes away, which is the best that weighting
can do, since votes of coins say nothing. Regret is that of the report, in standard deviations of the
utilities. All four rows of a study share its utilities, raters and luck.

For the area under the curve each rater casts 20 votes on random pairs, and raters are ranked by the
probability that they say nothing (`palate.choice.fit_trust`).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from palate.choice import Votes, fit_trust, sigmoid
from palate.strategies import duel_bandit

N, D, RATERS, SPAMMERS, VOTES = 64, 8, 10, 3, 300
MARKS = (100, 200, 300)
SLOPES = (1.5, 2.5, 5.0)
WAYS = ("clean", "left out", "weighted", "unweighted")


def problem(seed):
    """Features, the kernel among them, and utilities of standard deviation one."""
    rng = np.random.default_rng([seed, 7])
    feature_ND = rng.standard_normal((N, D))
    feature_ND /= np.linalg.norm(feature_ND, axis=1, keepdims=True)
    square_NN = ((feature_ND[:, None] - feature_ND[None]) ** 2).sum(axis=-1)
    kernel_NN = 0.85 * np.exp(-square_NN / (2 * 0.7**2 * np.median(square_NN[square_NN > 0])))
    kernel_NN += 0.15 * np.eye(N)
    utility_N = np.linalg.cholesky(kernel_NN) @ rng.standard_normal(N)
    utility_N -= utility_N.mean()
    return feature_ND, kernel_NN, utility_N / utility_N.std()


def study(seed, slope, way):
    """Regret after each mark."""
    feature_ND, _, utility_N = problem(seed)
    bandit = duel_bandit("default", feature_ND, seed=seed)
    rng = np.random.default_rng([seed, 1])
    spammers = 0 if way == "clean" else SPAMMERS
    found = []
    for vote in range(1, VOTES + 1):
        rater, draw = int(rng.integers(RATERS)), rng.random()
        if way != "left out" or rater >= spammers:
            left, right = bandit.ask()
            gap = 0.0 if rater < spammers else slope * (utility_N[left] - utility_N[right])
            said = "left" if draw < 1 / (1 + np.exp(-gap)) else "right"
            bandit.tell(left, right, said, judge=None if way == "unweighted" else f"rater {rater}")
        if vote in MARKS:
            found.append(utility_N.max() - utility_N[bandit.best()])
    return found


def area(seed, slope, each, known):
    """Area under the curve of telling coins from honest raters; ``known``: the features' kernel is used."""
    _, kernel_NN, utility_N = problem(seed)
    rng = np.random.default_rng([seed, 2])
    judge_M = np.repeat(np.arange(RATERS), each)
    first_M = rng.integers(N, size=len(judge_M))
    second_M = (first_M + rng.integers(1, N, size=len(judge_M))) % N
    gap_M = np.where(judge_M < SPAMMERS, 0.0, slope * (utility_N[first_M] - utility_N[second_M]))
    said_M = (rng.random(len(judge_M)) < sigmoid(gap_M)).astype(float)
    votes = Votes(first_M, second_M, said_M, judge_M=judge_M)
    fit = fit_trust(kernel_NN if known else np.eye(N), votes, np.zeros(RATERS, bool))
    coin_J = np.array([judge.coin + judge.contrary for judge in fit.judges])
    gap_JJ = coin_J[:SPAMMERS, None] - coin_J[None, SPAMMERS:]
    return float((gap_JJ > 0).mean() + 0.5 * (gap_JJ == 0).mean())


def spread(values):
    """Mean and standard error."""
    values = np.asarray(values, dtype=float)
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def ratio(regret_S, clean_S):
    """Mean regret over that of the clean studies, with a 90 % interval by resampling whole studies."""
    if not clean_S.any():
        return "–"
    rng = np.random.default_rng(0)
    chosen_BS = rng.integers(len(clean_S), size=(4_000, len(clean_S)))
    clean_B = clean_S[chosen_BS].mean(axis=1)
    ratio_B = regret_S[chosen_BS].mean(axis=1)[clean_B > 0] / clean_B[clean_B > 0]
    low, high = np.quantile(ratio_B, (0.05, 0.95))
    return f"{regret_S.mean() / clean_S.mean():.2f} [{low:.2f}, {high:.2f}]"


def regret_table(regret_LWSM, slopes):
    """One row for each slope and way; ``regret_LWSM`` is by slope, way, study and mark."""
    marks = " | ".join(f"{mark} votes | ÷ clean" for mark in MARKS)
    lines = [f"| slope | raters | {marks} |", f"|--:|---|{'--:|' * (2 * len(MARKS))}"]
    for slope, regret_WSM in zip(slopes, regret_LWSM, strict=True):
        for way, regret_SM in zip(WAYS, regret_WSM, strict=True):
            cells = [
                f"{spread(regret_M)} | {ratio(regret_M, clean_M)}"
                for regret_M, clean_M in zip(regret_SM.T, regret_WSM[0].T, strict=True)
            ]
            name = way if way == "clean" else f"30 % coins, {way}"
            lines.append(f"| {slope:g} | {name} | {' | '.join(cells)} |")
    return lines


def area_table(seeds, slopes):
    lines = ["| slope | votes a rater | utilities | area under the curve |", "|--:|--:|---|--:|"]
    for slope in slopes:
        for each in (20, 40):
            for known in (True, False):
                found = [area(seed, slope, each, known) for seed in range(seeds)]
                kind = "alike where features are" if known else "nothing known"
                lines.append(f"| {slope:g} | {each} | {kind} | {spread(found)} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--area-seeds", type=int)
    parser.add_argument("--slopes", type=float, nargs="+", default=SLOPES)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    area_seeds = options.area_seeds or options.seeds
    command = " ".join(["python", "benchmarks/spammers.py", *sys.argv[1:]])
    rows, areas = [], []

    def keep():
        text = "\n".join(page(command, np.array(rows), options.slopes, areas, area_seeds)) + "\n"
        if options.write:
            options.write.write_text(text, encoding="utf-8")
        return text

    for seed in range(options.seeds):
        rows.append([[study(seed, slope, way) for way in WAYS] for slope in options.slopes])
        if seed % 20 == 19:  # hours of work are not lost with the last one
            keep()
    areas += area_table(area_seeds, options.slopes)
    print(keep())


def page(command, regret_SLWM, slopes, areas, area_seeds):
    """The whole file."""
    return [
        "# Raters who toss a coin",
        "",
        f"`{command}`",
        "",
        f"Ten raters, three of whom toss a coin; {N} candidates, {VOTES} votes, {len(regret_SLWM)} studies",
        "a row. The slope is the log-odds of a vote between candidates one standard deviation of utility",
        "apart. Regret of the report in standard deviations, mean and standard error, and what it is of the",
        "clean studies' regret, with a 90 % interval. *Left out*: somebody who knows the three throws their",
        "votes away, which is the best that weighting can do.",
        "",
        *(regret_table(regret_SLWM.transpose(1, 2, 0, 3), slopes) if len(regret_SLWM) else []),
        "",
        f"Who is a coin, from votes on random pairs, {area_seeds} studies a row:",
        "",
        *areas,
    ]


if __name__ == "__main__":
    main()
