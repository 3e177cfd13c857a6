"""Votes and undoes: what is accepted, once, and what is refused.

The key that the browser minted decides first: a repeat gets its first answer, whatever has happened since,
because the reply may have been lost on the way and not the vote. Then the duel decides: one vote counts.
A vote whose lease has ended is taken like any other; when its pairing has all the votes it wanted, it is kept
as surplus.

The words of a comment lie beside the chain of events, under a salt of their own, so that they can be erased:

    fingerprint in the event = SHA-256(JSON([fingerprint of the ballot, salt]))
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, bindparam, insert, select, update

from palate.errors import ConflictError, InputError, NotFoundError, PalateError
from palate.store import _schema as tables
from palate.store._assign import current_setup
from palate.store._batch import Batch
from palate.store._events import EventKind
from palate.store._raters import lease_end, stage_of
from palate.types import Ballot, Receipt, Verdict, digest

__all__ = ["cast_votes", "check_ballot", "last_duel", "undo_last"]

LONGEST_KEY = 200
LONGEST_COMMENT = 20_000


class _Seen(NamedTuple):
    fingerprint: str
    salt: str | None
    receipt: Receipt


class _Standing(NamedTuple):
    """How far a pairing has come."""

    wanted: int
    given: int
    held: int


_KNOWN_KEYS = (
    select(tables.vote, tables.comment.c.salt)
    .outerjoin(tables.comment, tables.comment.c.seq == tables.vote.c.seq)
    .where(tables.vote.c.key.in_(bindparam("keys", expanding=True)))
)
_DUELS = (
    select(
        tables.duel.c.id,
        tables.duel.c.judge,
        tables.duel.c.pairing_id,
        tables.duel.c.open,
        tables.duel.c.expired,
        tables.duel.c.planted,
        tables.pairing.c.wanted,
        tables.pairing.c.given,
        tables.pairing.c.held,
    )
    .join(tables.pairing, tables.pairing.c.id == tables.duel.c.pairing_id)
    .where(tables.duel.c.id.in_(bindparam("ids", expanding=True)))
)
_REMOVED = select(tables.rater.c.id, tables.rater.c.removed).where(
    tables.rater.c.id.in_(bindparam("raters", expanding=True)), tables.rater.c.removed != ""
)
_CLOSE_DUELS = (
    update(tables.duel)
    .where(tables.duel.c.id.in_(bindparam("which", expanding=True)))
    .values(open=0, reopened=0)
)
# Of its own, so that the usual vote leaves the index of expired duels alone.
_NO_LONGER_EXPIRED = (
    update(tables.duel).where(tables.duel.c.id.in_(bindparam("which", expanding=True))).values(expired=0)
)
_PAIRINGS_MOVED = (
    update(tables.pairing)
    .where(tables.pairing.c.id.in_(bindparam("which", expanding=True)))
    .values(given=bindparam("now_given"), held=bindparam("now_held"), state=bindparam("now_state"))
)
_LAST_VOTE = (
    select(
        tables.vote.c.seq,
        tables.vote.c.duel_id,
        tables.vote.c.surplus,
        tables.duel.c.planted,
        tables.duel.c.pairing_id,
        tables.pairing.c.wanted,
        tables.pairing.c.given,
        tables.pairing.c.held,
    )
    .join(tables.duel, tables.duel.c.id == tables.vote.c.duel_id)
    .join(tables.pairing, tables.pairing.c.id == tables.duel.c.pairing_id)
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
    seen = {
        (row.judge, row.key): _Seen(
            row.fingerprint, row.salt, Receipt(row.seq, row.duel_id, Verdict(row.verdict), True)
        )
        for row in connection.execute(_KNOWN_KEYS, {"keys": [ballot.key for ballot, _ in ballots]})
    }
    ids = [ballot.duel_id for ballot, _ in ballots]
    duels: dict[str, Any] = {row.id: row for row in connection.execute(_DUELS, {"ids": ids})}
    removed = _removed(batch, duels)
    judges = {row.id: row.judge for row in duels.values() if row.judge not in removed}
    closed = {row.id for row in duels.values() if not row.open and not row.expired}
    counting = _Counting(batch, duels)
    outcomes: list[Receipt | PalateError] = []
    for ballot, fingerprint in ballots:
        outcome = _settled(ballot, fingerprint, seen) or _refusal(ballot, judges.get(ballot.duel_id), closed)
        if outcome is None:
            salt = None if ballot.comment is None else secrets.token_hex(16)
            if salt is not None:
                fingerprint = _salted(fingerprint, salt)
            outcome = counting.take(ballot, fingerprint, salt)
            seen[ballot.judge, ballot.key] = _Seen(fingerprint, salt, outcome._replace(replayed=True))
            closed.add(ballot.duel_id)
        outcomes.append(outcome)
    counting.write()
    return outcomes


class _Counting:
    """The votes of one transaction, and what they make of their pairings."""

    def __init__(self, batch: Batch, duels: Mapping[str, Any]) -> None:
        self._batch = batch
        self._duels = duels
        self._votes: list[dict[str, Any]] = []
        self._comments: list[dict[str, Any]] = []
        self._late: list[str] = []
        self._moved: dict[str, _Standing] = {}

    def take(self, ballot: Ballot, fingerprint: str, salt: str | None) -> Receipt:
        """Accept one vote."""
        row = _vote_row(self._batch, ballot, fingerprint, apart=salt is not None)
        duel = self._duels[ballot.duel_id]
        if duel.expired:
            self._late.append(duel.id)
        surplus = False
        if not duel.planted:
            now = self._moved.get(duel.pairing_id) or _Standing(duel.wanted, duel.given, duel.held)
            surplus = now.given >= now.wanted
            self._moved[duel.pairing_id] = _Standing(
                now.wanted, now.given + (not surplus), now.held - (not duel.expired)
            )
        self._votes.append({**row, "surplus": int(surplus)})
        if salt is not None and ballot.comment is not None:
            words = ballot.comment.encode("utf-8", "surrogatepass")
            self._comments.append({"seq": row["seq"], "salt": salt, "words": words})
        return Receipt(row["seq"], ballot.duel_id, ballot.verdict, False)

    def write(self) -> None:
        """Write them down."""
        if not self._votes:
            return
        groups: dict[tuple[int, int, str], list[str]] = {}
        for pairing_id, now in self._moved.items():
            groups.setdefault((now.given, now.held, stage_of(*now)), []).append(pairing_id)
        batch, connection = self._batch, self._batch.connection
        with batch.together():
            batch.flush()
            connection.execute(insert(tables.vote), self._votes)
            connection.execute(_CLOSE_DUELS, {"which": [row["duel_id"] for row in self._votes]})
            for (given, held, state), which in groups.items():
                connection.execute(
                    _PAIRINGS_MOVED,
                    {"which": which, "now_given": given, "now_held": held, "now_state": state},
                )
            if self._late:
                connection.execute(_NO_LONGER_EXPIRED, {"which": self._late})
            if self._comments:
                connection.execute(insert(tables.comment), self._comments)


def last_duel(connection: Connection, judge: str) -> str | None:
    """The duel of a judge's last vote that still counts, or ``None``."""
    last = connection.execute(_LAST_VOTE, {"judge": judge}).first()
    return None if last is None else last.duel_id


def undo_last(batch: Batch, judge: str) -> str | None:
    """Take back a judge's last vote that still counts; returns its duel, open again, or ``None``."""
    connection = batch.connection
    last = connection.execute(_LAST_VOTE, {"judge": judge}).first()
    if last is None or connection.execute(_REMOVED, {"raters": [judge]}).first() is not None:
        return None
    until = lease_end(batch.now(), current_setup(connection).rules.lease)
    payload = {"vote_seq": last.seq, "duel_id": last.duel_id, "until": until}
    event = batch.add(EventKind.UNDONE, payload, judge)
    vote, duel = tables.vote, tables.duel
    connection.execute(update(vote).where(vote.c.seq == last.seq).values(undone=event.seq))
    connection.execute(
        update(duel).where(duel.c.id == last.duel_id).values(open=1, reopened=event.seq, until=until)
    )
    if not last.planted:
        given, held = last.given - (not last.surplus), last.held + 1
        state = stage_of(last.wanted, given, held)
        connection.execute(
            _PAIRINGS_MOVED,
            {"which": [last.pairing_id], "now_given": given, "now_held": held, "now_state": state},
        )
    return last.duel_id


def _removed(batch: Batch, duels: Mapping[str, Any]) -> set[str]:
    """The removed raters among those who vote late: all that was open to a removed one has been let go."""
    late = {row.judge for row in duels.values() if row.expired}
    if not late:
        return set()
    return set(batch.connection.execute(_REMOVED, {"raters": sorted(late)}).scalars())


def _salted(fingerprint: str, salt: str) -> str:
    return digest([fingerprint, salt])


def _settled(
    ballot: Ballot, fingerprint: str, seen: dict[tuple[str, str], _Seen]
) -> Receipt | PalateError | None:
    before = seen.get((ballot.judge, ballot.key))
    if before is None:
        return None
    if before.fingerprint == (fingerprint if before.salt is None else _salted(fingerprint, before.salt)):
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


def _vote_row(batch: Batch, ballot: Ballot, fingerprint: str, *, apart: bool) -> dict[str, Any]:
    verdict = ballot.verdict.value
    payload: dict[str, Any] = {
        "duel_id": ballot.duel_id,
        "verdict": verdict,
        "key": ballot.key,
        "fingerprint": fingerprint,
        "seconds": ballot.seconds,
        "reason": ballot.reason,
        "comment": None,
    }
    event = batch.add(EventKind.VOTED, {**payload, "apart": True} if apart else payload, ballot.judge)
    return {
        "seq": event.seq,
        "duel_id": ballot.duel_id,
        "judge": ballot.judge,
        "key": ballot.key,
        "fingerprint": fingerprint,
        "verdict": verdict,
        "undone": 0,
    }
