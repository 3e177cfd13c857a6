"""What is asked just now and what was said last, as :class:`palate.store.StudyState` has it from events.

Here it is read from the tables, at a cost that does not grow with the study.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from palate.errors import NotFoundError
from palate.store import _schema as tables
from palate.store._events import decode
from palate.store._raters import Progress
from palate.types import Pairing, Verdict, Vote

__all__ = ["held_places", "latest_votes", "one_pairing", "waiting_pairings"]

_pairing, _duel, _vote, _event, _comment = (
    tables.pairing,
    tables.duel,
    tables.vote,
    tables.event,
    tables.comment,
)
_WAITING = (
    select(_pairing)
    .where(_pairing.c.state.in_(["ready", "shown"]), _pairing.c.given < _pairing.c.wanted)
    .order_by(_pairing.c.seq)
)
_ONE = select(_pairing).where(_pairing.c.id == bindparam("id"))
_SHOWN_TO = (
    select(_duel.c.pairing_id, _duel.c.judge)
    .where(_duel.c.pairing_id.in_(bindparam("ids", expanding=True)), _duel.c.planted == "")
    .order_by(_duel.c.seq)
)
_HELD = (
    select(_duel.c.judge, func.count())
    .where(tables.OPEN, _duel.c.planted == "", _duel.c.expired == 0)
    .group_by(_duel.c.judge)
)
_LATEST = (
    select(
        _vote.c.seq,
        _vote.c.verdict,
        _vote.c.judge,
        _vote.c.surplus,
        _duel.c.id,
        _duel.c.swapped,
        _duel.c.guideline_version,
        _pairing.c.id.label("pairing_id"),
        _pairing.c.input_id,
        _pairing.c.first,
        _pairing.c.second,
        _event.c.at,
        _event.c.payload,
        _comment.c.words,
    )
    .join(_duel, _duel.c.id == _vote.c.duel_id)
    .join(_pairing, _pairing.c.id == _duel.c.pairing_id)
    .join(_event, _event.c.seq == _vote.c.seq)
    .outerjoin(_comment, _comment.c.seq == _vote.c.seq)
    .where(_vote.c.undone == 0, _duel.c.planted == "")
    .where(_vote.c.verdict.in_(bindparam("verdicts", expanding=True)))
    .where(_vote.c.judge.not_in(select(tables.rater.c.id).where(tables.rater.c.removed == "drop")))
    .order_by(_vote.c.seq.desc())
    .limit(bindparam("count"))
)
_PART = 500  # names in one question to a database


def waiting_pairings(connection: Connection) -> dict[str, tuple[Pairing, Progress]]:
    """Pairings that wait for votes and how far each has come, by id, the oldest first."""
    return _with_progress(connection, connection.execute(_WAITING).all())


def one_pairing(connection: Connection, pairing_id: str) -> tuple[Pairing, Progress]:
    """One pairing and how far it has come.

    Raises:
        NotFoundError: There is none.
    """
    found = _with_progress(connection, connection.execute(_ONE, {"id": pairing_id}).all())
    if not found:
        raise NotFoundError(f"no pairing {pairing_id!r} was opened in this study")
    return found[pairing_id]


def held_places(connection: Connection) -> dict[str, int]:
    """How many votes are awaited under leases that stand, by judge."""
    return {row[0]: row[1] for row in connection.execute(_HELD)}


def latest_votes(connection: Connection, count: int, *, teaching: bool) -> list[Vote]:
    """The last votes that count, planted ones left out, in their order; or the last of those that teach."""
    verdicts = [verdict.value for verdict in Verdict if verdict.teaches or not teaching]
    rows: Sequence[Any] = connection.execute(_LATEST, {"count": count, "verdicts": verdicts}).all()
    return [_vote_of(row) for row in reversed(rows)]


def _with_progress(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, tuple[Pairing, Progress]]:
    judges: dict[str, list[str]] = {row.id: [] for row in rows}
    names = list(judges)
    for start in range(0, len(names), _PART):
        for shown in connection.execute(_SHOWN_TO, {"ids": names[start : start + _PART]}):
            judges[shown.pairing_id].append(shown.judge)
    return {
        row.id: (
            Pairing(
                row.id,
                row.input_id,
                row.first,
                row.second,
                row.first_response,
                row.second_response,
                row.assigned,
            ),
            Progress(
                row.given + row.held if row.state == "withdrawn" else row.wanted,
                row.given,
                row.held,
                tuple(judges[row.id]),
            ),
        )
        for row in rows
    }


def _vote_of(row: Row[Any]) -> Vote:
    said: Mapping[str, Any] = decode(row.payload)
    left, right = (row.second, row.first) if row.swapped else (row.first, row.second)
    return Vote(
        seq=row.seq,
        duel_id=row.id,
        pairing_id=row.pairing_id,
        input_id=row.input_id,
        left_candidate=left,
        right_candidate=right,
        verdict=Verdict(row.verdict),
        judge=row.judge,
        at=row.at,
        seconds=said["seconds"],
        guideline_version=row.guideline_version,
        reason=said["reason"],
        comment=said["comment"] if row.words is None else row.words.decode("utf-8", "surrogatepass"),
        surplus=bool(row.surplus),
    )
