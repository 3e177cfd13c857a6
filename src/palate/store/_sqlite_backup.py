"""Copying a study's file while it is in use, and whether a file is sound."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from palate.errors import StoreError
from palate.store import _dbapi
from palate.store._engine import explain, make_engine, own_file, refuse_place
from palate.store._verify import find_problems

__all__ = ["back_up", "check_target", "file_damage", "sync_folder"]


def back_up(source: Path, connection: Connection, target: Path) -> None:
    """Copy the file page by page into a temporary one, check that, and give it its name.

    Raises:
        StoreError: The target cannot be written, or the copy does not verify.
    """
    if target == source or (target.exists() and target.samefile(source)):
        raise StoreError(f"{str(target)!r} is the study itself; name another file for the backup")
    check_target(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _copy(connection, draft)
        problems = _problems_of(draft)
        if problems:
            raise StoreError(f"the copy of {str(source)!r} does not verify: {problems[0]}")
        draft.replace(target)
        sync_folder(target.parent)
    except (_dbapi.Error, apsw.Error) as error:
        raise explain(
            target, error if isinstance(error, _dbapi.Error) else _dbapi.translated(error)
        ) from error
    finally:
        for leftover in (draft, draft.with_name(draft.name + "-journal")):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)


def _copy(connection: Connection, draft: Path) -> None:
    source: Any = connection.connection.dbapi_connection
    own_file(draft)
    target = _dbapi.connect(str(draft))
    try:
        with target.handle.backup("main", source.handle, "main") as copy:
            while not copy.done:
                copy.step(-1)
        # One plain file, with no WAL beside it that could be forgotten.
        target.handle.execute("PRAGMA journal_mode=DELETE")
    finally:
        target.close()
    with draft.open("rb+") as file:
        os.fsync(file.fileno())


def _problems_of(draft: Path) -> list[str]:
    engine = make_engine(draft, create=False, begin="BEGIN", journal="delete")
    try:
        return find_problems(engine.connect, file_damage)
    except DBAPIError as error:
        return [str(explain(draft, error))]
    finally:
        engine.dispose()


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power cut, where the system lets folders be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_damage(connection: Connection) -> list[str]:
    """What SQLite's own check of the file finds."""
    sound = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
    return [] if sound == ["ok"] else [f"the file is damaged: {line}" for line in sound]


def check_target(target: Path) -> None:
    """Refuse a place where no file can be made.

    Raises:
        StoreError: It is a folder, or in none, or on a network file system.
    """
    refuse_place(target)
    if target.is_dir() or not target.parent.is_dir():
        raise StoreError(f"{str(target)!r} cannot be written: it is a folder, or its folder is missing")
