"""How long after a vote the next question is known: ``python benchmarks/decision_time.py [--write]``.

The default strategy in a fresh process a row: 200 candidates through 150 votes, and 10,000 candidates with
1,000 votes told and 200 more cast one by one. A vote is told, the next pair asked and the report read;
features have the size of a prompt's (464 columns: the default embedding and wording). Votes of a rater of
slope 2 who needs --pause seconds for each, far fewer than a person does. When the votes have grown by a
quarter, scale and habits are learnt anew by a thread beside the votes; the largest of all times is shown.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from palate.strategies import duel_bandit

DIMENSION = 464


def measure(size: int, told: int, cast: int, pause: float) -> str:
    """One row of the table."""
    rng = np.random.default_rng(0)
    feature_ND = rng.standard_normal((size, DIMENSION)) * rng.gamma(0.5, 1.0, DIMENSION)
    feature_ND /= np.linalg.norm(feature_ND, axis=1, keepdims=True)
    utility_N = feature_ND @ rng.standard_normal(DIMENSION)
    utility_N *= 2.0 / utility_N.std()

    def verdict(i: int, j: int) -> str:
        return "left" if rng.random() < 1.0 / (1.0 + np.exp(utility_N[j] - utility_N[i])) else "right"

    bandit = duel_bandit("default", feature_ND, seed=0)
    for _ in range(told):
        i, j = (int(k) for k in rng.choice(size, 2, replace=False))
        bandit.tell(i, j, verdict(i, j))
    started = time.perf_counter()
    bandit.ask()
    first = time.perf_counter() - started
    taken = []
    for _ in range(cast):
        time.sleep(pause)
        i, j = bandit.ask()
        said = verdict(i, j)
        started = time.perf_counter()
        bandit.tell(i, j, said)
        bandit.ask()
        bandit.best()
        taken.append(1e3 * (time.perf_counter() - started))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    median, late, most = np.median(taken), np.quantile(taken, 0.95), max(taken)
    return (
        f"| {size:,} | {told:,} – {told + cast:,} | {median:.1f} | {late:.1f} | {most:.0f} | {first:.1f} "
        f"| {memory:.0f} |"
    )


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", nargs=3, type=int, help="measure one row: candidates, told, cast")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two votes")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.row:
        print(measure(*chosen.row, chosen.pause))
        return
    lines = [
        "# Decision time", "", "`python benchmarks/decision_time.py`", "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} thread(s) for linear algebra; load "
        f"{os.getloadavg()[0]:.1f} at the start; {chosen.pause:g} s between votes. *From nothing* is a "
        "reopened study's first question.", "",
        "| candidates | votes | median, ms | p95, ms | most, ms | from nothing, s | memory, MB |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for row in ((200, 0, 150), (1000, 0, 150), (10_000, 1000, 200)):
        arguments = [sys.executable, __file__, "--row", *map(str, row), "--pause", str(chosen.pause)]
        found = subprocess.run(arguments, check=True, capture_output=True, text=True)
        lines.append(found.stdout.strip())
        print(lines[-1])
    if chosen.write:
        (Path(__file__).parent / "results" / "decision_time.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
