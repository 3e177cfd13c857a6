"""Answers kept in a file, a line each, so that a training that was stopped draws none twice."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from palate.errors import StoreError
from palate.types import Json

__all__ = ["KeptAnswers"]


class KeptAnswers:
    """A :class:`palate.types.CompletionCache` in one file of JSON lines.

    A line that a kill cut in two is left out when the file is read, and its answer is drawn again.

    Args:
        path: The file; it is made when the first answer comes.

    Raises:
        StoreError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._rows: dict[str, Mapping[str, Json]] = {}
        self._whole = True
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
        for line in text.split("\n"):
            try:
                entry = json.loads(line)
                self._rows[entry["key"]] = entry["value"]
            except (ValueError, KeyError, TypeError):
                continue
        self._whole = not text or text.endswith("\n")

    def __len__(self) -> int:
        return len(self._rows)

    def get_completion(self, key: str) -> Mapping[str, Json] | None:
        """The kept answer, or ``None``."""
        return self._rows.get(key)

    def put_completion(self, key: str, value: Mapping[str, Json]) -> None:
        """Keep an answer; on disk when this returns.

        Raises:
            StoreError: The disk refused.
        """
        line = json.dumps({"key": key, "value": value}, ensure_ascii=False, separators=(",", ":"))
        with self._lock:
            try:
                with self._path.open("a", encoding="utf-8", errors="replace") as sink:
                    sink.write(line + "\n" if self._whole else "\n" + line + "\n")
                    sink.flush()
                    os.fsync(sink.fileno())
            except OSError as error:
                raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error
            self._whole = True
            self._rows[key] = value
