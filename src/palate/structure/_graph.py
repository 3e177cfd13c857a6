"""Undirected graphs over variables: maximal cliques, complete sets, and the order in which to eliminate.

    f(x) = sum over maximal cliques C of f_C(x_C)                     a function whose graph has these cliques

Sources: Bron and Kerbosch 1973 (algorithm 457), with the pivot of Tomita, Tanaka and Takahashi 2006, for the
maximal cliques; Bertelè and Brioschi 1972 for elimination; Kjærulff 1990 for the greedy order, in which the
variable whose elimination makes the smallest table goes first.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from palate.errors import InputError

__all__ = ["Clique", "Edge", "Order", "complete_sets", "elimination_order", "maximal_cliques", "neighbours"]

Edge: TypeAlias = tuple[int, int]
Clique: TypeAlias = tuple[int, ...]


class Order(NamedTuple):
    """The variables in the order of their elimination, the size of the largest table, and the treewidth.

    ``largest`` counts the entries of the largest table that elimination has to hold, ``width`` the variables
    that this order leaves in a table at most; the treewidth of the graph is no larger than it.
    """

    variables: tuple[int, ...]
    largest: int
    width: int


def neighbours(size: int, edges: Iterable[Edge]) -> tuple[frozenset[int], ...]:
    """Who is joined to whom.

    Args:
        size: Number of variables ``V``.
        edges: Pairs of different variables in ``0 … V - 1``; direction and repetition do not matter.

    Raises:
        InputError: An edge leaves the range or joins a variable with itself.
    """
    beside: list[set[int]] = [set() for _ in range(size)]
    for first, second in edges:
        if first == second or not (0 <= first < size and 0 <= second < size):
            raise InputError(
                f"edge {(first, second)!r} is wrong; it joins two different variables in 0 to {size - 1}"
            )
        beside[first].add(second)
        beside[second].add(first)
    return tuple(frozenset(others) for others in beside)


def maximal_cliques(size: int, edges: Iterable[Edge]) -> tuple[Clique, ...]:
    """List the sets of pairwise joined variables that no further variable could join.

    Args:
        size: Number of variables ``V``; a variable without an edge is a clique of its own.
        edges: Pairs of different variables.

    Returns:
        Cliques in lexicographic order, each in rising order.

    Example:
        >>> maximal_cliques(5, [(0, 1), (1, 2), (0, 2), (2, 3)])
        ((0, 1, 2), (2, 3), (4,))
    """
    beside = neighbours(size, edges)

    def expand(chosen: Clique, open_: set[int], done: set[int]) -> Iterator[Clique]:
        if not open_ and not done:
            yield tuple(sorted(chosen))
            return
        pivot = max(open_ | done, key=lambda v: len(open_ & beside[v]))
        for variable in sorted(open_ - beside[pivot]):
            yield from expand((*chosen, variable), open_ & beside[variable], done & beside[variable])
            open_ = open_ - {variable}
            done = done | {variable}

    return tuple(sorted(expand((), set(range(size)), set()))) if size else ()


def complete_sets(size: int, edges: Iterable[Edge], *, limit: int = 4096) -> tuple[Clique, ...]:
    """List every set of pairwise joined variables, the single ones first: the subsets of the cliques.

    Args:
        size: Number of variables ``V``.
        edges: Pairs of different variables.
        limit: Most sets that may be listed; a clique of 12 variables alone has 4,095.

    Raises:
        InputError: There are more.

    Example:
        >>> complete_sets(3, [(0, 1)])
        ((0,), (1,), (2,), (0, 1))
    """
    beside = neighbours(size, edges)
    found: list[Clique] = [(variable,) for variable in range(size)]
    for members in found:  # grows while it is read: each set is extended by later variables only
        for variable in range(members[-1] + 1, size):
            if beside[variable].issuperset(members):
                found.append((*members, variable))
        if len(found) > limit:
            raise InputError(
                f"the graph has more than {limit} complete sets, so its factors cannot be listed; "
                "keep fewer edges"
            )
    return tuple(found)


def elimination_order(scopes: Iterable[Clique], sizes: Sequence[int]) -> Order:
    """Choose the order in which variables are maximised out of a sum of tables.

    Args:
        scopes: The variables of each table.
        sizes: Number of values of each variable, ≥ 1.

    Returns:
        The greedy order of least weight; finding the best one is NP-hard.

    Example:
        >>> elimination_order([(0, 1), (1, 2)], [2, 3, 2])
        Order(variables=(0, 1, 2), largest=6, width=1)
    """
    beside: dict[int, set[int]] = {variable: set() for variable in range(len(sizes))}
    for scope in scopes:
        for variable in scope:
            beside[variable] |= set(scope) - {variable}

    def weight(variable: int) -> tuple[int, int]:
        return math.prod(sizes[other] for other in (variable, *beside[variable])), variable

    order: list[int] = []
    largest, width = 1, 0
    while beside:
        entries, variable = min(weight(left) for left in beside)
        largest, width = max(largest, entries), max(width, len(beside[variable]))
        around = beside.pop(variable)
        for other in around:
            beside[other] |= around - {other}
            beside[other].discard(variable)
        order.append(variable)
    return Order(tuple(order), largest, width)
