"""Whether the best differs by kind of input: against derivatives, enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from palate.choice import arrangements, bradley_terry, segment_test, segment_utilities
from palate.errors import InputError

PAIR = np.array([[0, 1], [0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2], [1, 2]])
OUTCOME = np.array([1.0, 0.0, 1.0, 0.5, 1.0, 0.0, 1.0, 1.0])
INPUT = np.array([0, 1, 2, 3, 0, 1, 2, 3])
KIND = np.array([0, 0, 1, 1])


def log_likelihood(utility_MN: np.ndarray) -> float:
    rows = np.arange(len(PAIR))
    gap_M = utility_MN[rows, PAIR[:, 0]] - utility_MN[rows, PAIR[:, 1]]
    return float((OUTCOME * -np.logaddexp(0, -gap_M) + (1 - OUTCOME) * -np.logaddexp(0, gap_M)).sum())


def test_the_statistic_is_the_squared_slope_of_the_likelihood() -> None:
    wins = np.zeros((3, 3))
    for (i, j), y in zip(PAIR, OUTCOME, strict=True):
        wins[i, j] += y
        wins[j, i] += 1 - y
    base_MN = np.tile(bradley_terry(wins, ridge=0.1), (len(PAIR), 1))
    total = 0.0
    for kind, n in itertools.product(range(2), range(3)):
        move_MN = np.zeros_like(base_MN)
        move_MN[KIND[INPUT] == kind, n] = 1e-5
        slope = (log_likelihood(base_MN + move_MN) - log_likelihood(base_MN - move_MN)) / 2e-5
        total += slope**2
    found = segment_test(PAIR, OUTCOME, INPUT, KIND, np.random.default_rng(0))
    assert found.statistic == pytest.approx(total, rel=1e-6)


def test_the_p_value_is_the_share_of_all_exchanges() -> None:
    observed = segment_test(PAIR, OUTCOME, INPUT, KIND, np.random.default_rng(0), rounds=3999)
    every = [
        segment_test(PAIR, OUTCOME, INPUT, np.array(kinds), np.random.default_rng(0), rounds=19).statistic
        for kinds in set(itertools.permutations(KIND.tolist()))
    ]
    exact = np.mean([value >= observed.statistic - 1e-9 for value in every])
    assert len(every) == arrangements(KIND) == pytest.approx(6)
    assert observed.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 3999) + 1e-3)


def study(
    rng: np.random.Generator, *, kinds: int, by_kind: float, by_input: float, votes: int, inputs: int = 24
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Votes on 6 candidates whose utilities differ by kind and by input, with the given deviations."""
    segment_I = rng.permutation(np.arange(inputs) % kinds)
    utility_IN = (
        rng.standard_normal(6)
        + by_kind * rng.standard_normal((kinds, 6))[segment_I]
        + by_input * rng.standard_normal((inputs, 6))
    )
    pair_M2 = np.array([rng.choice(6, size=2, replace=False) for _ in range(votes)])
    input_M = np.arange(votes) % inputs
    gap_M = utility_IN[input_M, pair_M2[:, 0]] - utility_IN[input_M, pair_M2[:, 1]]
    outcome_M = (rng.random(votes) < 1 / (1 + np.exp(-gap_M))).astype(np.float64)
    return pair_M2, outcome_M, input_M, segment_I


@pytest.mark.parametrize("by_input", [0.0, 1.5])
def test_no_false_alarms_beyond_the_level_even_when_inputs_differ(by_input: float) -> None:
    runs, alarms = 300, 0
    for seed in range(runs):
        rng = np.random.default_rng([7, seed])
        told = study(rng, kinds=2 + seed % 2, by_kind=0.0, by_input=by_input, votes=96)
        alarms += segment_test(*told, rng, rounds=199).p_value <= 0.05
    assert alarms <= binom.ppf(0.999, runs, 0.05)
    assert alarms >= binom.ppf(0.001, runs, 0.05)


def test_a_clear_difference_is_found() -> None:
    found = 0
    for seed in range(40):
        rng = np.random.default_rng([8, seed])
        told = study(rng, kinds=2, by_kind=1.5, by_input=0.3, votes=192)
        found += segment_test(*told, rng, rounds=199).p_value <= 0.05
    assert found >= 34


def test_utilities_are_the_mode_of_their_posterior() -> None:
    segment_M = KIND[INPUT]
    fitted = segment_utilities(PAIR, OUTCOME, segment_M, 3)
    difference_SN = fitted.mean_SN - fitted.overall_N

    def posterior(overall_N: np.ndarray, difference: np.ndarray) -> float:
        prior = 0.05 * (overall_N**2).sum() + 1.0 * (difference**2).sum()
        return log_likelihood((overall_N + difference)[segment_M]) - prior

    top = posterior(fitted.overall_N, difference_SN)
    rng = np.random.default_rng(0)
    for _ in range(50):
        other = posterior(
            fitted.overall_N + 0.01 * rng.standard_normal(3),
            difference_SN + 0.01 * rng.standard_normal((2, 3)),
        )
        assert other < top


def test_a_kind_without_votes_keeps_to_what_all_say_and_is_less_sure() -> None:
    fitted = segment_utilities(PAIR[:4], OUTCOME[:4], np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(fitted.mean_SN[1], fitted.overall_N, atol=1e-9)
    variance_SN = np.array([np.diag(covariance_NN) for covariance_NN in fitted.covariance_SNN])
    assert (variance_SN[1] > variance_SN[0]).all()
    # Its own differences are independent of everything: they add their prior variance, 1 / SHRINK.
    votes_of_one = segment_utilities(PAIR[:4], OUTCOME[:4], np.array([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(fitted.mean_SN[2], votes_of_one.mean_SN[1], atol=1e-9)
    np.testing.assert_allclose(fitted.covariance_SNN[2], votes_of_one.covariance_SNN[1], atol=1e-9)


def test_few_arrangements_are_counted() -> None:
    assert arrangements(np.array([0, 0, 1])) == pytest.approx(3)
    assert arrangements(np.arange(5)) == pytest.approx(120)
    assert arrangements(np.zeros(9, dtype=np.int64)) == pytest.approx(1)
    assert arrangements(np.arange(2000) % 2) == math.inf


def test_no_votes_no_test() -> None:
    nothing = np.zeros((0, 2), dtype=np.int64)
    with pytest.raises(InputError, match="votes"):
        segment_test(nothing, np.zeros(0), np.zeros(0, dtype=np.int64), KIND, np.random.default_rng(0))
