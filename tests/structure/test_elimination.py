"""The best combinations of a sum of tables, against trying them all."""

import itertools

import numpy as np
import pytest

from palate.errors import InputError
from palate.structure import Factor, best_choice, best_choices, climb_choices, total

RNG = np.random.default_rng


def draw(seed: int) -> tuple[list[Factor], list[int]]:
    """Random tables over a random set of scopes; every variable is in at least none of them."""
    rng = RNG(seed)
    sizes = [int(rng.integers(1, 4)) for _ in range(int(rng.integers(1, 6)))]
    factors: list[Factor] = []
    for _ in range(int(rng.integers(0, 6))):
        count = int(rng.integers(0, min(3, len(sizes)) + 1))
        scope = tuple(sorted(rng.choice(len(sizes), size=count, replace=False).tolist()))
        factors.append(Factor(scope, rng.standard_normal([sizes[v] for v in scope])))
    return factors, sizes


def everything(factors: list[Factor], sizes: list[int]) -> list[tuple[float, tuple[int, ...]]]:
    """All combinations, the best first."""
    choices = itertools.product(*(range(size) for size in sizes))
    return sorted(((total(factors, c), c) for c in choices), key=lambda pair: -pair[0])


def test_a_chain_by_hand() -> None:
    # t(0,1) + t(1,2): the best of x1 = 0 is 2 + 1 = 3, of x1 = 1 it is 1 + 4 = 5, reached by x0 = 1, x2 = 0.
    chain = [
        Factor((0, 1), np.array([[2.0, 0.0], [0.0, 1.0]])),
        Factor((1, 2), np.array([[0.0, 1.0], [4.0, 3.0]])),
    ]
    assert best_choice(chain, [2, 2, 2]) == (5.0, (1, 1, 0))


@pytest.mark.parametrize("seed", range(40))
def test_the_best_against_all(seed: int) -> None:
    factors, sizes = draw(seed)
    value, choice = best_choice(factors, sizes)
    assert value == pytest.approx(everything(factors, sizes)[0][0])
    assert total(factors, choice) == pytest.approx(value)


@pytest.mark.parametrize("seed", range(40))
def test_the_n_best_against_all(seed: int) -> None:
    factors, sizes = draw(seed)
    ranked = everything(factors, sizes)
    without = {choice for _, choice in ranked[::3]}
    wanted = [value for value, choice in ranked if choice not in without][:7]
    found = best_choices(factors, sizes, 7, rng=RNG(0), without=without)
    assert found.exact
    assert [value for value, _ in found.found] == pytest.approx(wanted)
    assert len({choice for _, choice in found.found}) == len(wanted)
    assert not without & {choice for _, choice in found.found}
    for value, choice in found.found:
        assert total(factors, choice) == pytest.approx(value)


def test_forbidden_combinations_never_come() -> None:
    only = [Factor((0, 1), np.array([[-np.inf, 1.0], [0.0, -np.inf]]))]
    assert best_choices(only, [2, 2], 9, rng=RNG(0)).found == ((1.0, (0, 1)), (0.0, (1, 0)))


def test_too_large_a_table_is_climbed_and_not_called_exact() -> None:
    # A grid of 3 x 3 variables with four values each: elimination needs 4^4 entries, which is forbidden here.
    rng = RNG(3)
    edges = [(3 * r + c, 3 * r + c + 1) for r in range(3) for c in range(2)]
    edges += [(3 * r + c, 3 * r + c + 3) for r in range(2) for c in range(3)]
    factors = [Factor(edge, rng.standard_normal((4, 4))) for edge in edges]
    sizes = [4] * 9
    exact = best_choices(factors, sizes, 3, rng=RNG(0))
    climbed = best_choices(factors, sizes, 3, rng=RNG(0), largest=100)
    assert exact.exact
    assert not climbed.exact
    assert climbed.found[0][0] <= exact.found[0][0] + 1e-12
    assert climbed.found[0][0] == pytest.approx(exact.found[0][0])  # this problem is easy enough
    assert climbed == best_choices(factors, sizes, 3, rng=RNG(0), largest=100)


def test_climbing_passes_over_what_exists_and_starts_where_told() -> None:
    # One peak that no single change and no block leads to: only a start at it can find it.
    peak = np.zeros((30, 30))
    peak[17, 23] = 9.0
    factors = [Factor((0,), peak.max(axis=1) * 0), Factor((0, 1), peak)]
    assert climb_choices(factors, [30, 30], 1, rng=RNG(0)).found[0] == (9.0, (17, 23))
    found = climb_choices(factors, [30, 30], 2, rng=RNG(0), without=[(17, 23)], starts=[(1, 2)])
    assert all(value == 0.0 and choice != (17, 23) for value, choice in found.found)


def test_wrong_tables_are_named() -> None:
    with pytest.raises(InputError, match="rising order"):
        best_choice([Factor((1, 0), np.zeros((2, 2)))], [2, 2])
    with pytest.raises(InputError, match="of shape"):
        best_choice([Factor((0,), np.zeros(3))], [2])
