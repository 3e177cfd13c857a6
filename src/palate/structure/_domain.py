"""What a combination is made of: variables with options, variables with numbers, and rows of them as arrays.

An option is written as its place in the list, a number as its place in its range: 0 at the low end, 1 at the
high end, on a logarithmic scale where the variable has one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from palate.errors import ConfigError, InputError, nearest
from palate.types import Array, Json, canonical_json

__all__ = ["Domain", "Options", "Range", "Variable", "domain_of", "variable_of"]

_LOG_RATIO = 100.0  # numbers above zero that span more than two decades are taken on a logarithmic scale
_DIGITS = 3


@final
@dataclass(frozen=True, slots=True)
class Options:
    """A variable that takes one of a list of values: the options of a slot, a mode, yes or no."""

    name: str
    values: tuple[Json, ...]

    def __post_init__(self) -> None:
        known = {canonical_json(value) for value in self.values}
        if not self.values or len(known) < len(self.values):
            raise ConfigError(f"{self.name!r} has the options {self.values!r}; list at least one, each once")

    @property
    def levels(self) -> int:
        """Number of options."""
        return len(self.values)

    def encode(self, value: Json) -> float:
        """The place of an option in the list."""
        wanted = canonical_json(value)
        for place, option in enumerate(self.values):
            if canonical_json(option) == wanted:
                return float(place)
        raise InputError(
            f"{self.name!r} has no option {value!r}; {nearest(str(value), map(str, self.values))}"
        )

    def decode(self, place: float) -> Json:
        """The option at a place."""
        return self.values[round(place)]

    def grid(self, count: int) -> Array:
        """Every place; ``count`` is for numbers only."""
        del count
        return np.arange(len(self.values), dtype=np.float64)


@final
@dataclass(frozen=True, slots=True)
class Range:
    """A variable that is a number between two ends.

    Args:
        name: Of the variable.
        low: Smallest value.
        high: Largest value, above ``low``.
        integer: Whether only whole numbers are allowed.
        log: Whether ratios count rather than differences; needs ``low`` > 0.
    """

    name: str
    low: float
    high: float
    integer: bool = False
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"{self.name!r} goes from {self.low!r} to {self.high!r}; low must be below high"
            )
        if self.log and not self.low > 0:
            raise ConfigError(f"{self.name!r} is logarithmic and starts at {self.low!r}; start above 0")

    @property
    def levels(self) -> int:
        """0, which marks a number."""
        return 0

    def encode(self, value: Json) -> float:
        """The place of a number in the range, in [0, 1]."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"{self.name!r} is {value!r}; it is a number from {self.low} to {self.high}")
        if not self.low <= value <= self.high:
            raise InputError(f"{self.name!r} is {value!r}; it lies between {self.low} and {self.high}")
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def decode(self, place: float) -> Json:
        """The number at a place, to a thousandth of the range or, on a logarithmic scale, three digits."""
        if not self.integer and not 0.0 < place < 1.0:  # an end is what was written, whatever its digits
            return self.low if place <= 0.0 else self.high
        place = min(max(place, 0.0), 1.0)
        if self.log:
            value = self.low * (self.high / self.low) ** place
            digits = _DIGITS - 1 - math.floor(math.log10(value))
        else:
            value = self.low + (self.high - self.low) * place
            digits = _DIGITS - math.floor(math.log10(self.high - self.low))
        if self.integer:
            return int(min(max(round(value), math.ceil(self.low)), math.floor(self.high)))
        return float(min(max(round(value, digits), self.low), self.high))

    def grid(self, count: int) -> Array:
        """At most ``count`` places, evenly spread; whole numbers, where only those are allowed."""
        even_L = np.linspace(0.0, 1.0, count)
        if not self.integer:
            return even_L
        whole = {self.encode(self.decode(float(place))) for place in even_L}
        return np.array(sorted(whole))


Variable: TypeAlias = Options | Range


@final
@dataclass(frozen=True, slots=True)
class Domain:
    """The variables of a combination, in order.

    Example:
        >>> domain = Domain((Options("tone", ("warm", "plain")), Range("temperature", 0.0, 2.0)))
        >>> domain.encode([{"tone": "plain", "temperature": 0.5}]).tolist()
        [[1.0, 0.25]]
    """

    variables: tuple[Variable, ...]

    def __post_init__(self) -> None:
        names = [variable.name for variable in self.variables]
        if len(set(names)) < len(names):
            raise ConfigError(f"two variables have one name: {names!r}; give each its own")

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(variable.name for variable in self.variables)

    @property
    def levels_V(self) -> tuple[int, ...]:
        """Number of options of each variable, 0 for a number."""
        return tuple(variable.levels for variable in self.variables)

    def encode(self, rows: Sequence[Mapping[str, Json]]) -> Array:
        """Write combinations as an array ``(N, V)``.

        Raises:
            InputError: A row lacks a variable or has another one, or a value is not allowed.
        """
        for row in rows:
            if set(row) != set(self.names):
                raise InputError(f"a row has {sorted(row)!r}; every row has {sorted(self.names)!r}")
        coded = [[variable.encode(row[variable.name]) for variable in self.variables] for row in rows]
        return np.array(coded, dtype=np.float64).reshape(len(rows), len(self.variables))

    def decode(self, x_V: Array) -> dict[str, Json]:
        """Read one row of an array."""
        return {
            variable.name: variable.decode(float(place))
            for variable, place in zip(self.variables, x_V, strict=True)
        }

    def grids(self, count: int) -> list[Array]:
        """The places of each variable at which combinations are compared: ``count`` of a number."""
        return [variable.grid(count) for variable in self.variables]


def domain_of(rows: Sequence[Mapping[str, Json]]) -> Domain:
    """Take the domain from what was tried: the options that occur, and numbers within their range.

    A variable whose values are all numbers, two different ones at least, is a range (whole numbers stay
    whole; above zero and over more than two decades it is logarithmic); any other is a list of options.

    Raises:
        InputError: There are no rows.

    Example:
        >>> domain_of([{"tone": "warm", "n": 1}, {"tone": "plain", "n": 3}]).variables[1]
        Range(name='n', low=1, high=3, integer=True, log=False)
    """
    if not rows:
        raise InputError("no combination was tried, so there is nothing to take the options from")
    return Domain(tuple(_observed(name, [row[name] for row in rows if name in row]) for name in rows[0]))


def _observed(name: str, values: Sequence[Json]) -> Variable:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and min(numbers) < max(numbers):
        low, high = min(numbers), max(numbers)
        whole = all(isinstance(value, int) for value in numbers)
        return Range(name, low, high, integer=whole, log=low > 0 and high / low > _LOG_RATIO)
    return Options(name, tuple({canonical_json(value): value for value in values}.values()))


def variable_of(name: str, wanted: Json) -> Variable:
    """Read a variable from what a user wrote: a list of options, or a table with ``low`` and ``high``.

    Raises:
        ConfigError: It is neither.

    Example:
        >>> variable_of("temperature", {"low": 0.0, "high": 1.0})
        Range(name='temperature', low=0.0, high=1.0, integer=False, log=False)
    """
    if isinstance(wanted, Mapping):
        unknown = set(wanted) - {"low", "high", "integer", "log"}
        low, high = wanted.get("low"), wanted.get("high")
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
        if not unknown and numbers and isinstance(low, int | float) and isinstance(high, int | float):
            return Range(name, low, high, bool(wanted.get("integer", False)), bool(wanted.get("log", False)))
    elif isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return Options(name, tuple(wanted))
    raise ConfigError(
        f"{name!r} is {wanted!r}; write a list of options, or {{ low = …, high = … }} with, if they apply, "
        "integer = true and log = true"
    )
