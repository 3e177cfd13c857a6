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

event = Table(
    "event",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("actor", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("hash", String(64), nullable=False),
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
    Column("id", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("input_id", Text, nullable=False),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
    Column("first_response", String(64), nullable=False),
    Column("second_response", String(64), nullable=False),
    Column("state", String(10), nullable=False),
    Index("pairing_waiting", "state", "seq"),
)

# reopened: seq of the undo that opened it again, 0 otherwise; the last one undone is shown first.
duel = Table(
    "duel",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("pairing_id", Text, nullable=False),
    Column("judge", Text, nullable=False),
    Column("swapped", Integer, nullable=False),
    Column("guideline_version", String(64), nullable=False),
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
    Column("duel_id", Text, nullable=False),
    Column("judge", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("verdict", String(10), nullable=False),
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
    Column("hash", String(64), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

response = Table(
    "response",
    metadata,
    Column("request_key", Text, primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cost", Float, nullable=True),
    Index("response_hash", "hash"),
)

completion = Table(
    "completion",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# Only the newest row keeps its payload; the older ones are the curve.
belief = Table(
    "belief",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("votes", Integer, nullable=False),
    Column("best", Text, nullable=False),
    Column("p_best", Float, nullable=False),
    Column("win_rate", Float, nullable=False),
    Column("payload", Text, nullable=True),
)
