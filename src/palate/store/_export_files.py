"""Files that are either the old one or the new one, whole: written beside, synced, checked in, renamed.

Each export has a sidecar ``NAME.sha256`` that ``sha256sum -c`` reads; its comment line says what is inside.
"""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from palate.errors import StoreError
from palate.store._sqlite_backup import sync_folder

__all__ = ["check_target", "hash_file", "write_file", "write_sidecar"]


def check_target(path: Path, *, folder: bool) -> None:
    """Refuse a target that cannot become the export.

    Raises:
        StoreError: Its folder is missing, or it is a folder where a file is due (or the other way round).
    """
    if not path.parent.is_dir():
        raise StoreError(f"there is no folder {str(path.parent)!r} to export to; make it first")
    if path.exists() and path.is_dir() != folder:
        due, there = ("folder", "file") if folder else ("file", "folder")
        raise StoreError(f"{str(path)!r} is a {there}, but this format writes a {due}; choose another name")


def write_file(path: Path, pieces: Iterable[bytes]) -> str:
    """Write a file at once and for good.

    Returns:
        Its SHA-256, 64 hexadecimal digits.

    Raises:
        StoreError: The disk refused; what was there before is untouched.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        with draft.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    return digest.hexdigest()


def write_sidecar(path: Path, note: str, sums: Iterable[tuple[str, str]]) -> None:
    """Write ``NAME.sha256``: a comment line, then a sum and a name for each file."""
    lines = [f"# {note}\n", *(f"{value}  {name}\n" for value, name in sums)]
    write_file(path.with_name(path.name + ".sha256"), [line.encode() for line in lines])


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
