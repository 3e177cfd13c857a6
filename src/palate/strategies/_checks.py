"""Checks of options, with one wording for all strategies."""

from collections.abc import Sequence

import numpy as np

from palate.errors import ConfigError

__all__ = ["check_choice", "check_number", "check_whole", "check_widths"]


def check_number(key: str, value: float, low: float, *, above: bool = False) -> float:
    """A finite number of at least ``low``, or above it.

    Raises:
        ConfigError: It is not.
    """
    if not np.isfinite(value) or value < low or (above and value == low):
        raise ConfigError(f"{key} must be {'above' if above else 'at least'} {low:g}, not {value!r}")
    return float(value)


def check_whole(key: str, value: int, low: int) -> int:
    """A whole number of at least ``low``.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(value, bool) or not np.isfinite(value) or int(value) != value or value < low:
        raise ConfigError(f"{key} must be a whole number of at least {low}, not {value!r}")
    return int(value)


def check_choice(key: str, value: str, allowed: Sequence[str]) -> None:
    """One of a few words.

    Raises:
        ConfigError: It is not.
    """
    if value not in allowed:
        raise ConfigError(f"{key} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def check_widths(key: str, widths: Sequence[int]) -> tuple[int, ...]:
    """Widths of at least one hidden layer, each ≥ 1.

    Raises:
        ConfigError: They are not.
    """
    if not widths or not all(int(width) == width and width >= 1 for width in widths):
        raise ConfigError(f"{key} must be widths of at least 1, such as (32, 32), not {widths!r}")
    return tuple(int(width) for width in widths)
