"""A study of 1,000,000 votes: how long a start, the next duel and the statistics take, and how much memory.

python benchmarks/store_million.py --write benchmarks/results/store_million.md

The study is made through the store's own methods (64 candidates, 50 inputs, 30 raters, some votes undone),
which takes some minutes; ``--keep FILE`` keeps it for the next time. Then the page's server is started on it
in a process of its own, as after a restart of the machine but with warm file caches, and asked as a browser
would. With ``--learner STRATEGY`` the study is learnt beside the page, as by ``palate run``.
"""

import argparse
import http.client
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from palate.store import (
    EventKind,
    Store,
    candidates_payload,
    inputs_payload,
    open_store,
    pairing_payload,
)
from palate.types import Ballot, Candidate, Input, Pairing, Response, Verdict

RATERS = 30
CANDIDATES = 64
INPUTS = 50
CHUNK = 2000
WAITING = 3000
JUDGE = "me"
COUNTING = b'http-equiv="refresh"'  # on the page as long as the votes are counted for the first time
VERDICTS = (Verdict.LEFT,) * 9 + (Verdict.RIGHT,) * 8 + (Verdict.TIE, Verdict.BOTH_BAD, Verdict.SKIP)


class Maker:
    """Makes a study of many votes.

    Args:
        store: An empty one.
        seed: Of who meets whom and who says what.
    """

    def __init__(self, store: Store, seed: int = 0) -> None:
        self.store = store
        self.draws = random.Random(seed)
        self.made = 0
        candidates = [Candidate.make(f"Answer in tone {k}, and be brief.") for k in range(CANDIDATES)]
        self.ids = [candidate.id for candidate in candidates]
        kinds = ("parcel", "refund", "other")
        inputs = [
            Input(f"in-{k}", f"Question number {k}?", (), {"kind": kinds[k % 3]}) for k in range(INPUTS)
        ]
        settings = {"study": {"name": "million"}, "seed": seed}
        store.append_many(
            [
                (EventKind.STUDY_CREATED, {"config": "", "settings": settings, "guidelines": "Be fair."}),
                (EventKind.INPUTS_ADDED, inputs_payload(inputs)),
                (EventKind.CANDIDATES_ADDED, candidates_payload(candidates)),
            ]
        )
        self.answers = {
            (k, place): store.put_response(
                f"{k}-{place}",
                Response("text", f"Answer {k} to {place}. " + "Thank you. " * (k % 7), 0.5, 0.001),
            )
            for k in range(CANDIDATES)
            for place in range(INPUTS)
        }

    def open(self, count: int) -> None:
        """Open pairings."""
        opened: list[Pairing] = []
        for _ in range(count):
            first, second = self.draws.sample(range(CANDIDATES), 2)
            place = self.draws.randrange(INPUTS)
            a, b = self.answers[first, place], self.answers[second, place]
            opened.append(
                Pairing(f"{self.made:016x}", f"in-{place}", self.ids[first], self.ids[second], a, b)
            )
            self.made += 1
        self.store.append_many([(EventKind.PAIRING_OPENED, pairing_payload(pairing)) for pairing in opened])

    def vote(self, judge: str, count: int) -> None:
        """Let a judge vote on everything that is open, and take the last vote back now and then."""
        self.open(count)
        duels = [duel.id for duel in self.store.open_duels(judge, count, self.draws)]
        futures = [
            self.store.submit(Ballot(duel, self.draws.choice(VERDICTS), judge, f"{judge}-{duel}", 2.5))
            for duel in duels
        ]
        for future in futures:
            future.result()
        if self.draws.random() < 0.2 and (again := self.store.undo(judge)) is not None:
            self.store.vote(Ballot(again.id, Verdict.TIE, judge, f"{judge}-{again.id}-again", 1.0))


def make(path: Path, votes: int) -> float:
    """Make the study; returns how many seconds that took."""
    began = time.perf_counter()
    with open_store(path) as store:
        maker = Maker(store)
        for start in range(0, votes, CHUNK):
            maker.vote(f"rater-{maker.draws.randrange(RATERS)}", min(CHUNK, votes - start))
            if start % 100_000 == 0:
                print(
                    f"{start:,} votes after {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True
                )
        maker.open(WAITING)
    return time.perf_counter() - began


def serve_page(path: Path, strategy: str | None) -> None:
    """The page's server, until its input ends; says its link and, on every line read, its memory."""
    from palate.web import serve

    with open_store(path, exclusive=True) as store:
        stop = threading.Event()
        learning = threading.Thread(target=_learn, args=(store, strategy, stop))
        if strategy is not None:
            learning.start()
        threading.Thread(target=_say_memory, args=(stop,), daemon=True).start()
        serve(store, on_ready=lambda link: print(link, flush=True), stop=stop)
        if strategy is not None:
            learning.join()
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            print(f"{used.ru_maxrss / 1024} {used.ru_utime}", flush=True)


def _learn(store: Store, strategy: str, stop: threading.Event) -> None:
    """As ``palate run`` does beside its page."""
    from palate.assembly import parts_from_python
    from palate.engine import take_turns
    from palate.study import Study

    take_turns()
    parts = parts_from_python(store, {"strategy": strategy}, target=lambda prompt, text: f"{prompt} {text}")
    study = Study(store, parts, served=True)
    study.learn_forever(stop)
    study._learner.close()


def _say_memory(stop: threading.Event) -> None:
    for _ in sys.stdin:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
    stop.set()


class Visitor:
    """A browser of the owner's, on one connection."""

    def __init__(self, link: str) -> None:
        self._port = int(link.split(":")[2].split("/")[0])
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        self._headers = {"Origin": f"http://127.0.0.1:{self._port}"}
        self._connection.request("GET", "/" + link.split("/", 3)[3])
        reply = self._connection.getresponse()
        reply.read()
        self._headers["Cookie"] = str(reply.getheader("set-cookie")).partition(";")[0]

    def ask(self, path: str, body: object = None) -> tuple[float, bytes]:
        """Seconds until the whole reply was there, and the reply."""
        data = None if body is None else json.dumps(body)
        headers = self._headers if data is None else {**self._headers, "Content-Type": "application/json"}
        began = time.perf_counter()
        self._connection.request("GET" if data is None else "POST", path, data, headers)
        reply = self._connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{path}: {reply.status} {content[:200]!r}")
        return time.perf_counter() - began, content


def measure(path: Path, duels: int, strategy: str | None) -> list[tuple[str, str, str]]:
    """Start a server on the study and ask it; returns what was measured, the figure, what is wanted."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--serve", path, *(["--learner", strategy] if strategy else [])]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    learnt: list[tuple[str, str, str]] = []
    try:
        assert server.stdout
        assert server.stdin
        visitor = Visitor(server.stdout.readline().strip())
        _, content = visitor.ask("/api/duels")
        start = time.perf_counter() - began
        taken: list[float] = []
        for _ in range(duels):
            duel = json.loads(content)["duels"][0]["id"]
            vote = {"duel_id": duel, "verdict": "left", "key": f"key-{duel}", "seconds": 1.0}
            visitor.ask("/api/votes", vote)
            seconds, content = visitor.ask("/api/duels")
            taken.append(1000 * seconds)
        voting = _memory(server)
        first, content = visitor.ask("/statistics")
        counted = time.perf_counter()
        while COUNTING in content:
            time.sleep(0.1)
            _, content = visitor.ask("/statistics")
        until = first + time.perf_counter() - counted
        again, _ = visitor.ask("/statistics")
        whole = _memory(server)
        if strategy:
            learnt = _learnt(path, server, began)
    finally:
        server.terminate()
        server.wait()
    ordered = sorted(taken)
    return [
        ("start of the server, until the first duel is there, s", f"{start:.2f}", "≤ 1"),
        (f"next duel after a vote, median of {duels}, ms", f"{ordered[len(ordered) // 2]:.1f}", ""),
        ("next duel after a vote, p99, ms", f"{ordered[int(0.99 * len(ordered))]:.1f}", "≤ 20"),
        ("page of statistics, first reply, s", f"{first:.2f}", "≤ 1"),
        ("until it shows the figures instead of saying that votes are counted, s", f"{until:.2f}", ""),
        ("page of statistics, later, s", f"{again:.2f}", "≤ 1"),
        ("largest memory while voting, MB", f"{voting:.0f}", "≤ 300"),
        ("largest memory with the statistics, MB", f"{whole:.0f}", "≤ 300"),
        *learnt,
    ]


def _learnt(path: Path, server: "subprocess.Popen[str]", began: float) -> list[tuple[str, str, str]]:
    """Wait until all votes are learnt, end the server, and say what the process that learns took."""
    assert server.stdin
    assert server.stdout
    with open_store(path) as store:
        taught = sum(count for (_, verdict), count in store.tally().items() if verdict.teaches)
        while (belief := store.belief()) is None or belief.votes < taught:
            time.sleep(0.2)
    took, largest = time.perf_counter() - began, _memory(server)
    server.stdin.close()
    memory, seconds = server.stdout.readline().split()
    return [
        ("largest memory when all is learnt, MB", f"{largest:.0f}", "≤ 300"),
        ("until all votes are learnt, s", f"{took:.0f}", ""),
        ("processor time of the process that learns, s", f"{float(seconds):.0f}", ""),
        ("its largest memory, MB", f"{float(memory):.0f}", ""),
    ]


def _memory(server: "subprocess.Popen[str]") -> float:
    assert server.stdin
    assert server.stdout
    server.stdin.write("\n")
    server.stdin.flush()
    return float(server.stdout.readline())


def table(rows: Sequence[tuple[str, str, str]], arguments: argparse.Namespace, about: str) -> str:
    """What was measured."""
    lines = [
        f"# A study of {arguments.votes:,} votes",
        "",
        f"`python benchmarks/store_million.py --votes {arguments.votes}"
        f"{f' --learner {arguments.learner}' if arguments.learner else ''}`",
        "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; load average "
        f"before: {arguments.load:.1f}. {about}",
        "",
        "| what | figure | wanted |",
        "|---|--:|--:|",
        *(f"| {what} | {figure} | {wanted} |" for what, figure, wanted in rows),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Make the study if it is not there, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--duels", type=int, default=500, help="votes that are cast on it")
    parser.add_argument("--keep", type=Path, help="where the study is kept, or was kept the last time")
    parser.add_argument("--learner", help="a strategy that learns beside the page")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_page(arguments.serve, arguments.learner)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.keep or Path(folder) / "study.db"
        making = "" if path.exists() else f" Made in {make(path, arguments.votes):,.0f} s."
        began = time.perf_counter()
        with open_store(path) as store:
            counted = sum(store.tally().values())
            events = store.last_seq()
        cold = time.perf_counter() - began
        arguments.load = os.getloadavg()[0]
        size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")) / 1e6
        about = (
            f"{counted:,} votes count, {events:,} events, {size:,.0f} MB on the disk.{making} The first "
            f"opening afterwards, which goes through the votes once, took {cold:.1f} s."
        )
        text = table(measure(path, arguments.duels, arguments.learner), arguments, about)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
