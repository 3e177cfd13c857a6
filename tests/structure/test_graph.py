"""Cliques and elimination orders, by hand and by trying everything."""

from itertools import combinations

import numpy as np
import pytest

from palate.errors import InputError
from palate.structure import complete_sets, elimination_order, maximal_cliques, neighbours


def every_complete_set(size: int, edges: set[tuple[int, int]]) -> list[tuple[int, ...]]:
    """All subsets whose pairs are all joined, by trying every subset."""
    return [
        members
        for count in range(1, size + 1)
        for members in combinations(range(size), count)
        if all(pair in edges for pair in combinations(members, 2))
    ]


def test_two_triangles_that_share_a_corner() -> None:
    edges = [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4)]
    assert maximal_cliques(6, edges) == ((0, 1, 2), (2, 3, 4), (5,))
    assert neighbours(6, edges)[2] == {0, 1, 3, 4}


@pytest.mark.parametrize("seed", range(20))
def test_against_all_subsets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 8))
    edges = {pair for pair in combinations(range(size), 2) if rng.random() < 0.5}
    complete = every_complete_set(size, edges)
    maximal = [s for s in complete if not any(set(s) < set(other) for other in complete)]
    assert list(complete_sets(size, edges)) == complete
    assert maximal_cliques(size, edges) == tuple(sorted(maximal))


def test_no_variables_have_no_cliques() -> None:
    assert maximal_cliques(0, []) == ()
    assert complete_sets(0, []) == ()


@pytest.mark.parametrize("edge", [(1, 1), (0, 3), (-1, 0)])
def test_a_wrong_edge_is_named(edge: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="joins two different variables in 0 to 2"):
        neighbours(3, [edge])


def test_too_many_sets_are_refused() -> None:
    with pytest.raises(InputError, match="more than 100 complete sets"):
        complete_sets(8, combinations(range(8), 2), limit=100)


def test_width_of_known_graphs() -> None:
    # A tree has treewidth 1, a cycle 2, the complete graph of five 4.
    tree = elimination_order([(0, 1), (0, 2), (2, 3), (2, 4)], [3] * 5)
    cycle = elimination_order([(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)], [3] * 5)
    complete = elimination_order([tuple(range(5))], [3] * 5)
    assert (tree.width, tree.largest) == (1, 9)
    assert (cycle.width, cycle.largest) == (2, 27)
    assert (complete.width, complete.largest) == (4, 243)
    assert sorted(cycle.variables) == [0, 1, 2, 3, 4]


def test_a_small_table_goes_first() -> None:
    # Eliminating 1 would make a table of 5 * 5 * 2; each end makes one of 5 * 2.
    assert elimination_order([(0, 1), (1, 2)], [5, 2, 5]) == ((0, 1, 2), 10, 1)
