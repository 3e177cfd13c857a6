"""One write transaction: where new events get their numbers and their links."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError, OperationalError

from palate.store import _schema as tables
from palate.store._events import EventKind, StoredEvent, chained, encode
from palate.types import Json

__all__ = ["Batch"]

Outcome = TypeVar("Outcome")


class Batch:
    """The events of one transaction, and the connection that it runs on.

    Args:
        connection: Inside a transaction that holds the write lock.
        clock: Gives the wall-clock time of events.
        together: Opens a stretch of statements whose answers nobody waits for.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], str],
        together: Callable[[Connection], AbstractContextManager[object]],
    ) -> None:
        self.connection = connection
        self._together = together
        self.seq, self._hash = last_link(connection)
        self._clock = clock
        self._rows: list[dict[str, Any]] = []

    def add(self, kind: EventKind, payload: Mapping[str, Json], actor: str) -> StoredEvent:
        """Give an event its place; it is written by :meth:`flush`."""
        at, text, seq = self._clock(), encode(payload), self.seq + 1
        link = chained(self._hash, seq, at, kind, actor, text)
        self._rows.append(
            {"seq": seq, "at": at, "kind": kind.value, "actor": actor, "payload": text, "hash": link}
        )
        self.seq, self._hash = seq, link
        return StoredEvent(seq, kind, payload, actor, at, link)

    def now(self) -> str:
        """The store's clock."""
        return self._clock()

    def together(self) -> AbstractContextManager[object]:
        """Within it, statements whose answers nobody waits for may travel to the database in one go."""
        return self._together(self.connection)

    def flush(self) -> None:
        """Write the events that were added."""
        if self._rows:
            self.connection.execute(insert(tables.event), self._rows)
            self._rows = []

    def attempt(self, work: Callable[["Batch"], Outcome]) -> Outcome | Exception:
        """Run one caller's work so that its failure leaves the others in the transaction untouched.

        Only a failure of the database itself goes through: it ends the transaction for everybody.
        """
        before = self.seq, self._hash
        try:
            with self.connection.begin_nested():
                outcome = work(self)
                self.flush()
        except Exception as error:
            if isinstance(error, DBAPIError) and (
                isinstance(error, OperationalError) or error.connection_invalidated
            ):
                raise
            self.seq, self._hash = before
            self._rows = []
            return error
        return outcome


_LAST = select(tables.event.c.seq, tables.event.c.hash).order_by(tables.event.c.seq.desc()).limit(1)


def last_link(connection: Connection) -> tuple[int, str]:
    """Number and hash of the last event; ``(0, "")`` before the first."""
    row = connection.execute(_LAST).first()
    return (0, "") if row is None else (row.seq, row.hash)
