"""The one thread of a process that writes, and the commits that several callers share.

While one commit waits for the disk, the next callers queue up; they then share one transaction and one
``fsync``. A caller is answered only after the commit that holds its work returned. Without that, durability
costs one disk flush a vote, and thirty raters would wait for each other.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from palate.errors import StoreError
from palate.store._backend import Backend
from palate.store._batch import Batch
from palate.store._votes import cast_votes
from palate.types import Ballot, Receipt

__all__ = ["Writer"]

Outcome = TypeVar("Outcome")

# Bounds the time that one transaction can take; past it, further callers wait for the next.
_MOST_AT_ONCE = 256
# How often work is tried whose transaction ended, before its commit, for a reason that passes by itself.
_TRIES = 4


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
        backend: Begins transactions that hold the write lock.
        clock: Gives the wall-clock time of events.
        committed: Called with the last sequence number after each commit.

    Attributes:
        trouble: Why the last transaction could not be written; ``None`` once one could again.
    """

    def __init__(self, backend: Backend, clock: Callable[[], str], committed: Callable[[int], None]) -> None:
        self._backend = backend
        self._clock = clock
        self._committed = committed
        self.trouble: StoreError | None = None
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
                raise StoreError(f"{self._backend.name!r} was closed; open the study again")
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
        failures = self._backend.failures
        try:
            seq, outcomes = self._transact(items)
        except failures as error:
            # Nothing of this transaction was answered; a fresh connection rolls back whatever is left of it.
            self._drop_connection()
            self.trouble = self._backend.explain(error)
            outcomes: list[Any] = [self.trouble] * len(items)
        except Exception as error:
            self._drop_connection()
            outcomes = [error] * len(items)
        else:
            self.trouble = None
            self._committed(seq)
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, failures):
                outcome = self._backend.explain(outcome)
            if isinstance(outcome, Exception):
                item.future.set_exception(outcome)
            else:
                item.future.set_result(outcome)

    def _transact(self, items: Sequence[_Job | _Cast]) -> tuple[int, list[Any]]:
        for left in reversed(range(_TRIES)):
            done = False
            try:
                if self._connection is None:
                    self._connection = self._backend.writing.connect()
                with self._connection.begin():
                    batch = Batch(self._connection, self._clock, self._backend.together)
                    outcomes = _perform(batch, items)
                    # From here on a failure may hide a commit that happened, so only the caller may repeat.
                    done = True
                return batch.seq, outcomes
            except self._backend.failures as error:
                if done or not left or not self._backend.passing(error):
                    raise
                self._drop_connection()
        raise AssertionError("the last try returns or raises")

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except self._backend.failures:
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
