"""From the bytes that a command or a function returned to what a person looks at.

``text`` is UTF-8, shown as markdown. ``table`` is CSV with a row of names, or JSON: a list of objects, or
``{"columns": […], "rows": [[…]]}``. ``image`` and ``plot`` are a picture file, which is decoded and written
anew.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, TypeGuard, get_args

from palate.errors import InputError
from palate.kinds import Cell, picture_content, read_table, table_content
from palate.targets._ask import LONGEST_ANSWER
from palate.targets._media import PictureLimits, clean_picture
from palate.types import Json, Response

__all__ = ["OUTCOMES", "Outcome", "as_response"]

Outcome: TypeAlias = Literal["text", "table", "image", "plot"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_ROWS, _COLUMNS = 2_000, 100


def as_response(data: bytes, outcome: Outcome, *, seconds: float, most_bytes: int) -> Response:
    """Read an outcome.

    Args:
        data: What came back, from anybody.
        outcome: What it is meant to be.
        seconds: How long it took.
        most_bytes: Of a picture's file.

    Raises:
        InputError: It is something else, empty, or too large to be looked at.
        MissingExtraError: A picture, and Pillow is not installed.
    """
    if not data.strip():
        raise InputError("nothing came back")
    if outcome == "image" or outcome == "plot":
        picture = clean_picture(data, limits=PictureLimits(bytes=most_bytes))
        return Response(outcome, picture_content(picture), seconds)
    text = _text(data)
    if outcome == "text":
        return Response("text", text, seconds)
    content = _table(text)
    read_table(content)
    return Response("table", content, seconds)


def _text(data: bytes) -> str:
    if len(data) > LONGEST_ANSWER:
        raise InputError(f"{len(data):,} bytes of text came back; at most {LONGEST_ANSWER:,} are shown")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("what came back is no text in UTF-8 but binary data") from None
    if "\0" in text:
        raise InputError("what came back is no text but binary data")
    return text


def _table(text: str) -> str:
    columns, rows = _from_json(text) if text.lstrip()[:1] in ("[", "{") else _from_csv(text)
    if not rows or not columns:
        raise InputError("the table that came back has no rows")
    if len(rows) > _ROWS or len(columns) > _COLUMNS:
        raise InputError(
            f"the table that came back has {len(rows):,} rows and {len(columns)} columns; at most {_ROWS:,} "
            f"and {_COLUMNS} are shown"
        )
    return table_content(columns, rows)


def _from_csv(text: str) -> tuple[list[str], list[list[Cell]]]:
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise InputError(f"the table that came back is no CSV: {error}") from error
    return (lines[0], [list[Cell](line) for line in lines[1:]]) if lines else ([], [])


def _from_json(text: str) -> tuple[list[str], list[list[Cell]]]:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the table that came back is no JSON: {error}") from error
    if isinstance(value, Mapping):
        columns, rows = value.get("columns"), value.get("rows")
        if _is_list(columns) and _is_list(rows) and all(_is_list(row) for row in rows):
            return [str(name) for name in columns], [[_cell(v) for v in row] for row in rows if _is_list(row)]
    elif _is_list(value) and all(isinstance(row, Mapping) for row in value):
        objects = [row for row in value if isinstance(row, Mapping)]
        names = list(dict.fromkeys(name for row in objects for name in row))
        return names, [[_cell(row.get(name)) for name in names] for row in objects]
    raise InputError('a table in JSON is a list of objects, or {"columns": [names], "rows": [[cells], …]}')


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _cell(value: Json) -> Cell:
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, ensure_ascii=False)
