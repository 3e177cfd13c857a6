import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from palate.choice import bradley_terry
from palate.errors import InputError

NEWTON = 1e-8  # the gradient is below 1e-10 votes; curvature is at least the ridge


def minorise(wins: np.ndarray, rounds: int = 20_000) -> np.ndarray:
    """Zermelo's fixed-point iteration of the unpenalised likelihood: slow and obvious."""
    strength = np.ones(len(wins))
    count = wins + wins.T
    for _ in range(rounds):
        for i in range(len(wins)):
            weight = sum(count[i, j] / (strength[i] + strength[j]) for j in range(len(wins)) if j != i)
            strength[i] = wins[i].sum() / weight
        strength /= np.exp(np.log(strength).mean())
    return np.log(strength)


def test_two_candidates_by_hand() -> None:
    # 3 wins against 1: the gap is ln 3 when the prior is flat
    score = bradley_terry(np.array([[0.0, 3.0], [1.0, 0.0]]), ridge=1e-9)
    assert score == pytest.approx([np.log(3) / 2, -np.log(3) / 2], abs=1e-6)


def test_against_zermelo() -> None:
    wins = np.array([[0, 4, 3, 1], [2, 0, 5, 3], [1, 2, 0, 4], [3, 1, 2, 0]], dtype=float)
    assert bradley_terry(wins, ridge=1e-9) == pytest.approx(minorise(wins, 300), abs=1e-6)


def test_always_winning_stays_finite() -> None:
    score = bradley_terry(np.array([[0.0, 1e6], [0.0, 0.0]]), ridge=0.1)
    # stationary point: 1e6 sigmoid(-2a) = 0.1 a
    a = score[0]
    assert 1e6 / (1 + np.exp(2 * a)) == pytest.approx(0.1 * a, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (4, 4), elements=st.integers(0, 9).map(float)), st.permutations(range(4)))
def test_names_do_not_matter_and_the_mean_is_zero(wins: np.ndarray, order: list[int]) -> None:
    score = bradley_terry(wins, ridge=0.5)
    assert score.mean() == pytest.approx(0, abs=1e-12)
    assert bradley_terry(wins[np.ix_(order, order)], ridge=0.5) == pytest.approx(score[order], abs=NEWTON)
    assert bradley_terry(wins.T, ridge=0.5) == pytest.approx(-score, abs=NEWTON)


@pytest.mark.parametrize(
    ("wins", "ridge"),
    [
        (np.zeros((2, 3)), 0.1),
        (np.full((2, 2), np.nan), 0.1),
        (-np.ones((2, 2)), 0.1),
        (np.zeros((2, 2)), 0.0),
    ],
)
def test_bad_input(wins: np.ndarray, ridge: float) -> None:
    with pytest.raises(InputError):
        bradley_terry(wins, ridge=ridge)


def test_nobody_and_no_votes() -> None:
    assert bradley_terry(np.zeros((0, 0))).shape == (0,)
    assert bradley_terry(np.zeros((3, 3))).tolist() == [0, 0, 0]
