"""Which duels a judge is given, on which sides, and until when.

A judge gets the oldest pairing that has a free place and that he has not seen. A place is free when nobody
has taken it, or when the lease of whoever did has ended; the end of a lease is an event of its own, written
when somebody else takes the place, so that the state of a study follows from its events and from no clock.
Whoever comes back finds his duel again as long as the pairing still has a free place.

The side is drawn once, here, when a pairing is assigned, and stored with the assignment: what the page
shows after a reload or a crash is what it showed before.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, exists, func, insert, literal, select, update

from palate.errors import NotFoundError
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.store._duels import open_rows
from palate.store._events import EventKind, decode
from palate.store._raters import APART, GOLD, REPEAT, RaterRules, lease_end, rater_rules, stage_of
from palate.store._state import guideline_version
from palate.types import digest

__all__ = ["assign", "current_setup"]

_POOL = 200  # earlier duels of a judge among which the one to be repeated is drawn

_pairing, _duel, _mine, _vote = tables.pairing, tables.duel, tables.duel.alias(), tables.vote
_SEEN = exists().where(
    _mine.c.pairing_id == _pairing.c.id,
    _mine.c.judge == bindparam("judge"),
    _mine.c.planted == "",
    _mine.c.expired == 0,
)
_MEANT = _pairing.c.assigned.in_(["", bindparam("group")])
_PLACES = select(_pairing.c.id, _pairing.c.seq, _pairing.c.wanted, _pairing.c.given, _pairing.c.held)
_READY = (
    _PLACES.add_columns(literal("").label("lease"))
    .where(_pairing.c.state == "ready", _MEANT, ~_SEEN)
    .order_by(_pairing.c.seq)
    .limit(bindparam("limit"))
)
_OVERDUE = (
    _PLACES.add_columns(func.min(_duel.c.id).label("lease"))
    .join(_duel, _duel.c.pairing_id == _pairing.c.id)
    .where(
        and_(tables.OPEN, _duel.c.planted == "", _duel.c.until < bindparam("now")),
        and_(_duel.c.judge != bindparam("judge"), _pairing.c.state == "shown", _MEANT, ~_SEEN),
        _pairing.c.first.not_in(bindparam("gone", expanding=True)),
        _pairing.c.second.not_in(bindparam("gone", expanding=True)),
    )
    .group_by(_pairing.c.id)
    .order_by(_pairing.c.seq)
    .limit(bindparam("limit"))
)
_OWN_EXPIRED = select(_duel.c.pairing_id, _duel.c.id).where(
    _duel.c.judge == bindparam("judge"), _duel.c.expired > 0, _duel.c.planted == ""
)
_RATER = select(tables.rater).where(tables.rater.c.id == bindparam("judge"))
_SETUP = (
    select(tables.event.c.payload)
    .where(
        tables.SETUP,
        tables.event.c.kind.in_([EventKind.STUDY_CREATED.value, EventKind.CONFIG_CHANGED.value]),
    )
    .order_by(tables.event.c.seq.desc())
    .limit(1)
)
_FIRST_GONE = (
    select(func.min(tables.event.c.seq))
    .where(tables.SETUP, tables.event.c.kind == EventKind.CANDIDATE_WITHDRAWN.value)
    .scalar_subquery()
)
_COMINGS_AND_GOINGS = (
    select(tables.event.c.kind, tables.event.c.payload)
    .where(
        tables.SETUP,
        tables.event.c.kind.in_([EventKind.CANDIDATES_ADDED.value, EventKind.CANDIDATE_WITHDRAWN.value]),
        tables.event.c.seq >= _FIRST_GONE,
    )
    .order_by(tables.event.c.seq)
)
_UNSEEN_GOLD = (
    select(_pairing.c.id)
    .where(_pairing.c.state == GOLD)
    .where(~exists().where(_mine.c.pairing_id == _pairing.c.id, _mine.c.judge == bindparam("judge")))
    .order_by(_pairing.c.seq)
)
_LATELY = (
    select(_duel.c.seq)
    .where(_duel.c.judge == bindparam("judge"))
    .order_by(_duel.c.seq.desc())
    .offset(APART)
    .limit(1)
)
_REPEATABLE = (
    select(_duel.c.pairing_id, _duel.c.swapped)
    .join(_vote, and_(_vote.c.duel_id == _duel.c.id, tables.COUNTS))
    .where(_duel.c.judge == bindparam("judge"), _duel.c.planted == "", _duel.c.seq <= bindparam("before"))
    .where(_vote.c.verdict.not_in(["skip", "failed"]))
    .where(
        ~exists().where(
            _mine.c.pairing_id == _duel.c.pairing_id,
            _mine.c.judge == _duel.c.judge,
            _mine.c.planted == REPEAT,
        )
    )
    .order_by(_duel.c.seq.desc())
    .limit(_POOL)
)
_HELD = (
    update(_pairing)
    .where(_pairing.c.id == bindparam("which"))
    .values(held=bindparam("now_held"), state=bindparam("now_state"))
)
_LET_GO = (
    update(_duel)
    .where(_duel.c.id == bindparam("which"))
    .values(open=0, reopened=0, expired=bindparam("event"))
)
_RENEW = (
    update(_duel)
    .where(_duel.c.id == bindparam("which"))
    .values(open=1, reopened=0, expired=0, until=bindparam("end"))
)


class _Place(NamedTuple):
    """A free place of a pairing, or one that is free as soon as a duel whose lease ended is let go."""

    pairing_id: str
    seq: int
    wanted: int
    given: int
    held: int
    lease: str


class Setup(NamedTuple):
    """What raters are told, and the rules for many of them."""

    guidelines: str
    rules: RaterRules


def current_setup(connection: Connection) -> Setup:
    """The guidelines and the rules as of now; those of nothing before the study was set up."""
    payload = connection.execute(_SETUP).scalar()
    if payload is None:
        return Setup("", RaterRules())
    record = decode(payload)
    return Setup(record["guidelines"], rater_rules(record["settings"]))


def assign(batch: Batch, judge: str, limit: int, rng: Random) -> list[Row[Any]]:
    """Fill a judge's open duels up to ``limit`` from pairings that have a free place; returns their rows.

    Raises:
        NotFoundError: The judge was removed from the study.
    """
    connection = batch.connection
    rows = open_rows(connection, judge, limit)
    if len(rows) == limit:
        return list(rows)
    rater = connection.execute(_RATER, {"judge": judge}).first()
    if rater is not None and rater.removed:
        raise NotFoundError(f"rater {judge!r} was removed from this study")
    group = "" if rater is None else rater.assigned
    now = lease_end(batch.now(), 0)
    places = _places(connection, judge, group, now, limit - len(rows))
    if places:
        _Assigning(batch, judge, now, rng).take(places)
    return list(open_rows(connection, judge, limit))


def _places(connection: Connection, judge: str, group: str, now: str, limit: int) -> list[_Place]:
    """The oldest pairings with a place for a judge, the ends of other people's leases allowed for."""
    asked = {"judge": judge, "group": group, "limit": limit, "now": now, "gone": [""]}
    free = connection.execute(_READY, {name: asked[name] for name in ("judge", "group", "limit")}).all()
    late = connection.execute(_OVERDUE, asked).all()
    gone = _withdrawn(connection) if late else []
    if gone:
        late = connection.execute(_OVERDUE, {**asked, "gone": gone}).all()
    return sorted((_Place(*row) for row in (*free, *late)), key=lambda place: place.seq)[:limit]


def _withdrawn(connection: Connection) -> list[str]:
    gone: set[str] = set()
    for row in connection.execute(_COMINGS_AND_GOINGS):
        record = decode(row.payload)
        if row.kind == EventKind.CANDIDATE_WITHDRAWN.value:
            gone.add(record["id"])
        else:
            gone -= {candidate["id"] for candidate in record["candidates"]}
    return sorted(gone)


class _Assigning:
    """One judge's new duels in one transaction."""

    def __init__(self, batch: Batch, judge: str, now: str, rng: Random) -> None:
        self._batch = batch
        self._connection = batch.connection
        self._judge = judge
        self._rng = rng
        setup = current_setup(batch.connection)
        self._rules = setup.rules
        self._version = guideline_version(setup.guidelines)
        self._until = lease_end(now, setup.rules.lease)
        self._rows: list[dict[str, Any]] = []
        self._held: list[dict[str, Any]] = []

    def take(self, places: Sequence[_Place]) -> None:
        """Give the judge these places, a planted duel now and then instead."""
        own = dict(map(tuple, self._connection.execute(_OWN_EXPIRED, {"judge": self._judge}).all()))
        planted = self._planted()
        room = len(places)
        for place in places:
            while room and next(planted):
                room -= 1
            if not room:
                break
            room -= 1
            self._take(place, own.get(place.pairing_id))
        if self._rows:
            self._connection.execute(insert(tables.duel), self._rows)
        if self._held:
            self._connection.execute(_HELD, self._held)

    def _take(self, place: _Place, own: str | None) -> None:
        if place.lease:
            event = self._batch.add(EventKind.LEASE_EXPIRED, {"duel_id": place.lease}, "palate")
            self._connection.execute(_LET_GO, {"which": place.lease, "event": event.seq})
        else:
            held = place.held + 1
            state = stage_of(place.wanted, place.given, held)
            self._held.append({"which": place.pairing_id, "now_held": held, "now_state": state})
        if own is None:
            self._show(place.pairing_id)
        else:
            self._batch.add(EventKind.LEASE_RENEWED, {"duel_id": own, "until": self._until}, self._judge)
            self._connection.execute(_RENEW, {"which": own, "end": self._until})

    def _planted(self) -> Iterator[bool]:
        """Whether the next duel is a planted one, which is then shown; draws only where there is a pool."""
        rules = self._rules
        golds = list(self._golds()) if rules.gold else []
        repeats = self._repeatable() if rules.repeats else []
        while golds or repeats:
            drawn = self._rng.random()
            if drawn < rules.gold and golds:
                self._show(golds.pop(self._rng.randrange(len(golds))), GOLD)
                yield True
            elif rules.gold <= drawn < rules.gold + rules.repeats and repeats:
                pairing_id, swapped = repeats.pop(self._rng.randrange(len(repeats)))
                self._show(pairing_id, REPEAT, not swapped)
                yield True
            else:
                yield False
        while True:
            yield False

    def _golds(self) -> Sequence[str]:
        return self._connection.execute(_UNSEEN_GOLD, {"judge": self._judge}).scalars().all()

    def _repeatable(self) -> list[tuple[str, bool]]:
        before = self._connection.execute(_LATELY, {"judge": self._judge}).scalar()
        if before is None:
            return []
        rows = self._connection.execute(_REPEATABLE, {"judge": self._judge, "before": before})
        return [(row.pairing_id, bool(row.swapped)) for row in rows]

    def _show(self, pairing_id: str, planted: str = "", swapped: bool | None = None) -> None:
        # The place in the order makes it unique even when a restarted run draws the same numbers again.
        duel_id = digest([f"{self._rng.getrandbits(128):032x}", self._batch.seq])[:32]
        if swapped is None:
            swapped = bool(self._rng.getrandbits(1))
        payload: dict[str, Any] = {
            "id": duel_id,
            "pairing_id": pairing_id,
            "judge": self._judge,
            "swapped": swapped,
            "guideline_version": self._version,
            "until": self._until,
        }
        event = self._batch.add(
            EventKind.DUEL_SHOWN, {**payload, "planted": planted} if planted else payload, self._judge
        )
        row = {"seq": event.seq, "open": 1, "reopened": 0, "expired": 0, "planted": planted}
        self._rows.append({**payload, **row, "swapped": int(swapped)})
