"""A study without its votes: settings, inputs, candidates, and whatever else people set up.

Pairings, duels and votes are nearly all events of a large study, and the tables answer what a page asks about
them. Leaving them out, a start reads some hundred events and not millions.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Row, bindparam, select

from palate.errors import StoreError
from palate.store import _schema as tables
from palate.store._batch import last_link
from palate.store._events import EventKind, StoredEvent, decode
from palate.store._state import Stage, StudyState
from palate.types import Pairing, Verdict, Vote

__all__ = ["OutlineSource", "StudyOutline", "read_setup"]

_LEFT_OUT = frozenset(
    (
        EventKind.PAIRING_OPENED,
        EventKind.PAIRING_EXTENDED,
        EventKind.DUEL_SHOWN,
        EventKind.LEASE_EXPIRED,
        EventKind.LEASE_RENEWED,
        EventKind.VOTED,
        EventKind.UNDONE,
    )
)
# Kinds one by one and the index's own condition: only so is the index taken, and not every event read.
_SETUP = (
    select(tables.event)
    .where(tables.SETUP, tables.event.c.kind.in_([kind.value for kind in EventKind if kind not in _LEFT_OUT]))
    .where(tables.event.c.seq > bindparam("after"))
    .order_by(tables.event.c.seq)
)


class OutlineSource(Protocol):
    """What an outline asks for; the store is one."""

    def setup_events(self, after: int = 0) -> tuple[list[StoredEvent], int]:
        """See :func:`read_setup`."""
        ...

    def tally(self) -> Mapping[tuple[str, Verdict], int]:
        """How many votes count, by judge and verdict."""
        ...

    def checked_by(self, judge: str) -> int:
        """How many votes a judge gave on planted duels."""
        ...

    def last_voted(self, judge: str) -> str | None:
        """The duel of a judge's last vote that counts."""
        ...

    def count_pairings(self) -> Mapping[str, int]:
        """How many pairings have come how far."""
        ...


class StudyOutline(StudyState):
    """What :class:`StudyState` says of a study, without the lists of pairings, duels and votes.

    Asking it for one of those is a mistake, so it is an error and not an empty list. Votes are in
    ``Store.columns()``.

    Args:
        source: The study, which it follows.
    """

    def __init__(self, source: OutlineSource) -> None:
        super().__init__()
        del self.pairings, self.duels
        self._source = source

    @property
    def votes(self) -> list[Vote]:
        """Not kept."""
        raise AttributeError("an outline has no list of votes; Store.columns() has them")

    @property
    def pending(self) -> list[Pairing]:
        """Not kept, so a withdrawal changes none."""
        return []

    @property
    def stages(self) -> Counter[Stage]:
        """How many pairings have come how far."""
        return Counter({cast("Stage", stage): n for stage, n in self._source.count_pairings().items()})

    def given_by(self, judge: str) -> tuple[int, str | None]:
        """How many votes a judge has given, on planted duels too, and the duel of the last one."""
        given = sum(count for (who, _), count in self._source.tally().items() if who == judge)
        given += self._source.checked_by(judge)
        return given, self._source.last_voted(judge) if given else None

    def follow(self, store: object = None) -> int:
        """Take in what has happened since; returns how many events that were."""
        del store
        before = self.seq
        events, last = self._source.setup_events(before)
        for event in events:
            try:
                self._steps()[event.kind](event)
            except (KeyError, TypeError, ValueError) as error:
                raise StoreError(
                    f"event {event.seq} ({event.kind}) does not fit what came before it: {error!r}; "
                    "run `palate verify`"
                ) from error
        self.seq = last
        self.taught = sum(n for (_, verdict), n in self._source.tally().items() if verdict.teaches)
        return last - before

    def __repr__(self) -> str:
        """A line for people."""
        return f"StudyOutline(seq={self.seq}, inputs={len(self.inputs)}, candidates={len(self.candidates)})"


def read_setup(connection: Connection, after: int) -> tuple[list[StoredEvent], int]:
    """The events after one that an outline takes in, and the number of the last event of any kind."""
    rows = connection.execute(_SETUP, {"after": after})
    return [_event(row) for row in rows], last_link(connection)[0]


def _event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(row.seq, EventKind(row.kind), decode(row.payload), row.actor, row.at, row.hash)
