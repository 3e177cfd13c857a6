"""Files that users give: how they are found, how large they may be, how they are decoded."""

from pathlib import Path

from palate.errors import InputError

__all__ = ["MAX_DATA_BYTES", "MAX_STUDY_BYTES", "read_text"]

MAX_STUDY_BYTES = 5_000_000
MAX_DATA_BYTES = 50_000_000


def read_text(path: Path, *, what: str, limit: int) -> str:
    """Read a UTF-8 text file whole.

    Args:
        path: The file.
        what: What it is to the user (``"[inputs] path"``), for the error.
        limit: Largest size that is read, in bytes.

    Raises:
        InputError: It is missing, a folder, too large, unreadable, or not UTF-8.
    """
    try:
        if path.is_dir():
            raise InputError(f"{what}: {str(path)!r} is a folder; give a file")
        with path.open("rb") as file:
            # One byte more than allowed tells a file that is too large, also a device without a size.
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise InputError(f"{what}: no file {str(path)!r}{_beside(path)}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{what}: cannot read {str(path)!r}: {_reason(error)}") from error
    if len(data) > limit:
        raise InputError(
            f"{what}: {str(path)!r} is larger than {limit // 1_000_000} MB; give a smaller file, or a part"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{what}: {str(path)!r} is not UTF-8 (byte {data[error.start]:#04x} in line {line}); "
            "save it as UTF-8"
        ) from error


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _beside(path: Path) -> str:
    from difflib import get_close_matches

    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f"; its folder {str(path.parent)!r} does not exist either"
    close = get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "; relative paths start at the study file's folder"
