"""A figure with its interval, and how values become JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.types import Json

__all__ = ["Figure", "Places", "Span", "figure", "plain"]

Places: TypeAlias = NDArray[np.int64]


class Figure(NamedTuple):
    """A value and the ends of its 95 % interval; ends are ``None`` where votes are too few for them."""

    value: float
    low: float | None = None
    high: float | None = None


class Span(NamedTuple):
    """The ends of a 95 % interval."""

    low: float
    high: float


def figure(value: float, low: float, high: float) -> Figure | None:
    """A figure whose NaN are absent: without a value there is none."""
    if math.isnan(value):
        return None
    if math.isnan(low) or math.isnan(high):
        return Figure(value)
    return Figure(value, low, high)


def plain(value: Any) -> Json:  # noqa: ANN401 - whatever a dataclass holds
    """JSON of a dataclass, a named tuple or a container of such."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(getattr(value, name)) for name in value._fields}  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(held) for held in value]
    return value
