"""Kill a store's server two hundred times under sixteen writers, and print what was left as a table.

python benchmarks/storm.py --write benchmarks/results/storm.md
python benchmarks/storm.py --postgres --write benchmarks/results/storm_postgres.md

With ``--postgres`` the study lies on a PostgreSQL server that is started for it; what is killed is the
process that serves the study.
"""

import argparse
import os
import platform
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from palate.store import open_store
from palate.testing import StormReport, postgres_server, storm


def table(report: StormReport, arguments: argparse.Namespace, about: str) -> str:
    rows = [
        ("rounds of kill -9", report.rounds, ""),
        ("distinct votes sent", report.sent, ""),
        ("votes acknowledged", report.acknowledged, f"≥ {arguments.acknowledged:,}"),
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
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {about}.",
        "",
    ]
    lines += ["| what | figure | allowed |", "|---|--:|--:|"]
    lines += [f"| {name} | {value:,} | {allowed} |" for name, value, allowed in rows]
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=4.5, help="longest life of a server, in seconds")
    parser.add_argument("--acknowledged", type=int, default=200_000, help="how many votes that should make")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server instead of a file")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    arguments.command = " ".join(["python", "benchmarks/storm.py", *sys.argv[1:]])
    with ExitStack() as stack:
        if arguments.postgres:
            place: Path | str = stack.enter_context(postgres_server()).url("storm")
        else:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "storm.db"
        report = storm(
            place,
            rounds=arguments.rounds,
            writers=arguments.writers,
            seed=arguments.seed,
            longest=arguments.longest,
        )
        with open_store(place) as store:
            info = store.info
            about = (
                info.why
                if arguments.postgres
                else f"SQLite {info.sqlite}, journal {info.journal}, synchronous FULL"
            )
    text = table(report, arguments, about)
    print(text)
    for problem in report.problems:
        print(problem)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    return 0 if report.good and report.acknowledged >= arguments.acknowledged else 1


if __name__ == "__main__":
    sys.exit(main())
