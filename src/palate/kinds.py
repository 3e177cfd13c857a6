"""What a response holds, by its kind: pictures, tables and chats as plain values, and as plain text.

``Response.content`` is markdown for ``text`` and JSON for everything else (:class:`palate.types.Response`
gives the formats). What stands there may come from a plug-in or from an edited file, so it is checked here
each time it is read, before anything is shown. Nothing in this file decodes a picture.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from palate.errors import InputError
from palate.types import Json, Message, Response, canonical_json

__all__ = [
    "LARGEST_PICTURE",
    "MEDIA_TYPES",
    "Cell",
    "Picture",
    "Table",
    "chat_content",
    "picture_content",
    "read_chat",
    "read_picture",
    "read_table",
    "readable",
    "table_content",
]

LARGEST_PICTURE = 8_000_000
"""Bytes of a picture file above which it is not shown."""

MEDIA_TYPES: Mapping[str, bytes] = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF",
}
"""The media types that are shown, each with how such a file begins. SVG is a document and not among them."""

Cell: TypeAlias = "str | int | float | bool | None"

_SIDE = 16_384  # pixels; above it browsers refuse to paint
_ROLES = ("system", "user", "assistant")
_READABLE_ROWS = 40
_READABLE_CELL = 60


class Picture(NamedTuple):
    """A picture file that a browser can show.

    Args:
        media_type: A key of :data:`MEDIA_TYPES`.
        width: Pixels.
        height: Pixels.
        data: The file.
    """

    media_type: str
    width: int
    height: int
    data: bytes

    @property
    def words(self) -> str:
        """Its size in words, for those who do not see it; tells nothing of what it shows."""
        return f"{self.width} × {self.height} pixels"


class Table(NamedTuple):
    """A table: as many cells in each row as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def picture_content(picture: Picture) -> str:
    """Write a picture as the content of a response of kind ``image`` or ``plot``."""
    return canonical_json(
        {
            "media_type": picture.media_type,
            "width": picture.width,
            "height": picture.height,
            "base64": base64.b64encode(picture.data).decode("ascii"),
        }
    )


def read_picture(content: str) -> Picture:
    """Read the content of a response of kind ``image`` or ``plot``.

    Raises:
        InputError: It is no picture, of another type than it says, or too large to show.
    """
    value = _parsed(content, "a picture")
    wrong = InputError(
        'a picture is an object {"media_type", "width", "height", "base64"}, with a media type of '
        f"{', '.join(MEDIA_TYPES)}"
    )
    if not isinstance(value, dict):
        raise wrong
    kind, coded, width, height = (value.get(key) for key in ("media_type", "base64", "width", "height"))
    if not isinstance(kind, str) or kind not in MEDIA_TYPES or not isinstance(coded, str):
        raise wrong
    if not isinstance(width, int) or not isinstance(height, int) or not _are_sides(width, height):
        raise wrong
    if len(coded) > LARGEST_PICTURE * 4 // 3 + 4:
        raise InputError(f"a picture has more than {LARGEST_PICTURE:,} bytes, which are not shown")
    try:
        data = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    if not data.startswith(MEDIA_TYPES[kind]) or (kind == "image/webp" and data[8:12] != b"WEBP"):
        raise InputError(f"a picture says that it is {kind}, but its file is something else")
    return Picture(kind, width, height, data)


def table_content(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Write a table as the content of a response of kind ``table``.

    Raises:
        InputError: A row has another number of cells than there are columns.
    """
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise InputError(f"row {number} has {len(row)} cells, but there are {len(columns)} columns")
    return canonical_json({"columns": list(columns), "rows": [list(row) for row in rows]})


def read_table(content: str) -> Table:
    """Read the content of a response of kind ``table``.

    Raises:
        InputError: It is no table.
    """
    value = _parsed(content, "a table")
    columns = value.get("columns") if isinstance(value, dict) else None
    rows = value.get("rows") if isinstance(value, dict) else None
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise InputError('a table is an object {"columns": [names], "rows": [[cells], …]}')
    for row in rows:
        if not isinstance(row, list) or len(row) != len(columns) or not all(map(_is_cell, row)):
            raise InputError(f"each row of a table is a list of {len(columns)} texts, numbers or nulls")
    return Table(tuple(map(str, columns)), tuple(map(tuple, rows)))


def chat_content(turns: Sequence[Message]) -> str:
    """Write a conversation as the content of a response of kind ``chat``."""
    return canonical_json([{"role": turn.role, "content": turn.content} for turn in turns])


def read_chat(content: str) -> tuple[Message, ...]:
    """Read the content of a response of kind ``chat``.

    Raises:
        InputError: It is no conversation.
    """
    value = _parsed(content, "a chat")
    if not isinstance(value, list) or not value:
        raise InputError('a chat is a list of at least one {"role", "content"}')
    return tuple(map(_turn, value))


def readable(response: Response) -> str:
    """A response as plain text: what a terminal shows, a judge that only reads gets, a comparison counts.

    Returns:
        Text as it is, a table with its columns aligned, a chat as turns (without the system's, which would
        tell candidates apart); of a picture only its size. What cannot be read stays as it is.
    """
    try:
        if response.kind in ("image", "plot"):
            noun = "picture" if response.kind == "image" else "plot"
            return f"[{noun}, {read_picture(response.content).words}]"
        if response.kind == "table":
            return _aligned(read_table(response.content))
        if response.kind == "chat":
            turns = [turn for turn in read_chat(response.content) if turn.role != "system"]
            return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)
    except InputError:
        pass
    return response.content


def _aligned(table: Table) -> str:
    shown = [table.columns, *(tuple(map(_cell_text, row)) for row in table.rows[:_READABLE_ROWS])]
    cells = [[_short(cell) for cell in row] for row in shown]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    missing = len(table.rows) - _READABLE_ROWS
    return "\n".join([*lines, f"({missing:,} more rows)"] if missing > 0 else lines)


def _cell_text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _READABLE_CELL else line[: _READABLE_CELL - 1] + "…"


def _parsed(content: str, what: str) -> Any:  # noqa: ANN401 - whatever the JSON holds
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"the content of {what} is not JSON") from None


def _turn(entry: Json) -> Message:
    if isinstance(entry, dict):
        role, content = entry.get("role"), entry.get("content")
        if isinstance(content, str) and role in _ROLES:
            return Message(role, content)
    raise InputError(f'a turn of a chat is {{"role", "content"}} with a role of {", ".join(_ROLES)}')


def _are_sides(*sides: int) -> bool:
    return all(1 <= side <= _SIDE and not isinstance(side, bool) for side in sides)


def _is_cell(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)
