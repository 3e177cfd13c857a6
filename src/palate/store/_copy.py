"""Everything that a study holds, from one database into another, row by row as it is."""

from sqlalchemy import Connection, func, insert, select

from palate.errors import ConflictError
from palate.store import _schema as tables

__all__ = ["copy_rows"]

_ROWS = 500


def copy_rows(source: Connection, target: Connection) -> int:
    """Copy every table into empty ones.

    Returns:
        How many events were copied.

    Raises:
        ConflictError: The target is not empty.
    """
    for table in tables.metadata.sorted_tables:
        if target.execute(select(table).limit(1)).first() is not None:
            raise ConflictError("the study to be filled is not empty; give the copy a name of its own")
    for table in tables.metadata.sorted_tables:
        rows = source.execute(select(table).execution_options(yield_per=_ROWS))
        for part in rows.mappings().partitions():
            target.execute(insert(table), [dict(row) for row in part])
    return target.execute(select(func.coalesce(func.max(tables.event.c.seq), 0))).scalar_one()
