import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.choice import log_sigmoid, outcome, sigmoid
from palate.types import Verdict

FLOAT64 = 1e-15  # a few units in the last place


@given(st.floats(-700, 700))
def test_sigmoid_and_its_mirror_image_sum_to_one(x: float) -> None:
    both = sigmoid(np.array([x, -x]))
    assert both.sum() == pytest.approx(1.0, abs=FLOAT64)
    assert (both >= 0).all()


@given(st.floats(-30, 30))
def test_log_sigmoid_is_the_logarithm(x: float) -> None:
    # Beyond 30 the plain logarithm itself has lost its digits.
    assert log_sigmoid(np.array(x)) == pytest.approx(np.log(1 / (1 + np.exp(-x))), rel=1e-9, abs=FLOAT64)


def test_worked_by_hand() -> None:
    # odds 3 : 1 are log-odds ln 3, a probability of 3/4
    assert sigmoid(np.log(np.array([3.0, 1.0, 1 / 3]))) == pytest.approx([0.75, 0.5, 0.25], abs=FLOAT64)


def test_extremes_neither_overflow_nor_vanish() -> None:
    assert sigmoid(np.array([-np.inf, -1e308, 1e308, np.inf])).tolist() == [0, 0, 1, 1]
    assert sigmoid(np.array(-700.0)) == pytest.approx(np.exp(-700), rel=1e-12)
    assert log_sigmoid(np.array([-1e6, 1e6])).tolist() == [-1e6, 0.0]


def test_what_a_verdict_is_worth() -> None:
    said = {verdict: outcome(verdict) for verdict in Verdict}
    assert said == {"left": 1.0, "right": 0.0, "tie": 0.5, "both_bad": 0.5, "skip": None, "failed": None}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_swapping_sides_mirrors_the_outcome(verdict: Verdict) -> None:
    here, there = outcome(verdict), outcome(verdict.swapped())
    assert (here is None) == (there is None)
    assert here is None or here + (there or 0.0) == 1.0


def test_not_a_verdict() -> None:
    with pytest.raises(ValueError, match="best"):
        outcome("best")
