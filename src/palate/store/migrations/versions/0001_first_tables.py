"""The first tables.

Written out in full rather than taken from ``_schema.py``: a migration must mean the same for ever.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _partial(name: str, table: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """Create every table and index."""
    _events()
    _projections()
    _paid_and_computed()


def _events() -> None:
    op.create_table(
        "event",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    rare = "kind NOT IN ('voted', 'duel_shown', 'undone', 'pairing_opened')"
    _partial("event_setup", "event", ["kind", "seq"], rare)


def _projections() -> None:
    op.create_table(
        "pairing",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("input_id", sa.Text, nullable=False),
        sa.Column("first", sa.Text, nullable=False),
        sa.Column("second", sa.Text, nullable=False),
        sa.Column("first_response", sa.String(64), nullable=False),
        sa.Column("second_response", sa.String(64), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
    )
    op.create_index("pairing_waiting", "pairing", ["state", "seq"])
    op.create_table(
        "duel",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("pairing_id", sa.Text, nullable=False),
        sa.Column("judge", sa.Text, nullable=False),
        sa.Column("swapped", sa.Integer, nullable=False),
        sa.Column("guideline_version", sa.String(64), nullable=False),
        sa.Column("open", sa.Integer, nullable=False),
        sa.Column("reopened", sa.Integer, nullable=False),
    )
    _partial("duel_open", "duel", ["judge", "reopened", "seq"], "open = 1")
    op.create_table(
        "vote",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("duel_id", sa.Text, nullable=False),
        sa.Column("judge", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("undone", sa.Integer, nullable=False),
    )
    op.create_index("vote_once", "vote", ["key", "judge"], unique=True)
    _partial("vote_one_per_duel", "vote", ["duel_id"], "undone = 0", unique=True)
    _partial("vote_latest", "vote", ["judge", "seq"], "undone = 0")


def _paid_and_computed() -> None:
    op.create_table(
        "text",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "response",
        sa.Column("request_key", sa.Text, primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("cost", sa.Float, nullable=True),
    )
    op.create_index("response_hash", "response", ["hash"])
    op.create_table(
        "completion",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "belief",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("votes", sa.Integer, nullable=False),
        sa.Column("best", sa.Text, nullable=False),
        sa.Column("p_best", sa.Float, nullable=False),
        sa.Column("win_rate", sa.Float, nullable=False),
        sa.Column("payload", sa.Text, nullable=True),
    )
