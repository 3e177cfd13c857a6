"""The settings of any command or Python function: numbers and choices, judged by what comes out.

A command is a list of arguments and never goes through a shell. In its arguments ``{name}`` stands for a
setting, ``{{input}}`` or ``{{column}}`` for the input, and ``{output}`` for a file that the command is to
write; without ``{output}`` the outcome is what it prints. Nothing that is filled in is split or expanded. On
its standard input it reads the input's text, or with ``stdin = "json"`` an object
``{"settings": {…}, "input": "…", "fields": {…}}``.

A function is named ``"module:function"``, is called as ``function(settings, input)`` in a process of its own,
and returns a text, the bytes of a file, a matplotlib figure, or a list or table.
"""

import asyncio
import re
import shlex
import sys
import tempfile
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Literal, TypeAlias, final

from palate.errors import ConfigError, InputError, MissingExtraError, nearest
from palate.targets import _call
from palate.targets._ask import one_line
from palate.targets._media import check_pillow
from palate.targets._outcome import OUTCOMES, Outcome, as_response
from palate.targets._process import run_command
from palate.targets._space import Space, read_dimension
from palate.types import Array, Candidate, Input, Json, Lineage, Response, canonical_json

__all__ = ["SettingsTarget"]

Called: TypeAlias = Callable[[Mapping[str, Any], str], object]
_PLACE = re.compile(r"\{\{\s*(?P<input>\w[\w .\-]*?)\s*\}\}|\{(?P<own>\w+)\}")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_OUTPUT = "output"
_ENDINGS: Mapping[str, str] = {"text": ".txt", "table": ".csv", "image": ".png", "plot": ".png"}


@dataclass(frozen=True, slots=True)
class _Limits:
    seconds: float
    most_bytes: int
    at_once: int

    def __post_init__(self) -> None:
        if not 0.0 < self.seconds < float("inf"):
            raise ConfigError(f"seconds is {self.seconds!r}; it is a number above 0")
        for name in ("most_bytes", "at_once"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is at least 1")


@final
class SettingsTarget:
    """A command or a function whose settings are the candidate.

    Args:
        parameters: By name, a list of options, or a table ``{low, high}`` with, if wanted, ``log``,
            ``integer`` and ``start``.
        command: The program and its arguments.
        function: ``"module:function"``, looked up beside the study file first; from Python also a callable,
            which runs in a thread and cannot be stopped when it takes too long.
        stdin: What a command reads: ``"input"``, ``"json"`` or ``"nothing"``.
        outcome: What comes out: ``"text"``, ``"table"``, ``"image"`` or ``"plot"``.
        seconds: After so long it is stopped, with everything that it started.
        most_bytes: With more output it is stopped.
        at_once: How many run at the same time.
        folder: Where it runs.
        allowed: Whether a person agreed that a command, or a function by its name, is run at all.

    Raises:
        ConfigError: Both or neither of a command and a function, a parameter that nothing uses, or an option
            out of its range.
        MissingExtraError: Pictures are to come out, and Pillow is not installed.
    """

    usual_proposers: ClassVar[tuple[str, ...]] = ("combine",)

    def __init__(
        self,
        parameters: Mapping[str, object],
        command: Sequence[str] | None = None,
        function: str | Called | None = None,
        stdin: Literal["input", "json", "nothing"] = "input",
        outcome: Outcome = "text",
        seconds: float = 60.0,
        most_bytes: int = 20_000_000,
        at_once: int = 2,
        folder: str = ".",
        allowed: bool = True,
    ) -> None:
        self._space = _read_parameters(parameters)
        self._limits = _Limits(seconds, most_bytes, at_once)
        self._folder = Path(folder)
        self._allowed = allowed
        self._called = function if callable(function) else None
        self._function = function if isinstance(function, str) else None
        self._command = () if command is None else _read_command(command)
        self._stdin = stdin
        self._outcome: Outcome = outcome
        self._check_options(command, function)
        self._turns = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]()

    def _check_options(self, command: object, function: object) -> None:
        if (command is None) == (function is None):
            raise ConfigError("give exactly one of command and function, what the settings are for")
        if self._stdin not in ("input", "json", "nothing"):
            raise ConfigError(f"stdin is {self._stdin!r}; it is 'input', 'json' or 'nothing'")
        if self._outcome not in OUTCOMES:
            raise ConfigError(f"outcome is {self._outcome!r}; {nearest(str(self._outcome), OUTCOMES)}")
        if self._function is not None and not _FUNCTION.fullmatch(self._function):
            raise ConfigError(f"function is {self._function!r}; write 'module:function'")
        if self._outcome in ("image", "plot"):
            check_pillow()
        used = {match["own"] for word in self._command for match in _PLACE.finditer(word)}
        for name in self._space.dimensions if self._command and self._stdin != "json" else ():
            if name not in used:
                raise ConfigError(
                    f"the command does not use the parameter {name!r}; write {{{name}}} where its value "
                    "goes, or set stdin = 'json'"
                )

    def __repr__(self) -> str:
        return (
            f"SettingsTarget({dict(self._space.dimensions)!r}, runs={self.runs!r}, stdin={self._stdin!r}, "
            f"outcome={self._outcome!r}, {self._limits!r}, folder={str(self._folder)!r})"
        )

    @property
    def runs(self) -> str:
        """What is run on this machine, for a person who is to allow it; empty for a callable."""
        if self._command:
            return shlex.join(self._command)
        return "" if self._function is None else f"the Python function {self._function}"

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """How many values each parameter has; ``None`` for too many to count."""
        return self._space.sizes

    def at(self, point_D: Sequence[float]) -> Candidate:
        """The settings at a point of the unit cube, of origin ``combine``."""
        return self.combination(self._space.at(point_D), Lineage("combine"))

    def combination(self, settings: Mapping[str, Json], lineage: Lineage | None = None) -> Candidate:
        """Make the candidate with these settings.

        Raises:
            InputError: A setting is missing, unknown, or out of its range.
        """
        self._space.check(settings)
        text = ", ".join(f"{name} = {settings[name]}" for name in self._space.dimensions)
        return Candidate.make(text, parts={"settings": dict(settings)}, lineage=lineage)

    def origin(self, inputs: Sequence[Input]) -> list[Candidate]:
        """The settings that others are measured against: each ``start``, or the middle or first value."""
        del inputs
        return [self.combination(self._space.first(), Lineage("seed"))]

    def features(self, candidate: Candidate) -> Array:
        """Numbers scaled to the unit interval and one column an option; see :class:`palate.types.Encodes`."""
        return self._space.features(_settings(candidate))

    def features_text(self, candidate: Candidate) -> str:
        """How the settings read."""
        return candidate.text

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse what are no settings, and a command that names an unknown column."""
        self._space.check(_settings(candidate))
        known = {"input", *fields}
        for word in self._command:
            for match in _PLACE.finditer(word):
                if match["input"] is not None and match["input"] not in known:
                    raise ConfigError(
                        f"the command names {{{{{match['input']}}}}}, which no input has; "
                        f"{nearest(match['input'], known)}"
                    )

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Run it once.

        Returns:
            The outcome. Whatever goes wrong (it cannot be started, takes too long, ends with another status
            than 0, writes too much or something else than it should) is a response with ``failed`` set.

        Raises:
            ConfigError: Nobody has agreed to it.
        """
        if self.runs and not self._allowed:
            raise ConfigError(
                f"this study runs {self.runs} and was opened only to be read; open its study file to go on"
            )
        started = perf_counter()
        try:
            self.check(candidate, input.fields)
            async with self._turn():
                started = perf_counter()
                data = await self._ran(_settings(candidate), input)
            return await asyncio.to_thread(
                as_response,
                data,
                self._outcome,
                seconds=perf_counter() - started,
                most_bytes=self._limits.most_bytes,
            )
        except MissingExtraError:
            raise
        except Exception as error:  # a user's function may raise anything; the study goes on
            return Response("text", "", perf_counter() - started, failed=one_line(error))

    def _turn(self) -> asyncio.Semaphore:
        """At most ``at_once`` at the same time, in whichever event loop this is."""
        loop = asyncio.get_running_loop()
        return self._turns.setdefault(loop, asyncio.Semaphore(self._limits.at_once))

    async def _ran(self, settings: Mapping[str, Json], input: Input) -> bytes:
        if self._called is not None:
            return await self._in_thread(self._called, settings, input)
        limits = self._limits
        with tempfile.TemporaryDirectory(prefix="palate-") as made:
            output = Path(made) / f"{_OUTPUT}{_ENDINGS[self._outcome]}"
            written = await run_command(
                self._argv(settings, input, output),
                self._said(settings, input),
                folder=self._folder,
                seconds=limits.seconds,
                most_bytes=limits.most_bytes,
            )
            if not any(match["own"] == _OUTPUT for word in self._command for match in _PLACE.finditer(word)):
                return written
            if not output.is_file():
                raise InputError("the command did not write the file {output}")
            if output.stat().st_size > limits.most_bytes:
                raise InputError(f"the command wrote a file of more than {limits.most_bytes:,} bytes")
            return output.read_bytes()

    async def _in_thread(self, called: Called, settings: Mapping[str, Json], input: Input) -> bytes:
        try:
            async with asyncio.timeout(self._limits.seconds):
                result = await asyncio.to_thread(called, dict(settings), input.text)
        except TimeoutError:
            raise InputError(f"the function took longer than {self._limits.seconds:g} seconds") from None
        return _call.as_bytes(result)

    def _argv(self, settings: Mapping[str, Json], input: Input, output: Path) -> list[str]:
        if self._function is not None:
            # -P: the folder of _call.py is not where the user's modules are looked up.
            return [sys.executable, "-P", str(_call.__file__), str(self._folder.resolve()), self._function]
        own = {**{name: _word(value) for name, value in settings.items()}, _OUTPUT: str(output)}
        given = {**input.fields, "input": input.text}

        def fill(match: re.Match[str]) -> str:
            return given[match["input"]] if match["input"] is not None else own.get(match["own"], match[0])

        return [_PLACE.sub(fill, word) for word in self._command]

    def _said(self, settings: Mapping[str, Json], input: Input) -> bytes:
        if self._function is not None or self._stdin == "json":
            told = {"settings": dict(settings), "input": input.text, "fields": dict(input.fields)}
            return canonical_json(told).encode("utf-8", "replace")
        return input.text.encode("utf-8", "replace") if self._stdin == "input" else b""


def _read_parameters(parameters: Mapping[str, object]) -> Space:
    # What a study file holds is the user's word, whatever the annotation says.
    given: Any = parameters
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(
            f"parameters is {given!r}; give a table by name, such as size = {{ low = 1, high = 9 }} or "
            'colour = ["red", "blue"]'
        )
    for name in given:
        if not _NAME.fullmatch(name) or name == _OUTPUT:
            raise ConfigError(
                f"a parameter cannot be called {name!r}; use letters, digits and underscores, and not "
                f"{_OUTPUT!r}"
            )
    return Space(
        {name: read_dimension(name, entry, "parameter") for name, entry in given.items()}, "parameter"
    )


def _read_command(command: Sequence[str]) -> tuple[str, ...]:
    given: Any = command
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ConfigError(
            f"command is {given!r}; give a list of the program and its arguments, such as "
            '["python", "draw.py", "--size={size}"]; it does not go through a shell'
        )
    for word in given:
        if not isinstance(word, str) or not word:
            raise ConfigError(f"an argument of the command is {word!r}; each is a text")
    if _PLACE.search(given[0]):
        raise ConfigError(f"the program {given[0]!r} has a placeholder; write out which program is run")
    return tuple(given)


def _settings(candidate: Candidate) -> Mapping[str, Json]:
    settings = candidate.parts.get("settings")
    if not isinstance(settings, Mapping):
        raise InputError(
            f"candidate {candidate.id} has no settings; its parts hold them, as "
            '{"settings": {name: value}}'
        )
    return settings


def _word(value: Json) -> str:
    """A setting as a command reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
