import numpy as np
import pytest

from palate.choice import (
    DirectPrior,
    LatentPrior,
    Sites,
    log_sigmoid,
    propagate,
    site_of,
    tilted_moments,
)
from palate.errors import InputError
from palate.types import Array


def logistic(sign_S: Array):
    return lambda site_SQ: log_sigmoid(sign_S[:, None] * site_SQ)


def exact(kernel_SS: Array, sign_S: Array) -> tuple[float, Array, Array]:
    """Log evidence, means and variances on a dense grid of two sites."""
    axis = np.linspace(-30, 30, 1201)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    log = -0.5 * np.einsum("ga,ab,gb->g", grid, np.linalg.inv(kernel_SS), grid)
    prior = np.exp(log) / np.exp(log).sum()
    weight = prior * np.exp(log_sigmoid(grid * sign_S).sum(axis=1))
    mass = weight.sum()
    mean = weight @ grid / mass
    return float(np.log(mass)), mean, weight @ (grid - mean) ** 2 / mass


@pytest.mark.parametrize("scale", [0.5, 3.0, 25.0])
def test_moments_and_evidence_against_a_grid(scale: float) -> None:
    kernel = scale * np.array([[1.0, 0.6], [0.6, 1.5]])
    sign = np.array([1.0, -1.0])
    fit = propagate(kernel, logistic(sign))
    evidence, mean, variance = exact(kernel, sign)
    # Contradicting votes on like questions are the hardest case.
    assert fit.log_evidence == pytest.approx(evidence, abs=0.02)
    assert fit.mean_S == pytest.approx(mean, abs=0.02 * np.sqrt(variance.max()))
    assert fit.variance_S == pytest.approx(variance, rel=0.06)


def test_one_vote_is_exact() -> None:
    # With a single site nothing is approximated but the sum over the grid.
    kernel = np.array([[4.0]])
    fit = propagate(kernel, logistic(np.array([1.0])))
    d = np.linspace(-30, 30, 200_001)
    weight = np.exp(-(d**2) / 8.0 + log_sigmoid(d))
    weight /= weight.sum()
    assert float(fit.mean_S[0]) == pytest.approx(float(weight @ d), abs=1e-4)
    assert float(fit.variance_S[0]) == pytest.approx(float(weight @ d**2 - (weight @ d) ** 2), abs=1e-4)
    assert fit.log_evidence == pytest.approx(np.log(0.5), abs=1e-6)  # by symmetry


def test_a_gaussian_likelihood_gives_regression() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((5, 5))
    kernel, y, noise = root @ root.T + np.eye(5), rng.standard_normal(5), 0.7
    fit = propagate(kernel, lambda d: -0.5 * (y[:, None] - d) ** 2 / noise - 0.5 * np.log(2 * np.pi * noise))
    gain = kernel @ np.linalg.inv(kernel + noise * np.eye(5))
    assert fit.mean_S == pytest.approx(gain @ y, abs=1e-5)
    assert fit.variance_S == pytest.approx(np.diag(kernel - gain @ kernel), abs=1e-5)
    _, determinant = np.linalg.slogdet(2 * np.pi * (kernel + noise * np.eye(5)))
    evidence = -0.5 * y @ np.linalg.solve(kernel + noise * np.eye(5), y) - 0.5 * determinant
    assert fit.log_evidence == pytest.approx(float(evidence), abs=1e-5)


def test_the_leave_one_out_chance_is_that_of_a_fit_without_the_vote() -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((6, 4))
    kernel = 3.0 * root @ root.T + 0.5 * np.eye(6)
    sign = np.where(rng.random(6) < 0.5, 1.0, -1.0)
    fit = propagate(kernel, logistic(sign))
    for left_out in range(6):
        rest = np.delete(np.arange(6), left_out)
        part = propagate(kernel[np.ix_(rest, rest)], logistic(sign[rest]))
        whole = propagate(kernel, logistic(sign)).log_evidence
        # p(vote | others) = p(all) / p(others); expectation propagation is good to a few thousandths here.
        assert fit.log_predictive_S[left_out] == pytest.approx(whole - part.log_evidence, abs=0.02)


def test_where_it_starts_does_not_matter() -> None:
    kernel = np.array([[4.0, 1.0, 0.0], [1.0, 2.0, -0.5], [0.0, -0.5, 3.0]])
    sign = np.array([1.0, 1.0, -1.0])
    cold = propagate(kernel, logistic(sign))
    warm = propagate(kernel, logistic(sign), Sites(np.full(3, 0.4), np.full(3, -1.0)))
    assert warm.mean_S == pytest.approx(cold.mean_S, abs=1e-3)
    assert warm.log_evidence == pytest.approx(cold.log_evidence, abs=1e-4)


def test_a_lapse_and_contradiction_stay_finite() -> None:
    # The likelihood of a vote that may be a coin's is not log-concave; ten against ten on one pair.
    kernel = np.full((20, 20), 400.0) + 1e-6 * np.eye(20)
    sign = np.array([1.0, -1.0] * 10)
    fit = propagate(kernel, lambda d: np.log(0.8 * np.exp(log_sigmoid(sign[:, None] * d)) + 0.1))
    assert np.isfinite(fit.mean_S).all()
    assert np.isfinite(fit.log_evidence)
    assert abs(float(fit.mean_S.mean())) < 1.0


def test_no_votes() -> None:
    fit = propagate(np.zeros((0, 0)), lambda d: d)
    assert (len(fit.mean_S), fit.log_evidence) == (0, 0.0)


def test_a_site_gives_back_its_moments() -> None:
    mean, variance = np.array([0.3]), np.array([2.0])
    found = tilted_moments(mean, variance, logistic(np.array([-1.0])))
    precision, pull = site_of(mean, variance, found)
    after = 1.0 / (1.0 / variance + precision)
    assert after == pytest.approx(found.variance_S)
    assert after * (mean / variance + pull) == pytest.approx(found.mean_S)


def both_forms(rank: int, seed: int = 5) -> tuple[DirectPrior, LatentPrior, Array]:
    """Forty differences of six values and an offset, whose covariance has the given rank, in both forms."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((7, rank))
    kernel = 4.0 * root @ root.T
    first = rng.integers(6, size=40)
    place = np.stack([first, (first + rng.integers(1, 6, size=40)) % 6, np.full(40, 6)], axis=1)
    weight = np.stack([rng.uniform(0.5, 1.5, 40), -rng.uniform(0.5, 1.5, 40), np.full(40, 0.3)], axis=1)
    design = np.zeros((40, 7))
    np.add.at(design, (np.arange(40)[:, None], place), weight)
    return DirectPrior(design @ kernel @ design.T), LatentPrior(place, weight, kernel), design @ kernel


@pytest.mark.parametrize("rank", [3, 7])
def test_both_forms_of_a_prior_give_one_belief(rank: int) -> None:
    direct, latent, cross = both_forms(rank)
    sign = np.where(np.random.default_rng(6).random(40) < 0.6, 1.0, -1.0)
    one, other = propagate(direct, logistic(sign)), propagate(latent, logistic(sign))
    assert other.mean_S == pytest.approx(one.mean_S, abs=1e-6)
    assert other.variance_S == pytest.approx(one.variance_S, rel=1e-6)
    assert other.log_evidence == pytest.approx(one.log_evidence, abs=1e-6)
    assert other.log_predictive_S == pytest.approx(one.log_predictive_S, abs=1e-6)
    mean = direct.pushed(one.dual_S) @ cross
    assert latent.pushed(other.dual_S) @ latent.kernel_LL == pytest.approx(mean, abs=1e-5)
    # What is not known of the latent values, against a dense solution.
    noise = np.diag(1.0 / one.sites.precision_S)
    told = cross.T @ np.linalg.solve(direct.kernel_SS + noise, cross)
    for prior, fit, rows in ((direct, one, cross.copy()), (latent, other, latent.kernel_LL.copy())):
        half = prior.halving(fit.sites)(rows)
        assert half.T @ half == pytest.approx(told, abs=1e-4)
    assert cross.T @ np.linalg.solve(direct.kernel_SS + noise, one.sites.pull_S / one.sites.precision_S) == (
        pytest.approx(mean, abs=1e-5)
    )


def test_sites_must_name_latent_values_that_exist() -> None:
    with pytest.raises(InputError, match="latent"):
        LatentPrior(np.array([[0, 3]]), np.array([[1.0, -1.0]]), np.eye(3))
