"""Fifty raters, three votes wanted on each pairing, one duel in five abandoned: who gets what.

python benchmarks/leases.py --write benchmarks/results/leases.md
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from palate.store import Store, open_store
from palate.testing import LeaseReport, find_postgres, postgres_server, simulate_leases

LEASE = 900.0
SKEW = 30.0


@contextmanager
def studies(where: str) -> Generator[Callable[[int], str]]:
    """Give places for empty studies, in files or on a server of this run alone."""
    if where == "PostgreSQL":
        with postgres_server() as server:
            yield lambda number: server.url(f"leases-{number}")
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield lambda number: f"{folder}/study-{number}.db"


def opened(place: str, clock: Callable[[], str]) -> Store:
    return open_store(place, clock=clock)


def run(where: str, arguments: argparse.Namespace) -> list[tuple[LeaseReport, float]]:
    """Repeat the simulation with one seed after the other."""
    found: list[tuple[LeaseReport, float]] = []
    with studies(where) as place:
        for seed in range(arguments.runs):
            began = time.perf_counter()
            report = simulate_leases(
                partial(opened, place(seed)),
                raters=arguments.raters,
                pairings=arguments.pairings,
                overlap=arguments.overlap,
                abandon=arguments.abandon,
                lease=LEASE,
                skew=SKEW,
                seed=seed,
            )
            found.append((report, time.perf_counter() - began))
            print(where, seed, report, flush=True)
    return found


def line(where: str, found: list[tuple[LeaseReport, float]]) -> str:
    """One row of the table, over all runs."""
    reports = [report for report, _ in found]
    total = {
        name: sum(getattr(report, name) for report in reports)
        for name in (
            *("pairings", "complete", "votes", "abandoned", "expired"),
            *("late", "surplus", "seen_twice", "refused", "denied"),
        )
    }
    wait = max(report.longest_wait for report in reports)
    kept = all(report.good for report in reports)
    return (
        f"| {where} | {len(reports)} | {total['complete']:,} of {total['pairings']:,} | {total['votes']:,} "
        f"| {total['abandoned']:,} | {total['expired']:,} | {total['late']:,} | {total['surplus']:,} "
        f"| {total['seen_twice']} | {total['refused']} | {total['denied']} | {wait:.0f} s "
        f"| {'yes' if kept else 'NO'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--pairings", type=int, default=200)
    parser.add_argument("--overlap", type=int, default=3)
    parser.add_argument("--abandon", type=float, default=0.2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    wheres = ["SQLite", *(["PostgreSQL"] if find_postgres() is not None else [])]
    rows = [(where, run(where, arguments)) for where in wheres]
    lines = [
        "# Leases",
        "",
        f"`{' '.join(['python', 'benchmarks/leases.py', *sys.argv[1:]])}`",
        "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}. "
        f"{arguments.raters} raters, {arguments.overlap} votes wanted on each of {arguments.pairings} "
        f"pairings, {100 * arguments.abandon:.0f} % of duels abandoned (half of those voted on after all, "
        f"one to three leases later), leases of {LEASE:.0f} s, two openings of the study whose clocks "
        f"differ by {SKEW:.0f} s; time is simulated.",
        "",
        "| store | runs | pairings with exactly the votes wanted, each of another rater | votes | abandoned "
        "| leases taken over | late votes | surplus votes | shown twice to one rater | refused "
        "| asked in vain | longest wait | promise kept |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|:-:|",
        *(line(where, found) for where, found in rows),
        "",
        "A surplus vote is one beyond those wanted: at most one for each lease that was taken over; it is "
        "kept. Asked in vain: a rater got nothing although a pairing that he had not seen had a place free, "
        "or one whose lease had ended. The longest wait is that of a rater for whom others held every place, "
        "near the end of a study; the place may be abandoned again.",
    ]
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
