"""A study without its votes: settings, inputs, candidates, and whatever else people set up.

Pairings, duels and votes are nearly all events of a large study, and the tables answer what a page asks about
them. Leaving them out, a start reads some hundred events and not millions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, cast

from sqlalchemy import Connection, Row, bindparam, func, select

from palate.store import _schema as tables
from palate.store._batch import last_link
from palate.store._columns import VoteColumns
from palate.store._events import EventKind, StoredEvent, decode
from palate.store._meetings import Meetings
from palate.store._raters import Progress, Stage
from palate.store._state import EventSource, StudyState
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

    def columns(self, *, patient: bool = False) -> VoteColumns:
        """The votes that count; ``patient`` gives way to other threads while it reads."""
        ...

    def waiting(self) -> Mapping[str, tuple[Pairing, Progress]]:
        """Pairings that wait for votes, and how far each has come."""
        ...

    def pairing(self, pairing_id: str) -> tuple[Pairing, Progress]:
        """One pairing, and how far it has come."""
        ...

    def held(self) -> Mapping[str, int]:
        """How many votes are awaited under leases that stand, by judge."""
        ...

    def latest_votes(self, count: int, *, teaching: bool = False) -> list[Vote]:
        """The last votes that count."""
        ...


class _Now(NamedTuple):
    """What is asked just now."""

    seq: int
    waiting: Mapping[str, tuple[Pairing, Progress]]
    held: Mapping[str, int]


class StudyOutline(StudyState):
    """What :class:`StudyState` says of a study, without going through every pairing, duel and vote.

    Asking it for one of those lists does go through all events then, which takes long in a large study;
    ``Store.columns()`` has the votes at a small part of that.

    Args:
        source: The study, which it follows.
        patient: Whether it gives way to other threads while it catches up, because nobody waits for it.
    """

    def __init__(self, source: OutlineSource, *, patient: bool = False) -> None:
        super().__init__()
        self._patient = patient
        # Properties of this class take their place.
        del self.pairings, self.duels
        self._source = source
        self._whole: StudyState | None = None
        self._asked: _Now | None = None

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
        """Pairings that wait for votes, in the order in which they were opened."""
        return [pairing for pairing, _ in self._now().waiting.values()]

    def stage(self, pairing_id: str) -> Stage:
        """How far a pairing has come."""
        return self.progress(pairing_id).stage

    def progress(self, pairing_id: str) -> Progress:
        """The votes that a pairing wants, has and awaits."""
        return self._find(pairing_id)[1]

    def pairing(self, pairing_id: str) -> Pairing:
        """One pairing."""
        return self._find(pairing_id)[0]

    @property
    def opened(self) -> int:
        """Not less than the number of votes, and not more than that of pairings."""
        return len(self._source.columns())

    def held_by(self, judge: str) -> int:
        """How many pairings await a judge's vote under a lease that stands."""
        return self._now().held.get(judge, 0)

    def latest(self, count: int, *, teaching: bool = False) -> list[Vote]:
        """The last votes that count, in order; or the last of those that teach."""
        return self._source.latest_votes(count, teaching=teaching)

    def meetings(self, pair: tuple[str, str], places: Iterable[str]) -> Meetings:
        """What was voted on some inputs before, each vote a question."""
        return Meetings(pair, places).add_votes(self._source.columns())

    def _now(self) -> _Now:
        if self._asked is None or self._asked.seq != self.seq:
            self._asked = _Now(self.seq, self._source.waiting(), self._source.held())
        return self._asked

    def _find(self, pairing_id: str) -> tuple[Pairing, Progress]:
        return self._now().waiting.get(pairing_id) or self._source.pairing(pairing_id)

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
        if self._patient:
            self._source.columns(patient=True)
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
