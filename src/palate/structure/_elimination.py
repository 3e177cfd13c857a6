"""The best combinations of a sum of tables: exactly, by elimination, or by ascent where that is too large.

    max over x of  sum_c t_c(x_c):   eliminate v:   t'(rest) = max over x_v of  sum of the tables that hold v

The n best come one after another: when x is the best of a set of combinations, the set without x falls into
at most V sets, each fixing the first k variables as in x and forbidding the next its value in x.

Sources: Bertelè and Brioschi, "Nonserial Dynamic Programming", 1972 (elimination, which on a tree of cliques
is max-sum message passing); Lawler 1972, "A procedure for computing the K best solutions"; Besag 1986
(iterated conditional modes), here with a whole clique as the block, for the ascent.
"""

import heapq
import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.errors import InputError
from palate.structure._graph import Clique, elimination_order
from palate.types import Array

__all__ = ["Choice", "Choices", "Factor", "best_choice", "best_choices", "climb_choices", "total"]

Choice: TypeAlias = tuple[int, ...]
_Masks: TypeAlias = tuple[NDArray[np.int64], ...]

LARGEST = 2**22
"""Entries of the largest table that elimination may make: 32 MiB."""


class Factor(NamedTuple):
    """One term of the sum: which variables it reads, in rising order, and its value at each combination."""

    scope: Clique
    table: Array


class Choices(NamedTuple):
    """Combinations with their values, the best first; ``exact`` says that no better one was passed over."""

    found: tuple[tuple[float, Choice], ...]
    exact: bool


def total(factors: Sequence[Factor], choice: Sequence[int]) -> float:
    """The value of one combination."""
    return float(sum(factor.table[tuple(choice[v] for v in factor.scope)] for factor in factors))


def best_choice(factors: Sequence[Factor], sizes: Sequence[int]) -> tuple[float, Choice]:
    """Find the combination of the largest sum, exactly.

    Args:
        factors: The terms; several may read the same variables. ``-inf`` forbids.
        sizes: Number of values of each variable, ≥ 1.

    Returns:
        Value and combination. Time and memory grow with the largest table that elimination makes.

    Raises:
        InputError: A table does not have the shape that its scope and ``sizes`` ask for.

    Example:
        >>> import numpy as np
        >>> best_choice([Factor((0, 1), np.array([[0.0, 3.0], [1.0, 0.0]]))], [2, 2])
        (3.0, (0, 1))
    """
    _check(factors, sizes)
    left = [Factor(factor.scope, np.asarray(factor.table, dtype=np.float64)) for factor in factors]
    recorded: list[tuple[int, Clique, NDArray[np.int64]]] = []
    for variable in elimination_order([factor.scope for factor in factors], sizes).variables:
        touched = [factor for factor in left if variable in factor.scope]
        left = [factor for factor in left if variable not in factor.scope]
        scope = tuple(sorted({variable, *itertools.chain(*(factor.scope for factor in touched))}))
        joint = np.zeros([sizes[v] for v in scope])
        for factor in touched:
            joint = joint + _spread(factor, scope)
        axis = scope.index(variable)
        rest = scope[:axis] + scope[axis + 1 :]
        recorded.append((variable, rest, joint.argmax(axis=axis)))
        left.append(Factor(rest, joint.max(axis=axis)))
    choice = [0] * len(sizes)
    for variable, rest, winner in reversed(recorded):
        choice[variable] = int(winner[tuple(choice[v] for v in rest)])
    return float(sum(float(factor.table) for factor in left)), tuple(choice)


def best_choices(
    factors: Sequence[Factor],
    sizes: Sequence[int],
    n: int,
    *,
    rng: np.random.Generator,
    without: Collection[Choice] = (),
    starts: Sequence[Choice] = (),
    largest: int = LARGEST,
) -> Choices:
    """Find the ``n`` combinations of the largest sums that are not among ``without``.

    Args:
        factors: The terms of the sum.
        sizes: Number of values of each variable.
        n: How many at most.
        rng: Of the ascent's starting points; elimination draws nothing.
        without: Combinations that are passed over: those that exist already.
        starts: Where an ascent starts, beside random points.
        largest: Entries of the largest table that elimination may make; above it :func:`climb_choices`
            takes over, and ``exact`` is false.

    Returns:
        The combinations, the best first; fewer than ``n`` when there are no more.
    """
    _check(factors, sizes)
    if elimination_order([factor.scope for factor in factors], sizes).largest > largest:
        return climb_choices(factors, sizes, n, rng=rng, without=without, starts=starts)
    passed = set(without)
    found = ((value, choice) for value, choice in _descending(factors, sizes) if choice not in passed)
    return Choices(tuple(itertools.islice(found, n)), True)


def _descending(factors: Sequence[Factor], sizes: Sequence[int]) -> Iterator[tuple[float, Choice]]:
    """All combinations, the best first; each costs at most V eliminations."""
    whole: _Masks = tuple(np.arange(size, dtype=np.int64) for size in sizes)
    tickets = itertools.count()
    heap: list[tuple[float, int, Choice, _Masks]] = []

    def push(allowed: _Masks) -> None:
        if all(len(values) for values in allowed):
            smaller = [Factor(f.scope, f.table[np.ix_(*(allowed[v] for v in f.scope))]) for f in factors]
            value, place = best_choice(smaller, [len(values) for values in allowed])
            if value > -math.inf:
                choice = tuple(int(values[k]) for values, k in zip(allowed, place, strict=True))
                heapq.heappush(heap, (-value, next(tickets), choice, allowed))

    push(whole)
    while heap:
        value, _, choice, allowed = heapq.heappop(heap)
        yield -value, choice
        for variable, taken in enumerate(choice):
            if len(allowed[variable]) > 1:
                fixed = tuple(np.array([choice[v]]) for v in range(variable))
                other = allowed[variable][allowed[variable] != taken]
                push((*fixed, other, *allowed[variable + 1 :]))


def climb_choices(
    factors: Sequence[Factor],
    sizes: Sequence[int],
    n: int,
    *,
    rng: np.random.Generator,
    without: Collection[Choice] = (),
    starts: Sequence[Choice] = (),
    restarts: int = 32,
) -> Choices:
    """Look for good combinations by ascent, a clique at a time, from many starting points.

    Args:
        factors: The terms of the sum; each scope is a block whose best values are taken together.
        sizes: Number of values of each variable.
        n: How many at most.
        rng: Of the random starting points.
        without: Combinations that are passed over.
        starts: Further starting points.
        restarts: Number of random starting points.

    Returns:
        The best that were met: the tops and everything one change away from them. Never called exact.
    """
    met: dict[Choice, float] = {}
    random = (tuple(int(rng.integers(size)) for size in sizes) for _ in range(restarts))
    for start in itertools.chain(starts, random):
        top = _ascend(factors, start)
        for choice in (top, *_one_change(top, sizes)):
            if choice not in met:
                met[choice] = total(factors, choice)
    passed = set(without)
    ranked = sorted(((value, choice) for choice, value in met.items()), key=lambda pair: (-pair[0], pair[1]))
    found = [(value, choice) for value, choice in ranked if choice not in passed and value > -math.inf]
    return Choices(tuple(found[:n]), False)


def _ascend(factors: Sequence[Factor], start: Choice) -> Choice:
    """Set each block to its best values, given the rest, until nothing changes."""
    choice, height = list(start), -math.inf
    while (reached := total(factors, choice)) > height:
        height = reached
        for block in factors:
            joint = np.zeros(block.table.shape)
            for factor in factors:
                if set(factor.scope) & set(block.scope):
                    joint = joint + _conditioned(factor, block.scope, choice)
            place = np.unravel_index(int(joint.argmax()), joint.shape)
            for variable, value in zip(block.scope, place, strict=True):
                choice[variable] = int(value)
    return tuple(choice)


def _conditioned(factor: Factor, block: Clique, choice: Sequence[int]) -> Array:
    """A table as a function of the block's variables, the others as chosen."""
    at = tuple(slice(None) if v in block else choice[v] for v in factor.scope)
    return _spread(Factor(tuple(v for v in factor.scope if v in block), factor.table[at]), block)


def _one_change(choice: Choice, sizes: Sequence[int]) -> Iterator[Choice]:
    for variable, size in enumerate(sizes):
        for value in range(size):
            if value != choice[variable]:
                yield (*choice[:variable], value, *choice[variable + 1 :])


def _spread(factor: Factor, scope: Clique) -> Array:
    """The table with an axis of length one for each variable of ``scope`` that it does not read."""
    shape = [factor.table.shape[factor.scope.index(v)] if v in factor.scope else 1 for v in scope]
    return factor.table.reshape(shape)


def _check(factors: Sequence[Factor], sizes: Sequence[int]) -> None:
    for factor in factors:
        if list(factor.scope) != sorted(set(factor.scope)):
            raise InputError(f"scope {factor.scope!r} is wrong; it names each variable once, in rising order")
        wanted = tuple(sizes[v] for v in factor.scope)
        if np.shape(factor.table) != wanted:
            raise InputError(
                f"the table over {factor.scope!r} is of shape {np.shape(factor.table)}; "
                f"its variables have {wanted} values"
            )
