"""Named dimensions, each a list of options or a range of numbers: what slots and settings are made of.

A point of the unit cube ``[0, 1)^D`` stands for one value of each dimension, so that whoever fills the space
needs to know nothing of its names. As features, a range is one number in [0, 1] (on its logarithm if it is a
logarithmic one) and a list of options one column an option; all are divided by the square root of ``D``,
which makes a row's norm at most one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from palate.errors import ConfigError, InputError, nearest
from palate.types import Array, Json

__all__ = ["Options", "Range", "Space", "Value", "read_dimension", "read_options"]

Value = str | int | float | bool
_COUNTED = 64  # whole numbers in a range up to which each counts as an option of its own
_DIGITS = 4  # significant digits of a number that is drawn: as many as a person would write


@dataclass(frozen=True, slots=True)
class Options:
    """A dimension that takes one of several values.

    Args:
        values: At least two, all different.
        start: The first candidate's; the first value when ``None``.
    """

    values: tuple[Value, ...]
    start: Value | None = None

    @property
    def size(self) -> int | None:
        """How many values there are."""
        return len(self.values)

    @property
    def first(self) -> Value:
        """The value of the first candidate."""
        return self.values[0] if self.start is None else self.start

    def at(self, place: float) -> Value:
        """The value at a place in [0, 1)."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]

    def code(self, value: Json) -> list[float]:
        """One column an option."""
        return [float(_same(value, option)) for option in self.values]

    def fault(self, value: Json) -> str | None:
        """Why a value is not allowed."""
        if any(_same(value, option) for option in self.values):
            return None
        return f"is {value!r}; it is one of {', '.join(map(repr, self.values))}"


@dataclass(frozen=True, slots=True)
class Range:
    """A dimension that takes a number.

    Args:
        low: The least.
        high: The greatest.
        log: Whether equal ratios, not equal differences, are equally far apart.
        integer: Whether only whole numbers are allowed.
        start: The first candidate's; the middle when ``None``.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    start: float | None = None

    @property
    def size(self) -> int | None:
        """How many values there are, if they are few enough to count."""
        count = int(self.high) - int(self.low) + 1
        return count if self.integer and count <= _COUNTED else None

    @property
    def first(self) -> Value:
        """The value of the first candidate."""
        return self.at(0.5) if self.start is None else self._tidy(self.start)

    def at(self, place: float) -> Value:
        """The value at a place in [0, 1), to four significant digits."""
        if self.size is not None:
            return int(self.low) + min(int(place * self.size), self.size - 1)
        return self._tidy(float(f"{self._scaled(place):.{_DIGITS}g}"))

    def code(self, value: Json) -> list[float]:
        """One column in [0, 1]."""
        number = float(value) if isinstance(value, int | float) else self.low
        if self.log:
            return [math.log(number / self.low) / math.log(self.high / self.low)]
        return [(number - self.low) / (self.high - self.low)]

    def fault(self, value: Json) -> str | None:
        """Why a value is not allowed."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return f"is {value!r}; it is a number"
        if self.integer and value != int(value):
            return f"is {value!r}; it is a whole number"
        if not self.low <= value <= self.high:
            return f"is {value!r}; it lies between {self.low:g} and {self.high:g}"
        return None

    def _scaled(self, place: float) -> float:
        if self.log:
            return math.exp(math.log(self.low) + place * math.log(self.high / self.low))
        return self.low + place * (self.high - self.low)

    def _tidy(self, number: float) -> Value:
        held = min(max(number, self.low), self.high)
        return round(held) if self.integer else held


@dataclass(frozen=True, slots=True)
class Space:
    """Dimensions by name, in the order in which they were given.

    Args:
        dimensions: At least one.
        word: What a dimension is called in errors (``"slot"``, ``"parameter"``).
    """

    dimensions: Mapping[str, Options | Range]
    word: str

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """How many values each dimension has; ``None`` for too many to count."""
        return tuple(dimension.size for dimension in self.dimensions.values())

    def first(self) -> dict[str, Value]:
        """Where a study starts."""
        return {name: dimension.first for name, dimension in self.dimensions.items()}

    def at(self, point_D: Sequence[float]) -> dict[str, Value]:
        """The values at a point of the unit cube."""
        return {
            name: dimension.at(place)
            for (name, dimension), place in zip(self.dimensions.items(), point_D, strict=True)
        }

    def features(self, values: Mapping[str, Json]) -> Array:
        """The values as a row of numbers; see the module's text.

        Raises:
            InputError: As :meth:`check`.
        """
        self.check(values)
        row = [x for name, dimension in self.dimensions.items() for x in dimension.code(values[name])]
        return np.array(row) / math.sqrt(len(self.dimensions))

    def check(self, values: Mapping[str, Json]) -> None:
        """Refuse values that do not fit.

        Raises:
            InputError: A name is missing or unknown, or a value is not allowed.
        """
        for name in values:
            if name not in self.dimensions:
                raise InputError(f"no {self.word} is called {name!r}; {nearest(name, self.dimensions)}")
        for name, dimension in self.dimensions.items():
            if name not in values:
                raise InputError(f"the {self.word} {name!r} has no value; give it one")
            if fault := dimension.fault(values[name]):
                raise InputError(f"the {self.word} {name!r} {fault}")


def _same(value: Json, option: Value) -> bool:
    """Equal and of one kind: true is not 1."""
    return value == option and isinstance(value, bool) == isinstance(option, bool)


def read_options(name: str, given: object, word: str) -> Options:
    """Check a list of options that a user wrote.

    Raises:
        ConfigError: It is no list of at least two different texts, numbers or truth values.
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ConfigError(f"the {word} {name!r} is {given!r}; give a list of options")
    values: list[Value] = []
    for option in given:
        if not isinstance(option, str | int | float):
            raise ConfigError(f"an option of the {word} {name!r} is {option!r}; give a text or a number")
        if any(_same(option, other) for other in values):
            raise ConfigError(f"the {word} {name!r} has the option {option!r} twice; take one out")
        values.append(option)
    if len(values) < 2:
        raise ConfigError(
            f"the {word} {name!r} has {len(values)} option{'' if len(values) == 1 else 's'}, so there is "
            f"nothing to choose; give at least two, or write the value into place and take the {word} out"
        )
    return Options(tuple(values))


def read_dimension(name: str, given: object, word: str) -> Options | Range:
    """Check a list of options, or a range, that a user wrote.

    Raises:
        ConfigError: It is neither, or its ends are no range.
    """
    if not isinstance(given, Mapping):
        return read_options(name, given, word)
    table: dict[str, object] = dict(given)
    known = ("options", "start") if "options" in table else ("low", "high", "log", "integer", "start")
    for key in table:
        if key not in known:
            raise ConfigError(f"the {word} {name!r} has {key!r}; {nearest(key, known)}")
    made = _with_start(name, table, word) if "options" in table else _range(name, table, word)
    if made.start is not None and (fault := made.fault(made.start)):
        raise ConfigError(f"the start of the {word} {name!r} {fault}")
    return made


def _with_start(name: str, table: Mapping[str, object], word: str) -> Options:
    start = table.get("start")
    if start is not None and not isinstance(start, str | int | float):
        raise ConfigError(f"the start of the {word} {name!r} is {start!r}; it is one of its options")
    return Options(read_options(name, table["options"], word).values, start)


def _range(name: str, table: Mapping[str, object], word: str) -> Range:
    numbers = {key: _number(table.get(key)) for key in ("low", "high")}
    low, high = numbers["low"], numbers["high"]
    if low is None or high is None or not low < high:
        raise ConfigError(
            f"the {word} {name!r} goes from {table.get('low')!r} to {table.get('high')!r}; give two numbers, "
            "low and high, with low below high"
        )
    for key in ("log", "integer"):
        if not isinstance(table.get(key, False), bool):
            raise ConfigError(f"{key} of the {word} {name!r} is {table[key]!r}; it is true or false")
    log, integer = bool(table.get("log")), bool(table.get("integer"))
    if log and low <= 0:
        raise ConfigError(f"the {word} {name!r} is logarithmic and begins at {low:g}; low must be above 0")
    if integer and (low != int(low) or high != int(high)):
        raise ConfigError(f"the {word} {name!r} is of whole numbers; give whole numbers as low and high")
    start = table.get("start")
    number = _number(start)
    if start is not None and number is None:
        raise ConfigError(f"the start of the {word} {name!r} is {start!r}; it is a number")
    return Range(low, high, log=log, integer=integer, start=number)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
