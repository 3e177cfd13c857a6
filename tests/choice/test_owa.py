from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from palate.choice import gini_weights, owa, owa_gradient, smooth_owa, tempered_weights
from palate.errors import InputError


def by_linear_programme(value_K: np.ndarray, weight_K: np.ndarray) -> float:
    """Ogryczak and Śliwiński: max over t, d of sum_k w'_k (k t_k - sum_i d_ik), d_ik >= t_k - y_i, d >= 0."""
    m = len(value_K)
    drop_K = weight_K - np.append(weight_K[1:], 0.0)
    cost = np.concatenate([-drop_K * np.arange(1, m + 1), np.repeat(drop_K, m)])
    rows, bounds = [], []
    for k in range(m):
        for i in range(m):
            row = np.zeros(m + m * m)
            row[k], row[m + k * m + i] = 1.0, -1.0
            rows.append(row)
            bounds.append(value_K[i])
    limits = [(None, None)] * m + [(0, None)] * (m * m)
    return -linprog(cost, A_ub=np.array(rows), b_ub=bounds, bounds=limits).fun


def test_by_hand() -> None:
    assert owa([3.0, 1.0, 2.0], [1.0, 0.0, 0.0]) == 1.0  # the worst-off alone
    assert owa([3.0, 1.0, 2.0], [1 / 3] * 3) == pytest.approx(2.0)  # the mean
    assert owa([3.0, 1.0, 2.0], gini_weights(3)) == pytest.approx((5 * 1 + 3 * 2 + 1 * 3) / 9)
    assert owa_gradient([3.0, 1.0, 2.0], [0.5, 0.3, 0.2]).tolist() == [0.2, 0.5, 0.3]
    assert owa_gradient([2.0, 1.0, 2.0], [0.5, 0.3, 0.2]).tolist() == [0.25, 0.5, 0.25]
    assert tempered_weights(4, 0.0).tolist() == [0.25] * 4
    assert tempered_weights(4, 1.0).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert gini_weights(5).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_linear_programme_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    value_K, weight_K = rng.normal(size=5), np.sort(rng.random(5))[::-1]
    assert owa(value_K, weight_K) == pytest.approx(by_linear_programme(value_K, weight_K), abs=1e-8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beta", [0.05, 1.0, 20.0])
def test_smoothing_is_the_maximum_it_claims(seed: int, beta: float) -> None:
    rng = np.random.default_rng(seed)
    value_K, weight_K = rng.normal(size=4), np.sort(rng.random(4))[::-1]
    smooth = smooth_owa(value_K, weight_K, beta)

    # By numbers: the most z - |v - y|² / 2β with z at most w · v in each of the 24 orders.
    orders = np.array(list(permutations(weight_K)))
    found = minimize(
        lambda u_K: ((u_K[1:] - value_K) ** 2).sum() / (2 * beta) - u_K[0],
        np.concatenate([[owa(value_K, weight_K)], value_K]),
        constraints={"type": "ineq", "fun": lambda u_K: orders @ u_K[1:] - u_K[0]},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert smooth.value == pytest.approx(-found.fun, abs=1e-6)
    assert smooth.gradient_K.sum() == pytest.approx(weight_K.sum())
    step = 1e-6
    for i in range(4):
        up_K, down_K = value_K.copy(), value_K.copy()
        up_K[i] += step
        down_K[i] -= step
        slope = (smooth_owa(up_K, weight_K, beta).value - smooth_owa(down_K, weight_K, beta).value) / (
            2 * step
        )
        assert smooth.gradient_K[i] == pytest.approx(slope, abs=1e-5)


def test_its_limits() -> None:
    value_K, weight_K = np.array([0.3, -1.0, 2.0]), np.array([0.6, 0.3, 0.1])
    assert smooth_owa(value_K, weight_K, 1e-6).gradient_K == pytest.approx(owa_gradient(value_K, weight_K))
    assert smooth_owa(value_K, weight_K, 1e-6).value == pytest.approx(owa(value_K, weight_K), abs=1e-5)
    assert smooth_owa(value_K, weight_K, 1e9).gradient_K == pytest.approx(np.full(3, 1 / 3), abs=1e-6)


values = st.lists(st.floats(-5, 5), min_size=2, max_size=6)


@settings(max_examples=60, deadline=None)
@given(values, st.randoms(use_true_random=False), st.floats(0.01, 10))
def test_order_does_not_matter_and_giving_to_the_worst_off_never_hurts(value, random, beta) -> None:
    weight_K = gini_weights(len(value))
    shuffled = list(value)
    random.shuffle(shuffled)
    assert owa(shuffled, weight_K) == pytest.approx(owa(value, weight_K))
    assert smooth_owa(shuffled, weight_K, beta).value == pytest.approx(
        smooth_owa(value, weight_K, beta).value
    )
    low, high = int(np.argmin(value)), int(np.argmax(value))
    given_K = np.array(value)
    gift = (given_K[high] - given_K[low]) / 3
    given_K[low] += gift
    given_K[high] -= gift
    assert owa(given_K, weight_K) >= owa(value, weight_K) - 1e-12


def test_bad_input() -> None:
    with pytest.raises(InputError, match="equally many"):
        owa([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="finite"):
        owa([1.0, float("nan")], [0.5, 0.5])
    with pytest.raises(InputError, match="rise"):
        smooth_owa([1.0, 2.0], [0.2, 0.8], 1.0)
    with pytest.raises(InputError, match="beta"):
        smooth_owa([1.0, 2.0], [0.8, 0.2], 0.0)
    with pytest.raises(InputError, match="fairness"):
        tempered_weights(2, 1.5)
    with pytest.raises(InputError, match="at least one"):
        gini_weights(0)
