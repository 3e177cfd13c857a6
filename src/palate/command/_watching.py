"""The options that say who is told of what happens in a run, and the telling itself."""

import os
import platform
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palate._version import __version__
from palate.command._say import clean, note
from palate.errors import MissingExtraError

if TYPE_CHECKING:
    from palate.operations import Stopped

__all__ = ["WatchOptions", "watching"]


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Where events are written."""

    log_json: Annotated[
        Path | None,
        typer.Option(
            "--log-json",
            metavar="FILE",
            help="Append a line of JSON for each event, without texts of yours; - is standard error.",
        ),
    ] = None

    def words(self) -> list[str]:
        """The options as they were written, for the command that goes on."""
        return [] if self.log_json is None else ["--log-json", str(self.log_json)]


@contextmanager
def watching(options: WatchOptions) -> Generator[None]:
    """Tell of events, and send spans where the environment asks for them, until the block ends.

    Raises:
        StoreError: The file of events cannot be written.
        ConfigError: The environment asks for a way of sending spans that is not there.
    """
    from palate.operations import Plain, Started, exporting_spans, listening, tell, wants_spans

    began = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(listening(options.log_json, Plain(clean, os.environ)))
        if wants_spans(os.environ):
            try:
                stack.enter_context(exporting_spans())
            except MissingExtraError as error:
                note(f"No spans are sent: {error}")
        tell(Started(__version__, platform.python_version(), os.getpid()))
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            tell(_stopped(failure, time.monotonic() - began))


def _stopped(failure: BaseException | None, seconds: float) -> "Stopped":
    from palate.operations import Failed, Stopped, kind_of, place_of, tell

    if failure is None or isinstance(failure, KeyboardInterrupt):
        return Stopped("done" if failure is None else "interrupted", round(seconds, 3))
    name = type(failure).__name__
    tell(Failed("run", name, place_of(failure)))
    return Stopped("failed", round(seconds, 3), kind_of(failure))
