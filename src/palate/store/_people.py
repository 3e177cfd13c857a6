"""What is known of raters as persons, kept apart from the events so that it can be erased.

An event names a rater by a pseudonym. The name that belongs to it and the words of comments are rows that no
hash covers directly: deleting them leaves the chain whole, and what remains is votes of nobody in particular.
"""

import secrets
from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from palate.errors import InputError, NotFoundError
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.store._events import EventKind
from palate.store._raters import stage_of

__all__ = ["new_pseudonym", "put_name", "rater_names", "remove"]

LONGEST_NAME = 200

_NAME = delete(tables.rater_name).where(tables.rater_name.c.id == bindparam("rater"))
_WORDS = delete(tables.comment).where(
    tables.comment.c.seq.in_(select(tables.vote.c.seq).where(tables.vote.c.judge == bindparam("rater")))
)
_OPEN = (
    select(tables.duel.c.id, tables.duel.c.planted, tables.duel.c.pairing_id)
    .where(tables.OPEN, tables.duel.c.judge == bindparam("rater"))
    .order_by(tables.duel.c.seq)
)
_VOTED = select(tables.vote.c.seq).where(tables.vote.c.judge == bindparam("rater")).limit(1)
_KNOWN = select(tables.rater).where(tables.rater.c.id == bindparam("rater"))


def new_pseudonym() -> str:
    """A pseudonym for a rater: ten random hexadecimal digits, which say nothing of anybody."""
    return f"rater-{secrets.token_hex(5)}"


def put_name(batch: Batch, rater: str, name: str) -> None:
    """Keep the name that belongs to a pseudonym; a later one replaces it.

    Raises:
        InputError: The name is empty or too long.
    """
    if not 0 < len(name.strip()) <= LONGEST_NAME:
        raise InputError(f"a rater's name has 1 to {LONGEST_NAME} characters, not {len(name.strip())}")
    batch.connection.execute(_NAME, {"rater": rater})
    written = name.strip().encode("utf-8", "surrogatepass")
    batch.connection.execute(insert(tables.rater_name), {"id": rater, "name": written})


def rater_names(connection: Connection) -> Mapping[str, str]:
    """The names that are known, by pseudonym."""
    rows = connection.execute(select(tables.rater_name).order_by(tables.rater_name.c.id))
    return {row.id: row.name.decode("utf-8", "surrogatepass") for row in rows}


def remove(batch: Batch, rater: str, votes: str, actor: str) -> None:
    """Erase a rater's name and comments, let go of what is open to him, and keep or drop his votes.

    Raises:
        InputError: ``votes`` is neither ``"keep"`` nor ``"drop"``.
        NotFoundError: No such rater, or removed already.
    """
    if votes not in ("keep", "drop"):
        raise InputError(f"a removed rater's votes are 'keep' or 'drop', not {votes!r:.80}")
    connection = batch.connection
    asked = {"rater": rater}
    known = connection.execute(_KNOWN, asked).first()
    unheard = connection.execute(_VOTED, asked).first() is None
    if (known is None and unheard) or (known is not None and known.removed):
        raise NotFoundError(f"no rater {rater!r} to remove; `palate raters` lists them")
    for duel in connection.execute(_OPEN, asked).all():
        event = batch.add(EventKind.LEASE_EXPIRED, {"duel_id": duel.id}, "palate")
        table = tables.duel
        connection.execute(
            update(table).where(table.c.id == duel.id).values(open=0, reopened=0, expired=event.seq)
        )
        if not duel.planted:
            _let_go(connection, duel.pairing_id)
    event = batch.add(EventKind.RATER_REMOVED, {"rater": rater, "votes": votes}, actor)
    connection.execute(delete(tables.rater).where(tables.rater.c.id == rater))
    group = "" if known is None else known.assigned
    row = {"id": rater, "seq": event.seq, "assigned": group, "removed": votes}
    connection.execute(insert(tables.rater), row)
    # SQLite would leave the bytes of deleted rows in the file until something else needs the room.
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    connection.execute(_NAME, asked)
    connection.execute(_WORDS, asked)
    if sqlite:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")


def _let_go(connection: Connection, pairing_id: str) -> None:
    table = tables.pairing
    row = connection.execute(select(table).where(table.c.id == pairing_id)).one()
    state = stage_of(row.wanted, row.given, row.held - 1)
    connection.execute(update(table).where(table.c.id == pairing_id).values(held=row.held - 1, state=state))
