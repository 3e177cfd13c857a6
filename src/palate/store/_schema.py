"""The tables, as SQLAlchemy Core sees them. ``migrations/`` makes them; a test holds the two together.

``event`` is the truth. ``pairing``, ``duel``, ``vote`` and ``rater`` are projections of it: they carry the
constraints (one vote per judge and key, one effective vote per duel, one duel per judge and pairing) and
answer the questions that the page asks, and ``palate verify`` rebuilds and compares them. ``text``,
``response`` and ``completion`` hold what was paid for; ``belief`` holds what was computed and could be
computed again; ``rater_name`` and ``comment`` hold what people may ask to have erased.
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
    "comment",
    "completion",
    "duel",
    "event",
    "metadata",
    "pairing",
    "rater",
    "rater_name",
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

# state: ready (somebody else can be shown it), shown (open duels will give what it wants), voted, withdrawn;
# it follows from wanted (votes), given (votes that count towards them) and held (open duels whose lease
# stands). assigned: the group whose raters are shown it; empty for everybody. state gold: a known answer.
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
    Column("wanted", Integer, nullable=False, server_default="1"),
    Column("given", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("assigned", _text(), nullable=False, server_default=""),
    Index("pairing_waiting", "state", "seq"),
)

# reopened: seq of the undo that opened it again, 0 otherwise; the last one undone is shown first.
# until: when the lease ends, ISO 8601 in UTC. expired: seq of the event that let somebody else have its
# place, 0 otherwise and once it has a vote. planted: empty, gold or repeat.
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
    Column("until", _text(40), nullable=False, server_default=""),
    Column("expired", Integer, nullable=False, server_default="0"),
    Column("planted", _text(10), nullable=False, server_default=""),
    Index("duel_once", "pairing_id", "judge", "planted", unique=True),
    Index(
        "duel_expired",
        "judge",
        "seq",
        sqlite_where=sql("expired > 0"),
        postgresql_where=sql("expired > 0"),
    ),
    Index(
        "duel_open",
        "judge",
        "reopened",
        "seq",
        sqlite_where=sql("open = 1"),
        postgresql_where=sql("open = 1"),
    ),
)

# undone: seq of the undo that took it back, 0 while it counts. surplus: 1 if its pairing had all it wanted.
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
    Column("surplus", Integer, nullable=False, server_default="0"),
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

# assigned: the rater's group. removed: empty, or what became of the votes: keep or drop.
rater = Table(
    "rater",
    metadata,
    Column("id", _text(), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("assigned", _text(), nullable=False),
    Column("removed", _text(10), nullable=False),
)

# What a rater can have erased is in no event: the name, and the words of comments. The salt keeps anybody
# from trying guesses against the fingerprint that the event of the vote holds.
rater_name = Table(
    "rater_name",
    metadata,
    Column("id", _text(), primary_key=True),
    Column("name", LargeBinary, nullable=False),
)

comment = Table(
    "comment",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("salt", _text(32), nullable=False),
    Column("words", LargeBinary, nullable=False),
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
