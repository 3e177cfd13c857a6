import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from palate.choice import (
    best_probability,
    difference_variance,
    eubo,
    expected_best,
    observe_pair,
    square_root,
    thompson_pair,
    vote_information,
    win_rate,
)
from palate.errors import InputError

FOUR_ERRORS = 4.0  # standard errors of a simulation with a fixed seed


def belief(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size))
    return rng.standard_normal(size), root @ root.T


def test_eubo_by_hand() -> None:
    # independent standard normals: E max = 1 / sqrt(pi); a known pair: the larger mean
    assert eubo(np.zeros(2), np.eye(2))[0, 1] == pytest.approx(1 / np.sqrt(np.pi), abs=1e-12)
    assert eubo(np.array([1.0, 3.0]), np.zeros((2, 2))).tolist() == [[1, 3], [3, 3]]


def test_eubo_against_simulation() -> None:
    mean, covariance = belief(1, 4)
    draws = np.random.default_rng(2).multivariate_normal(mean, covariance, size=200_000)
    value = eubo(mean, covariance)
    for i in range(4):
        for j in range(4):
            best = np.maximum(draws[:, i], draws[:, j])
            assert value[i, j] == pytest.approx(best.mean(), abs=FOUR_ERRORS * best.std() / 200_000**0.5)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_eubo_is_symmetric_and_at_least_the_better_mean(seed: int, size: int) -> None:
    mean, covariance = belief(seed, size)
    value = eubo(mean, covariance)
    assert value == pytest.approx(value.T, abs=1e-12)
    assert (value >= np.maximum(mean[:, None], mean[None, :]) - 1e-12).all()


def test_eubo_extremes() -> None:
    value = eubo(np.array([1e6, -1e6]), 1e-18 * np.eye(2))
    assert value[0, 1] == pytest.approx(1e6)
    assert np.isfinite(eubo(np.zeros(2), 1e12 * np.eye(2))).all()


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0, 20.0])
def test_win_rate_against_quadrature(spread: float) -> None:
    z = np.linspace(-10, 10, 400_001)
    weight = np.exp(-0.5 * z**2)
    exact = (weight / (1 + np.exp(-np.clip(0.7 + spread * z, -700, 700)))).sum() / weight.sum()
    rate = win_rate(0.7, spread**2)
    assert rate.mean == pytest.approx(exact, abs=1e-9)
    assert rate.low == pytest.approx(1 / (1 + np.exp(-(0.7 - 1.959963984540054 * spread))), rel=1e-12)
    assert rate.low - 1e-12 <= rate.mean <= rate.high + 1e-12


def test_win_rate_and_its_mirror_image() -> None:
    here, there = win_rate(1.3, 2.0), win_rate(-1.3, 2.0)
    assert here.mean + there.mean == pytest.approx(1.0, abs=1e-12)
    assert here.low + there.high == pytest.approx(1.0, abs=1e-12)


def test_best_probability_of_two_is_known() -> None:
    # P(u_0 > u_1) = Phi(1 / sqrt(2)) = 0.7602 for means 1, 0 and unit variances
    prob = best_probability(np.array([1.0, 0.0]), np.eye(2), np.random.default_rng(0), draws=40_000)
    assert prob[0] == pytest.approx(0.760250, abs=FOUR_ERRORS * 0.5 / 200)
    assert prob.sum() == 1.0


def test_best_probability_is_a_function_of_the_seed_and_fair() -> None:
    args = (np.zeros(5), np.eye(5))
    one = best_probability(*args, np.random.default_rng(3))
    assert one.tolist() == best_probability(*args, np.random.default_rng(3)).tolist()
    assert one == pytest.approx(0.2, abs=FOUR_ERRORS * 0.4 / 64)


def test_a_known_best_is_certain() -> None:
    assert best_probability(np.array([0.0, 9.0]), np.zeros((2, 2)), np.random.default_rng(0)).tolist() == [
        0,
        1,
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_observing_a_pair_never_adds_variance(seed: int, size: int) -> None:
    mean, covariance = belief(seed, size)
    after = observe_pair(mean, covariance, 0, 1)
    assert np.linalg.eigvalsh(covariance - after).min() >= -1e-9
    assert np.linalg.eigvalsh(after).min() >= -1e-9
    assert difference_variance(after)[0, 1] < difference_variance(covariance)[0, 1]


@pytest.mark.parametrize("gap", [0.0, 1.5, -6.0])
def test_observing_a_pair_is_the_average_over_both_answers(gap: float) -> None:
    # One dimension, u_0 = d and u_1 = 0: posterior variances after either answer, by brute force.
    d = np.linspace(-40, 40, 80_001)
    prior = np.exp(-((d - gap) ** 2) / (2 * 9.0))
    prior /= prior.sum()
    expected = 0.0
    for likelihood in (1 / (1 + np.exp(-d)), 1 / (1 + np.exp(d))):
        chance = float((prior * likelihood).sum())
        after = prior * likelihood / chance
        mean = float(after @ d)
        expected += chance * float(after @ (d - mean) ** 2)
    ahead = observe_pair(np.array([gap, 0.0]), np.diag([9.0, 0.0]), 0, 1)
    assert float(ahead[0, 0]) == pytest.approx(expected, rel=1e-4)
    assert ahead[1].tolist() == [0.0, 0.0]


def test_observing_what_is_known_changes_nothing() -> None:
    known = np.ones((2, 2))
    assert observe_pair(np.zeros(2), known, 0, 1).tolist() == known.tolist()


def test_square_root_of_a_singular_covariance() -> None:
    flat = np.ones((3, 3))
    root = square_root(flat)
    assert root @ root.T == pytest.approx(flat, abs=1e-6)
    assert square_root(np.zeros((2, 2))) == pytest.approx(np.zeros((2, 2)), abs=1e-5)


def test_square_root_leaves_out_what_is_not_a_variance() -> None:
    root = square_root(np.diag([1.0, -0.5]))
    assert root @ root.T == pytest.approx(np.diag([1.0, 0.0]), abs=1e-12)


def test_expected_best_of_two_is_eubo() -> None:
    mean, covariance = belief(5, 6)
    draws = mean[:, None] + square_root(covariance) @ np.random.default_rng(0).standard_normal((6, 100_000))
    pairs = np.argwhere(np.triu(np.ones((6, 6)), 1))
    error = FOUR_ERRORS * np.sqrt(covariance.diagonal().max() / 100_000)
    exact = eubo(mean, covariance)[pairs[:, 0], pairs[:, 1]]
    assert expected_best(draws, pairs) == pytest.approx(exact, abs=error)


def test_expected_best_of_three_independent_normals_is_known() -> None:
    # E max of three standard normals is 3 / (2 sqrt(pi)); of one it is the mean
    draws = np.random.default_rng(0).standard_normal((3, 200_000))
    exact = 1.5 / np.sqrt(np.pi)
    assert expected_best(draws, np.array([[0, 1, 2]]))[0] == pytest.approx(
        exact, abs=FOUR_ERRORS / 200_000**0.5
    )
    assert expected_best(draws, np.array([[1]]))[0] == pytest.approx(draws[1].mean(), abs=1e-12)


def test_expected_best_in_blocks_is_the_same_as_at_once() -> None:
    draws = np.random.default_rng(0).standard_normal((40, 4096))
    pairs = np.argwhere(np.triu(np.ones((40, 40)), 1))  # 780 groups, more than one block of 256
    whole = np.maximum(draws[pairs[:, 0]], draws[pairs[:, 1]]).mean(axis=1)
    assert expected_best(draws, pairs) == pytest.approx(whole, abs=1e-14)


def test_expected_best_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="groups must be a table"):
        expected_best(np.zeros((3, 4)), np.zeros((2, 0), dtype=np.int64))


def entropy(chance: np.ndarray) -> np.ndarray:
    safe = np.clip(chance, 1e-300, 1.0)
    other = np.clip(1.0 - chance, 1e-300, 1.0)
    return -safe * np.log(safe) - other * np.log(other)


@pytest.mark.parametrize("mean", [0.0, 0.3, -1.0, 2.5, 8.0])
@pytest.mark.parametrize("spread", [0.01, 0.5, 2.0, 10.0])
def test_vote_information_against_quadrature(mean: float, spread: float) -> None:
    z = np.linspace(-10, 10, 100_001)
    weight = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
    chance = norm.cdf(mean + spread * z)
    exact = entropy(np.array(weight @ chance)) - weight @ entropy(chance)
    told = vote_information(np.array([mean]), np.array([spread**2]))[0]
    assert told == pytest.approx(float(exact), abs=1e-6)


def test_vote_information_extremes() -> None:
    # A known answer tells nothing, neither does a coin that is sure to be one; one bit is the most.
    mean = np.array([[0.0, 0.0, 50.0], [1e6, -1e6, 3.0]])
    variance = np.array([[0.0, 1e12, 1e-6], [1.0, 1e3, 0.0]])
    told = vote_information(mean, variance)
    assert told.shape == (2, 3)
    assert told[0] == pytest.approx([0.0, np.log(2), 0.0], abs=1e-5)
    assert told[1] == pytest.approx(np.zeros(3), abs=1e-12)


def test_thompson_pair_takes_what_is_left() -> None:
    draws = np.array([[3.0, 2.0, 1.0], [0.0, 5.0, 4.0]])
    allowed = np.zeros((3, 3), dtype=np.bool_)
    allowed[0, 2] = True
    assert thompson_pair(draws, allowed) == (0, 2)
    # 0 has no partner any more: the best of the first draw among the others starts
    allowed[0, 2], allowed[1, 2] = False, True
    assert thompson_pair(draws, allowed) == (1, 2)
