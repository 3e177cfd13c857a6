"""A study without its votes: settings, inputs, candidates, and whatever else people set up.

Pairings, duels and votes are nearly all events of a large study, and the tables answer what a page asks about
them. Leaving them out, a start reads some hundred events and not millions.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Row, bindparam, func, select

from palate.store import _schema as tables
from palate.store._batch import last_link
from palate.store._events import EventKind, StoredEvent, decode
from palate.store._state import EventSource, Progress, Stage, StudyState
from palate.types import Pairing, Verdict, Vote

__all__ = ["OutlineSource", "StudyOutline", "last_setup", "read_setup"]

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
_LAST_SETUP = select(func.max(tables.event.c.seq)).where(
    tables.SETUP,
    tables.event.c.kind.in_([kind.value for kind in EventKind if kind not in _LEFT_OUT]),
    tables.event.c.seq > bindparam("after"),
)


class OutlineSource(EventSource, Protocol):
    """What an outline asks for; the store is one."""

    def setup_events(self, after: int = 0) -> tuple[list[StoredEvent], int]:
        """See :func:`read_setup`."""
        ...

    def tally(self) -> Mapping[tuple[str, Verdict], int]:
        """How many votes count, by judge and verdict."""
        ...

    def given(self, judge: str, *, upto: int | None = None) -> int:
        """How many votes of a judge count, at least up to an event, those on planted duels too."""
        ...

    def last_voted(self, judge: str) -> str | None:
        """The duel of a judge's last vote that counts."""
        ...

    def count_pairings(self) -> Mapping[str, int]:
        """How many pairings have come how far."""
        ...


class StudyOutline(StudyState):
    """What :class:`StudyState` says of a study, without going through every pairing, duel and vote.

    Asking it for one of those lists does go through all events then, which takes long in a large study;
    ``Store.columns()`` has the votes at a small part of that.

    Args:
        source: The study, which it follows.
    """

    def __init__(self, source: OutlineSource) -> None:
        super().__init__()
        # Properties of this class take their place.
        del self.pairings, self.duels
        self._source = source
        self._whole: StudyState | None = None

    def _everything(self) -> StudyState:
        whole = self._whole = self._whole or StudyState()
        if whole.seq < self.seq:
            for event in self._source.events(whole.seq, self.seq - whole.seq):
                whole.apply(event)
        return whole

    @property
    def votes(self) -> list[Vote]:
        """From every event."""
        return self._everything().votes

    @property
    def checks(self) -> list[Vote]:
        """From every event."""
        return self._everything().checks

    @property
    def all_votes(self) -> list[Vote]:
        """From every event."""
        return self._everything().all_votes

    @property
    def pending(self) -> list[Pairing]:
        """From every event."""
        return self._everything().pending

    def stage(self, pairing_id: str) -> Stage:
        """From every event."""
        return self._everything().stage(pairing_id)

    def progress(self, pairing_id: str) -> Progress:
        """From every event."""
        return self._everything().progress(pairing_id)

    def expired(self, duel_id: str) -> bool:
        """From every event."""
        return self._everything().expired(duel_id)

    def vote_on(self, duel_id: str) -> Vote | None:
        """From every event."""
        return self._everything().vote_on(duel_id)

    def __getattr__(self, name: str) -> object:
        if name in ("pairings", "duels"):
            return getattr(self._everything(), name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _withdraw(self, event: StoredEvent) -> None:
        gone = event.payload["id"]
        self.withdrawn[gone] = self.candidates.pop(gone)

    @property
    def stages(self) -> Counter[Stage]:
        """How many pairings have come how far."""
        return Counter({cast("Stage", stage): n for stage, n in self._source.count_pairings().items()})

    def given_by(self, judge: str) -> tuple[int, str | None]:
        """How many votes a judge has given, on planted duels too, and the duel of the last one."""
        given = self._source.given(judge, upto=self.seq)
        return given, self._source.last_voted(judge) if given else None

    def follow(self, store: object = None) -> int:
        """Take in what has happened since; returns how many events that were."""
        del store
        before = self.seq
        events, last = self._source.setup_events(before)
        for event in events:
            self._step(event)
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


def last_setup(connection: Connection, after: int) -> int:
    """The number of the last event after one that changed how the study is set up; that one if none did."""
    return connection.execute(_LAST_SETUP, {"after": after}).scalar() or after


def _event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(row.seq, EventKind(row.kind), decode(row.payload), row.actor, row.at, row.hash)
