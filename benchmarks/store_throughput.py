"""Votes acknowledged per second by the store alone, idle and while exports of 100,000 votes run.

python benchmarks/store_throughput.py --write benchmarks/results/store_throughput.md
"""

import argparse
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

from palate.store import EventKind, Store, export, open_store, pairing_payload
from palate.testing import fill_study
from palate.types import Ballot, Duel, Pairing, Verdict


class Figures(NamedTuple):
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def stock(store: Store, count: int, tag: str) -> list[Duel]:
    """Open pairings and show them all to one judge."""
    example = next(event for event in store.events() if event.kind is EventKind.PAIRING_OPENED).payload
    for start in range(0, count, 1000):
        size = min(1000, count - start)
        pairings = [Pairing(**{**example, "id": f"{tag}-{start + k}"}) for k in range(size)]
        store.append_many([(EventKind.PAIRING_OPENED, pairing_payload(pairing)) for pairing in pairings])
    return store.open_duels(tag, count, Random(0))


def vote_all(store: Store, duels: list[Duel], in_flight: int) -> Figures:
    """Vote on every duel, with a constant number of votes on their way."""
    free: queue.SimpleQueue[None] = queue.SimpleQueue()
    times: list[float] = []
    for _ in range(in_flight):
        free.put(None)

    def send(duel: Duel) -> None:
        start = time.perf_counter()

        def done(future: object) -> None:
            times.append(time.perf_counter() - start)
            free.put(None)

        ballot = Ballot(duel.id, Verdict.LEFT, duel.judge, duel.id, 1.5)
        store.submit(ballot).add_done_callback(done)

    began, cpu = time.perf_counter(), time.process_time()
    for duel in duels:
        free.get()
        send(duel)
    for _ in range(in_flight):
        free.get()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    times.sort()
    count = len(times)
    return Figures(
        count / seconds, times[count // 2] * 1e3, times[int(count * 0.99)] * 1e3, cpu / count * 1e6
    )


def during_exports(store: Store, duels: list[Duel], in_flight: int, folder: Path, *, own: bool) -> Figures:
    """The same while exports follow each other, in a thread of this process or in a process of their own."""
    over = threading.Event()
    program = (
        "import sys; from palate.store import export, open_store\n"
        "with open_store(sys.argv[1]) as store: export(store, 'trl', sys.argv[2])"
    )

    def work() -> None:
        while not over.is_set():
            if own:
                command = [sys.executable, "-c", program, str(store.path), str(folder / "votes.jsonl")]
                subprocess.run(command, check=True)
            else:
                export(store, "trl", folder / "votes.jsonl")

    thread = threading.Thread(target=work)
    thread.start()
    figures = vote_all(store, duels, in_flight)
    over.set()
    thread.join()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=20_000)
    parser.add_argument("--history", type=int, default=100_000, help="votes that are there to be exported")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "study.db") as store:
        fill_study(store, 1)
        vote_all(store, stock(store, arguments.history, "history"), 256)
        rows = [("idle", vote_all(store, stock(store, arguments.votes, "idle"), arguments.in_flight))]
        for own, name in ((False, "export in a thread of the server"), (True, "export in another process")):
            duels = stock(store, arguments.votes, f"busy-{own}")
            figures = during_exports(store, duels, arguments.in_flight, Path(folder), own=own)
            rows.append((name, figures))
        info = store.info
    lines = [
        "# Store throughput",
        "",
        f"`{' '.join(['python', 'benchmarks/store_throughput.py', *sys.argv[1:]])}`",
        "",
        f"{os.cpu_count()} cores (load average {os.getloadavg()[0]:.1f}), {platform.system()}, "
        f"Python {platform.python_version()}, SQLite {info.sqlite}, journal {info.journal}, "
        "synchronous FULL; "
        f"{arguments.in_flight} votes in flight, {arguments.history:,} votes in the study before.",
        "",
        "| while | votes acknowledged/s | p50 ms | p99 ms | CPU of this process, µs a vote |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {name} | {f.per_second:,.0f} | {f.p50_ms:.1f} | {f.p99_ms:.1f} | {f.cpu_us:.0f} |"
        for name, f in rows
    ]
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
