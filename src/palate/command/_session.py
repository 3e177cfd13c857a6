"""What the verbs of one call share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palate.errors import NotFoundError

if TYPE_CHECKING:
    from palate.config import StudyConfig
    from palate.store import Store

__all__ = ["STUDY", "AsJson", "Session", "StudyPath", "StudyPlace", "open_existing", "place_of", "session_of"]


@dataclass(slots=True)
class Session:
    """Whether to show tracebacks, and the command that goes on after ctrl-C."""

    debug: bool = False
    again: str = ""


@dataclass(frozen=True, slots=True)
class StudyPlace:
    """A study as a person names it: by its study file, its database, or its address on a server."""

    given: str

    def __str__(self) -> str:
        """As it was given; an address never holds a password."""
        return self.given

    @property
    def file(self) -> Path | None:
        """The study file, if that is what was named."""
        return Path(self.given) if self.given.endswith(".toml") and "://" not in self.given else None

    @property
    def title(self) -> str:
        """What to call a study that has no name of its own."""
        return self.given.rpartition("study=")[2] if "://" in self.given else Path(self.given).stem

    def config(self) -> "StudyConfig | None":
        """The settings of the study file, if one was named."""
        if self.file is None:
            return None
        from palate.config import read_config

        return read_config(self.file)

    def database(self) -> Path | str:
        """The database: a file, or an address on a server.

        Raises:
            NotFoundError: There is no such file yet.
            ConfigError: The study file is wrong, or the address holds a password.
        """
        from palate.store import check_address, is_postgres

        if is_postgres(self.given):
            check_address(self.given, "the address")
            return self.given
        config = self.config()
        database = Path(self.given) if config is None else config.database
        if isinstance(database, Path) and not database.is_file():
            start = (
                f"start it with: palate run {self.given}"
                if config
                else "give a .toml or a .db file, or a postgresql:// address"
            )
            raise NotFoundError(f"no study at {str(database)!r}; {start}")
        return database


def place_of(given: object) -> StudyPlace:
    """What a person typed, or a default, as a place."""
    return given if isinstance(given, StudyPlace) else StudyPlace(str(given))


STUDY = StudyPlace("study.toml")
StudyPath = Annotated[
    StudyPlace,
    typer.Argument(
        metavar="PATH",
        parser=place_of,
        help="The study file (.toml), its database (.db), or its address on a server.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def session_of(ctx: typer.Context) -> Session:
    """The session of this call."""
    return ctx.obj if isinstance(ctx.obj, Session) else Session()


def open_existing(study: StudyPlace | Path) -> "Store":
    """Open the store of a study that exists, beside whatever else has it open.

    Raises:
        NotFoundError: There is none yet.
        StoreError: It cannot be read.
    """
    from palate.store import open_store

    return open_store(place_of(study).database(), create=False)
