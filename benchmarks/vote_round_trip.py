"""How long a vote takes from the client's socket to the disk and back, alone and beside an export.

python benchmarks/vote_round_trip.py --write benchmarks/results/vote_round_trip.md

The page's server runs in a process of its own on a study that has 100,000 votes; this process is the client
and keeps 32 requests in flight over 32 connections that stay open. The export of all votes runs in a third
process. Every reply is checked to be an acknowledgement, and in the end the store must hold exactly the
acknowledged votes. What other programs take of the cores meanwhile is measured too, where the system tells.
"""

import argparse
import asyncio
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import uvloop

from palate.store import (
    EventKind,
    Store,
    StudyState,
    candidates_payload,
    inputs_payload,
    open_store,
    pairing_payload,
)
from palate.store import export as export_votes
from palate.types import Ballot, Candidate, Input, Pairing, Response, Verdict
from palate.web import serve

JUDGE = "me"
IN_FLIGHT = 32
CHUNK = 2_000


class Round(NamedTuple):
    """One measurement. Latencies in milliseconds; how many cores other programs took."""

    beside: str
    votes: int
    per_second: float
    p50: float
    p99: float
    worst: float
    others: float


def prepare(path: Path, votes: int, duels: int) -> list[str]:
    """A study with ``votes`` votes; returns ``duels`` open ones."""
    with open_store(path) as store:
        one, two = Candidate.make("Answer."), Candidate.make("Answer kindly.")
        store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": "Be fair."})
        store.append(EventKind.INPUTS_ADDED, inputs_payload([Input("i", "Where is my parcel?")]))
        store.append(EventKind.CANDIDATES_ADDED, candidates_payload([one, two]))
        first = store.put_response("a", Response("text", "It is on its way and arrives on Friday."))
        second = store.put_response("b", Response("text", "Sorry for the wait! It arrives on Friday."))
        opened: list[str] = []
        for start in range(0, votes + duels, CHUNK):
            numbers = range(start, min(start + CHUNK, votes + duels))
            pairings = [Pairing(f"p{n}", "i", one.id, two.id, first, second) for n in numbers]
            store.append_many([(EventKind.PAIRING_OPENED, pairing_payload(p)) for p in pairings])
            shown = [duel.id for duel in store.open_duels(JUDGE, len(opened) + len(pairings))]
            fresh = shown[len(opened) :]
            if start < votes:
                futures = [store.submit(Ballot(d, Verdict.LEFT, JUDGE, f"setup-{d}", 1.0)) for d in fresh]
                for future in futures:
                    future.result()
            else:
                opened += fresh
        return opened[:duels]


def server(path: Path) -> None:
    """Serve until this process is ended."""
    with open_store(path, exclusive=True) as store:
        serve(store, on_ready=lambda link: print(link, flush=True), stop=threading.Event())


async def let_in(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    reply = (await reader.read()).decode()
    writer.close()
    return reply.partition("set-cookie: ")[2].partition(";")[0]


class Client(asyncio.Protocol):
    """One connection with one request in flight at a time; as little work per vote as Python allows."""

    def __init__(self, head: bytes, todo: list[str], tag: str, taken: list[float]) -> None:
        self.head, self.todo, self.tag, self.taken = head, todo, tag, taken
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if not self.todo:
            self.transport.close()
            self.done.set_result(None)
            return
        duel = self.todo.pop()
        body = b'{"duel_id":"%s","verdict":"right","key":"%s-%s","seconds":2.5}' % (
            duel.encode(),
            self.tag.encode(),
            duel.encode(),
        )
        self.began = time.perf_counter()
        self.transport.write(self.head + b"%d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        if not self.rest.endswith(b"}"):
            return
        self.taken.append(time.perf_counter() - self.began)
        if not self.rest.startswith(b"HTTP/1.1 200"):
            raise AssertionError(self.rest.decode())
        self.rest = b""
        self.send()


async def vote(link: str, cookie: str, todo: list[str], tag: str) -> tuple[list[float], float]:
    port = int(link.split(":")[2].split("/")[0])
    head = (
        f"POST /api/votes HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        f"Cookie: {cookie}\r\nContent-Type: application/json\r\nContent-Length: "
    ).encode()
    taken: list[float] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    pairs = await asyncio.gather(
        *(
            loop.create_connection(lambda: Client(head, todo, tag, taken), "127.0.0.1", port)
            for _ in range(IN_FLIGHT)
        )
    )
    await asyncio.gather(*(client.done for _, client in pairs))
    return taken, time.perf_counter() - began


def measured(beside: str, taken: list[float], seconds: float, others: float = float("nan")) -> Round:
    ordered = sorted(1000 * value for value in taken)
    n = len(ordered)
    return Round(
        beside, n, n / seconds, ordered[n // 2], ordered[int(0.99 * n)], ordered[-1], others / seconds
    )


def not_ours(processes: list[int]) -> float:
    """Processor seconds since the start that went to neither this process nor the given ones."""
    try:
        ticks = [int(part) for part in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        lines = [Path(f"/proc/{number}/stat").read_text() for number in (os.getpid(), *processes)]
    except OSError:
        return float("nan")
    own = sum(int(part) for line in lines for part in line.rsplit(")", 1)[1].split()[11:13])
    return (sum(ticks) - ticks[3] - ticks[4] - own) / os.sysconf("SC_CLK_TCK")


def export_loop(path: Path, folder: Path) -> None:
    """Export again and again until told to end, one line for each."""
    with open_store(path, create=False) as store:
        while True:
            began = time.perf_counter()
            export_votes(store, "jsonl", folder / "votes.jsonl")
            print(f"{time.perf_counter() - began:.2f}", flush=True)


def run_rounds(
    path: Path, duels: list[str], arguments: argparse.Namespace
) -> tuple[list[Round], list[str], int]:
    script = [sys.executable, __file__]
    rounds: list[Round] = []
    exports: list[str] = []
    acknowledged = 0
    serving = subprocess.Popen([*script, "--serve", path], stdout=subprocess.PIPE, text=True)
    assert serving.stdout
    try:
        link = serving.stdout.readline().strip()
        port = int(link.split(":")[2].split("/")[0])
        cookie = asyncio.run(let_in(port, "/" + link.split("/", 3)[3]))
        for number in range(1 + 2 * arguments.rounds):
            beside = "warm-up" if number == 0 else "export" if number % 2 == 0 else "nothing"
            todo = [duels.pop() for _ in range(arguments.votes)]
            exporting = None
            lines: queue.Queue[str] = queue.Queue()
            if beside == "export":
                exporting = subprocess.Popen(
                    [*script, "--export", path], stdout=subprocess.PIPE, text=True, cwd=path.parent
                )
                stream = exporting.stdout
                assert stream
                threading.Thread(target=lambda s=stream, q=lines: [q.put(x) for x in s], daemon=True).start()
                time.sleep(1.5)  # the export is well under way, its imports done
            running = [serving.pid, *([exporting.pid] if exporting else [])]
            before = not_ours(running)
            taken, seconds = uvloop.run(vote(link, cookie, todo, f"round-{number}"))
            others = not_ours(running) - before
            acknowledged += len(taken)
            if exporting:
                still = exporting.poll() is None
                exporting.terminate()
                exporting.wait()
                assert still, "the export ended with an error"
                exports += [lines.get() for _ in range(lines.qsize())]
            if number:
                rounds.append(measured(beside, taken, seconds, others))
    finally:
        serving.terminate()
        serving.wait()
    return rounds, exports, acknowledged


def table(rounds: list[Round], arguments: argparse.Namespace, checked: str, store_info: str) -> str:
    idle = [r for r in rounds if r.beside == "nothing"]
    busy = [r for r in rounds if r.beside == "export"]

    def middle(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    p99, p99_busy = middle([r.p99 for r in idle]), middle([r.p99 for r in busy])
    rate = middle([r.per_second for r in idle])
    lines = [
        "# Vote round trip over loopback, 32 in flight",
        "",
        f"`python benchmarks/vote_round_trip.py --rounds {arguments.rounds} --votes {arguments.votes}`",
        "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {store_info}; "
        f"load average before: {arguments.load:.2f}; five million additions of plain Python take "
        f"{pace():.2f} s. Client, server and export share the cores.",
        "",
        "| beside | votes | acknowledged/s | p50, ms | p99, ms | worst, ms | cores taken by others |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.beside} | {r.votes:,} | {r.per_second:,.0f} | {r.p50:.1f} | {r.p99:.1f} | {r.worst:.1f} | "
        f"{r.others:.2f} |"
        for r in rounds
    ]
    lines += [
        "",
        "| what (median of rounds) | figure | wanted | reached |",
        "|---|--:|--:|---|",
        f"| acknowledged per second | {rate:,.0f} | ≥ 2,500 | {'yes' if rate >= 2500 else 'NO'} |",
        f"| p99 | {p99:.1f} ms | ≤ 50 ms | {'yes' if p99 <= 50 else 'NO'} |",
        f"| p99 beside the export ÷ p99 alone | {p99_busy / p99:.2f} | ≤ 1.5 | "
        f"{'yes' if p99_busy <= 1.5 * p99 else 'NO'} |",
        f"| p99 beside the export | {p99_busy:.1f} ms | | |",
        "",
        checked,
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--votes", type=int, default=6_000, help="votes of each round")
    parser.add_argument("--history", type=int, default=100_000, help="votes in the study before")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        server(arguments.serve)
        return
    if arguments.export:
        os.nice(19)  # as `palate export` does
        export_loop(arguments.export, Path.cwd())
        return
    arguments.load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        duels = prepare(path, arguments.history, arguments.votes * (1 + 2 * arguments.rounds))
        rounds, exports, acknowledged = run_rounds(path, duels, arguments)
        with open_store(path) as store:
            text = table(rounds, arguments, check(store, arguments, exports, acknowledged), about(store))
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


def about(store: Store) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in store.info._asdict().items() if value and name != "why"
    )


def pace() -> float:
    """Seconds that this machine's Python takes for five million additions."""
    began, total = time.perf_counter(), 0
    for number in range(5_000_000):
        total += number
    return time.perf_counter() - began


def check(store: Store, arguments: argparse.Namespace, exports: list[str], acknowledged: int) -> str:
    stored = len(StudyState.replay(store.events()).votes) - arguments.history
    assert stored == acknowledged, f"{acknowledged} votes were acknowledged and {stored} are stored"
    whole = ", ".join(f"{float(line):.1f} s" for line in exports) or "none within a round"
    return (
        f"All {acknowledged:,} acknowledged votes are stored, each once. No request failed. "
        f"Whole exports of the {arguments.history:,} votes and more that ended during the rounds: {whole}."
    )


if __name__ == "__main__":
    main()
