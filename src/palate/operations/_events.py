"""What is told of a running study: numbers, words from closed lists, and names; never a text.

An event is a record with fixed fields. None of them can hold a prompt, an answer, a comment, a display name,
a query string or a secret: what a study is about stays in the study. Errors are told by their class and by
the line of Palate that raised them, not by their message, which may quote what somebody wrote.

Events go to the standard logger ``palate.operations`` at level INFO, where nobody hears them unless a program
asks for them. ``str(event)`` is one line of ``key=value``.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

__all__ = [
    "AlarmChanged",
    "DuelPrepared",
    "Event",
    "Failed",
    "Fitted",
    "Judged",
    "ModelCalled",
    "RequestServed",
    "Started",
    "Stopped",
    "Told",
    "VoteStored",
    "heard",
    "kind_of",
    "place_of",
    "tell",
]

Told: TypeAlias = str | int | float | bool | None
"""What a field of an event holds."""

_ODD = re.compile(r"[^\w .:/@+=,(){}\[\]-]")
_LONGEST = 160
_PACKAGE = Path(__file__).parents[1]
_log = logging.getLogger("palate.operations")
# As libraries do: without it Python would print events on the terminal of programs that set up no logging.
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    kind: ClassVar[str] = "event"
    level: ClassVar[str] = "INFO"

    def told(self) -> Mapping[str, Told]:
        """The fields; names lose whatever is not a letter, a digit or plain punctuation."""
        found: dict[str, Told] = {}
        for field in fields(self):
            value: Told = getattr(self, field.name)
            found[field.name] = _ODD.sub("?", value)[:_LONGEST] if isinstance(value, str) else value
        return found

    def __str__(self) -> str:
        """One line for people."""
        return " ".join([self.kind, *(f"{name}={value}" for name, value in self.told().items())])


@dataclass(frozen=True, slots=True)
class Started(Event):
    """A run began."""

    kind: ClassVar[str] = "started"
    version: str
    python: str
    process: int


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """A run ended; ``error`` is the class of what ended it."""

    kind: ClassVar[str] = "stopped"
    outcome: Literal["done", "interrupted", "failed"]
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RequestServed(Event):
    """The page answered; ``route`` is a template of the table of routes, ``refused`` why it said no."""

    kind: ClassVar[str] = "request"
    method: str
    route: str
    status: int
    milliseconds: float
    role: str
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class DuelPrepared(Event):
    """Both responses of a question were produced, or one of them failed."""

    kind: ClassVar[str] = "duel"
    pairing: str
    ready: bool
    milliseconds: float


@dataclass(frozen=True, slots=True)
class VoteStored(Event):
    """A vote is on the disk, or was refused; ``error`` is the class of the refusal."""

    kind: ClassVar[str] = "vote"
    seq: int | None
    judge: str
    verdict: str
    replayed: bool
    milliseconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCalled(Event):
    """A model was asked; ``cost`` is in US dollars, and unknown where it is ``None``."""

    kind: ClassVar[str] = "model"
    operation: str
    model: str
    milliseconds: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    retries: int | None = None
    finish: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Judged(Event):
    """A judge that is no person decided; the vote itself follows."""

    kind: ClassVar[str] = "judged"
    judge: str
    verdict: str | None
    milliseconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Fitted(Event):
    """The learner worked its belief out anew."""

    kind: ClassVar[str] = "fit"
    votes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AlarmChanged(Event):
    """Something became amiss, or is well again."""

    kind: ClassVar[str] = "alarm"
    level: ClassVar[str] = "WARNING"
    alarm: str
    on: bool


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """Something that should not have happened did; ``where`` is a file and line of Palate."""

    kind: ClassVar[str] = "error"
    level: ClassVar[str] = "ERROR"
    part: str
    error: str
    where: str


def heard() -> bool:
    """Whether anybody listens, so that what is costly to find out can be left out."""
    return _log.isEnabledFor(logging.INFO)


def tell(event: Event) -> None:
    """Tell those who listen of an event."""
    if heard():
        _log.info(event)


def kind_of(error: BaseException | None) -> str | None:
    """The class of an error, which unlike its message quotes nothing."""
    return None if error is None else type(error).__name__


def place_of(error: BaseException) -> str:
    """The innermost line of Palate that an error passed through, such as ``store/_store.py:12``.

    Returns:
        Nothing for an error that was not raised, or not through Palate.
    """
    found, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            found = f"{path.relative_to(_PACKAGE).as_posix()}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
