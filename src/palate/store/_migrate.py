"""Bringing a study's file to the schema of this Palate: forward only, in one transaction, by Alembic."""

from pathlib import Path

from sqlalchemy import Connection

from palate.errors import StoreError
from palate.store._engine import APPLICATION_ID

__all__ = ["HEAD", "migrate", "needs_migration"]

# The newest revision in migrations/versions; a test compares. Known here so that opening an up-to-date
# study does not import Alembic.
HEAD = "0001"


def needs_migration(connection: Connection, path: Path) -> bool:
    """Whether the file is empty or older than this Palate.

    Raises:
        StoreError: It is newer, or it is a database of somebody else's.
    """
    tables = {
        row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='table'")
    }
    if not tables:
        return True
    owner = connection.exec_driver_sql("PRAGMA application_id").scalar()
    if owner != APPLICATION_ID or "alembic_version" not in tables:
        raise StoreError(
            f"{str(path)!r} is an SQLite database, but not a Palate study; choose another name for the study"
        )
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if not isinstance(version, str) or version > HEAD:
        raise StoreError(
            f"{str(path)!r} was written by a newer Palate (schema {version}, this one knows up to {HEAD}); "
            "upgrade Palate, nothing was changed"
        )
    return version != HEAD


def migrate(connection: Connection) -> None:
    """Run what is missing, inside the caller's transaction: all of it happens, or nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
