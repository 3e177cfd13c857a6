"""Random pairs with a fitted linear Bradley–Terry model: the baseline that any clever choice must beat.

    u = X w,  w ~ N(0, tau^2 I)  with tau such that utilities have standard deviation ``scale`` on average
    P(i beats j) = sigmoid(u_i - u_j);  belief by Laplace's method;  pairs uniformly at random

Source: the Bayesian form of the linear duelling bandit's model (Saha 2021; Bengs et al. 2022), without its
choice rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from palate.choice import Gaussian, count_duels, fit_utilities
from palate.errors import ConfigError
from palate.strategies._protocol import History, Pair, Pool, random_pair
from palate.types import Array

__all__ = ["RandomPairs", "random_pairs"]


@dataclass(frozen=True)
class RandomPairs:
    """Options of the strategy; see :func:`random_pairs`."""

    scale: float

    @property
    def calibrated(self) -> bool:
        """A Bayesian posterior."""
        return True

    def prepare(self, feature_ND: Array) -> Array:
        """Centred features whose inner products are the prior covariance."""
        centred_ND = feature_ND - feature_ND.mean(axis=0)
        variance = float((centred_ND**2).sum(axis=1).mean())
        floor = 1e-12 * float((feature_ND**2).sum(axis=1).mean())
        return (
            centred_ND * (self.scale / np.sqrt(variance)) if variance > floor else np.zeros_like(centred_ND)
        )

    def fit(self, prepared: Array, history: History) -> Gaussian:
        """Laplace's method on all votes."""
        return fit_utilities(prepared, count_duels(history.first_M, history.second_M, history.outcome_M))[0]

    def choose(self, fitted: Gaussian, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """Any pair that is not open, with equal probability."""
        return random_pair(pool, rng)

    def report(self, history: History, fitted: Callable[[History], Gaussian], pool: Pool) -> int:
        """The largest posterior mean of the whole pool."""
        return pool.best(fitted(history).mean_N)

    def belief(self, fitted: Gaussian) -> Gaussian:
        """The Laplace approximation."""
        return fitted


def random_pairs(*, scale: float = 2.0) -> RandomPairs:
    """Make the baseline.

    Args:
        scale: Prior standard deviation of the utilities, in log-odds, > 0.

    Raises:
        ConfigError: ``scale`` is not positive.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise ConfigError(f"scale must be a positive number, not {scale!r}; the default is 2")
    return RandomPairs(float(scale))
