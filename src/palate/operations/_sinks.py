"""Where events and the warnings of libraries end up: a file of JSON lines, and the terminal.

The file gets nothing but the fields of events; of other libraries' records only who, how serious and which
class of error, since their messages may hold anything. The terminal gets messages and tracebacks as ever,
without control characters and without the secrets that stand in environment variables.
"""

import json
import logging
import logging.handlers
import math
import os
import re
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from palate.errors import StoreError
from palate.operations._events import Event, Told, kind_of, place_of

__all__ = ["JsonLines", "Plain", "listening", "masked"]

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|HEADERS|AUTH", re.IGNORECASE)
_SHORTEST = 12  # characters; what is shorter is a word or a number that texts hold by chance


def masked(text: str, variables: Mapping[str, str]) -> str:
    """Take the secrets of environment variables out of a text.

    Args:
        text: What is about to be shown.
        variables: Of the environment; those whose name speaks of a key, a token, a password or the like.

    Example:
        >>> masked("refused: sk-0123456789abc", {"MY_KEY": "sk-0123456789abc", "SHELL": "/bin/sh"})
        'refused: [MY_KEY]'
    """
    for name, value in variables.items():
        secret = value.strip()
        if len(secret) >= _SHORTEST and _SECRET.search(name) and not Path(secret).is_absolute():
            text = text.replace(secret, f"[{name}]")
    return text


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write an event, or what may be told of another library's record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Told] = {"at": at.replace("+00:00", "Z")}
        event: object = record.msg
        if isinstance(event, Event):
            line |= {"level": event.level, "event": event.kind, **event.told()}
        else:
            error = record.exc_info[1] if record.exc_info else None
            line |= {"level": record.levelname, "event": "library", "logger": record.name}
            line |= {"error": kind_of(error), "where": None if error is None else place_of(error)}
        told = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        return json.dumps(told, ensure_ascii=False, allow_nan=False)


class Plain(logging.Formatter):
    """Messages and tracebacks as ever, made safe to show.

    Args:
        clean: Takes out what a terminal would obey.
        variables: Of the environment, whose secrets are taken out.
    """

    def __init__(self, clean: Callable[[str], str], variables: Mapping[str, str]) -> None:
        super().__init__()
        self._clean = clean
        self._variables = variables

    def format(self, record: logging.LogRecord) -> str:
        """The message, and the traceback where there is one."""
        return masked(self._clean(super().format(record)), self._variables)


class _OwnFile(logging.handlers.WatchedFileHandler):
    """A file that its owner alone can read, opened again after something has moved it away."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")


@contextmanager
def listening(
    path: Path | None, terminal: logging.Formatter, stream: TextIO | None = None
) -> Generator[None]:
    """Write events to a file, and show the warnings of all libraries, until the block ends.

    Args:
        path: The file, which is appended to; ``-`` is standard error, ``None`` writes no events.
        terminal: For what is shown to people.
        stream: Where that is; standard error when ``None``.

    Raises:
        StoreError: The file cannot be written.
    """
    handlers: list[logging.Handler] = []
    if path is None or str(path) != "-":
        shown = logging.StreamHandler(stream or sys.stderr)
        shown.setFormatter(terminal)
        shown.setLevel(logging.WARNING)
        handlers.append(shown)
    if path is not None:
        try:
            file = logging.StreamHandler(stream or sys.stderr) if str(path) == "-" else _OwnFile(path)
        except OSError as error:
            raise StoreError(
                f"{str(path)!r} cannot be written: {error.strerror}; name another file"
            ) from error
        file.setFormatter(JsonLines())
        file.addFilter(_worth_telling)
        handlers.append(file)
    root, own = logging.getLogger(), logging.getLogger("palate.operations")
    level = own.level
    for handler in handlers:
        root.addHandler(handler)
    if path is not None:
        own.setLevel(logging.INFO)
    try:
        yield
    finally:
        own.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _worth_telling(record: logging.LogRecord) -> bool:
    """Our events, and of other libraries what is amiss; what Palate logs for people has events of its own."""
    if record.name.startswith("palate."):
        return isinstance(record.msg, Event)
    return record.levelno >= logging.WARNING
