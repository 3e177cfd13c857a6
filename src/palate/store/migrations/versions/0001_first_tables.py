"""The first tables.

Written out in full rather than taken from ``_schema.py``: a migration must mean the same for ever.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _partial(name: str, table: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _text(length: int | None = None) -> TypeEngine[str]:
    kind = sa.Text if length is None else sa.String
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Create every table and index."""
    _events()
    _projections()
    _paid_and_computed()


def _events() -> None:
    op.create_table(
        "event",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", _text(40), nullable=False),
        sa.Column("kind", _text(40), nullable=False),
        sa.Column("actor", _text(), nullable=False),
        sa.Column("payload", _text(), nullable=False),
        sa.Column("hash", _text(64), nullable=False),
    )
    rare = "kind NOT IN ('voted', 'duel_shown', 'undone', 'pairing_opened')"
    _partial("event_setup", "event", ["kind", "seq"], rare)


def _projections() -> None:
    op.create_table(
        "pairing",
        sa.Column("id", _text(), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("input_id", _text(), nullable=False),
        sa.Column("first", _text(), nullable=False),
        sa.Column("second", _text(), nullable=False),
        sa.Column("first_response", _text(64), nullable=False),
        sa.Column("second_response", _text(64), nullable=False),
        sa.Column("state", _text(10), nullable=False),
    )
    op.create_index("pairing_waiting", "pairing", ["state", "seq"])
    op.create_table(
        "duel",
        sa.Column("id", _text(), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("pairing_id", _text(), nullable=False),
        sa.Column("judge", _text(), nullable=False),
        sa.Column("swapped", sa.Integer, nullable=False),
        sa.Column("guideline_version", _text(64), nullable=False),
        sa.Column("open", sa.Integer, nullable=False),
        sa.Column("reopened", sa.Integer, nullable=False),
    )
    _partial("duel_open", "duel", ["judge", "reopened", "seq"], "open = 1")
    op.create_table(
        "vote",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("duel_id", _text(), nullable=False),
        sa.Column("judge", _text(), nullable=False),
        sa.Column("key", _text(), nullable=False),
        sa.Column("fingerprint", _text(64), nullable=False),
        sa.Column("verdict", _text(10), nullable=False),
        sa.Column("undone", sa.Integer, nullable=False),
    )
    op.create_index("vote_once", "vote", ["key", "judge"], unique=True)
    _partial("vote_one_per_duel", "vote", ["duel_id"], "undone = 0", unique=True)
    _partial("vote_latest", "vote", ["judge", "seq"], "undone = 0")


def _paid_and_computed() -> None:
    op.create_table(
        "text",
        sa.Column("hash", _text(64), primary_key=True),
        sa.Column("kind", _text(10), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "response",
        sa.Column("request_key", _text(), primary_key=True),
        sa.Column("hash", _text(64), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("cost", sa.Float, nullable=True),
    )
    op.create_index("response_hash", "response", ["hash"])
    op.create_table(
        "completion",
        sa.Column("key", _text(), primary_key=True),
        sa.Column("value", _text(), nullable=False),
    )
    op.create_table(
        "belief",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("votes", sa.Integer, nullable=False),
        sa.Column("best", _text(), nullable=False),
        sa.Column("p_best", sa.Float, nullable=False),
        sa.Column("win_rate", sa.Float, nullable=False),
        sa.Column("payload", _text(), nullable=True),
    )
