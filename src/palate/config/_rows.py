"""Rows of the user's data, whatever file they come in.

Every problem names the file, the row and the column.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeAlias

from pydantic import JsonValue

from palate.config._file import MAX_DATA_BYTES, read_text
from palate.errors import InputError, nearest
from palate.extras import require
from palate.types import canonical_json

__all__ = ["Row", "Rows", "as_text", "choose_column", "read_rows"]

Row: TypeAlias = Mapping[str, JsonValue]


class Rows(NamedTuple):
    """What a source holds: ``(number, row)`` pairs, the columns, and what to call it in an error."""

    numbered: list[tuple[int, Row]]
    columns: tuple[str, ...]
    source: str


def read_rows(path: Path, *, what: str, limit: int | None = None) -> Rows:
    """Read rows from a ``.txt``, ``.csv`` or ``.jsonl`` file or a Hugging Face data set folder.

    Args:
        path: The file, of at most 50 MB, or the folder.
        what: The key that named it, for errors.
        limit: Read only the first so many rows.

    Raises:
        InputError: The file is missing, too large, not UTF-8, of another kind, malformed, or has no rows.
        MissingExtraError: A data set folder needs the extra ``hf``.
    """
    source = f"{what}: {str(path)!r}"
    if path.is_dir():
        found: Iterable[tuple[int, Row]] = _data_set(path, source)
    else:
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise InputError(
                f"{source} ends in {path.suffix!r}; {nearest(path.suffix, _READERS)}, "
                "or the folder of a Hugging Face data set"
            )
        found = reader(read_text(path, what=what, limit=MAX_DATA_BYTES), source)
    numbered = list(islice(found, limit))
    if not numbered:
        raise InputError(f"{source} is empty; it needs at least one row")
    columns = tuple(dict.fromkeys(key for _, row in numbered for key in row))
    return Rows(numbered, columns, source)


def choose_column(rows: Rows, wanted: str | None, *, key: str, usual: Iterable[str]) -> str:
    """Find the column to use: the one that was named, a usual one, or the only one.

    Raises:
        InputError: There is no such column; the text lists those that exist, and the nearest.
    """
    if wanted is not None:
        if wanted in rows.columns:
            return wanted
        raise InputError(f"{rows.source} has no column {wanted!r} ({key}); {nearest(wanted, rows.columns)}")
    for name in usual:
        if name in rows.columns:
            return name
    if len(rows.columns) == 1:
        return rows.columns[0]
    raise InputError(f"{rows.source} has several columns; name one with {key}; {nearest('', rows.columns)}")


def as_text(value: JsonValue) -> str:
    """A cell as text: nothing is the empty text, a list or table is JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value)


def _lines(text: str, source: str) -> Iterable[tuple[int, Row]]:
    del source
    # Only line feeds part lines: str.splitlines would also cut at characters that stand inside sentences.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, {"text": line.strip()}


def _csv(text: str, source: str) -> Iterable[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = list(reader.fieldnames or ())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"{source} has two columns called {twice[0]!r}; rename one")
        for row in reader:
            if None in row:
                raise InputError(
                    f"{source}, line {reader.line_num}: more cells than the header's {len(names)} columns; "
                    'put texts that hold a comma in "quotes"'
                )
            yield reader.line_num, dict(row)
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: not CSV: {error}") from error


def _jsonl(text: str, source: str) -> Iterable[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else error
            raise InputError(
                f"{source}, line {number}: not JSON: {reason}; write one object a line"
            ) from error
        if isinstance(row, str):
            row = {"text": row}
        if not isinstance(row, dict):
            raise InputError(f"{source}, line {number}: not an object but {line.strip()[:40]}; write {{…}}")
        yield number, row


def _once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """An object whose names differ: of two equal ones, two readers could believe different ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(n for n in names if names.count(n) > 1)[:40]!r} stands there twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def _data_set(path: Path, source: str) -> Iterable[tuple[int, Row]]:
    datasets = require("datasets", "hf", f"{source} is a folder; reading a Hugging Face data set")
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # the library raises errors of many kinds, all meaning "not a data set"
        raise InputError(
            f"{source} is not the folder of a Hugging Face data set: {' '.join(str(error).split())}"
        ) from error
    if isinstance(loaded, datasets.DatasetDict):
        splits = sorted(map(str, loaded))
        if len(splits) != 1:
            raise InputError(f"{source} has several splits; give the folder of one; {nearest('', splits)}")
        loaded = loaded[splits[0]]
    return enumerate((dict(row) for row in loaded), start=1)


_READERS: Mapping[str, Callable[[str, str], Iterable[tuple[int, Row]]]] = {
    ".txt": _lines,
    ".csv": _csv,
    ".jsonl": _jsonl,
}
