"""A study that lies on a server, copied into a file."""

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection

from palate.errors import StoreError
from palate.store._copy import copy_rows
from palate.store._sqlite import SqliteBackend
from palate.store._sqlite_backup import check_target, sync_folder
from palate.store._verify import find_problems

__all__ = ["back_up"]


def back_up(connection: Connection, target: Path) -> None:
    """Copy every row into an SQLite file, check that, and give it its name.

    Raises:
        StoreError: The target cannot be written, or the copy does not verify.
    """
    check_target(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _write(connection, draft)
        draft.replace(target)
        sync_folder(target.parent)
    finally:
        for ending in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                draft.with_name(draft.name + ending).unlink(missing_ok=True)


def _write(connection: Connection, draft: Path) -> None:
    copy = SqliteBackend(draft, create=True, exclusive=False, journal="delete")
    try:
        copy.prepare()
        with copy.writing.connect() as written, written.begin():
            copy_rows(connection, written)
        problems = find_problems(copy.reading.connect, copy.find_damage)
    except copy.failures as error:
        raise copy.explain(error) from error
    finally:
        copy.close()
    if problems:
        raise StoreError(f"the copy does not verify: {problems[0]}")
