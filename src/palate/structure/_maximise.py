"""The best combinations of a learnt function that were not tried yet.

Numbers are first taken on a grid, so that the whole is a sum of tables and its best combinations come from
elimination; then each number climbs from its grid point with the options fixed, within the range of the data
(gradient ascent as in Kuba et al., arXiv 2401.05442, here by L-BFGS-B with exact derivatives). Where a clique
is too large for a table, the grid is climbed a variable at a time from many points; the result says so.
"""

import itertools
import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from palate.structure._domain import Domain
from palate.structure._elimination import Choice, Choices, Factor, best_choices
from palate.types import Array

__all__ = ["Maximisable", "Tops", "best_rows"]

_POINTS = 11
_TRIES = (4, 40)  # grid combinations for each one wanted: neighbours on a grid climb to the same top
_RESTARTS = 32
_APART = 0.05  # two tops that are closer in every number, and equal in every option, are one


class Maximisable(Protocol):
    """What :class:`FactoredModel` and :class:`AveragedModel` share."""

    def mean(self, x_PV: Array) -> Array:
        """The function at each row."""
        ...

    def factors(self, grids: list[Array]) -> list[Factor] | None:
        """The function, less a constant, as a sum of tables; none where one would be too large."""
        ...

    def gradient(self, x_V: Array) -> tuple[float, Array]:
        """The function at one point, and its derivative by each number."""
        ...


class Tops(NamedTuple):
    """Combinations ``(P, V)``, the best first; ``exact`` says whether the grid was searched exhaustively."""

    x_PV: Array
    exact: bool


def best_rows(
    model: Maximisable,
    domain: Domain,
    n: int,
    *,
    tried_NV: Array,
    rng: np.random.Generator,
    points: int = _POINTS,
) -> Tops:
    """Find the ``n`` best combinations that were not tried.

    Args:
        model: The learnt function.
        domain: Its variables.
        n: How many at most.
        tried_NV: Combinations that exist already, as the domain writes them.
        rng: Of the starting points, where the tables are too large for elimination.
        points: Of each number's grid.

    Returns:
        Different combinations, none of them tried; fewer than ``n`` when there are no more.
    """
    grids = domain.grids(points)
    numbers_V = np.array([levels == 0 for levels in domain.levels_V], dtype=np.bool_)
    places = [_place(row_V, grids) for row_V in tried_NV]
    # With numbers, a tried combination may lie between grid points: it is compared after the climb.
    without = set(places) if not numbers_V.any() else set[Choice]()
    tables = model.factors(grids)
    kept, exact = list[Array](), True
    for tries in _TRIES if numbers_V.any() else (1,):
        if tables is None:
            choices = _climb_grid(model, grids, n * tries, without, places[:8], rng)
        else:
            sizes = [len(grid) for grid in grids]
            choices = best_choices(tables, sizes, n * tries, rng=rng, without=without, starts=places[:8])
        kept, exact = _different(model, domain, choices, grids, tried_NV)[:n], choices.exact
        if len(kept) == n or len(choices.found) < n * tries:
            break
    return Tops(np.array(kept).reshape(len(kept), len(grids)), exact)


def _different(
    model: Maximisable, domain: Domain, choices: Choices, grids: list[Array], tried_NV: Array
) -> list[Array]:
    """The combinations after their climb, each once, without those that were tried."""
    numbers_V = np.array([levels == 0 for levels in domain.levels_V], dtype=np.bool_)
    kept: list[Array] = []
    for _, choice in choices.found:
        x_V = np.array([grid[k] for grid, k in zip(grids, choice, strict=True)])
        if numbers_V.any():
            x_V = _climbed(model, domain, x_V)
        if not any(_alike(x_V, other, numbers_V, 1e-9) for other in tried_NV) and not any(
            _alike(x_V, other, numbers_V, _APART) for other in kept
        ):
            kept.append(x_V)
    # The climb may change the order of the grid.
    return sorted(kept, key=lambda x_V: -float(model.mean(x_V[None, :])[0]))


def _climb_grid(
    model: Maximisable,
    grids: list[Array],
    n: int,
    without: set[Choice],
    starts: list[Choice],
    rng: np.random.Generator,
) -> Choices:
    """Ascent on the grid, a variable at a time; the best of all that was met."""
    met: dict[Choice, float] = {}
    random = (tuple(int(rng.integers(len(grid))) for grid in grids) for _ in range(_RESTARTS))
    for start in itertools.chain(starts, random):
        here, height = start, -math.inf
        while met.get(here, math.inf) > height:
            height = met.get(here, -math.inf)
            for variable, grid in enumerate(grids):
                line = [(*here[:variable], k, *here[variable + 1 :]) for k in range(len(grid))]
                x_LV = np.array([[g[k] for g, k in zip(grids, choice, strict=True)] for choice in line])
                met.update(zip(line, model.mean(x_LV).tolist(), strict=True))
                here = max(line, key=met.__getitem__)
    ranked = sorted((-value, choice) for choice, value in met.items() if choice not in without)
    return Choices(tuple((-value, choice) for value, choice in ranked[:n]), False)


def _place(row_V: Array, grids: list[Array]) -> Choice:
    return tuple(int(np.abs(grid - place).argmin()) for grid, place in zip(grids, row_V, strict=True))


def _alike(x_V: Array, other_V: Array, numbers_V: NDArray[np.bool_], apart: float) -> bool:
    return bool((np.abs(x_V - other_V) <= np.where(numbers_V, apart, 1e-9)).all())


def _climbed(model: Maximisable, domain: Domain, x_V: Array) -> Array:
    """Move the numbers uphill, and round them as they will be written, unless rounding undoes the gain."""
    from scipy.optimize import minimize

    free = [
        v for v, one in enumerate(domain.variables) if one.levels == 0 and not getattr(one, "integer", False)
    ]
    if not free:
        return x_V

    def downhill(free_F: Array) -> tuple[float, Array]:
        at_V = x_V.copy()
        at_V[free] = free_F
        value, gradient_V = model.gradient(at_V)
        return -value, -gradient_V[free]

    found = minimize(downhill, x_V[free], jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(free))
    moved_V = x_V.copy()
    moved_V[free] = found.x
    rounded_V = domain.encode([domain.decode(moved_V)])[0]
    return rounded_V if model.gradient(rounded_V)[0] >= model.gradient(x_V)[0] else x_V
