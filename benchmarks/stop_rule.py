"""How often the stop rule is right when it says 95 %: ``python benchmarks/stop_rule.py [--studies 1000]``.

Worlds are drawn from the default strategy's prior: candidates on a sphere, utilities from its kernel, the
scale from its prior, a taste for one side. A rater of the model votes on what the strategy asks until the
advice says that no other candidate would beat the report in more than 55 % of duels with 95 % certainty.
Right means that none does. The other advice, that more votes are hardly worth it, makes no such statement; it
is counted when first given, and the study goes on. Advice is asked after every vote, as a page would, up to
400 votes.
"""

import argparse
import multiprocessing
import os
import platform
import sys
from pathlib import Path

import numpy as np

from palate.strategies import duel_bandit, palate
from palate.strategies._prior import make_prior
from palate.strategies._stopping import CLOSE_WIN_RATE, CONFIDENCE

SIZE, DIMENSION, MOST = 24, 6, 400


def study(seed: int) -> list[tuple[str, int, bool, float]]:
    """One simulated study: each advice when first given, after how many votes, whether right, the loss."""
    rng = np.random.default_rng([seed, 7])
    feature_ND = rng.standard_normal((SIZE, DIMENSION))
    feature_ND /= np.linalg.norm(feature_ND, axis=1, keepdims=True)
    strategy = palate()
    prior = make_prior(feature_ND, strategy.mixture)
    scale = np.exp(np.log(strategy.centre) + strategy.spread * rng.standard_normal())
    value_N, vector_NN = np.linalg.eigh(prior.rows(np.arange(SIZE)))
    utility_N = scale * (vector_NN * np.sqrt(np.maximum(value_N, 0.0))) @ rng.standard_normal(SIZE)
    side = 0.5 * rng.standard_normal()
    bandit = duel_bandit("default", feature_ND, seed)
    first: dict[str, tuple[str, int, bool, float]] = {}
    votes = 0
    while votes < MOST and "sure" not in first:
        i, j = bandit.ask()
        left, right = (i, j) if rng.random() < 0.5 else (j, i)
        won = rng.random() < 1.0 / (1.0 + np.exp(utility_N[right] - utility_N[left] - side))
        bandit.tell(left, right, "left" if won else "right")
        votes += 1
        stop, reason = bandit.should_stop()
        if stop:
            lost = float(1.0 / (1.0 + np.exp(utility_N[bandit.best()] - utility_N.max())))
            kind = "sure" if "certainty" in reason else "not worth more"
            first.setdefault(kind, (kind, votes, lost <= CLOSE_WIN_RATE, lost - 0.5))
    return list(first.values())


def main() -> None:
    """Simulate, print, and write if asked."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(chosen.jobs) as pool:
        rows = [row for found in pool.imap(study, range(chosen.studies), chunksize=5) for row in found]
    lines = [
        "# The stop rule", "", f"`python benchmarks/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}`", "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; {chosen.studies} "
        f"simulated studies of {SIZE} candidates in {DIMENSION} dimensions, drawn from the default's prior.",
        "", f"| advice | studies | within {CLOSE_WIN_RATE:.0%} of the best | 95 % interval | median votes | "
        "mean win rate lost |", "|---|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for kind in ("sure", "not worth more"):
        mine = [row for row in rows if row[0] == kind]
        if mine:
            share = float(np.mean([row[2] for row in mine]))
            error = 1.96 * np.sqrt(max(share * (1 - share), 0.25 / len(mine)) / len(mine))
            votes, lost = np.median([row[1] for row in mine]), np.mean([row[3] for row in mine])
            within = f"{share:.1%} | {share - error:.1%} – {min(1, share + error):.1%}"
            lines.append(f"| {kind} | {len(mine)} | {within} | {votes:.0f} | {lost:.3f} |")
    lines += ["", f"Stated certainty of the first row: {CONFIDENCE:.0%}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.write:
        (Path(__file__).parent / "results" / "stop_rule.md").write_text(text)


if __name__ == "__main__":
    main()
