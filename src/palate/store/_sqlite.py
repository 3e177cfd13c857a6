"""A study in one SQLite file, for one server process and any number of readers."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from palate.errors import StoreError
from palate.store import _dbapi
from palate.store._backend import StoreInfo
from palate.store._engine import (
    APPLICATION_ID,
    actual_info,
    explain,
    foreign_text,
    info_for,
    make_engine,
    own_file,
    refuse_foreign,
    refuse_place,
)
from palate.store._lock import ServerLock
from palate.store._migrate import is_current, migrate
from palate.store._sqlite_backup import back_up, file_damage

__all__ = ["SqliteBackend"]


class SqliteBackend:
    """One study in one file; see :class:`palate.store._backend.Backend`.

    Args:
        path: The file, absolute.
        create: Make it if it is missing.
        exclusive: Become the one process that serves it.
        journal: ``None`` for the one that is safe and fast on the SQLite that is linked.
    """

    def __init__(self, path: Path, *, create: bool, exclusive: bool, journal: str | None = None) -> None:
        _check_place(path, create)
        self.name = str(path)
        self.title = path.stem
        self.failures: tuple[type[Exception], ...] = (DBAPIError, _dbapi.Error)
        self.path = path
        self._lock = ServerLock(path) if exclusive else None
        info = info_for(_dbapi.sqlite_version_info)
        self._info = info if journal is None else info._replace(journal=journal)
        if create:
            own_file(path)
        self.writing = make_engine(path, create=create, begin="BEGIN IMMEDIATE", journal=self._info.journal)
        self.reading = make_engine(path, create=False, begin="BEGIN", journal=self._info.journal)

    def prepare(self) -> StoreInfo:
        """Make or upgrade the tables, in one transaction."""
        with self.writing.connect() as connection, connection.begin():
            if self._needs_migration(connection):
                migrate(connection)
                connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
            return actual_info(self._info, str(connection.exec_driver_sql("PRAGMA journal_mode").scalar()))

    def lead(self) -> bool:
        """Of several processes with one file the one that serves it works on it; see ``exclusive``."""
        return True

    def give_way(self) -> None:
        """There is nobody to give way to."""

    def explain(self, error: Exception) -> StoreError:
        """Say what an error of SQLite means."""
        if isinstance(error, DBAPIError | _dbapi.Error):
            return explain(self.path, error)
        return StoreError(f"{self.name!r} cannot be used: {error}")

    def passing(self, error: Exception) -> bool:
        """Nothing passes by itself: SQLite has waited already."""
        return False

    def together(self, connection: Connection) -> AbstractContextManager[object]:
        """Nothing to gain: no statement travels anywhere."""
        return nullcontext()

    def find_damage(self, connection: Connection) -> list[str]:
        """What SQLite's own check of the file finds."""
        return file_damage(connection)

    def back_up(self, connection: Connection, target: Path) -> None:
        """Copy the file page by page."""
        back_up(self.path, connection, target)

    def close(self) -> None:
        """Let go of the file, and let the next server in."""
        self.reading.dispose()
        self.writing.dispose()
        if self._lock is not None:
            self._lock.release()

    def _needs_migration(self, connection: Connection) -> bool:
        rows = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='table'")
        tables = {row[0] for row in rows}
        if not tables:
            return True
        owner = connection.exec_driver_sql("PRAGMA application_id").scalar()
        if owner != APPLICATION_ID or "alembic_version" not in tables:
            raise StoreError(foreign_text(self.path))
        return not is_current(connection, self.name)


def _check_place(place: Path, create: bool) -> None:
    name = repr(str(place))
    if place.is_dir():
        raise StoreError(f"{name} is a folder; name the study's file in it, such as 'study.db'")
    if not place.exists() and not create:
        raise StoreError(f"there is no study at {name}; check the name, or start one with `palate init`")
    if not place.parent.is_dir():
        raise StoreError(f"there is no folder {str(place.parent)!r} for the study; make it first")
    refuse_place(place)
    refuse_foreign(place)
    # SQLite writes its journal beside the file, so the folder has to be writable too.
    for target in (place.parent, place) if place.exists() else (place.parent,):
        if not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StoreError(
                f"{str(target)!r} is read-only, so the study cannot be kept there; "
                "change that or copy it elsewhere"
            )
