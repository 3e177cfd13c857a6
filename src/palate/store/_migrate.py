"""Bringing a study to the schema of this Palate: forward only, in one transaction, by Alembic."""

import logging
from pathlib import Path

from sqlalchemy import Connection

from palate.errors import StoreError

__all__ = ["HEAD", "is_current", "migrate"]

# The newest revision in migrations/versions; a test compares. Known here so that opening an up-to-date
# study does not import Alembic.
HEAD = "0002"


def is_current(connection: Connection, name: str) -> bool:
    """Whether a study has the schema of this Palate; an older one can be migrated.

    Raises:
        StoreError: It is newer.
    """
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if not isinstance(version, str) or version > HEAD:
        raise StoreError(
            f"{name!r} was written by a newer Palate (schema {version}, this one knows up to {HEAD}); "
            "upgrade Palate, nothing was changed"
        )
    return version == HEAD


def migrate(connection: Connection) -> None:
    """Run what is missing, inside the caller's transaction: all of it happens, or nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    log = logging.getLogger("alembic")
    level = log.level
    # Which steps it takes is nothing that anybody who opens a study could act on.
    log.setLevel(max(level, logging.WARNING))
    try:
        command.upgrade(config, "head")
    finally:
        log.setLevel(level)
