"""The tables, as SQLAlchemy Core sees them. ``migrations/`` makes them; a test holds the two together.

``event`` is the truth. ``pairing``, ``duel`` and ``vote`` are projections of it: they carry the constraints
(one vote per judge and key, one effective vote per duel) and answer the questions that the page asks, and
``palate verify`` rebuilds and compares them. ``text``, ``response`` and ``completion`` hold what was paid
for; ``belief`` holds what was computed and could be computed again.
"""

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy import text as sql
from sqlalchemy.types import TypeEngine

__all__ = [
    "COUNTS",
    "OPEN",
    "SETUP",
    "belief",
    "completion",
    "duel",
    "event",
    "metadata",
    "pairing",
    "response",
    "text",
    "vote",
]

metadata = MetaData()

# SQLite takes a partial index only if the query holds the very same condition, with no bound parameter.
SETUP = sql("event.kind NOT IN ('voted', 'duel_shown', 'undone', 'pairing_opened')")
OPEN = sql("duel.open = 1")
COUNTS = sql("vote.undone = 0")


def _text(length: int | None = None) -> TypeEngine[str]:
    """A text that sorts by its code points in every database, as SQLite does of itself."""
    kind = Text if length is None else String
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


event = Table(
    "event",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", _text(40), nullable=False),
    Column("kind", _text(40), nullable=False),
    Column("actor", _text(), nullable=False),
    Column("payload", _text(), nullable=False),
    Column("hash", _text(64), nullable=False),
    # Votes and duels are most of the rows and nobody looks them up by kind.
    Index(
        "event_setup",
        "kind",
        "seq",
        sqlite_where=sql("kind NOT IN ('voted', 'duel_shown', 'undone', 'pairing_opened')"),
        postgresql_where=sql("kind NOT IN ('voted', 'duel_shown', 'undone', 'pairing_opened')"),
    ),
)

# state: ready (nobody has seen it), shown (a duel on it is open), voted, withdrawn.
pairing = Table(
    "pairing",
    metadata,
    Column("id", _text(), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("input_id", _text(), nullable=False),
    Column("first", _text(), nullable=False),
    Column("second", _text(), nullable=False),
    Column("first_response", _text(64), nullable=False),
    Column("second_response", _text(64), nullable=False),
    Column("state", _text(10), nullable=False),
    Index("pairing_waiting", "state", "seq"),
)

# reopened: seq of the undo that opened it again, 0 otherwise; the last one undone is shown first.
duel = Table(
    "duel",
    metadata,
    Column("id", _text(), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("pairing_id", _text(), nullable=False),
    Column("judge", _text(), nullable=False),
    Column("swapped", Integer, nullable=False),
    Column("guideline_version", _text(64), nullable=False),
    Column("open", Integer, nullable=False),
    Column("reopened", Integer, nullable=False),
    Index(
        "duel_open",
        "judge",
        "reopened",
        "seq",
        sqlite_where=sql("open = 1"),
        postgresql_where=sql("open = 1"),
    ),
)

# undone: seq of the undo that took it back, 0 while it counts.
vote = Table(
    "vote",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("duel_id", _text(), nullable=False),
    Column("judge", _text(), nullable=False),
    Column("key", _text(), nullable=False),
    Column("fingerprint", _text(64), nullable=False),
    Column("verdict", _text(10), nullable=False),
    Column("undone", Integer, nullable=False),
    Index("vote_once", "key", "judge", unique=True),
    Index(
        "vote_one_per_duel",
        "duel_id",
        unique=True,
        sqlite_where=sql("undone = 0"),
        postgresql_where=sql("undone = 0"),
    ),
    Index("vote_latest", "judge", "seq", sqlite_where=sql("undone = 0"), postgresql_where=sql("undone = 0")),
)

# Bytes, not text: models do produce lone surrogates and NULs, and what was shown must come back exactly.
text = Table(
    "text",
    metadata,
    Column("hash", _text(64), primary_key=True),
    Column("kind", _text(10), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

response = Table(
    "response",
    metadata,
    Column("request_key", _text(), primary_key=True),
    Column("hash", _text(64), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cost", Float, nullable=True),
    Index("response_hash", "hash"),
)

completion = Table(
    "completion",
    metadata,
    Column("key", _text(), primary_key=True),
    Column("value", _text(), nullable=False),
)

# Only the newest row keeps its payload; the older ones are the curve.
belief = Table(
    "belief",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("votes", Integer, nullable=False),
    Column("best", _text(), nullable=False),
    Column("p_best", Float, nullable=False),
    Column("win_rate", Float, nullable=False),
    Column("payload", _text(), nullable=True),
)
