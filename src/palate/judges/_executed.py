"""Executed checks: a command of the user's looks at an answer, or at what the answer does when it is run.

Two commands, each in a sandbox of its own (:mod:`palate.judges._sandbox`):

- ``run`` runs the answer as a program. What it prints is material, no verdict: a program that prints "PASS"
  or ends with status 0 has said nothing about itself.
- ``check`` decides. It never shares a sandbox with the answer. It reads one JSON object on its standard
  input and ends with status 0 (kept) or 1 (broken); anything else is no verdict. With ``says = "line"`` its
  status must be 0 and its last line is ``NONCE kept``, ``NONCE broken`` or ``NONCE NUMBER`` (a reward), with
  the nonce that it was given, which is new each time.

Without ``check`` the output of ``run`` must be one of the input's references.
"""

import asyncio
import math
import re
import secrets
import shlex
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from palate.errors import ConfigError, InputError, nearest
from palate.judges._graded import GradedJudge
from palate.judges._sandbox import Ended, Limits, check_folder, run_shut_in, why_not
from palate.types import Duel, Grade, Input, Judgement, Response, canonical_json

__all__ = ["ExecutedCheck", "ExecutedJudge", "executed_judge"]

_FENCED = re.compile(r"^```[^\n`]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_ANSWER = "{answer}"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_MOST_FILES = 16_000_000  # bytes of all files that a check is given
_AT_ONCE = 2


@final
@dataclass(frozen=True, slots=True, eq=False)
class ExecutedCheck:
    """Grades an answer by running something.

    Args:
        check: The program and the arguments that decide; ``None`` to compare what ``run`` prints with the
            references. It reads ``{"input", "fields", "references", "answer", "output", "status", "ended",
            "nonce"}`` and finds ``files`` under ``/check``, which is where it runs.
        run: The program and the arguments that run the answer, ``{answer}`` standing for its file; ``None``
            when the answer is only looked at.
        stdin: What the answer reads when it is run: ``"input"``, ``"nothing"``, or the name of a column.
        answer_file: The name of the answer's file, such as ``answer.py``.
        fenced: Whether the answer is what stands between its first ``` and the next, if it has any.
        says: How ``check`` says what it found: by its ``"status"`` or by a ``"line"`` with the nonce.
        files: What ``check`` needs beside itself, by name.
        folders: Folders of programs, beyond the system's own, that can be read.
        limits: On each of the two commands.
        name: Of the check.

    Raises:
        ConfigError: Nothing to run, an option out of its range, or no sandbox on this machine.
    """

    check: Sequence[str] | None = None
    run: Sequence[str] | None = None
    stdin: str = "input"
    answer_file: str = "answer.py"
    fenced: bool = True
    says: Literal["status", "line"] = "status"
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)
    folders: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    name: str = "executed"
    cost: int = 1
    _turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = field(
        default_factory=weakref.WeakKeyDictionary, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.check is None and self.run is None:
            raise ConfigError("give run, a command that runs the answer, or check, one that looks at it")
        for name, command in (("check", self.check), ("run", self.run)):
            _check_command(name, command)
        if self.run is not None and not any(_ANSWER in word for word in self.run):
            raise ConfigError(f"run is {list(self.run)!r}; write {_ANSWER} where the answer's file goes")
        if self.says not in ("status", "line"):
            raise ConfigError(f"says is {self.says!r}; it is 'status' or 'line'")
        for name in (self.answer_file, *self.files):
            if not _NAME.fullmatch(name):
                raise ConfigError(
                    f"{name!r} cannot be the name of a file here; use letters, digits, . _ and -"
                )
        for folder in self.folders:
            check_folder(folder)
        if problem := why_not():
            raise ConfigError(f"nothing can be run safely here: {problem}")

    @property
    def runs(self) -> str:
        """What is run on this machine, in one line."""
        return "; ".join(shlex.join(command) for command in (self.run, self.check) if command is not None)

    async def grade(self, input: Input, response: Response) -> Grade:
        """Run the answer, or look at it."""
        code = _code(response.content) if self.fenced else response.content
        try:
            async with self._turn():
                return await self._graded(input, response.content, code)
        except (OSError, ValueError) as error:  # a NUL in an argument, no process left: no verdict
            return Grade(unknown=f"the check could not be run: {error}")

    def _turn(self) -> asyncio.Semaphore:
        return self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE))

    async def _graded(self, input: Input, answer: str, code: str) -> Grade:
        ran: Ended | None = None
        if self.run is not None:
            ran = await self._answer(self.run, input, code)
            if ran.cause == "never started":
                return Grade(unknown=f"the sandbox could not be made: {ran.said}")
        if self.check is None:
            assert ran is not None
            return _compared(ran, input)
        nonce = secrets.token_hex(16)
        told = {
            "input": input.text,
            "fields": dict(input.fields),
            "references": list(input.references),
            "answer": answer,
            "output": None if ran is None else ran.output.decode("utf-8", "replace"),
            "status": None if ran is None else ran.status,
            "ended": None if ran is None else ran.cause,
            "nonce": nonce,
        }
        files = {f"/check/{name}": content for name, content in self.files.items()}
        data = canonical_json(told).encode("utf-8", "replace")
        found = await run_shut_in(
            self.check, data, files=files, limits=self.limits, folders=self.folders, place="/check"
        )
        return _by_status(found) if self.says == "status" else _by_line(found, nonce)

    async def _answer(self, run: Sequence[str], input: Input, code: str) -> Ended:
        path = f"/answer/{self.answer_file}"
        read = {"input": input.text, "nothing": ""}.get(self.stdin, input.fields.get(self.stdin, ""))
        return await run_shut_in(
            [word.replace(_ANSWER, path) for word in run],
            read.encode("utf-8", "replace"),
            files={path: code.encode("utf-8", "replace")},
            limits=self.limits,
            folders=self.folders,
        )


@final
@dataclass(frozen=True, slots=True)
class ExecutedJudge:
    """A judge by an executed check, which says what it runs so that a person can allow it.

    Args:
        check: Grades each answer.
        allowed: Whether a person agreed to what it runs.
    """

    check: ExecutedCheck
    allowed: bool = False

    @property
    def name(self) -> str:
        """The check's; stored with each vote."""
        return self.check.name

    @property
    def runs(self) -> str:
        """What is run on this machine; see :class:`palate.types.Runs`."""
        return f"{self.check.runs} (shut in, on each answer)"

    async def judge(self, duel: Duel) -> Judgement:
        """Run the check on both answers.

        Raises:
            ConfigError: Nobody has agreed to it.
        """
        if not self.allowed:
            raise ConfigError(
                f"this judge runs {self.check.runs}, and nobody has agreed to that; name it in a study "
                "file, and start that with palate run --allow-commands"
            )
        return await GradedJudge(self.check).judge(duel)


def executed_judge(
    check: Sequence[str] | None = None,
    run: Sequence[str] | None = None,
    files: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    allow_execution: bool = False,
    folder: str = ".",
    allowed: bool = False,
) -> ExecutedJudge:
    """An executed check as a judge, as a study file names it.

    Args:
        check: The command that decides; see :class:`ExecutedCheck`.
        run: The command that runs an answer.
        files: What the check needs, beside the study file.
        options: ``stdin``, ``answer_file``, ``fenced``, ``says``, ``folders`` and ``name``.
        limits: ``seconds``, ``memory``, ``processes`` and ``most_bytes``.
        allow_execution: Must be true; a study file that only names the judge runs nothing.
        folder: Where the files are.
        allowed: Whether a person agreed to what is run.

    Raises:
        ConfigError: ``allow_execution`` is not true, an option is wrong, or no sandbox on this machine.
        InputError: A file cannot be read.
    """
    if allow_execution is not True:
        raise ConfigError(
            "this judge runs commands on answers that a model wrote; set allow_execution = true in its table "
            "if that is what you want, and it runs them in a sandbox"
        )
    given = _known(options, ("stdin", "answer_file", "fenced", "says", "folders", "name"), "options")
    made = Limits(**_known(limits, ("seconds", "memory", "processes", "most_bytes"), "limits"))
    own = _files(files, Path(folder))
    return ExecutedJudge(ExecutedCheck(check, run, files=own, limits=made, **given), allowed)


def _known(options: Mapping[str, Any] | None, known: Sequence[str], where: str) -> dict[str, Any]:
    for key in options or {}:
        if key not in known:
            raise ConfigError(f"{where} has no {key!r}; {nearest(key, known)}")
    return dict(options or {})


def _check_command(name: str, command: Any) -> None:  # noqa: ANN401 - what a study file holds may be anything
    if command is None:
        return
    words = not isinstance(command, str) and isinstance(command, Sequence)
    if not words or not command or not all(isinstance(word, str) and word for word in command):
        raise ConfigError(
            f"{name} is {command!r}; give a list of the program and its arguments, such as "
            '["python3", "check.py"]; it does not go through a shell'
        )


def _files(names: Sequence[str], folder: Path) -> dict[str, bytes]:
    """Read the check's files; what lies elsewhere than with the study is none of them."""
    if isinstance(names, str):
        raise ConfigError(f"files is {names!r}; give a list of names")
    home, found, size = folder.resolve(), dict[str, bytes](), 0
    for name in names:
        place = (folder / name).resolve()
        if not place.is_relative_to(home) or not place.is_file():
            raise InputError(f"cannot read {name!r}: files of a check lie beside the study file, in {folder}")
        size += place.stat().st_size
        if size > _MOST_FILES:
            raise InputError(f"the files of a check are larger than {_MOST_FILES:,} bytes together")
        if Path(name).name in found:
            raise ConfigError(
                f"two files of a check are called {Path(name).name!r}; give them different names"
            )
        found[Path(name).name] = place.read_bytes()
    return found


def _code(answer: str) -> str:
    fenced = _FENCED.search(answer)
    return fenced[1] if fenced else answer


def _compared(ran: Ended, input: Input) -> Grade:
    if not input.references:
        return Grade(unknown=f"input {input.id!r} has no reference to compare the output with")
    if ran.cause != "ended" or ran.status != 0:
        return Grade(satisfied=False, reason=_ending(ran))
    said = ran.output.decode("utf-8", "replace").strip()
    right = said in {reference.strip() for reference in input.references}
    return Grade(satisfied=right, reason="the right output" if right else f"the output is {said[:80]!r}")


def _by_status(found: Ended) -> Grade:
    if found.cause == "ended" and found.status in (0, 1):
        return Grade(satisfied=found.status == 0, reason=f"status {found.status}")
    return Grade(unknown=f"the check said nothing: {_ending(found)}")


def _by_line(found: Ended, nonce: str) -> Grade:
    lines = found.output.decode("utf-8", "replace").strip().splitlines()
    mark, _, word = lines[-1].partition(" ") if lines else ("", "", "")
    if found.cause != "ended" or found.status != 0:
        return Grade(unknown=f"the check said nothing: {_ending(found)}")
    if not secrets.compare_digest(mark.encode(), nonce.encode()):
        return Grade(unknown="the check's last line does not begin with its nonce")
    if word in ("kept", "broken"):
        return Grade(satisfied=word == "kept", reason=word)
    try:
        reward = float(word)
    except ValueError:
        reward = math.nan
    if not math.isfinite(reward):
        return Grade(unknown=f"the check said {word[:80]!r}; it says kept, broken or a number")
    return Grade(reward=reward, reason=f"reward {reward:.3g}")


def _ending(ended: Ended) -> str:
    if ended.cause == "ended":
        return f"status {ended.status}{f' ({ended.said[-120:]})' if ended.said else ''}"
    told = {"time": "it took too long", "memory": "it used too much memory", "output": "it wrote too much"}
    return told.get(ended.cause, f"the sandbox could not be made: {ended.said}")
