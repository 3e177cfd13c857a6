"""What was learnt, kept for the page and for the next start. It can always be computed again."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from palate.errors import InputError
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.store._events import decode, encode
from palate.types import Belief, ContextBelief, Standing

__all__ = ["BeliefPoint", "belief_json", "belief_of", "belief_points", "newest_belief", "save_belief"]


class BeliefPoint(NamedTuple):
    """One point of the curve: after how many votes, how sure, of which candidate, how good it is."""

    votes: int
    p_best: float
    best: str
    win_rate: float


def save_belief(batch: Batch, belief: Belief) -> None:
    """Keep a belief; one about the same event replaces the earlier one."""
    table = tables.belief
    p_best, win_rate = _summed_up(belief)
    connection = batch.connection
    newest = connection.execute(select(func.max(table.c.seq))).scalar()
    connection.execute(delete(table).where(table.c.seq == belief.seq))
    latest = newest is None or belief.seq >= newest
    if latest and newest is not None:
        connection.execute(update(table).where(table.c.seq == newest).values(payload=None))
    connection.execute(
        insert(table),
        {
            "seq": belief.seq,
            "votes": belief.votes,
            "best": belief.best,
            "p_best": p_best,
            "win_rate": win_rate,
            "payload": encode(_written(belief)) if latest else None,
        },
    )


def newest_belief(connection: Connection) -> Belief | None:
    """The belief about the most events, or ``None``."""
    table = tables.belief
    row = connection.execute(select(table).order_by(table.c.seq.desc()).limit(1)).first()
    if row is None or row.payload is None:
        return None
    return belief_of({**decode(row.payload), "seq": row.seq, "votes": row.votes, "best": row.best})


def belief_json(belief: Belief) -> dict[str, Any]:
    """A belief as JSON takes it."""
    return {"seq": belief.seq, "votes": belief.votes, "best": belief.best, **_written(belief)}


def belief_of(record: Mapping[str, Any]) -> Belief:
    """The belief that :func:`belief_json` wrote."""
    contexts = tuple(
        ContextBelief(told["input_id"], told["best"], told["votes"], _read(told["standings"]))
        for told in record.get("contexts", ())  # beliefs of earlier versions have none
    )
    about = record["seq"], record["votes"], record["best"]
    return Belief(*about, _read(record["standings"]), record["stop"], record["reason"], contexts)


def belief_points(connection: Connection) -> list[BeliefPoint]:
    """Every belief that was kept, in order."""
    table = tables.belief
    query = select(table.c.votes, table.c.p_best, table.c.best, table.c.win_rate).order_by(table.c.seq)
    return [BeliefPoint(*row) for row in connection.execute(query)]


def _summed_up(belief: Belief) -> tuple[float, float]:
    """How sure the report is, and how often it beats the seed; over several inputs, their means."""
    if belief.contexts:
        first = [context.standings[0] for context in belief.contexts]
        return fmean(s.p_best for s in first), fmean(s.mean for s in first)
    for standing in belief.standings:
        if standing.candidate_id == belief.best:
            return standing.p_best, standing.mean
    raise InputError(f"a belief's best candidate {belief.best!r} has no standing among its standings")


def _written(belief: Belief) -> dict[str, Any]:
    return {
        "standings": _rows(belief.standings),
        "stop": bool(belief.stop),
        "reason": belief.reason,
        "contexts": [
            {
                "input_id": context.input_id,
                "best": context.best,
                "votes": context.votes,
                "standings": _rows(context.standings),
            }
            for context in belief.contexts
        ],
    }


def _rows(standings: Sequence[Standing]) -> list[dict[str, Any]]:
    return [
        {
            "candidate_id": standing.candidate_id,
            "mean": float(standing.mean),
            "low": float(standing.low),
            "high": float(standing.high),
            "p_best": float(standing.p_best),
            "votes": int(standing.votes),
        }
        for standing in standings
    ]


def _read(rows: Sequence[Mapping[str, Any]]) -> tuple[Standing, ...]:
    return tuple(Standing(**row) for row in rows)
