"""Files that the command line writes: whole or not at all, and never over something of the user's."""

import os
import secrets
from pathlib import Path

from palate.errors import StoreError

__all__ = ["write_text"]


def write_text(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 file in one step, with its folder.

    Raises:
        StoreError: The file exists and may not be overwritten, or the folder or the disk refuses.
    """
    if path.exists() and not overwrite:
        raise StoreError(f"{str(path)!r} exists and was left alone; give another name")
    # A name of its own, so that two calls at once do not share it.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot write {str(path)!r}: {error.strerror or error}; nothing was changed"
        ) from error
    finally:
        # Gone already after the rename; its folder may not even exist.
        if partial.exists():
            partial.unlink()
