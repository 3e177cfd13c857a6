"""Many raters: votes that a pairing wants, leases, planted duels, raters, and what can be erased of them.

Written out in full rather than taken from ``_schema.py``: a migration must mean the same for ever.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(length: int | None = None) -> TypeEngine[str]:
    kind = sa.Text if length is None else sa.String
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns, say what they hold for what there is, and make the new tables."""
    for table, column in (
        ("pairing", sa.Column("wanted", sa.Integer, nullable=False, server_default="1")),
        ("pairing", sa.Column("given", sa.Integer, nullable=False, server_default="0")),
        ("pairing", sa.Column("held", sa.Integer, nullable=False, server_default="0")),
        ("pairing", sa.Column("assigned", _text(), nullable=False, server_default="")),
        ("duel", sa.Column("until", _text(40), nullable=False, server_default="")),
        ("duel", sa.Column("expired", sa.Integer, nullable=False, server_default="0")),
        ("duel", sa.Column("planted", _text(10), nullable=False, server_default="")),
        ("vote", sa.Column("surplus", sa.Integer, nullable=False, server_default="0")),
    ):
        op.add_column(table, column)
    # A pairing had one duel, and that had one vote that counts or none.
    op.execute("UPDATE pairing SET given = 1 WHERE state = 'voted'")
    op.execute("UPDATE pairing SET held = 1 WHERE state = 'shown'")
    op.execute("UPDATE pairing SET wanted = 0 WHERE state = 'withdrawn'")
    op.create_index("duel_once", "duel", ["pairing_id", "judge", "planted"], unique=True)
    where = sa.text("expired > 0")
    op.create_index("duel_expired", "duel", ["judge", "seq"], sqlite_where=where, postgresql_where=where)
    _raters()


def _raters() -> None:
    op.create_table(
        "rater",
        sa.Column("id", _text(), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("assigned", _text(), nullable=False),
        sa.Column("removed", _text(10), nullable=False),
    )
    op.create_table(
        "rater_name",
        sa.Column("id", _text(), primary_key=True),
        sa.Column("name", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "comment",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("salt", _text(32), nullable=False),
        sa.Column("words", sa.LargeBinary, nullable=False),
    )
