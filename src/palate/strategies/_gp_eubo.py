"""Gaussian-process preference model with EUBO over all pairs; the default strategy.

    u ~ N(0, s^2 K),   K = a X X^T + b exp(-|x - x'|^2 / (2 l^2)) + c I      each part of unit mean variance
    P(i beats j) = sigmoid(u_i - u_j)
    next pair = argmax_{i<j} E[max(u_i, u_j)]

Source: Chu and Ghahramani, "Preference learning with Gaussian processes", 2005 (model and Laplace
approximation); Lin et al. 2022 and Astudillo et al. 2023 (EUBO). Choices of ours: the logistic link; a linear
part because prompts differ along few directions of an embedding; a part of its own for each candidate, since
two near paraphrases can behave differently; l is the median distance; the scale s and the mixture (a, b, c)
are the ones of a small grid with the largest Laplace evidence times a prior on s. Questions that are still
open count as answered in the covariance, so that several pairs can be asked at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from palate.choice import (
    DuelCounts,
    Gaussian,
    count_duels,
    eubo,
    fit_differences,
    observe_pair,
    update_prior,
)
from palate.errors import ConfigError
from palate.strategies._protocol import History, Pair, Pool, allowed_pairs
from palate.types import Array

__all__ = ["GpEubo", "gp_eubo", "linear_kernel", "rbf_kernel"]

_SCALE_CENTRE = 1.5  # log-odds; a rater who prefers a one-sigma better prompt four times in five
_SCALE_SPREAD = 0.7  # in ln s
_ROUGH = 0.2  # log-odds; Newton's error is then about its square, far too little to change the choice of s


def _unit_variance(kernel_NN: Array) -> Array:
    """Centre a kernel over the candidates and scale its mean variance to one; all zero stays all zero."""
    row_N = kernel_NN.mean(axis=0)
    centred_NN = kernel_NN - row_N[:, None] - row_N[None, :] + row_N.mean()
    variance = float(np.trace(centred_NN)) / len(centred_NN)
    # Features that are equal up to rounding carry no information; dividing would blow the rounding up.
    floor = 1e-12 * float(np.abs(np.diag(kernel_NN)).mean())
    return centred_NN / variance if variance > floor else np.zeros_like(centred_NN)


def linear_kernel(feature_ND: Array) -> Array:
    """Inner products, centred, with unit mean variance: ``(N, N)``."""
    return _unit_variance(feature_ND @ feature_ND.T)


def rbf_kernel(feature_ND: Array) -> Array:
    """Squared-exponential kernel with the median distance as length scale, centred: ``(N, N)``."""
    square_N = (feature_ND**2).sum(axis=1)
    distance_NN = np.maximum(square_N[:, None] + square_N[None, :] - 2.0 * feature_ND @ feature_ND.T, 0.0)
    upper = distance_NN[np.triu_indices(len(feature_ND), k=1)]
    median = float(np.median(upper)) or float(upper.mean()) or 1.0
    return _unit_variance(np.exp(-0.5 * distance_NN / median))


def _difference_kernel(kernel_NN: Array, counts: DuelCounts) -> tuple[Array, Array]:
    """Covariance of the observed differences with all utilities ``(M, N)``, and among themselves."""
    cross_MN = kernel_NN[counts.low_M] - kernel_NN[counts.high_M]
    return cross_MN, cross_MN[:, counts.low_M] - cross_MN[:, counts.high_M]


@dataclass(frozen=True)
class _Fitted:
    belief: Gaussian
    scale: float
    mixture: int


@dataclass(frozen=True)
class GpEubo:
    """Options of the strategy; see :func:`gp_eubo`."""

    scales: tuple[float, ...]
    mixtures: tuple[tuple[float, float, float], ...]

    @property
    def calibrated(self) -> bool:
        """A Bayesian posterior."""
        return True

    def prepare(self, feature_ND: Array) -> tuple[Array, ...]:
        """One prior covariance per mixture, for s = 1."""
        parts = (linear_kernel(feature_ND), rbf_kernel(feature_ND), _unit_variance(np.eye(len(feature_ND))))
        return tuple(
            _unit_variance(sum((w * part for w, part in zip(weights, parts, strict=True)), np.zeros(())))
            for weights in self.mixtures
        )

    def fit(self, prepared: tuple[Array, ...], history: History) -> _Fitted:
        """Choose scale and mixture by evidence, then the belief under them."""
        counts = count_duels(history.first_M, history.second_M, history.outcome_M)
        best = -np.inf
        mixture, scale, start_M = 0, self.scales[0], np.zeros(len(counts.wins_M))
        kernels = [_difference_kernel(kernel_NN, counts) for kernel_NN in prepared]
        for trial, (_, kernel_MM) in enumerate(kernels):
            dual_M = np.zeros(len(counts.wins_M))
            for size in self.scales:
                fit = fit_differences(
                    size**2 * kernel_MM, counts.wins_M, counts.count_M, start_M=dual_M, tolerance=_ROUGH
                )
                dual_M = fit.dual_M
                value = fit.log_evidence - 0.5 * (np.log(size / _SCALE_CENTRE) / _SCALE_SPREAD) ** 2
                if value > best:
                    best, mixture, scale, start_M = value, trial, size, dual_M
        cross_MN, kernel_MM = (scale**2 * part for part in kernels[mixture])
        fit = fit_differences(kernel_MM, counts.wins_M, counts.count_M, start_M=start_M)
        belief = update_prior(scale**2 * prepared[mixture], cross_MN.T, kernel_MM, fit)
        return _Fitted(belief, scale, mixture)

    def choose(self, fitted: _Fitted, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """The pair of largest EUBO once the open questions are answered; the likelier winner first."""
        mean_N, covariance_NN = fitted.belief
        for i, j in pool.open_pairs:
            covariance_NN = observe_pair(mean_N, covariance_NN, i, j)
        value_NN = np.where(allowed_pairs(pool), eubo(mean_N, covariance_NN), -np.inf)
        i, j = divmod(int(value_NN.argmax()), len(mean_N))
        return (i, j) if mean_N[i] >= mean_N[j] else (j, i)

    def report(self, history: History, fitted: Callable[[History], _Fitted], pool: Pool) -> int:
        """The largest posterior mean of the whole pool, shown or not."""
        return pool.best(fitted(history).belief.mean_N)

    def belief(self, fitted: _Fitted) -> Gaussian:
        """The Laplace approximation."""
        return fitted.belief


def gp_eubo(
    *,
    scales: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    linear: float = 0.4,
    rbf: float = 0.1,
    own: float = 0.5,
) -> GpEubo:
    """Make the default strategy.

    Args:
        scales: Standard deviations of the utilities to choose from, in log-odds, > 0, ascending.
        linear: Share of the prior variance that is linear in the features, ≥ 0.
        rbf: Share that is a smooth function of the features, ≥ 0.
        own: Share that each candidate has for itself, > 0.

    Returns:
        The strategy. One refit and one decision take a few milliseconds at 200 candidates and 150 votes.

    Raises:
        ConfigError: An option is out of its range.

    Example:
        >>> import numpy as np
        >>> from palate.strategies import duel_bandit
        >>> bandit = duel_bandit("gp-eubo", np.eye(3), seed=0)
        >>> i, j = bandit.ask()
        >>> bandit.tell(i, j, "left")
        >>> bandit.best() == i
        True
    """
    if not scales or not all(np.isfinite(s) and s > 0 for s in scales):
        raise ConfigError(f"scales must be positive numbers, not {scales!r}; try (0.5, 1, 2, 4)")
    if not (linear >= 0 and rbf >= 0 and own > 0 and np.isfinite(linear + rbf + own)):
        raise ConfigError(
            f"linear and rbf must be at least 0 and own above 0, not {linear!r}, {rbf!r}, {own!r}; "
            "the defaults are 0.4, 0.1 and 0.5"
        )
    return GpEubo(tuple(float(s) for s in scales), ((float(linear), float(rbf), float(own)),))
