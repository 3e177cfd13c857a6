"""Votes and undoes: what is accepted, once, and what is refused.

The key that the browser minted decides first: a repeat gets its first answer, whatever has happened since,
because the reply may have been lost on the way and not the vote. Then the duel decides: one vote counts.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, bindparam, insert, select, update

from palate.errors import ConflictError, InputError, NotFoundError, PalateError
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.store._events import EventKind
from palate.types import Ballot, Receipt, Verdict

__all__ = ["cast_votes", "check_ballot", "last_duel", "undo_last"]

LONGEST_KEY = 200
LONGEST_COMMENT = 20_000


class _Seen(NamedTuple):
    fingerprint: str
    receipt: Receipt


_KNOWN_KEYS = select(tables.vote).where(tables.vote.c.key.in_(bindparam("keys", expanding=True)))
_DUELS = select(tables.duel.c.id, tables.duel.c.judge, tables.duel.c.pairing_id, tables.duel.c.open).where(
    tables.duel.c.id.in_(bindparam("ids", expanding=True))
)
_CLOSE_DUELS = (
    update(tables.duel)
    .where(tables.duel.c.id.in_(bindparam("which", expanding=True)))
    .values(open=0, reopened=0)
)
_PAIRINGS_VOTED = (
    update(tables.pairing)
    .where(tables.pairing.c.id.in_(bindparam("which", expanding=True)))
    .values(state="voted")
)
_LAST_VOTE = (
    select(tables.vote.c.seq, tables.vote.c.duel_id, tables.duel.c.pairing_id)
    .join(tables.duel, tables.duel.c.id == tables.vote.c.duel_id)
    .where(tables.COUNTS, tables.vote.c.judge == bindparam("judge"))
    .order_by(tables.vote.c.seq.desc())
    .limit(1)
)


def check_ballot(ballot: Ballot) -> None:
    """Refuse a ballot that can never become a vote.

    Raises:
        InputError: A field is of the wrong type, empty, too long or not finite.
    """
    # Callers are checked by their types; what came over a wire was not.
    verdict = cast("object", ballot.verdict)
    if not isinstance(verdict, Verdict):
        raise InputError(f"a ballot's verdict is a palate.types.Verdict, not {ballot.verdict!r}")
    for name, longest in (("key", LONGEST_KEY), ("judge", LONGEST_KEY), ("duel_id", LONGEST_KEY)):
        value = getattr(ballot, name)
        # Printable also rules out NULs and lone surrogates, which no database takes.
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            raise InputError(
                f"a ballot's {name} is a text of 1 to {longest} printable characters, not {value!r:.80}"
            )
    for name in ("reason", "comment"):
        value = getattr(ballot, name)
        if value is not None and (not isinstance(value, str) or len(value) > LONGEST_COMMENT):
            raise InputError(f"a ballot's {name} is a text of at most {LONGEST_COMMENT} characters or None")
    seconds = ballot.seconds
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise InputError(f"a ballot's seconds is a finite number, 0 or more, or None; not {seconds!r}")


def cast_votes(batch: Batch, ballots: Sequence[tuple[Ballot, str]]) -> list[Receipt | PalateError]:
    """Turn ballots into votes, in order, with a handful of statements for all of them.

    Args:
        batch: The transaction.
        ballots: Each with its fingerprint.

    Returns:
        For each a receipt or the refusal; a refusal has changed nothing.
    """
    connection = batch.connection
    keys = [ballot.key for ballot, _ in ballots]
    seen = {
        (row.judge, row.key): _Seen(
            row.fingerprint, Receipt(row.seq, row.duel_id, Verdict(row.verdict), True)
        )
        for row in connection.execute(_KNOWN_KEYS, {"keys": keys})
    }
    ids = [ballot.duel_id for ballot, _ in ballots]
    duels: dict[str, Any] = {row.id: row for row in connection.execute(_DUELS, {"ids": ids})}
    judges = {row.id: row.judge for row in duels.values()}
    closed = {row.id for row in duels.values() if not row.open}
    votes: list[dict[str, Any]] = []
    outcomes: list[Receipt | PalateError] = []
    for ballot, fingerprint in ballots:
        outcome = _settled(ballot, fingerprint, seen) or _refusal(ballot, judges.get(ballot.duel_id), closed)
        if outcome is None:
            votes.append(row := _vote_row(batch, ballot, fingerprint))
            outcome = Receipt(row["seq"], ballot.duel_id, ballot.verdict, False)
            seen[ballot.judge, ballot.key] = _Seen(fingerprint, outcome._replace(replayed=True))
            closed.add(ballot.duel_id)
        outcomes.append(outcome)
    if votes:
        decided = [row["duel_id"] for row in votes]
        with batch.together():
            batch.flush()
            connection.execute(insert(tables.vote), votes)
            connection.execute(_CLOSE_DUELS, {"which": decided})
            connection.execute(_PAIRINGS_VOTED, {"which": [duels[duel_id].pairing_id for duel_id in decided]})
    return outcomes


def last_duel(connection: Connection, judge: str) -> str | None:
    """The duel of a judge's last vote that still counts, or ``None``."""
    last = connection.execute(_LAST_VOTE, {"judge": judge}).first()
    return None if last is None else last.duel_id


def undo_last(batch: Batch, judge: str) -> str | None:
    """Take back a judge's last vote that still counts; returns its duel, open again, or ``None``."""
    connection = batch.connection
    last = connection.execute(_LAST_VOTE, {"judge": judge}).first()
    if last is None:
        return None
    event = batch.add(EventKind.UNDONE, {"vote_seq": last.seq, "duel_id": last.duel_id}, judge)
    vote, duel, pairing = tables.vote, tables.duel, tables.pairing
    connection.execute(update(vote).where(vote.c.seq == last.seq).values(undone=event.seq))
    connection.execute(update(duel).where(duel.c.id == last.duel_id).values(open=1, reopened=event.seq))
    connection.execute(update(pairing).where(pairing.c.id == last.pairing_id).values(state="shown"))
    return last.duel_id


def _settled(
    ballot: Ballot, fingerprint: str, seen: dict[tuple[str, str], _Seen]
) -> Receipt | PalateError | None:
    before = seen.get((ballot.judge, ballot.key))
    if before is None:
        return None
    if before.fingerprint == fingerprint:
        return before.receipt
    return ConflictError(
        f"key {ballot.key!r} already stands for the vote {before.receipt.verdict.value!r} on duel "
        f"{before.receipt.duel_id!r}; undo that vote, then send the new one under a new key"
    )


def _refusal(ballot: Ballot, shown_to: str | None, closed: set[str]) -> PalateError | None:
    # A duel of somebody else is answered like one that never was: ids are nobody else's business.
    if shown_to != ballot.judge:
        return NotFoundError(
            f"no duel {ballot.duel_id!r} was shown to {ballot.judge!r}; load the page again for an open one"
        )
    if ballot.duel_id in closed:
        return ConflictError(
            f"duel {ballot.duel_id!r} already has a vote; undo it first if it should be another"
        )
    return None


def _vote_row(batch: Batch, ballot: Ballot, fingerprint: str) -> dict[str, Any]:
    verdict = ballot.verdict.value
    event = batch.add(
        EventKind.VOTED,
        {
            "duel_id": ballot.duel_id,
            "verdict": verdict,
            "key": ballot.key,
            "fingerprint": fingerprint,
            "seconds": ballot.seconds,
            "reason": ballot.reason,
            "comment": ballot.comment,
        },
        ballot.judge,
    )
    return {
        "seq": event.seq,
        "duel_id": ballot.duel_id,
        "judge": ballot.judge,
        "key": ballot.key,
        "fingerprint": fingerprint,
        "verdict": verdict,
        "undone": 0,
    }
