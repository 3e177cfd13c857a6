"""Numbers in a prompt and numbers in an answer: the box, its rows as text, and rows read back.

An answer is read line by line (a semicolon, or a bracket with a comma after it, end a row as well). A row is
exactly as many numbers as there are variables; a list marker before it and brackets around it are taken off.
A line without any digit is no row: a heading or a fence. Everything else with a digit in it is malformed. Row
``k`` that is malformed or missing falls back to member ``k`` of the pool that it was made from; what lies
outside is moved to the bound.

Source: Brahmachary et al., "Large language model-based evolutionary optimizer: Reasoning with elitism",
arXiv 2403.02054 (Neurocomputing 622, 2025), section 4.3 and tables 7 to 9. The paper asks for strict rows of
numbers with six decimals and does not say what becomes of others; the fall-back is that of a public
re-implementation.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.errors import ConfigError, InputError
from palate.types import Array

__all__ = ["Box", "Offspring", "Tally", "read_rows"]

_MARKER = re.compile(r"^(?:\d+\s*[.):]\s+|[-*•]\s+)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ENDS = re.compile(r"[\n;]|(?<=[\])])\s*,")
_DECIMALS = 6


class Tally(NamedTuple):
    """What became of the rows that were asked for.

    Args:
        calls: Requests sent.
        rows: Rows asked for.
        fell_back: Rows that were malformed or missing, and were replaced by a member of the pool.
        clipped: Rows moved to a bound.
    """

    calls: int = 0
    rows: int = 0
    fell_back: int = 0
    clipped: int = 0

    def plus(self, *others: "Tally") -> "Tally":
        """Add up."""
        return Tally(*(sum(column) for column in zip(self, *others, strict=True)))


class Offspring(NamedTuple):
    """New points of one pool: ``(N, D)``, and which of them are a member of the pool again, ``(N,)``."""

    x_ND: Array
    fell_back_N: NDArray[np.bool_]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Box:
    """The variables and what they may be.

    Args:
        low: Lower bounds, one a variable.
        high: Upper bounds, each above its lower bound.
        names: What the prompts call the variables; ``var1``, ``var2``, … if empty.

    Raises:
        ConfigError: The bounds are not as many, not finite, or the wrong way round.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.low or len(self.low) != len(self.high):
            raise ConfigError(
                f"{len(self.low)} lower and {len(self.high)} upper bounds; give one pair a variable"
            )
        for low, high in zip(self.low, self.high, strict=True):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ConfigError(
                    f"bounds {low!r} and {high!r}; both are finite and the first is the smaller"
                )
        if not self.names:
            object.__setattr__(self, "names", tuple(f"var{k + 1}" for k in range(len(self.low))))
        if len(set(self.names)) != len(self.low):
            raise ConfigError(f"names are {self.names!r}; give {len(self.low)} different ones, or none")

    @property
    def width_D(self) -> Array:
        """Upper less lower bounds."""
        return np.array(self.high) - np.array(self.low)

    def clip(self, x_ND: Array) -> Array:
        """Move what lies outside to the bound."""
        return np.clip(x_ND, self.low, self.high)

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw uniformly; ``(count, D)``."""
        return rng.uniform(self.low, self.high, size=(count, len(self.low)))

    def jittered(self, x_ND: Array, jitter: float, rng: np.random.Generator) -> Array:
        """Add noise, uniform within ``jitter`` of each variable's range either way, inside the box."""
        return self.clip(x_ND + jitter * self.width_D * rng.uniform(-1.0, 1.0, size=x_ND.shape))

    def write(self, row_D: Sequence[float]) -> str:
        """One row as text: six decimals as published, more where a range is below a tenth."""
        finer = np.maximum(_DECIMALS, _DECIMALS - 1 - np.floor(np.log10(self.width_D))).astype(int)
        return ", ".join(f"{value:.{places}f}" for value, places in zip(row_D, finer, strict=True))

    def bounds(self) -> str:
        """The bounds in words."""
        if len(set(self.low)) == len(set(self.high)) == 1:
            return f"every variable lies between {self.low[0]:g} and {self.high[0]:g}"
        each = zip(self.names, self.low, self.high, strict=True)
        return ", ".join(f"{name} lies between {low:g} and {high:g}" for name, low, high in each)

    def offspring(self, rows: Sequence[tuple[float, ...] | None], pool_ND: Array) -> Offspring:
        """Make points of rows; row ``k`` that is malformed or missing becomes member ``k`` of the pool.

        Args:
            rows: What :func:`read_rows` found; those beyond the size of the pool are passed over.
            pool_ND: As many points as rows were asked for.
        """
        found = [*rows[: len(pool_ND)], *[None] * (len(pool_ND) - len(rows))]
        fell_back_N = np.array([row is None for row in found])
        raw_ND = np.array(
            [member if row is None else row for row, member in zip(found, pool_ND, strict=True)],
            dtype=np.float64,
        )
        x_ND = self.clip(raw_ND)
        clipped = int(np.any(x_ND != raw_ND, axis=1).sum())
        return Offspring(x_ND, fell_back_N, Tally(1, len(x_ND), int(fell_back_N.sum()), clipped))

    def check(self, x_ND: Array) -> Array:
        """Refuse points that are not rows of this box.

        Raises:
            InputError: The shape is not ``(N, D)``, or a number is not finite or outside.
        """
        points_ND = np.asarray(x_ND, dtype=np.float64)
        if points_ND.ndim != 2 or points_ND.shape[1] != len(self.low):
            raise InputError(
                f"points have shape {points_ND.shape}; rows of {len(self.low)} numbers are wanted"
            )
        if not np.array_equal(points_ND, self.clip(points_ND)):
            raise InputError("a point is not finite or lies outside the bounds; move it inside")
        return points_ND


def read_rows(answer: str, columns: int) -> list[tuple[float, ...] | None]:
    r"""Read the rows of an answer, in order; ``None`` for each malformed one.

    Example:
        >>> read_rows("var1, var2\n0.5, 1.25\n2. [0.5]\n- (3, -4)", 2)
        [(0.5, 1.25), None, (3.0, -4.0)]
    """
    lines = (line.strip() for line in _ENDS.split(answer))
    return [_read_row(line, columns) for line in lines if re.search(r"\d", line) and not _is_heading(line)]


def _is_heading(line: str) -> bool:
    # "var1, var2, loss" has digits, but none of them begins a field.
    return line.startswith("```") or all(field.strip()[:1].isalpha() for field in line.split(","))


def _read_row(line: str, columns: int) -> tuple[float, ...] | None:
    bare = _MARKER.sub("", line, count=1).strip().rstrip(",").strip("[](){}").strip()
    fields = [field.strip() for field in bare.split(",")]
    if len(fields) != columns or not all(_NUMBER.fullmatch(field) for field in fields):
        return None
    row = tuple(float(field) for field in fields)
    return row if all(np.isfinite(row)) else None
