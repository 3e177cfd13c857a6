"""What the verbs of one call share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palate.errors import NotFoundError

if TYPE_CHECKING:
    from palate.store import Store

__all__ = ["AsJson", "Session", "StudyPath", "database_of", "open_existing", "session_of"]


@dataclass(slots=True)
class Session:
    """Whether to show tracebacks, and the command that goes on after ctrl-C."""

    debug: bool = False
    again: str = ""


StudyPath = Annotated[
    Path, typer.Argument(metavar="PATH", help="The study file (.toml) or its database (.db).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def session_of(ctx: typer.Context) -> Session:
    """The session of this call."""
    return ctx.obj if isinstance(ctx.obj, Session) else Session()


def database_of(path: Path) -> Path:
    """The database of a study that is named by its study file or by the database itself.

    Raises:
        NotFoundError: There is none yet.
    """
    database = path
    if path.suffix == ".toml":
        from palate.config import read_config

        database = read_config(path).database_path
    if not database.is_file():
        start = (
            f"start it with: palate run {path}" if path.suffix == ".toml" else "give a .toml or a .db file"
        )
        raise NotFoundError(f"no study at {str(database)!r}; {start}")
    return database


def open_existing(path: Path) -> "Store":
    """Open the store of a study that exists, beside whatever else has it open.

    Raises:
        NotFoundError: There is none yet.
        StoreError: It cannot be read.
    """
    from palate.store import open_store

    return open_store(database_of(path), create=False)
