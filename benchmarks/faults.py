"""Faults of the disk at each of the first 2,000 operations of a study, and what is left of it, as a table.

python benchmarks/faults.py --write benchmarks/results/faults.md

Each run copies a study, opens it on a file layer that fails once, votes on, and compares what was
acknowledged with what is in the file afterwards and with what a power cut at that moment would leave of it.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

from palate.store import open_store
from palate.testing import Fault, FaultReport, fault_storm

KINDS = {
    Fault.FAILED: "any operation: input/output error",
    Fault.SHORT: "a write: half of it, then an error",
    Fault.FULL: "a write that needs room: disk full until cleared",
    Fault.UNSYNCED: "a sync: error, pages forgotten",
    Fault.POWER: "power cut; unsynced sectors lost, kept, reordered",
}


def row(fault: Fault, report: FaultReport) -> str:
    """One kind of fault."""
    cells = (
        report.runs[fault],
        report.acknowledged,
        report.refused,
        report.lost,
        report.doubled,
        report.stuck,
        report.unclear,
        len(report.problems),
    )
    return f"| {KINDS[fault]} | " + " | ".join(f"{cell:,}" for cell in cells) + f" | {report.seconds:,.0f} |"


def main() -> int:
    """Print the table; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--operations", type=int, default=2000, help="how many are struck, counted from opening"
    )
    parser.add_argument("--step", type=int, default=1, help="10 strikes every tenth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    rows: list[str] = []
    problems: list[str] = []
    good = True
    with tempfile.TemporaryDirectory() as folder:
        with open_store(Path(folder) / "about.db") as store:
            about = f"SQLite {store.info.sqlite}, journal {store.info.journal}, synchronous FULL"
        for fault in Fault:
            place = Path(folder) / fault
            place.mkdir()
            report = fault_storm(
                place,
                last=arguments.operations,
                step=arguments.step,
                faults=(fault,),
                seed=arguments.seed,
            )
            rows.append(row(fault, report))
            problems += report.problems
            good = good and report.good
            print(rows[-1], flush=True)
    lines = [
        "# Faults of the disk",
        "",
        f"`python benchmarks/faults.py {' '.join(sys.argv[1:])}`",
        "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {about}. Each run "
        f"has one fault, at each of the first {arguments.operations:,} operations on the study's files that "
        f"can have it{f' (every {arguments.step}th)' if arguments.step > 1 else ''}. Lost, doubled, stuck, "
        "unclear and "
        "problems have to be 0. *Stuck*: still refused once the fault had passed, or not readable meanwhile. "
        "*Unclear*: a refusal that does not name the study. *Problems*: what `palate verify` found.",
        "",
        "| fault | runs | acknowledged | refused | lost | doubled | stuck | unclear | problems | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
        "",
    ]
    print(*problems, sep="\n")
    if arguments.write:
        arguments.write.write_text("\n".join(lines), encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
