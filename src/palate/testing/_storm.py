"""A storm on a store: writers that never give up, a server that is killed again and again, and a ledger.

The server is a process of its own that owns the store and speaks JSON lines on a loopback socket. Writers
vote, repeat what was not answered under the same key, and write down what they sent and what was
acknowledged. Afterwards the ledger is held against the events: nothing acknowledged may be lost, nothing may
be there twice, nothing may be there that nobody sent.
"""

import contextlib
import json
import os
import random
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from palate.errors import ConflictError, PalateError
from palate.store import EventKind, Store, StudyState, open_store, pairing_payload
from palate.testing._stores import fill_study
from palate.types import Ballot, Pairing, Verdict

__all__ = ["StormReport", "storm"]

_STOCK = 2_000
_HAND = 24
_START_SECONDS = 60.0
_VERDICTS = tuple(Verdict)


class StormReport(NamedTuple):
    """What was left after a storm. All but the first four have to be 0 or empty.

    Args:
        rounds: How often the server was killed.
        sent: Distinct votes that were sent.
        acknowledged: Those that were answered with a receipt.
        repeats: Votes that were sent again, because no answer came or to provoke.
        lost: Acknowledged, but not among the events, or there with another number or verdict.
        doubled: Keys with two votes, and duels with two votes that count.
        invented: Votes that nobody sent.
        refused: Repeats that were refused although nothing in them had changed.
        problems: What ``verify`` found, and any difference between replayed and followed state.
        seconds: How long it took.
    """

    rounds: int
    sent: int
    acknowledged: int
    repeats: int
    lost: int
    doubled: int
    invented: int
    refused: int
    problems: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the store kept its promises."""
        return not (self.lost or self.doubled or self.invented or self.refused or self.problems)


def storm(
    path: Path | str, *, rounds: int, writers: int = 16, seed: int = 0, longest: float = 1.5, least: int = 20
) -> StormReport:
    """Kill a server again and again while writers vote, then look at what is left.

    Args:
        path: Where the study will be, a file or an address on a server; must not exist.
        rounds: How often to kill.
        writers: How many vote at once, each as a judge of its own.
        seed: Draws the moments and the verdicts.
        longest: Each server lives for a time drawn from 0.05 to this many seconds, counted from when it has
            acknowledged its first ``least`` votes.
        least: So many votes each server acknowledges before it may be killed, however slow the machine is.

    Raises:
        TimeoutError: A server did not acknowledge that many within a minute.
    """
    start = time.monotonic()
    draws = random.Random(seed)
    with open_store(path) as store:
        fill_study(store, _STOCK)
    ledgers = [_Ledger(f"writer-{k}", random.Random(draws.getrandbits(64))) for k in range(writers)]
    address = _Address()
    threads = [threading.Thread(target=ledger.work, args=(address,), daemon=True) for ledger in ledgers]
    for thread in threads:
        thread.start()
    state = StudyState()
    for _ in range(rounds):
        before = _acknowledged(ledgers)
        server = _start_server(path, address)
        _await_votes(ledgers, before + least)
        time.sleep(draws.uniform(0.05, longest))
        server.send_signal(signal.SIGKILL)
        server.wait()
        with open_store(path, create=False) as store:
            state.follow(store)
    # One quiet round at the end: what is still unanswered is sent again and answered.
    server = _start_server(path, address)
    address.finish()
    for thread in threads:
        thread.join(_START_SECONDS)
    server.send_signal(signal.SIGKILL)
    server.wait()
    return _reckon(path, ledgers, state, rounds, start)


def _acknowledged(ledgers: list["_Ledger"]) -> int:
    return sum(len(ledger.acknowledged) for ledger in ledgers)


def _await_votes(ledgers: list["_Ledger"], wanted: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while _acknowledged(ledgers) < wanted:
        if time.monotonic() > end:
            raise TimeoutError(
                f"{_acknowledged(ledgers)} of {wanted} votes were acknowledged within {_START_SECONDS:.0f} s"
            )
        time.sleep(0.002)


class _Address:
    """Where the server of this round listens, and whether the storm is over."""

    def __init__(self) -> None:
        self._port = 0
        self._condition = threading.Condition()
        self.over = False

    def set(self, port: int) -> None:
        with self._condition:
            self._port = port
            self._condition.notify_all()

    def finish(self) -> None:
        with self._condition:
            self.over = True
            self._condition.notify_all()

    def after(self, broken: int) -> int:
        """The port, once it is another than the one that broke."""
        with self._condition:
            self._condition.wait_for(lambda: self._port != broken, _START_SECONDS)
            return self._port


class _Ledger:
    """One writer and its memory of what it sent and what it was told."""

    def __init__(self, judge: str, draws: random.Random) -> None:
        self.judge = judge
        self.sent: dict[str, tuple[str, str]] = {}
        self.acknowledged: dict[str, int] = {}
        self.repeats = 0
        self.refused = 0
        self._draws = draws
        self._number = 0
        self._duels: list[str] = []

    def work(self, address: _Address) -> None:
        """Vote until the storm is over and everything sent has been answered."""
        port, open_key = 0, ""
        while not (address.over and not open_key):
            port = address.after(port)
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=_START_SECONDS) as link:
                    ask = _line_client(link)
                    while True:
                        if open_key:
                            self.repeats += 1
                        else:
                            if address.over:
                                return
                            open_key = self._write_ballot(ask)
                        if open_key:
                            self._send(ask, open_key)
                        open_key = ""
            except (OSError, ValueError):
                # Killed in the middle: the same ballot goes to the next server.
                continue

    def _write_ballot(self, ask: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
        if not self._duels:
            self._duels = ask({"op": "duels", "judge": self.judge})["duels"]
            self._draws.shuffle(self._duels)
        if not self._duels:
            return ""
        self._number += 1
        key = f"{self.judge}:{self._number}"
        self.sent[key] = (self._duels.pop(), self._draws.choice(_VERDICTS).value)
        return key

    def _send(self, ask: Callable[[dict[str, Any]], dict[str, Any]], key: str) -> None:
        duel, verdict = self.sent[key]
        again = 2 if self._draws.random() < 0.1 else 1
        for time_ in range(again):
            self.repeats += time_
            said = ask({"op": "vote", "judge": self.judge, "duel": duel, "verdict": verdict, "key": key})
            if "seq" not in said or self.acknowledged.setdefault(key, said["seq"]) != said["seq"]:
                self.refused += 1
        if self._draws.random() < 0.02:
            ask({"op": "undo", "judge": self.judge})


def _line_client(link: socket.socket) -> Callable[[dict[str, Any]], dict[str, Any]]:
    stream = link.makefile("rwb")

    def ask(message: dict[str, Any]) -> dict[str, Any]:
        stream.write(json.dumps(message).encode() + b"\n")
        stream.flush()
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server was killed before it had answered")
        return json.loads(line)

    return ask


def _start_server(path: Path | str, address: _Address) -> "subprocess.Popen[bytes]":
    server = subprocess.Popen(
        [sys.executable, "-c", "from palate.testing._storm import serve; serve()", str(path)],
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    with server.stdout as said:
        address.set(int(said.readline()))
    return server


def _reckon(
    path: Path | str, ledgers: list[_Ledger], state: StudyState, rounds: int, start: float
) -> StormReport:
    sent = {key: ballot for ledger in ledgers for key, ballot in ledger.sent.items()}
    acknowledged = {key: seq for ledger in ledgers for key, seq in ledger.acknowledged.items()}
    found: dict[str, tuple[int, str, str]] = {}
    doubled = 0
    with open_store(path, create=False) as store:
        for event in store.events():
            if event.kind is EventKind.VOTED:
                doubled += event.payload["key"] in found
                found[event.payload["key"]] = (event.seq, event.payload["duel_id"], event.payload["verdict"])
        problems = store.verify()
        state.follow(store)
        if state != StudyState.replay(store.events()):
            problems.append("the state that was followed differs from the state that is replayed")
    duels = [vote.duel_id for vote in state.votes]
    return StormReport(
        rounds=rounds,
        sent=len(sent),
        acknowledged=len(acknowledged),
        repeats=sum(ledger.repeats for ledger in ledgers),
        lost=sum(found.get(key) != (seq, *sent[key]) for key, seq in acknowledged.items()),
        doubled=doubled + len(duels) - len(set(duels)),
        invented=sum(key not in sent or sent[key] != said[1:] for key, said in found.items()),
        refused=sum(ledger.refused for ledger in ledgers),
        problems=tuple(problems),
        seconds=time.monotonic() - start,
    )


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    store: Store


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - ours alone

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(json.dumps(_answer(self.server.store, json.loads(line))).encode() + b"\n")


def _answer(store: Store, message: dict[str, Any]) -> dict[str, Any]:
    judge = message["judge"]
    if message["op"] == "duels":
        return {"duels": [duel.id for duel in store.open_duels(judge, _HAND)]}
    if message["op"] == "undo":
        undone = store.undo(judge)
        return {"duel": undone and undone.id}
    ballot = Ballot(message["duel"], Verdict(message["verdict"]), judge, message["key"])
    try:
        return {"seq": store.vote(ballot).seq}
    except PalateError as error:
        return {"error": str(error)}


def serve() -> None:
    """The server process: owns the study named on its command line until it is killed."""
    store = open_store(sys.argv[1], create=False, exclusive=True)
    threading.Thread(target=_keep_stocked, args=(store,), daemon=True).start()
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.store = store
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


def _keep_stocked(store: Store) -> None:
    example = next(event for event in store.events() if event.kind is EventKind.PAIRING_OPENED).payload
    serial = 0
    while True:
        seq = store.last_seq()
        if store.ready() < _STOCK:
            fresh = [
                Pairing(**{**example, "id": f"{os.getpid()}-{seq}-{serial + k}"}) for k in range(_STOCK // 8)
            ]
            serial += len(fresh)
            with contextlib.suppress(ConflictError):
                store.append_many([(EventKind.PAIRING_OPENED, pairing_payload(pairing)) for pairing in fresh])
        else:
            store.wait(seq, 0.2)
