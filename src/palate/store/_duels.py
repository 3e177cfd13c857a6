"""A judge's duels as rows, and the texts to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from palate.errors import StoreError
from palate.store import _schema as tables
from palate.store._content import load_responses
from palate.store._raters import GOLD
from palate.types import Duel, Input

__all__ = ["count_ready", "count_stages", "load_duels", "one_row", "open_rows"]

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
_COUNT_READY = select(tables.pairing.c.id).where(tables.pairing.c.state.in_(["ready", "shown"])).subquery()


def open_rows(connection: Connection, judge: str, limit: int) -> Sequence[Row[Any]]:
    """A judge's open duels: the one undone last first, then the oldest."""
    return connection.execute(_OPEN, {"judge": judge, "limit": limit}).all()


def count_ready(connection: Connection) -> int:
    """How many pairings wait for votes."""
    return connection.execute(select(func.count()).select_from(_COUNT_READY)).scalar_one()


def count_stages(connection: Connection) -> dict[str, int]:
    """How many pairings are in each state; gold duels, which lie among them, are left out."""
    state = tables.pairing.c.state
    query = select(state, func.count()).where(state != GOLD).group_by(state)
    return {row[0]: row[1] for row in connection.execute(query)}


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
