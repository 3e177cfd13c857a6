"""Opening a study's file: where it lies, which journal is safe, and what an error means in plain words.

SQLite's WAL-reset bug (3.7.0 to 3.51.2, and the withdrawn 3.52.0) can lose committed transactions when one
connection writes while another checkpoints. Fixed in 3.44.6, 3.50.7 and 3.51.3 and their successors. Which
SQLite is *linked* is only known at run time, so the journal is chosen then: WAL where it is fixed, a
rollback journal otherwise; both with ``synchronous=FULL``, so that a commit is on the disk and not merely
on its way.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from palate.errors import StoreError
from palate.store import _dbapi
from palate.store._backend import StoreInfo

__all__ = [
    "APPLICATION_ID",
    "actual_info",
    "explain",
    "foreign_text",
    "info_for",
    "make_engine",
    "own_file",
    "refuse_foreign",
    "refuse_place",
    "wal_is_safe",
]

# "PALT": marks the file as ours (SQLite keeps it at byte 68).
APPLICATION_ID = 0x50414C54
# Longer than any export slice or backup of a reasonable study holds the file in rollback-journal mode.
BUSY_MS = 15_000
READERS = 8
_HEADER = 100
_OTHER_KIND = "{name} is not a Palate study: it is some other kind of file; choose another name"

_NETWORK_TYPES = frozenset(
    (
        *("nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre"),
        *("beegfs", "davfs", "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.cephfs", "fuse.davfs2"),
        *("fuse.s3fs", "fuse.gcsfuse"),
    )
)


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Whether a version of SQLite has the fix of the WAL-reset bug.

    Example:
        >>> wal_is_safe((3, 40, 1)), wal_is_safe((3, 44, 6)), wal_is_safe((3, 52, 0)), wal_is_safe((3, 53, 0))
        (False, True, False, True)
    """
    major_minor, patch = version[:2], version[2] if len(version) > 2 else 0
    if major_minor == (3, 44):
        return patch >= 6
    if major_minor == (3, 50):
        return patch >= 7
    if major_minor == (3, 51):
        return patch >= 3
    if major_minor == (3, 52):
        return patch >= 1
    return major_minor >= (3, 53)


def info_for(version: tuple[int, ...]) -> StoreInfo:
    """The journal that is safe on a version of SQLite, and why."""
    written = ".".join(map(str, version))
    if wal_is_safe(version):
        return StoreInfo(written, "wal", f"SQLite {written} has the fix of the WAL-reset bug")
    return StoreInfo(
        written,
        "truncate",
        f"SQLite {written} has the WAL-reset bug (fixed in 3.44.6, 3.50.7, 3.51.3 and from 3.53), so the "
        "slower rollback journal is used; a newer apsw brings a newer SQLite",
    )


def actual_info(wanted: StoreInfo, journal: str) -> StoreInfo:
    """What to report once the file is open: SQLite may have declined the journal that was asked for."""
    if journal == wanted.journal:
        return wanted
    why = f"SQLite kept {journal!r} where {wanted.journal!r} was asked for; just as safe"
    return wanted._replace(journal=journal, why=why)


def own_file(path: Path) -> None:
    """Make a study's file so that its owner alone can read it: names and votes of people lie in it.

    SQLite gives the files beside it the same rights. One that is there keeps the rights that it has.
    """
    with suppress(OSError):  # SQLite says better why a file cannot be made
        path.touch(0o600)


def refuse_place(path: Path, mounts: str | None = None) -> None:
    """Refuse a file on a network file system, where SQLite's locks are not to be trusted.

    Args:
        path: Where the study is or will be.
        mounts: Text of ``/proc/self/mounts``; read from there when ``None``. Other systems than Linux are
            judged by the path alone.

    Raises:
        StoreError: It lies on one.
    """
    name, kind = str(path), ""
    if name.startswith(("\\\\", "//")) and sys.platform == "win32":
        kind = "a network share"
    elif (table := _mount_table() if mounts is None else mounts) is not None:
        found = _file_system(Path(os.path.realpath(path)), table)
        kind = found if found in _NETWORK_TYPES else ""
    if kind:
        raise StoreError(
            f"{name!r} lies on a network file system ({kind}), where locks can fail and votes be lost; "
            "put the study on a local disk and copy it with `palate backup`"
        )


def refuse_foreign(path: Path) -> None:
    """Refuse a file of another kind before SQLite opens it, so that not a byte of it changes.

    Raises:
        StoreError: It is no SQLite database, or one of another program.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be read: {error.strerror}; change that") from error
    if not head:
        return
    if not head.startswith(b"SQLite format 3\0"):
        raise StoreError(_OTHER_KIND.format(name=repr(str(path))))
    page = int.from_bytes(head[16:18], "big") or 1
    # A study whose making was cut short is one page that bears no mark; its tables stand in the journal.
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID and size > (65536 if page == 1 else page):
        raise StoreError(foreign_text(path))


def foreign_text(path: Path) -> str:
    """What is wrong with a database of another program."""
    return f"{str(path)!r} is an SQLite database, but not a Palate study; choose another name for the study"


def _refuse_foreign_tables(path: Path, connection: _dbapi.Connection) -> None:
    """The same by way of SQLite, for what the first page does not tell."""
    connection.leave_log(leave=True)
    [(owner,)] = connection.cursor().execute("PRAGMA application_id").fetchall()
    [(count,)] = connection.cursor().execute("SELECT count(*) FROM sqlite_master").fetchall()
    if count and owner != APPLICATION_ID:
        raise StoreError(foreign_text(path))
    connection.leave_log(leave=False)


def _mount_table() -> str | None:
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _file_system(path: Path, mounts: str) -> str:
    best, kind = -1, ""
    for line in mounts.splitlines():
        parts = line.split()
        if len(parts) < 3:
            continue
        point = Path(parts[1].replace("\\040", " "))
        # Later mounts cover earlier ones at the same place.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), parts[2]
    return kind


def make_engine(path: Path, *, create: bool, begin: str, journal: str) -> Engine:
    """An engine on the file.

    Args:
        path: The study's file.
        create: Whether it may be made.
        begin: ``"BEGIN IMMEDIATE"`` for the writer, ``"BEGIN"`` for readers.
        journal: ``"wal"`` or ``"truncate"``; :func:`info_for` knows which.
    """
    writes = begin == "BEGIN IMMEDIATE"

    def connect() -> _dbapi.Connection:
        connection = _dbapi.connect(str(path), create=create)
        connection.handle.set_busy_timeout(BUSY_MS)
        cursor = connection.cursor()
        try:
            if writes:
                _refuse_foreign_tables(path, connection)
                cursor.execute(f"PRAGMA journal_mode={journal}")
            cursor.execute("PRAGMA synchronous=FULL")
        except (_dbapi.Error, StoreError):
            connection.close()
            raise
        finally:
            cursor.close()
        return connection

    pool: dict[str, Any] = (
        {"poolclass": NullPool}
        if writes
        else {"poolclass": QueuePool, "pool_size": READERS, "max_overflow": -1}
    )
    engine = create_engine("sqlite://", module=_dbapi, creator=connect, **pool)

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", start)
    return engine


def explain(path: Path, error: DBAPIError | _dbapi.Error) -> StoreError:
    """Say what an error of the database means and what to do about it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "code", 0)
    name = repr(str(path))
    known = {
        5: f"{name} is busy: another process has been writing for {BUSY_MS // 1000} s; stop it and try again",
        8: f"{name} cannot be written: the file or its folder is read-only; change that or copy "
        "the study elsewhere",
        10: f"the disk failed while {name} was in use ({original}); check the disk, what was "
        "acknowledged before is safe if the disk kept it",
        11: f"{name} is damaged ({original}); restore a backup, or see what `palate verify` can still read",
        13: f"the disk is full, so {name} cannot take anything more; free some space and try again, what was "
        "acknowledged is safe",
        14: f"{name} cannot be opened: its folder is missing or may not be written to",
        26: _OTHER_KIND.format(name=name),
    }
    return StoreError(known.get(code, f"{name} cannot be used: {original}"))
