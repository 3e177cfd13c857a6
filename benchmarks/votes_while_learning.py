"""How long a vote takes while the learner refits on 50,000 votes and an export streams, against idle.

python benchmarks/votes_while_learning.py --write benchmarks/results/votes_while_learning.md

The page's server has the learner work in a process of its own, as ``palate run`` does; the export is one
too, as ``palate export`` is. Rounds take turns: rest; the learner takes in the votes as they come
and refits after each handful, as it does in ``palate run``; the learner forgets everything and learns all
votes anew, again and again, as after an answer that became known. The strategy is one that can: the work of
the default one grows with the cube of the votes, so nobody refits it on 50,000. The client keeps 32 requests
in flight.
"""

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np
import uvloop
from store_million import Maker
from vote_round_trip import JUDGE, Round, about, let_in, measured, vote

from palate.apart import LearnerApart
from palate.engine import rest_after, take_turns
from palate.learner import Learner
from palate.store import EventKind, Store, StudyOutline, open_store
from palate.types import Array
from palate.web import serve

DIMENSION = 64
REST, ON, ANEW = "nothing", "learning as votes come, export", "learning all anew, export"
BESIDE = (REST, ON, ANEW)
CHUNK = 2000


class Work:
    """What the learner is to do: nothing, to go on, or to begin anew each time."""

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self.anew = False

    def obey(self, orders: IO[str]) -> None:
        for line in orders:
            self.anew = line.strip() == ANEW
            (self.wanted.clear if line.strip() == REST else self.wanted.set)()


def learn(store: Store, strategy: str, work: Work) -> None:
    """Refit while there is work, and say how long it took."""
    take_turns()
    state = StudyOutline(store, patient=True)
    learner = LearnerApart(Learner(strategy, {}, seed=0), print)
    features: dict[str, Array] = {}
    answers: dict[tuple[str, str], Array] = {}
    while True:
        work.wanted.wait()
        began, before = time.perf_counter(), state.seq
        state.follow()
        if not features:
            rng = np.random.default_rng(0)
            features = {identifier: rng.standard_normal(DIMENSION) for identifier in state.candidates}
            features = {identifier: row / np.linalg.norm(row) for identifier, row in features.items()}
        if work.anew:
            answers[next(iter(features)), f"anew-{len(answers)}"] = np.ones(1)
        if learner.follow(state, features, answers, votes=store.columns()):
            learner.choose(1, [])
            store.put_belief(learner.belief(state))
            print(f"{'anew' if work.anew else 'on'} {time.perf_counter() - began:.2f}", flush=True)
        time.sleep(rest_after(time.perf_counter() - began, state.seq - before))  # as palate run does
        store.wait(state.seq, 0.25)


def server(path: Path, strategy: str) -> None:
    """Serve until this process is ended; what the learner does is said on its standard input."""
    with open_store(path, exclusive=True) as store:
        work = Work()
        threading.Thread(target=learn, args=(store, strategy, work), daemon=True).start()
        threading.Thread(target=work.obey, args=(sys.stdin,), daemon=True).start()
        serve(store, on_ready=lambda link: print(link, flush=True), stop=threading.Event())


def prepare(path: Path, history: int, duels: int) -> list[str]:
    """A study with many votes of many raters; returns open duels of one more."""
    with open_store(path) as store:
        maker = Maker(store)
        for start in range(0, history, CHUNK):
            maker.vote(f"rater-{maker.draws.randrange(30)}", min(CHUNK, history - start))
        shown: list[str] = []
        while len(shown) < duels:
            maker.open(CHUNK)
            shown = [duel.id for duel in store.open_duels(JUDGE, len(shown) + CHUNK, maker.draws)]
        return shown[:duels]


def follow(stream: IO[str], lines: list[str]) -> None:
    """Keep what a process says."""
    threading.Thread(target=lambda: lines.extend(line.strip() for line in stream), daemon=True).start()


def run(
    path: Path, duels: list[str], arguments: argparse.Namespace
) -> tuple[list[Round], list[str], list[str]]:
    """Measure, resting and working in turn; returns the rounds, the refits and the exports."""
    here = Path(__file__)
    serving = subprocess.Popen(
        [sys.executable, here, "--serve", path, "--strategy", arguments.strategy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout
    assert serving.stdin
    rounds: list[Round] = []
    refits: list[str] = []
    exports: list[str] = []
    try:
        link = serving.stdout.readline().strip()
        follow(serving.stdout, refits)
        port = int(link.split(":")[2].split("/")[0])
        cookie = asyncio.run(let_in(port, "/" + link.split("/", 3)[3]))
        for number in range(1 + len(BESIDE) * arguments.rounds):
            beside = BESIDE[(number - 1) % len(BESIDE)] if number else "warm-up"
            todo = [duels.pop() for _ in range(arguments.votes)]
            exporting = None
            if beside in (ON, ANEW):
                before = len(refits)
                serving.stdin.write(beside + "\n")
                serving.stdin.flush()
                exporting = subprocess.Popen(
                    [sys.executable, here.with_name("vote_round_trip.py"), "--export", path],
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=path.parent,
                )
                assert exporting.stdout
                follow(exporting.stdout, exports)
                time.sleep(2.0)  # both are well under way
                until = time.monotonic() + 120
                while beside == ON and len(refits) == before and time.monotonic() < until:
                    time.sleep(0.1)  # it has caught up with the rounds in which it rested
            taken, seconds = uvloop.run(vote(link, cookie, todo, f"round-{number}"))
            if exporting:
                serving.stdin.write(REST + "\n")
                serving.stdin.flush()
                still = exporting.poll() is None
                exporting.terminate()
                exporting.wait()
                assert still, "the export ended with an error"
                time.sleep(5.0)  # the refit in progress ends before the next round of rest
            if number:
                rounds.append(measured(beside, taken, seconds))
                print(rounds[-1], flush=True)
    finally:
        serving.terminate()
        serving.wait()
    return rounds, refits, exports


def table(
    rounds: list[Round], refits: list[str], exports: list[str], arguments: argparse.Namespace, stored: str
) -> str:
    """The rounds, and what they come to."""

    def middle(beside: str) -> float:
        values = sorted(r.p99 for r in rounds if r.beside == beside)
        return values[len(values) // 2]

    def took(kind: str) -> str:
        seconds = sorted(float(line.split()[1]) for line in refits if line.startswith(f"{kind} "))
        return f"{seconds[len(seconds) // 2]:.2f} ({len(seconds)} times)" if seconds else "none"

    p99 = {beside: middle(beside) for beside in BESIDE}
    command = f"--rounds {arguments.rounds} --votes {arguments.votes} --history {arguments.history}"
    lines = [
        "# Votes while the learner refits and an export streams",
        "",
        f"`python benchmarks/votes_while_learning.py {command} --strategy {arguments.strategy}`",
        "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"{arguments.about}; load average before: {arguments.load:.2f}. Client, server and export share the "
        "cores.",
        "",
        "| beside | votes | acknowledged/s | p50, ms | p99, ms | worst, ms |",
        "|---|--:|--:|--:|--:|--:|",
        *(
            f"| {r.beside} | {r.votes:,} | {r.per_second:,.0f} | {r.p50:.1f} | {r.p99:.1f} | {r.worst:.1f} |"
            for r in rounds
        ),
        "",
        "Median p99: "
        + ", ".join(f"{beside}: {ms:.1f} ms, {ms / p99[REST]:.2f} times" for beside, ms in p99.items())
        + f" (wanted: at most 1.5). Median seconds of a refit on {arguments.history:,} votes and more: as "
        f"votes come {took('on')}, anew {took('anew')}. Whole exports within the rounds: "
        f"{len(exports)}. {stored}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--votes", type=int, default=6_000, help="votes of each round")
    parser.add_argument("--history", type=int, default=50_000, help="votes in the study before")
    parser.add_argument("--strategy", default="linear-ucb")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        server(arguments.serve, arguments.strategy)
        return
    arguments.load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        duels = prepare(path, arguments.history, arguments.votes * (1 + len(BESIDE) * arguments.rounds))
        rounds, refits, exports = run(path, duels, arguments)
        with open_store(path) as store:
            arguments.about = about(store)
            votes = sum(event.kind is EventKind.VOTED and event.actor == JUDGE for event in store.events())
        wanted = arguments.votes * (1 + len(BESIDE) * arguments.rounds)
        assert votes == wanted, f"{wanted} votes were acknowledged and {votes} are stored"
        stored = f"All {votes:,} acknowledged votes are stored, each once. No request failed."
    text = table(rounds, refits, exports, arguments, stored)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
