"""Which duel a judge sees next, and on which side a candidate stands.

The side is drawn once, here, when a pairing is assigned, and stored with the assignment: what the page
shows after a reload or a crash is what it showed before.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from palate.errors import StoreError
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.store._content import load_responses
from palate.store._events import EventKind, decode
from palate.store._state import guideline_version
from palate.types import Duel, Input, digest

__all__ = [
    "assign",
    "count_ready",
    "count_stages",
    "current_guidelines",
    "load_duels",
    "one_row",
    "open_rows",
]

_SHOWN = select(
    tables.duel,
    tables.pairing.c.input_id,
    tables.pairing.c.first,
    tables.pairing.c.second,
    tables.pairing.c.first_response,
    tables.pairing.c.second_response,
).join(tables.pairing, tables.pairing.c.id == tables.duel.c.pairing_id)
_OPEN = (
    _SHOWN.where(tables.OPEN, tables.duel.c.judge == bindparam("judge"))
    .order_by(tables.duel.c.reopened.desc(), tables.duel.c.seq)
    .limit(bindparam("limit"))
)
_ONE = _SHOWN.where(tables.duel.c.id == bindparam("id"))
_READY = (
    select(tables.pairing.c.id)
    .where(tables.pairing.c.state == "ready")
    .order_by(tables.pairing.c.seq)
    .limit(bindparam("limit"))
)
_COUNT_READY = select(tables.pairing.c.id).where(tables.pairing.c.state.in_(["ready", "shown"])).subquery()
_PAIRING_SHOWN = update(tables.pairing).where(tables.pairing.c.id == bindparam("which")).values(state="shown")
_GUIDELINES = (
    select(tables.event.c.payload)
    .where(
        tables.SETUP,
        tables.event.c.kind.in_([EventKind.STUDY_CREATED.value, EventKind.CONFIG_CHANGED.value]),
    )
    .order_by(tables.event.c.seq.desc())
    .limit(1)
)


def open_rows(connection: Connection, judge: str, limit: int) -> Sequence[Row[Any]]:
    """A judge's open duels: the one undone last first, then the oldest."""
    return connection.execute(_OPEN, {"judge": judge, "limit": limit}).all()


def count_ready(connection: Connection) -> int:
    """How many pairings wait for a vote."""
    return connection.execute(select(func.count()).select_from(_COUNT_READY)).scalar_one()


def count_stages(connection: Connection) -> dict[str, int]:
    """How many pairings are in each state."""
    state = tables.pairing.c.state
    return {row[0]: row[1] for row in connection.execute(select(state, func.count()).group_by(state))}


def current_guidelines(connection: Connection) -> str:
    """What raters are told now; empty before the study was set up."""
    payload = connection.execute(_GUIDELINES).scalar()
    return "" if payload is None else decode(payload)["guidelines"]


def assign(batch: Batch, judge: str, limit: int, rng: Random) -> list[Row[Any]]:
    """Fill a judge's open duels up to ``limit`` from pairings that nobody holds; returns their rows."""
    connection = batch.connection
    lacking = limit - len(open_rows(connection, judge, limit))
    ready = connection.execute(_READY, {"limit": max(lacking, 0)}).scalars().all()
    if ready:
        version = guideline_version(current_guidelines(connection))
        rows = [_shown(batch, pairing_id, judge, version, rng) for pairing_id in ready]
        connection.execute(insert(tables.duel), rows)
        connection.execute(_PAIRING_SHOWN, [{"which": pairing_id} for pairing_id in ready])
    return list(open_rows(connection, judge, limit))


def load_duels(
    connection: Connection, rows: Sequence[Row[Any]], inputs: Callable[[Connection, str], Input]
) -> list[Duel]:
    """Put texts to the rows of :func:`open_rows`."""
    hashes = {row.first_response for row in rows} | {row.second_response for row in rows}
    responses: Mapping[str, Any] = load_responses(connection, hashes) if hashes else {}
    duels: list[Duel] = []
    for row in rows:
        first = row.first, responses[row.first_response]
        second = row.second, responses[row.second_response]
        left, right = (second, first) if row.swapped else (first, second)
        duels.append(
            Duel(
                id=row.id,
                pairing_id=row.pairing_id,
                judge=row.judge,
                input=inputs(connection, row.input_id),
                left=left[1],
                right=right[1],
                left_candidate=left[0],
                right_candidate=right[0],
                swapped=bool(row.swapped),
                guideline_version=row.guideline_version,
            )
        )
    return duels


def one_row(connection: Connection, duel_id: str) -> Row[Any]:
    """The row of one duel, as :func:`open_rows` gives it."""
    row = connection.execute(_ONE, {"id": duel_id}).first()
    if row is None:
        raise StoreError(f"duel {duel_id!r} has lost its pairing; run `palate verify`")
    return row


def _shown(batch: Batch, pairing_id: str, judge: str, version: str, rng: Random) -> dict[str, Any]:
    # The place in the order makes it unique even when a restarted run draws the same numbers again.
    duel_id = digest([f"{rng.getrandbits(128):032x}", batch.seq])[:32]
    swapped = bool(rng.getrandbits(1))
    event = batch.add(
        EventKind.DUEL_SHOWN,
        {
            "id": duel_id,
            "pairing_id": pairing_id,
            "judge": judge,
            "swapped": swapped,
            "guideline_version": version,
        },
        judge,
    )
    return {
        "id": duel_id,
        "seq": event.seq,
        "pairing_id": pairing_id,
        "judge": judge,
        "swapped": int(swapped),
        "guideline_version": version,
        "open": 1,
        "reopened": 0,
    }
