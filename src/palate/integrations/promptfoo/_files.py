"""Files that a configuration names: only those beside it or below it, never executed, never large."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NoReturn

from palate.errors import InputError
from palate.integrations.promptfoo._yaml import parse_yaml
from palate.types import Json

__all__ = ["Folder", "TooMuchError", "is_code", "is_elsewhere", "named_file"]

MAX_YAML = 1_000_000
"""Bytes of a YAML or JSON file; the parser is not a fast one."""
MAX_TEXT = 20_000_000
"""Bytes of any other file."""
MAX_FILES = 1_000
"""Files that one pattern may name."""

_CODE = frozenset(
    [
        ".js",
        ".cjs",
        ".mjs",
        ".ts",
        ".cts",
        ".mts",
        ".jsx",
        ".tsx",
        ".py",
        ".rb",
        ".go",
        ".sh",
        ".bash",
        ".pl",
        ".php",
        ".lua",
        ".exe",
        ".bat",
        ".cmd",
        ".ps1",
    ]
)
_DATA = frozenset([".txt", ".md", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".j2"])
_REMOTE = re.compile(
    r"^(?:https?|huggingface|az|s3|langfuse|portkey|helicone|package|promptfoo)://|^package:"
)
_FUNCTION = re.compile(r"^(?P<path>.+?\.\w+):\w+$")


class TooMuchError(InputError):
    """The whole configuration is too large; leaving one prompt or test out would not help."""


def is_elsewhere(reference: str) -> bool:
    """Whether a reference leads to the network or to another program's store."""
    return _REMOTE.match(reference) is not None


def is_code(reference: str) -> bool:
    """Whether a reference names a program: by its ending, a function's name, or ``exec:``."""
    path = reference.removeprefix("file://")
    return path.startswith(("exec:", "python:")) or _suffix(path) in _CODE


def named_file(text: str) -> bool:
    """Whether a text that may stand for itself is the name of a file instead."""
    if text.startswith("file://"):
        return True
    return (
        "\n" not in text and "{{" not in text and _suffix(text) in _DATA | _CODE and " " not in text.strip()
    )


def _suffix(path: str) -> str:
    function = _FUNCTION.match(path)
    return Path(function["path"] if function else path).suffix.lower()


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a configuration; nothing outside it is read.

    Args:
        root: The folder, with links resolved.
    """

    root: Path

    def paths(self, reference: str) -> list[Path]:
        """The files that a reference or a pattern names, in the order of their names.

        Raises:
            InputError: It is code, lies elsewhere or outside the folder, or does not exist.
        """
        name = reference.removeprefix("file://")
        if is_code(name):
            raise InputError(f"{reference!r} is a program, and Palate never runs what a configuration names")
        if is_elsewhere(reference):
            raise InputError(
                f"{reference!r} is not on this machine; save what it holds beside the configuration"
            )
        if not re.search(r"[*?\[]", name) or (self.root / name).exists():
            return [self._inside(self.root / name, reference)]
        if Path(name).is_absolute() or ".." in Path(name).parts:
            self._outside(reference)
        found = list(
            islice((path for path in self._matches(name, reference) if path.is_file()), MAX_FILES + 1)
        )
        if len(found) > MAX_FILES:
            raise InputError(f"{reference!r} names more than {MAX_FILES:,} files; give a narrower pattern")
        if not found:
            raise InputError(f"{reference!r} names no file")
        return sorted(self._inside(path, reference) for path in found)

    def _matches(self, pattern: str, reference: str) -> Iterator[Path]:
        try:
            yield from self.root.glob(pattern)
        except (ValueError, NotImplementedError, OSError) as error:
            raise InputError(f"{reference!r} is not a pattern of files: {error}") from error

    def _inside(self, path: Path, reference: str) -> Path:
        try:
            found = path.resolve()
            if not found.is_relative_to(self.root):
                self._outside(reference)
            if not found.is_file():
                raise InputError(f"there is no file {reference!r} beside the configuration")
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference!r} cannot be a file: {error}") from error
        return found

    def _outside(self, reference: str) -> NoReturn:
        raise InputError(
            f"{reference!r} lies outside the configuration's folder, where nothing is read; copy it in"
        )

    def name(self, path: Path) -> str:
        """How to call a file in a message."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else path.name

    def text(self, path: Path, limit: int = MAX_TEXT) -> str:
        """Read a file whole.

        Raises:
            InputError: It is too large, unreadable or not UTF-8.
        """
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
            if len(data) > limit:
                raise InputError(
                    f"{self.name(path)!r} is larger than {limit // 1_000_000} MB; give a part of it"
                )
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.name(path)!r} is not UTF-8; save it as UTF-8") from error
        except OSError as error:
            raise InputError(f"cannot read {self.name(path)!r}: {error.strerror or error}") from error

    def structure(self, path: Path) -> Json:
        """Read a YAML, JSON or JSON-lines file.

        Raises:
            InputError: As :meth:`text`, or the file is malformed.
        """
        if path.suffix.lower() == ".jsonl":
            return [self._line(path, number, line) for number, line in self._lines(path)]
        return parse_yaml(self.text(path, MAX_YAML), source=repr(self.name(path)))

    def _lines(self, path: Path) -> list[tuple[int, str]]:
        lines = self.text(path).split("\n")
        return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]

    def _line(self, path: Path, number: int, line: str) -> Json:
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.name(path)!r}, line {number}: not JSON: {error}") from error

    def table(self, path: Path) -> list[dict[str, str]]:
        """Read a CSV file with a header.

        Raises:
            InputError: As :meth:`text`, or a row does not fit the header.
        """
        reader = csv.DictReader(io.StringIO(self.text(path), newline=""), strict=True)
        try:
            rows = list(reader)
        except csv.Error as error:
            raise InputError(f"{self.name(path)!r}, line {reader.line_num}: not CSV: {error}") from error
        if any(None in row for row in rows):
            raise InputError(f"{self.name(path)!r} has a row with more cells than the header")
        return [{key: value or "" for key, value in row.items()} for row in rows]
