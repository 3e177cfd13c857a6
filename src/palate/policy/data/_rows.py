"""Rows of a table of training data: JSON lines, a JSON list, CSV, parquet, or a folder of a data set."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from palate.errors import InputError, nearest
from palate.extras import require

__all__ = ["Row", "read_rows"]

Row: TypeAlias = Mapping[str, Any]

_ENDINGS = (".jsonl", ".json", ".csv", ".parquet")


def read_rows(path: str | Path) -> Iterator[tuple[str, Row]]:
    """Read a file of rows, with the place of each for messages.

    Args:
        path: ``.jsonl``, ``.json`` (a list of objects), ``.csv`` or ``.parquet``, the first three also with
            ``.gz`` after it; or the folder of a saved data set.

    Raises:
        InputError: It is missing, of another kind, or malformed; the text names the line.
        MissingExtraError: Parquet and folders need the extra ``hf``.
    """
    file = Path(path)
    if file.is_dir():
        return _folder(file)
    kind = Path(file.stem).suffix if file.suffix == ".gz" else file.suffix
    if kind not in _ENDINGS:
        raise InputError(
            f"{file}: training data end in one of {', '.join(_ENDINGS)}; {nearest(kind, _ENDINGS)}"
        )
    if not file.is_file():
        raise InputError(f"there is no file {str(file)!r}")
    if kind == ".parquet":
        return _parquet(file)
    text = _text(file)
    if kind == ".csv":
        return _csv(text, file)
    return _jsonl(text, file) if kind == ".jsonl" else _json(text, file)


def _text(file: Path) -> str:
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file} as UTF-8 text: {error}") from error


def _jsonl(text: str, file: Path) -> Iterator[tuple[str, Row]]:
    # Line feeds alone part rows: str.splitlines would also cut at characters inside texts.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", _object(line, f"{file}, line {number}")


def _json(text: str, file: Path) -> Iterator[tuple[str, Row]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file}: a .json file of training data is a list of objects, [{{…}}, …]")
    return ((f"row {number}", row) for number, row in enumerate(rows, start=1))


def _object(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}; write one object a line") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: not an object but {line.strip()[:40]!r}; write {{…}}")
    return row


def _csv(text: str, file: Path) -> Iterator[tuple[str, Row]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                raise InputError(
                    f"{file}, line {reader.line_num}: more cells than columns; quote texts that hold a comma"
                )
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: not CSV: {error}") from error


def _parquet(file: Path) -> Iterator[tuple[str, Row]]:
    parquet = require("pyarrow.parquet", "hf", "Reading parquet")
    arrow = require("pyarrow", "hf", "Reading parquet")
    try:
        batches = parquet.ParquetFile(file).iter_batches()
        rows = chain.from_iterable(batch.to_pylist() for batch in batches)
        yield from ((f"row {number}", row) for number, row in enumerate(rows, start=1))
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{file} is not a parquet file: {error}") from error


def _folder(folder: Path) -> Iterator[tuple[str, Row]]:
    datasets = require("datasets", "hf", "Reading the folder of a data set")
    if not (folder / "dataset_info.json").is_file():
        raise InputError(f"{folder} is not the folder of one split of a data set, as save_to_disk writes it")
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # the library raises errors of many kinds, all meaning the same
        raise InputError(f"{folder} cannot be read as a data set: {' '.join(str(error).split())}") from error
    return ((f"row {number}", dict(row)) for number, row in enumerate(loaded, start=1))
