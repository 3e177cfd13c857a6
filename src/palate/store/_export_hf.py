"""The ``hf`` format: a folder that ``datasets.load_from_disk`` reads, with a dataset card."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from palate.errors import StoreError
from palate.extras import require
from palate.store._export_files import hash_file
from palate.store._export_rows import Preference, standard_row
from palate.store._sqlite_backup import sync_folder

__all__ = ["write_folder"]

_ROWS_AT_ONCE = 1000
COLUMNS = ("prompt", "chosen", "rejected", "chosen_candidate", "rejected_candidate")


def write_folder(
    path: Path, preferences: Iterator[Preference], card: Callable[[], str]
) -> list[tuple[str, str]]:
    """Write the data set beside its place and move it there.

    Args:
        path: The folder. One that is there is replaced; between two renames there is a moment without any.
        preferences: The rows.
        card: Gives the text of ``README.md`` once the rows have gone by.

    Returns:
        ``(sha256, name)`` of each file, for the sidecar.

    Raises:
        MissingExtraError: ``datasets`` is not installed.
        StoreError: The disk refused, or the folder that is there is not an export.
    """
    datasets, arrow = (require(name, "hf", "the format 'hf'") for name in ("datasets", "pyarrow"))
    if path.exists() and any(path.iterdir()) and not (path / "dataset_info.json").is_file():
        raise StoreError(f"{str(path)!r} holds other things than a data set; choose a new folder")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir()
        table = draft / "rows.arrow"
        _write_rows(arrow, table, preferences)
        built = draft / "built"
        _save(datasets, table, built)
        (built / "README.md").write_text(card(), encoding="utf-8")
        sums = _settle(built, hash_file(table))
        _move(built, path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [(value, f"{path.name}/{name}") for name, value in sums]


def _write_rows(arrow: ModuleType, table: Path, preferences: Iterator[Preference]) -> None:
    schema = arrow.schema([(column, arrow.string()) for column in COLUMNS])
    with arrow.OSFile(str(table), "wb") as sink, arrow.ipc.new_stream(sink, schema) as writer:
        rows: list[dict[str, Any]] = []
        for preference in preferences:
            rows.append(
                {
                    **standard_row(preference),
                    "chosen_candidate": preference.chosen_candidate,
                    "rejected_candidate": preference.rejected_candidate,
                }
            )
            if len(rows) == _ROWS_AT_ONCE:
                writer.write_batch(arrow.RecordBatch.from_pylist(rows, schema=schema))
                rows = []
        writer.write_batch(arrow.RecordBatch.from_pylist(rows, schema=schema))


def _save(datasets: ModuleType, table: Path, folder: Path) -> None:
    bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        datasets.Dataset.from_file(str(table)).save_to_disk(str(folder), num_shards=1)
    finally:
        if bars:
            datasets.enable_progress_bars()


def _settle(folder: Path, fingerprint: str) -> list[tuple[str, str]]:
    # The library makes its fingerprint from the clock; two exports of one study must be equal.
    state = folder / "state.json"
    record = json.loads(state.read_text(encoding="utf-8"))
    record["_fingerprint"] = fingerprint[:16]
    state.write_text(json.dumps(record, indent=2, sort_keys=True), encoding="utf-8")
    sums: list[tuple[str, str]] = []
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        sums.append((file.name, hash_file(file)))
    return sums


def _move(built: Path, path: Path) -> None:
    old = built.with_name("old")
    with suppress(FileNotFoundError):
        path.rename(old)
    built.rename(path)
    sync_folder(path.parent)
