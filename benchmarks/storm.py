"""Kill a store's server a hundred times under sixteen writers, and print what was left as a table.

python benchmarks/storm.py --rounds 100 --writers 16 --write benchmarks/results/storm.md
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

from palate.store import open_store
from palate.testing import StormReport, storm


def table(report: StormReport, arguments: argparse.Namespace, sqlite: str) -> str:
    rows = [
        ("rounds of kill -9", report.rounds, ""),
        ("distinct votes sent", report.sent, ""),
        ("votes acknowledged", report.acknowledged, ""),
        ("repeats under the same key", report.repeats, ""),
        ("acknowledged votes lost", report.lost, "0"),
        ("votes doubled", report.doubled, "0"),
        ("votes invented", report.invented, "0"),
        ("honest repeats refused", report.refused, "0"),
        ("problems found by verify, replay unlike state", len(report.problems), "0"),
        ("seconds", round(report.seconds), ""),
    ]
    lines = ["# kill -9 storm", "", f"`{arguments.command}`", ""]
    lines += [
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {sqlite}.",
        "",
    ]
    lines += ["| what | figure | allowed |", "|---|--:|--:|"]
    lines += [f"| {name} | {value:,} | {allowed} |" for name, value, allowed in rows]
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=1.5, help="longest life of a server, in seconds")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    arguments.command = " ".join(["python", "benchmarks/storm.py", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "storm.db"
        report = storm(
            path,
            rounds=arguments.rounds,
            writers=arguments.writers,
            seed=arguments.seed,
            longest=arguments.longest,
        )
        with open_store(path) as store:
            sqlite = f"SQLite {store.info.sqlite}, journal {store.info.journal}, synchronous FULL"
    text = table(report, arguments, sqlite)
    print(text)
    for problem in report.problems:
        print(problem)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
