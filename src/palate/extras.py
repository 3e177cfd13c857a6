"""Optional packages: loaded on use, with the command that installs what is missing."""

from importlib import import_module
from typing import Any, TypeAlias

from palate.errors import MissingExtraError

__all__ = ["Foreign", "require"]

Foreign: TypeAlias = Any
"""A module or object of a library that is loaded on use, and whose types are unknown where it is missing."""


def require(module: str, extra: str, purpose: str) -> Foreign:
    """Import an optional module.

    Args:
        module: Name to import.
        extra: The extra of Palate that installs it; ``""`` for what Palate itself installs.
        purpose: What needs it, as the beginning of a sentence.

    Raises:
        MissingExtraError: It is not installed; the text is the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = f"'palate[{extra}]'" if extra else "--upgrade palate"
        raise MissingExtraError(
            f"{purpose} needs the package {module.split('.')[0]!r}; install it with: pip install {package}"
        ) from error
