import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.choice import DuelCounts, count_duels, fit_differences, fit_utilities, log_sigmoid, sigmoid

NEWTON = 1e-7  # steps end below 1e-9 log-odds, and convergence is quadratic


def draw(seed: int, size: int, rank: int, votes: int) -> tuple[np.ndarray, DuelCounts]:
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((size, rank)) * rng.uniform(0.2, 3)
    first = rng.integers(size, size=votes)
    second = (first + rng.integers(1, size, size=votes)) % size
    return factor, count_duels(first, second, rng.choice([0.0, 0.5, 1.0], size=votes))


def climb(factor: np.ndarray, counts: DuelCounts) -> tuple[np.ndarray, np.ndarray]:
    """Slow reference in weight space: tiny-step gradient ascent, then the Hessian term by term."""
    design = np.array([factor[i] - factor[j] for i, j in zip(counts.low_M, counts.high_M, strict=True)])
    curvature = 1 + 0.25 * np.linalg.norm(design, 2) ** 2 * counts.count_M.max()
    z = np.zeros(factor.shape[1])
    for _ in range(40_000):
        prob = 1 / (1 + np.exp(-design @ z))
        z = z + (design.T @ (counts.wins_M - counts.count_M * prob) - z) / curvature
    hessian = np.eye(len(z))
    for row, n in zip(design, counts.count_M, strict=True):
        p = 1 / (1 + np.exp(-row @ z))
        hessian += n * p * (1 - p) * np.outer(row, row)
    return factor @ z, factor @ np.linalg.inv(hessian) @ factor.T


@pytest.mark.parametrize(("size", "rank", "votes"), [(5, 8, 6), (6, 3, 14), (2, 1, 1)])
def test_against_slow_ascent(size: int, rank: int, votes: int) -> None:
    factor, counts = draw(0, size, rank, votes)
    belief, _ = fit_utilities(factor, counts)
    mean, covariance = climb(factor, counts)
    assert belief.mean_N == pytest.approx(mean, abs=1e-6)
    assert belief.covariance_NN == pytest.approx(covariance, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 8), st.integers(1, 25))
def test_both_spaces_agree(seed: int, size: int, rank: int, votes: int) -> None:
    # Padding the factor with zero columns changes no covariance but makes the other space the smaller one.
    factor, counts = draw(seed, size, rank, votes)
    wide = np.concatenate([factor, np.zeros((size, 60))], axis=1)
    (one, evidence_one), (two, evidence_two) = fit_utilities(factor, counts), fit_utilities(wide, counts)
    assert one.mean_N == pytest.approx(two.mean_N, abs=NEWTON)
    assert one.covariance_NN == pytest.approx(two.covariance_NN, abs=NEWTON)
    assert evidence_one == pytest.approx(evidence_two, abs=NEWTON)


def test_one_vote_by_hand() -> None:
    # prior variance of the difference k = 4; the mode solves d = 4 (1 - sigmoid(d))
    fit = fit_differences(np.array([[4.0]]), np.array([1.0]), np.array([1.0]))
    d = float(fit.difference_M[0])
    assert d == pytest.approx(4 * (1 - 1 / (1 + np.exp(-d))), abs=1e-9)
    w = float(sigmoid(np.array(d)) * (1 - sigmoid(np.array(d))))
    by_hand = float(log_sigmoid(np.array(d))) - d * d / 8 - 0.5 * np.log(1 + 4 * w)
    assert fit.log_evidence == pytest.approx(by_hand, abs=1e-9)


def test_evidence_against_quadrature() -> None:
    # With a narrow prior Laplace's method is accurate: compare with the integral over the prior.
    k = 0.25
    grid = np.linspace(-8, 8, 20_001) * np.sqrt(k)
    weight = np.exp(-(grid**2) / (2 * k))
    exact = np.log((weight * np.exp(3 * log_sigmoid(grid) + log_sigmoid(-grid))).sum() / weight.sum())
    fit = fit_differences(np.array([[k]]), np.array([3.0]), np.array([4.0]))
    assert fit.log_evidence == pytest.approx(exact, abs=5e-3)


def test_who_stood_left_leaves_no_trace() -> None:
    first, second, won = np.array([0, 2, 1]), np.array([1, 0, 2]), np.array([1.0, 0.5, 0.0])
    here = count_duels(first, second, won)
    there = count_duels(second[::-1], first[::-1], 1 - won[::-1])
    for one, two in zip(here, there, strict=True):
        assert one.tolist() == two.tolist()
    assert list(zip(here.low_M.tolist(), here.high_M.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert here.wins_M.tolist() == [1.0, 0.5, 0.0]


def test_no_votes_give_the_prior_back() -> None:
    none = count_duels(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    factor = np.array([[1.0, 2.0], [0.0, 1.0]])
    belief, evidence = fit_utilities(factor, none)
    assert belief.mean_N.tolist() == [0, 0]
    assert belief.covariance_NN == pytest.approx(factor @ factor.T)
    assert evidence == 0.0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3, 1e5])
@pytest.mark.parametrize("votes", [1, 1000])
def test_extremes_stay_finite(scale: float, votes: int) -> None:
    # One candidate wins every time under a prior that is far too narrow or far too wide.
    counts = count_duels(np.zeros(votes, dtype=np.int64), np.ones(votes, dtype=np.int64), np.ones(votes))
    belief, evidence = fit_utilities(scale * np.eye(2), counts)
    assert np.isfinite(belief.covariance_NN).all()
    assert np.isfinite(evidence)
    d = float(belief.mean_N[0] - belief.mean_N[1])
    # 1e-4: at a prior variance of 1e10 the Newton system itself has lost half of its digits
    assert d == pytest.approx(2 * scale**2 * votes * float(sigmoid(np.array(-d))), rel=1e-4)
    assert (np.diag(belief.covariance_NN) >= 0).all()
