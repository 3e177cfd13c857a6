"""The one family of errors.

Every error says what was wrong (with the offending value), what is allowed, and what to do next. Each
class is also the standard exception that a caller who has never heard of Palate would catch, and each
survives pickling, so that it can cross a process boundary.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "BudgetError",
    "ConfigError",
    "ConflictError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "NotFoundError",
    "PalateError",
    "StoreError",
    "UnsupportedError",
    "nearest",
]


class PalateError(Exception):
    """Base of every error that Palate raises on purpose. The command line prints it as one line."""


class ConfigError(PalateError, ValueError):
    """A study file, an option or an argument is wrong; the text names the key and what is allowed."""


class InputError(PalateError, ValueError):
    """Data given to Palate cannot be used: an empty file, a missing column, the wrong encoding, NaN."""


class NotFoundError(PalateError, LookupError):
    """A name or an identifier is not known; the text lists what is, and the nearest name."""


class MissingExtraError(PalateError, ImportError):
    """An optional dependency is not installed; the text is the command that installs it."""


class UnsupportedError(PalateError, TypeError):
    """A part was asked for something that its capabilities rule out, such as embeddings from a chat model."""


class ModelError(PalateError, RuntimeError):
    """A model could not be reached, refused, or answered with something that is not an answer."""


class BudgetError(PalateError, RuntimeError):
    """The next call could exceed the study's budget, so it was not sent."""


class StoreError(PalateError, OSError):
    """The study's file cannot be read or written: locked, newer than this Palate, read-only, disk full."""


class ConflictError(StoreError):
    """A vote contradicts one that is already on disk (same key with another content, or a second vote)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what exists, and which known name is the closest to a mistaken one.

    Args:
        name: What the user wrote.
        known: What would have been allowed.

    Returns:
        A clause such as ``"known: 'random', 'apohf'; did you mean 'apohf'?"`` that ends an error text.
    """
    names: Sequence[str] = sorted(known)
    listed = ", ".join(repr(entry) for entry in names) or "nothing"
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"known: {listed}{hint}"
