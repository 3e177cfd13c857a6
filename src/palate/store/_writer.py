"""The one thread of a process that writes, and the commits that several callers share.

While one commit waits for the disk, the next callers queue up; they then share one transaction and one
``fsync``. A caller is answered only after the commit that holds its work returned. Without that, durability
costs one disk flush a vote, and thirty raters would wait for each other.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from palate.errors import StoreError
from palate.store import _dbapi
from palate.store._batch import Batch
from palate.store._engine import explain
from palate.store._votes import cast_votes
from palate.types import Ballot, Receipt

__all__ = ["Writer"]

Outcome = TypeVar("Outcome")

# Bounds the time that one transaction can take; past it, further callers wait for the next.
_MOST_AT_ONCE = 256


class _Job(NamedTuple):
    future: "Future[Any]"
    run: Callable[[Batch], Any]


class _Cast(NamedTuple):
    future: "Future[Receipt]"
    ballot: Ballot
    fingerprint: str


class Writer:
    """Runs work in transactions on a thread of its own.

    Args:
        engine: Begins its transactions with ``BEGIN IMMEDIATE``.
        path: For error texts.
        clock: Gives the wall-clock time of events.
        committed: Called with the last sequence number after each commit.
    """

    def __init__(
        self, engine: Engine, path: Path, clock: Callable[[], str], committed: Callable[[int], None]
    ) -> None:
        self._engine = engine
        self._path = path
        self._clock = clock
        self._committed = committed
        self._queue: queue.SimpleQueue[_Job | _Cast | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    def cast(self, ballot: Ballot) -> "Future[Receipt]":
        """Queue a vote."""
        future: Future[Receipt] = Future()
        self._put(_Cast(future, ballot, ballot.fingerprint))
        return future

    def run(self, work: Callable[[Batch], Outcome]) -> Outcome:
        """Run work in a transaction, and return what it returned once that is on disk."""
        future: Future[Outcome] = Future()
        self._put(_Job(future, work))
        return future.result()

    def close(self) -> None:
        """Finish what is queued, then stop. Idempotent."""
        with self._gate:
            if not self._closed and self._thread is not None:
                self._queue.put(None)
            self._closed = True
        if self._thread is not None:
            self._thread.join()

    def _put(self, item: "_Job | _Cast") -> None:
        with self._gate:
            if self._closed:
                raise StoreError(f"{str(self._path)!r} was closed; open the study again")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="palate-writer", daemon=True)
                self._thread.start()
            self._queue.put(item)

    def _work(self) -> None:
        going = True
        while going:
            items, going = self._gather()
            if items:
                self._commit(items)
        self._drop_connection()

    def _gather(self) -> tuple[list[_Job | _Cast], bool]:
        items: list[_Job | _Cast] = []
        item = self._queue.get()
        while item is not None:
            if item.future.set_running_or_notify_cancel():
                items.append(item)
            if len(items) >= _MOST_AT_ONCE:
                return items, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return items, True
        return items, False

    def _commit(self, items: Sequence[_Job | _Cast]) -> None:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                batch = Batch(self._connection, self._clock)
                outcomes = _perform(batch, items)
        except (DBAPIError, _dbapi.Error) as error:
            # Nothing of this transaction was answered; a fresh connection rolls back whatever is left of it.
            self._drop_connection()
            outcomes: list[Any] = [explain(self._path, error)] * len(items)
        except Exception as error:
            self._drop_connection()
            outcomes = [error] * len(items)
        else:
            self._committed(batch.seq)
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, DBAPIError):
                outcome = explain(self._path, outcome)
            if isinstance(outcome, Exception):
                item.future.set_exception(outcome)
            else:
                item.future.set_result(outcome)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except (DBAPIError, _dbapi.Error):
                # The rollback of a connection whose disk has failed fails too; closing it is what is left.
                connection.invalidate()


def _perform(batch: Batch, items: Sequence[_Job | _Cast]) -> list[Any]:
    outcomes: list[Any] = []
    at = 0
    while at < len(items):
        item = items[at]
        if isinstance(item, _Job):
            outcomes.append(batch.attempt(item.run))
            at += 1
            continue
        run: list[tuple[Ballot, str]] = []
        while at < len(items) and isinstance(entry := items[at], _Cast):
            run.append((entry.ballot, entry.fingerprint))
            at += 1
        outcomes.extend(cast_votes(batch, run))
    return outcomes
