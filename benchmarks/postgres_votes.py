"""Votes acknowledged per second by several processes on one PostgreSQL server, each counted exactly once.

python benchmarks/postgres_votes.py --write benchmarks/results/postgres_votes.md

Starts a server of its own unless ``--url`` names one. The votes in flight are shared out among the
processes; every tenth vote is sent a second time, by another process, under the same key.
"""

import argparse
import json
import os
import platform
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from store_throughput import stock

from palate.store import EventKind, StudyState, open_store
from palate.testing import fill_study, postgres_server
from palate.types import Ballot, Verdict

REPEATS = 10


class Figures(NamedTuple):
    """What all processes together did."""

    in_flight: int
    processes: int
    per_second: float
    p50_ms: float
    p99_ms: float
    repeats: int
    doubled: int
    lost: int
    errors: int


def vote(url: str, in_flight: int) -> None:
    """One process: opens the study, says so, waits for its list, votes, prints what it was told."""
    with open_store(url, create=False) as store:
        store.open_duels("warm", 1)
        print("ready", flush=True)
        duels: list[tuple[str, str]] = json.loads(sys.stdin.readline())
        free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(in_flight):
            free.put(None)
        told: list[tuple[str, int, float]] = []
        errors: list[str] = []
        began = time.time()
        for duel, judge in duels:
            free.get()
            store.submit(Ballot(duel, Verdict.LEFT, judge, duel, 1.5)).add_done_callback(
                noting(duel, free, told, errors)
            )
        for _ in range(in_flight):
            free.get()
        print(json.dumps({"began": began, "ended": time.time(), "told": told, "errors": errors}))


def noting(
    duel: str, free: "queue.SimpleQueue[None]", told: list[tuple[str, int, float]], errors: list[str]
) -> Callable[[Any], None]:
    sent = time.perf_counter()

    def done(future: Any) -> None:
        if future.exception() is None:
            told.append((duel, future.result().seq, time.perf_counter() - sent))
        else:
            errors.append(str(future.exception()))
        free.put(None)

    return done


def measure(url: str, votes: int, in_flight: int, processes: int) -> Figures:
    """All of them at once, on fresh duels."""
    with open_store(url) as store:
        tag = f"{in_flight}-{processes}"
        duels = [(duel.id, duel.judge) for duel in stock(store, votes, tag)]
        before = store.last_seq()
    hands = [duels[k::processes] for k in range(processes)]
    for k, hand in enumerate(hands):
        # Sent twice, by two processes at about the same time.
        hand += hands[(k + 1) % processes][::REPEATS] if processes > 1 else hand[::REPEATS]
    share = max(1, in_flight // processes)
    command = [sys.executable, __file__, "--vote", url, "--in-flight", str(share)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said: list[str] = [""] * processes

    def talk(k: int) -> None:
        said[k] = running[k].communicate(json.dumps(hands[k]) + "\n")[0]

    threads = [threading.Thread(target=talk, args=(k,)) for k in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = [json.loads(line) for line in said]
    seconds = max(each["ended"] for each in answers) - min(each["began"] for each in answers)
    told = [entry for each in answers for entry in each["told"]]
    times = sorted(entry[2] for entry in told)
    with open_store(url) as store:
        events = [event for event in store.events(after=before) if event.kind is EventKind.VOTED]
        assert len(StudyState.replay(store.events()).votes) == len(
            {event.payload["duel_id"] for event in store.events() if event.kind is EventKind.VOTED}
        )
    at = {event.payload["key"]: event.seq for event in events}
    return Figures(
        in_flight,
        processes,
        len(told) / seconds,
        times[len(times) // 2] * 1e3,
        times[int(len(times) * 0.99)] * 1e3,
        len(told) - votes,
        len(events) - len(at),
        sum(at.get(duel) != seq for duel, seq, _ in told) + sum(duel not in at for duel, _ in duels),
        sum(len(each["errors"]) for each in answers),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[32])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--url", help="an empty study on a server; one is started otherwise")
    parser.add_argument("--vote", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.vote:
        vote(arguments.vote, arguments.in_flight[0])
        return
    with nullcontext() if arguments.url else postgres_server() as server:
        url = arguments.url or server.url("votes")
        with open_store(url) as store:
            fill_study(store, 1)
            info = store.info
        rows = [
            measure(url, arguments.votes, in_flight, processes)
            for in_flight in arguments.in_flight
            for processes in arguments.processes
        ]
    lines = [
        "# Votes on a PostgreSQL server",
        "",
        f"`{' '.join(['python', 'benchmarks/postgres_votes.py', *sys.argv[1:]])}`",
        "",
        f"{os.cpu_count()} cores for the server and the voters together (load average "
        f"{os.getloadavg()[0]:.1f}), {platform.system()}, Python {platform.python_version()}, {info.why}, "
        f"fsync on; {arguments.votes:,} votes a row, every tenth of them sent twice.",
        "",
        "| in flight | processes | answers/s | p50 ms | p99 ms | repeats | doubled | lost | errors |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {f.in_flight} | {f.processes} | {f.per_second:,.0f} | {f.p50_ms:.1f} | {f.p99_ms:.1f} | "
        f"{f.repeats:,} | {f.doubled} | {f.lost} | {f.errors} |"
        for f in rows
    ]
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
