"""The user's inputs, examples and prompts, loaded and checked."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from palate.config._rows import Row, Rows, as_text, choose_column, read_rows
from palate.config._tables import ExamplesTable, GoldTable, InputsTable, StudyConfig
from palate.errors import InputError
from palate.types import Example, Input, digest

__all__ = [
    "GoldTexts",
    "columns_of",
    "load_examples",
    "load_gold",
    "load_inputs",
    "load_prompts",
    "read_gold",
]


class GoldTexts(NamedTuple):
    """An input and two answers to it, of which one is known to be better."""

    id: str
    input: str
    better: str
    worse: str


def load_inputs(config: StudyConfig) -> list[Input]:
    """Load what the prompts are tried on.

    An input's identifier is a hash of its text and fields, so that it stays the same when rows are added
    or moved; rows that are equal are one input, with the references of all.

    Returns:
        At least one input, in the order of the source.

    Raises:
        InputError: The source cannot be read, lacks a column (the text lists those that exist), or a row
            has no text.
        MissingExtraError: The source is a data set folder and the extra ``hf`` is not installed.
    """
    table = config.inputs
    rows = _rows("inputs", table, config.folder, plain=table.column or "input")
    column = choose_column(rows, table.column, key="[inputs] column", usual=("input", "text"))
    answers = table.reference_column
    if answers is not None:
        choose_column(rows, answers, key="[inputs] reference_column", usual=())
    found: dict[str, Input] = {}
    for number, row in rows.numbered:
        text = _text(rows, number, row, column)
        fields = {name: as_text(value) for name, value in row.items() if name not in (column, answers)}
        identity = digest({"text": text, "fields": fields})[:16]
        references = _references(rows, number, row.get(answers)) if answers else ()
        known = found[identity].references if identity in found else ()
        merged = tuple(dict.fromkeys((*known, *references)))
        found[identity] = Input(identity, text, merged, fields)
    return list(found.values())


def load_examples(config: StudyConfig) -> list[Example]:
    """Load the examples from which prompts are induced; none when the study file has no ``[examples]``.

    Raises:
        InputError: As for :func:`load_inputs`.
        MissingExtraError: As for :func:`load_inputs`.
    """
    table = config.examples
    if table is None:
        return []
    rows = _rows("examples", table, config.folder)
    given = choose_column(rows, table.input_column, key="[examples] input_column", usual=())
    wanted = choose_column(rows, table.output_column, key="[examples] output_column", usual=())
    return [
        Example(_text(rows, number, row, given), _text(rows, number, row, wanted))
        for number, row in rows.numbered
    ]


def load_gold(config: StudyConfig) -> list[GoldTexts]:
    """Load the duels with a known answer; none when the study file has no ``[gold]``.

    Raises:
        InputError: The source cannot be read, lacks a column, or a row has no text or the same answer twice.
    """
    return read_gold(config.gold, config.folder)


def read_gold(table: GoldTable | None, folder: Path) -> list[GoldTexts]:
    """Load the duels of a table; relative paths start at the folder. Raises as :func:`load_gold` does."""
    if table is None:
        return []
    rows = _rows("gold", table, folder)
    names = [
        choose_column(rows, name, key=f"[gold] {name}", usual=()) for name in ("input", "better", "worse")
    ]
    found: dict[str, GoldTexts] = {}
    for number, row in rows.numbered:
        asked, better, worse = (_text(rows, number, row, name) for name in names)
        if better == worse:
            raise InputError(f"{rows.source}, row {number}: better and worse are the same text; change one")
        identity = f"gold-{digest([asked, better, worse])[:16]}"
        found[identity] = GoldTexts(identity, asked, better, worse)
    return list(found.values())


def load_prompts(config: StudyConfig) -> list[str]:
    """Load the seed prompt and the user's own list, in this order, each text once.

    Raises:
        InputError: The file of prompts cannot be read, lacks the column, or has an empty row.
    """
    table = config.prompts
    own: Iterable[str] = table.list or ()
    if table.path is not None:
        rows = read_rows(config.folder / table.path, what="[prompts] path")
        column = choose_column(rows, table.column, key="[prompts] column", usual=("prompt", "text"))
        own = [_text(rows, number, row, column) for number, row in rows.numbered]
    return list(dict.fromkeys((*([] if table.seed is None else [table.seed]), *own)))


def columns_of(path: Path) -> tuple[str, ...]:
    """The columns of a data file, for asking which to use.

    Raises:
        InputError: As for :func:`load_inputs`.
    """
    return read_rows(path, what="inputs", limit=1).columns


def _rows(
    name: str, table: InputsTable | ExamplesTable | GoldTable, folder: Path, *, plain: str = "input"
) -> Rows:
    """Read a table's source; ``plain`` is the column of an inline entry that is a text alone."""
    if table.path is not None:
        return read_rows(folder / table.path, what=f"[{name}] path", limit=table.limit)
    entries = (table.inline or ())[: table.limit]
    numbered: list[tuple[int, Row]] = [
        (number, {plain: entry} if isinstance(entry, str) else entry)
        for number, entry in enumerate(entries, start=1)
    ]
    columns = tuple(dict.fromkeys(key for _, row in numbered for key in row))
    return Rows(numbered, columns, f"[{name}] inline")


def _text(rows: Rows, number: int, row: Row, column: str) -> str:
    value = row.get(column)
    if isinstance(value, list | Mapping):
        raise InputError(f"{rows.source}, row {number}: column {column!r} holds {_kind(value)}; give a text")
    text = as_text(value)
    if not text.strip():
        raise InputError(f"{rows.source}, row {number}: column {column!r} is empty; fill it or drop the row")
    return text


def _references(rows: Rows, number: int, value: JsonValue) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if isinstance(entry, list | Mapping):
            raise InputError(
                f"{rows.source}, row {number}: a reference is {_kind(entry)}; give a text or a list of texts"
            )
    return tuple(text for text in map(as_text, entries) if text)


def _kind(value: list[JsonValue] | Mapping[str, JsonValue]) -> str:
    return "a list" if isinstance(value, list) else "a table"
