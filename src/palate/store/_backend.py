"""The seam between a store and the database that keeps it: what differs between one file and a server."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Engine

from palate.errors import StoreError

__all__ = ["Backend", "StoreInfo"]


class StoreInfo(NamedTuple):
    """What a study runs on, for ``palate doctor``.

    Args:
        sqlite: The version of SQLite; empty on a server.
        journal: How commits reach the disk: ``"wal"``, ``"truncate"``, ….
        why: Why it is that one, in words.
        postgres: The version of the PostgreSQL server; empty for a file.
    """

    sqlite: str
    journal: str
    why: str
    postgres: str = ""


class Backend(Protocol):
    """One study in one database.

    Attributes:
        name: What errors call the study, and what opens it again; never with a password.
        title: A short name for people.
        path: The file; on a server a path that names no file.
        failures: What the database raises when it cannot go on.
        writing: Begins transactions that hold the study's write lock until they are over, and that see
            everything committed before. There is one connection at a time.
        reading: Begins transactions that see one moment of the study and hold up nobody.
    """

    name: str
    title: str
    path: Path
    failures: tuple[type[Exception], ...]
    writing: Engine
    reading: Engine

    def prepare(self) -> StoreInfo:
        """Bring the tables to this Palate's schema.

        Raises:
            StoreError: It is missing, newer, or somebody else's.
        """
        ...

    def lead(self) -> bool:
        """Whether this process has the study's lead, which it takes if nobody has it."""
        ...

    def give_way(self) -> None:
        """Let another process take the lead. Idempotent."""
        ...

    def explain(self, error: Exception) -> StoreError:
        """Say what a failure means and what to do about it."""
        ...

    def passing(self, error: Exception) -> bool:
        """Whether a transaction that failed like that, before its commit, may succeed at once if repeated."""
        ...

    def together(self, connection: Connection) -> AbstractContextManager[object]:
        """Within it, statements whose answers nobody waits for may travel in one go."""
        ...

    def find_damage(self, connection: Connection) -> list[str]:
        """What the database's own checks find, in words."""
        ...

    def back_up(self, connection: Connection, target: Path) -> None:
        """Copy the study, as one read transaction sees it, into a file that is checked before it counts.

        Raises:
            StoreError: The target cannot be written, or the copy does not verify.
        """
        ...

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...
