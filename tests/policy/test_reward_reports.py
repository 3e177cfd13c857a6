"""Accuracy, calibration and length bias against values worked by hand, by grids and by simulation."""

import math

import numpy as np
import pytest

from palate.choice import share_interval
from palate.errors import ConfigError, InputError
from palate.policy.rewards import accuracy, accuracy_by_subset, calibrate, length_bias


def test_accuracy_counts_equal_scores_half() -> None:
    found = accuracy(np.array([2.0, 0.1, -3.0, 0.0, 0.0]))
    assert found.share == pytest.approx(3 / 5)
    assert (found.low, found.high) == share_interval(3, 5)
    assert found.pairs == 5
    assert math.isnan(accuracy(np.array([])).share)
    with pytest.raises(InputError, match="1 of 2 gaps"):
        accuracy(np.array([1.0, math.nan]))


def test_subsets_keep_their_order_and_their_pairs() -> None:
    found = accuracy_by_subset(np.array([1.0, -1.0, 1.0, 1.0]), ["chat", "hard", "chat", "hard"])
    assert {name: (a.share, a.pairs) for name, a in found.items()} == {"chat": (1.0, 2), "hard": (0.5, 2)}
    assert list(found) == ["chat", "hard"]
    with pytest.raises(InputError, match="do not fit"):
        accuracy_by_subset(np.array([1.0]), [])


def test_two_gaps_have_their_temperature_in_closed_form() -> None:
    """Nine gaps of 1 and three of -1: the best sigmoid(1 / T) is 9 / 12, so T = 1 / ln 3."""
    found = calibrate(np.repeat([1.0, -1.0], [9, 3]))
    assert found.temperature == pytest.approx(1 / math.log(3), rel=1e-5)
    assert found.nll == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), abs=1e-9)
    assert found.raw_nll == pytest.approx(
        -(0.75 * math.log(1 / (1 + math.e**-1)) + 0.25 * math.log(1 / (1 + math.e)))
    )
    assert found.error == pytest.approx(0, abs=1e-5)
    # sigmoid(1) = 0.731 against 0.75
    assert found.raw_error == pytest.approx(0.75 - 1 / (1 + math.exp(-1)), abs=1e-9)
    assert [(b.low, b.high, b.right.pairs) for b in found.bins] in ([(0.75, 0.8, 12)], [(0.7, 0.75, 12)])


def test_a_model_that_is_three_times_too_sure_is_found_out() -> None:
    rng = np.random.default_rng(1)
    true_M = rng.normal(0, 1.5, 20_000)
    sign_M = np.where(rng.random(20_000) < 1 / (1 + np.exp(-true_M)), 1, -1)
    found = calibrate(3 * true_M * sign_M)
    assert found.temperature == pytest.approx(3.0, rel=0.04)  # about two standard errors
    assert found.error < 0.012 < 0.08 < found.raw_error
    assert all(b.right.low - 0.02 < b.confidence < b.right.high + 0.02 for b in found.bins)
    grid = [-float(np.mean(-np.log1p(np.exp(-3 * true_M * sign_M / t)))) for t in np.linspace(2, 4, 81)]
    assert found.nll <= min(grid)


@pytest.mark.parametrize(
    ("gaps", "text"),
    [
        ([], "one or more pairs"),
        ([math.inf], "finite"),
        ([1.0, 2.0], "never wrong"),
        ([1.0, -2.0], "no better than a coin"),
        ([0.0, 0.0], "no better than a coin"),
    ],
)
def test_without_a_best_temperature_none_is_made_up(gaps: list[float], text: str) -> None:
    with pytest.raises(InputError, match=text):
        calibrate(np.array(gaps))


def test_bins_are_checked() -> None:
    with pytest.raises(ConfigError, match="bins"):
        calibrate(np.array([1.0, -0.5]), bins=0)


def test_length_bias_by_hand() -> None:
    """Chosen longer in three of four pairs; the model takes the longer one in all four."""
    found = length_bias(np.array([1.0, 2.0, 3.0, -1.0, 5.0]), np.array([10.0, 20.0, 30.0, -10.0, 0.0]))
    assert (found.people.share, found.model.share) == (0.75, 1.0)
    assert (found.chosen_longer.share, found.chosen_shorter.share) == (1.0, 0.0)
    assert found.equal == 1
    assert found.correlation == pytest.approx(np.corrcoef([1, 2, 3, -1, 5], [10, 20, 30, -10, 0])[0, 1])
    assert math.isnan(length_bias(np.array([1.0, 2.0]), np.array([3.0, 3.0])).correlation)
    with pytest.raises(InputError, match="two or more"):
        length_bias(np.array([1.0]), np.array([1.0]))
