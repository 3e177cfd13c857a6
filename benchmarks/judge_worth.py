"""Is a judge's vote worth as many human votes as is claimed?

python benchmarks/judge_worth.py --seeds 200 --write benchmarks/results/judge_worth.md

16 candidates, five people with 30 votes each, one machine with 300 votes on random pairs. The machine's worth
w is measured from all votes. Then the machine's votes are replaced by n human votes on random pairs, for n on
a grid, and n* is where the mean error of the utilities' differences, or the regret of the report, is the same
as with the machine. If the claim holds, w · 300 = n*.
"""

import argparse
from pathlib import Path

import numpy as np

from palate.choice import Votes, fit_trust, sigmoid

N, PEOPLE, EACH, CAST, SCALE = 16, 5, 30, 300, 1.5
MACHINES = {
    "like people": (1.0, 0.99),
    "sharper, nearly alike": (2.0, 0.9),
    "sharp, half alike": (2.0, 0.6),
    "dull, alike": (0.4, 0.95),
    "a taste of its own": (2.0, 0.0),
    "a coin": (0.0, 0.0),
}
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def votes_of(rng, value_N, count):
    first_M = rng.integers(N, size=count)
    second_M = (first_M + rng.integers(1, N, size=count)) % N
    return (
        first_M,
        second_M,
        (rng.random(count) < sigmoid(value_N[first_M] - value_N[second_M])).astype(float),
    )


def fitted(parts, machine):
    judge_M = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    kinds = np.array([False] * (len(parts) - machine) + [True] * machine)
    return fit_trust(np.eye(N), Votes(*columns, judge_M=judge_M), kinds)


def losses(fit, utility_N):
    """Mean squared error of differences, and regret, in log-odds."""
    gap_N = (fit.belief.mean_N - utility_N) - (fit.belief.mean_N - utility_N).mean()
    return 2 * float((gap_N**2).sum()) / (N - 1), float(utility_N.max() - utility_N[fit.winner])


def one(seed, slope, rho):
    """Claimed worth with its interval, losses with the machine, and losses with people in its place."""
    rng = np.random.default_rng(seed)
    utility_N = SCALE * rng.standard_normal(N)
    own_N = SCALE * rng.standard_normal(N)
    people = [votes_of(rng, utility_N, EACH) for _ in range(PEOPLE)]
    machine = votes_of(rng, slope * (rho * utility_N + np.sqrt(1 - rho**2) * own_N), CAST)
    fit = fitted([*people, machine], 1)
    worth = fit.judges[-1].worth
    instead = []
    for share in SHARES:
        more = [votes_of(rng, utility_N, round(share * CAST / PEOPLE)) for _ in range(PEOPLE)]
        joined = [
            tuple(np.concatenate(two) for two in zip(a, b, strict=True))
            for a, b in zip(people, more, strict=True)
        ]
        instead.append(losses(fitted(joined, 0), utility_N))
    return (worth.value, worth.low, worth.high), losses(fit, utility_N), instead


def equal_share(with_machine, instead_S):
    """The share of human votes at which a loss that falls with them is the machine's."""
    falling_S = np.minimum.accumulate(instead_S)
    return float(np.interp(-with_machine, -falling_S, SHARES))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    lines = [
        "# What a judge's vote is worth",
        "",
        f"`python benchmarks/judge_worth.py --seeds {options.seeds}`",
        "",
        f"{N} candidates, {PEOPLE} people with {EACH} votes each, one machine with {CAST};",
        f"{options.seeds} studies a row. *Claimed*: human votes that one of its votes is said to be worth,",
        "and the ends of the 95 % interval, on average. *By error*, *by regret*: human votes for each of its",
        "votes that leave the same mean",
        "squared error of differences, or the same regret. The grid ends at 1.6.",
        "",
        "| machine | slope | alignment | claimed | interval | by error | by regret |",
        "|---|--:|--:|--:|---|--:|--:|",
    ]
    for name, (slope, rho) in MACHINES.items():
        runs = [one(seed, slope, rho) for seed in range(options.seeds)]
        worth_3 = np.mean([run[0] for run in runs], axis=0)
        with_machine = np.mean([run[1] for run in runs], axis=0)
        instead_S2 = np.mean([run[2] for run in runs], axis=0)
        found = [equal_share(with_machine[k], instead_S2[:, k]) for k in range(2)]
        lines.append(
            f"| {name} | {slope:g} | {rho:g} | {worth_3[0]:.2f} | {worth_3[1]:.2f} – {worth_3[2]:.2f} "
            f"| {found[0]:.2f} | {found[1]:.2f} |"
        )
        print(lines[-1], flush=True)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
