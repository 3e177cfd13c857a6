"""A DB-API 2.0 face on ``apsw``, so that SQLAlchemy can drive the SQLite that apsw brings along.

The standard library's ``sqlite3`` links whatever SQLite the Python was built with, and most of those have
the WAL-reset bug (see :mod:`palate.store._engine`); apsw's wheels carry a fixed one. SQLAlchemy takes any
DB-API module through ``create_engine(module=…)``; this is the smallest one that it accepts.

Left out on purpose: no implicit ``BEGIN`` (the caller says which kind of transaction it wants), no type
adapters (the schema holds integers, text and bytes only).
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw

__all__ = [
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "apilevel",
    "connect",
    "paramstyle",
    "sqlite_version_info",
    "threadsafety",
    "translated",
]

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"
Binary = bytes
sqlite_version_info = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))


class Error(Exception):
    """Base of the DB-API family. ``code`` is SQLite's primary result code, 0 when there is none."""

    def __init__(self, message: str = "", code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class InterfaceError(Error):
    """The driver was misused."""


class DatabaseError(Error):
    """SQLite reported an error."""


class DataError(DatabaseError):
    """A value does not fit."""


class OperationalError(DatabaseError):
    """The file, the disk or a lock is in the way."""


class IntegrityError(DatabaseError):
    """A constraint was violated."""


class InternalError(DatabaseError):
    """SQLite is confused."""


class ProgrammingError(DatabaseError):
    """The SQL or its use is wrong."""


class NotSupportedError(DatabaseError):
    """SQLite cannot do that."""


def translated(error: apsw.Error) -> Error:
    """The DB-API error that stands for one of apsw's."""
    kind: type[Error] = OperationalError
    if isinstance(error, apsw.ConstraintError):
        kind = IntegrityError
    elif isinstance(error, apsw.SQLError | apsw.BindingsError | apsw.MisuseError):
        kind = ProgrammingError
    elif isinstance(error, apsw.ConnectionClosedError):
        return ProgrammingError("Cannot operate on a closed database.")
    return kind(f"{type(error).__name__}: {error}", getattr(error, "result", 0) & 0xFF)


class Cursor:
    """One statement at a time on a connection."""

    arraysize = 1

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.description: Sequence[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._cursor = connection.handle.cursor()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "Cursor":
        """Run one statement."""
        self.description = None
        # apsw forgets the columns of a statement that turned out to have no rows; the trace sees them first.
        self._cursor.exec_trace = self._note_columns
        try:
            self._cursor.execute(sql, parameters)
        except apsw.Error as error:
            raise translated(error) from error
        handle = self.connection.handle
        self.rowcount = handle.changes() if self.description is None else -1
        self.lastrowid = handle.last_insert_rowid()
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> "Cursor":
        """Run one statement for each row of parameters."""
        self.description = None
        self._cursor.exec_trace = None
        before = self.connection.handle.total_changes()
        try:
            self._cursor.executemany(sql, parameters)
        except apsw.Error as error:
            raise translated(error) from error
        self.rowcount = self.connection.handle.total_changes() - before
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or ``None``."""
        try:
            return self._cursor.fetchone()
        except apsw.Error as error:
            raise translated(error) from error

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Up to ``size`` further rows."""
        wanted = self.arraysize if size is None else size
        rows: list[Any] = []
        while len(rows) < wanted and (row := self.fetchone()) is not None:
            rows.append(row)
        return rows

    def fetchall(self) -> list[Any]:
        """All further rows."""
        try:
            return self._cursor.fetchall()
        except apsw.Error as error:
            raise translated(error) from error

    def close(self) -> None:
        """Let go of the statement."""
        self._cursor.close(force=True)

    def _note_columns(self, cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        columns = cursor.get_description()
        if columns:
            self.description = [(name, None, None, None, None, None, None) for name, *_ in columns]
        return True


class Connection:
    """A connection; ``handle`` is apsw's own, for what DB-API does not know (online backup)."""

    def __init__(self, path: str, flags: int, vfs: str | None) -> None:
        try:
            self.handle = apsw.Connection(path, flags=flags, vfs=vfs)
        except apsw.Error as error:
            raise translated(error) from error
        # SQLAlchemy reads and sets this name; transactions are always begun in words here.
        self.isolation_level: str | None = ""

    def cursor(self) -> Cursor:
        """A fresh cursor."""
        try:
            return Cursor(self)
        except apsw.Error as error:
            raise translated(error) from error

    def commit(self) -> None:
        """End the transaction, if there is one, and keep it."""
        self._end("COMMIT")

    def rollback(self) -> None:
        """End the transaction, if there is one, and forget it."""
        self._end("ROLLBACK")

    def close(self) -> None:
        """Close the file.

        Closing tidies up; what a failing disk leaves undone of that, the next opening does.
        """
        with contextlib.suppress(apsw.Error):
            self.handle.close(force=True)

    def leave_log(self, *, leave: bool) -> None:
        """Whether closing leaves a write-ahead log beside the file as it is, instead of working it in."""
        self.handle.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(leave))

    def create_function(
        self, name: str, arguments: int, function: Callable[..., Any], *, deterministic: bool = False
    ) -> None:
        """Make a Python function callable from SQL."""
        self.handle.create_scalar_function(name, function, arguments, deterministic=deterministic)

    def _end(self, how: str) -> None:
        try:
            if self.handle.in_transaction:
                self.handle.execute(how)
        except apsw.Error as error:
            raise translated(error) from error


def connect(path: str, *, create: bool = True, vfs: str | None = None) -> Connection:
    """Open a database file.

    Args:
        path: The file.
        create: Whether to make it if it is missing.
        vfs: Name of a registered file layer; the system's own when ``None``. Fault tests bring one.

    Raises:
        Error: SQLite cannot open it.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    return Connection(path, flags, vfs)
