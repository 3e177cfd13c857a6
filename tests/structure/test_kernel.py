"""The prior against integrals, enumeration and finite differences."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from palate.structure import Form, axis_kernel, axis_slope, clique_factors, mean_gradient, order_sums

LEVELS = (3, 0, 2, 0)
TRIANGLE = frozenset({(0, 1), (0, 2), (1, 2)})
ALL = frozenset(itertools.combinations(range(4), 2))


def rows(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack(
        [rng.integers(levels, size=count) if levels else rng.random(count) for levels in LEVELS], axis=1
    ).astype(float)


def at(x: float, y: float, length: float) -> float:
    return float(axis_kernel(0, np.array([x]), np.array([y]), length)[0, 0])


@pytest.mark.parametrize("length", [0.1, 0.4, 0.8])
def test_numbers_are_centred_and_of_size_one(length: float) -> None:
    for x in (0.0, 0.3, 1.0):
        assert quad(lambda t, x=x: at(x, t, length), 0, 1)[0] == pytest.approx(0, abs=1e-8)
    assert quad(lambda t: at(t, t, length), 0, 1)[0] == pytest.approx(1, abs=1e-8)


def test_options_by_hand() -> None:
    # K = 3: (3 - 1) / 2 = 1 on the diagonal, -1 / 2 elsewhere; each row adds up to zero.
    place = np.arange(3.0)
    assert axis_kernel(3, place, place, 1.0).tolist() == [[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1]]
    assert axis_kernel(1, np.zeros(2), np.zeros(2), 1.0).tolist() == [[0, 0], [0, 0]]


def test_the_slope_is_the_derivative() -> None:
    b, step = np.linspace(0, 1, 5), 1e-6
    for a in (0.2, 0.7):
        up, down = (axis_kernel(0, np.array([a + s]), b, 0.3)[0] for s in (step, -step))
        assert axis_slope(0, a, b, 0.3) == pytest.approx((up - down) / (2 * step), abs=1e-7)
    assert axis_slope(3, 1.0, b, 0.3).tolist() == [0] * 5


@pytest.mark.parametrize("edges", [frozenset[tuple[int, int]](), frozenset({(1, 3)}), TRIANGLE, ALL])
def test_sums_over_sets_against_enumeration(edges: frozenset[tuple[int, int]]) -> None:
    form, x, y = Form(LEVELS, edges), rows(0, 5), rows(1, 4)
    kernels = [axis_kernel(levels, x[:, v], y[:, v], 0.3) for v, levels in enumerate(LEVELS)]
    wanted = np.zeros((form.orders, 5, 4))
    for members in form.sets:
        wanted[len(members) - 1] += np.prod([kernels[v] for v in members], axis=0)
    assert order_sums(form, x, y, 0.3) == pytest.approx(wanted)


def test_forms_of_the_extremes() -> None:
    assert Form(LEVELS, ALL).complete
    assert Form(LEVELS, ALL).cliques == ((0, 1, 2, 3),)
    assert Form(LEVELS, frozenset()).orders == 1
    assert Form(LEVELS, TRIANGLE).orders == 3


@pytest.mark.parametrize("edges", [frozenset[tuple[int, int]](), TRIANGLE | {(2, 3)}, ALL])
def test_tables_add_up_to_the_mean(edges: frozenset[tuple[int, int]]) -> None:
    form, x = Form(LEVELS, edges), rows(0, 6)
    weight, alpha = 0.7 * 0.4 ** np.arange(form.orders), np.random.default_rng(2).standard_normal(6)
    grids = [np.arange(3.0), np.linspace(0, 1, 4), np.arange(2.0), np.array([0.1, 0.9])]
    factors = clique_factors(form, weight, x, alpha, grids, 0.3)
    for choice in itertools.product(*(range(len(grid)) for grid in grids)):
        point = np.array([grid[k] for grid, k in zip(grids, choice, strict=True)])
        told = sum(f.table[tuple(choice[v] for v in f.scope)] for f in factors)
        mean = (np.tensordot(weight, order_sums(form, point[None], x, 0.3), axes=1) @ alpha)[0]
        assert told == pytest.approx(mean)


@pytest.mark.parametrize("edges", [TRIANGLE | {(1, 3)}, ALL])
def test_the_gradient_against_finite_differences(edges: frozenset[tuple[int, int]]) -> None:
    form, x = Form(LEVELS, edges), rows(0, 6)
    weight, alpha = 0.7 * 0.4 ** np.arange(form.orders), np.random.default_rng(2).standard_normal(6)

    def value(point: np.ndarray) -> float:
        return mean_gradient(form, weight, x, alpha, point, 0.3)[0]

    point, step = np.array([2.0, 0.3, 1.0, 0.8]), 1e-6
    mean = (np.tensordot(weight, order_sums(form, point[None], x, 0.3), axes=1) @ alpha)[0]
    assert value(point) == pytest.approx(mean)
    slope = mean_gradient(form, weight, x, alpha, point, 0.3)[1]
    for v in (1, 3):
        shift = step * np.eye(4)[v]
        assert slope[v] == pytest.approx((value(point + shift) - value(point - shift)) / (2 * step), abs=1e-7)
    assert slope[[0, 2]].tolist() == [0, 0]


def test_one_number_alone_has_a_slope() -> None:
    form, x, alpha = Form((0,), frozenset()), np.array([[0.2], [0.9]]), np.array([1.0, -2.0])
    value, slope = mean_gradient(form, np.ones(1), x, alpha, np.array([0.4]), 0.3)
    up, down = (mean_gradient(form, np.ones(1), x, alpha, np.array([0.4 + s]), 0.3)[0] for s in (1e-6, -1e-6))
    assert slope[0] == pytest.approx((up - down) / 2e-6, abs=1e-7)
    assert value == pytest.approx(axis_kernel(0, np.array([0.4]), x[:, 0], 0.3)[0] @ alpha)
