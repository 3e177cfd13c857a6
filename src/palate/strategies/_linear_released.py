"""The linear duelling bandit that APOHF's released code compares itself with.

    h(x)    = w^T e(x), no bias
    w       Adam from fixed initial weights on the mean of BCE(h(x_s1) - h(x_s2), y_s), no regulariser
    U       = diag(sum_s phi_s phi_s^T) + 1e-10,    phi_s = e(x_s1) - e(x_s2)
    first   = argmax_x h(x)
    second  = argmax_{x != first} h(x) + sqrt(sum_d nu (e(x) - e(first))_d^2 / U_dd)
    report  = argmax over the candidates shown so far of h before the latest vote was learnt

Source: the repository of arXiv 2405.17346, its class for the linear baseline; steps, nu and the random
pairs at the start are those of the released scripts. Kept for comparisons with published figures: only the
diagonal is used, the lambda of the paper is not, and 1000 small steps are far from the maximum of the
likelihood. The initial weights there are the framework's default for a linear layer, uniform in ±1/sqrt(D)
from seed 0; here they are of that distribution, drawn by numpy, so not the same numbers. Prefer
``linear-ucb``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from palate.choice import DuelCounts, Gaussian, count_duels
from palate.strategies._adam import adam_step, no_moments, schedule, step_sizes
from palate.strategies._arms import best_shown, challenger, free_pairs, leader, warm_pair
from palate.strategies._checks import check_number, check_whole
from palate.strategies._protocol import History, Pair, Pool
from palate.types import Array

__all__ = ["LinearReleased", "linear_released"]

_RATE = 1e-3
_FLOOR = 1e-10


class _Fitted(NamedTuple):
    feature_ND: Array
    score_N: Array
    square_D: Array  # the diagonal of sum_s phi_s phi_s^T


def train_linear(start_D: Array, feature_ND: Array, counts: DuelCounts, steps: int) -> Array:
    """Weights after so many full-batch steps, ``(D,)``; the initial ones if there are no votes."""
    # One pass over M numbers instead of the six of our own logistic function: this is the inner loop.
    from scipy.special import expit

    weight_D = start_D.copy()
    votes = counts.count_M.sum()
    if votes == 0:
        return weight_D
    design_MD = feature_ND[counts.low_M] - feature_ND[counts.high_M]
    moments = no_moments(len(weight_D))
    for step in schedule(np.arange(1, steps + 1), step_sizes(steps, _RATE)):
        error_M = (counts.count_M * expit(design_MD @ weight_D) - counts.wins_M) / votes
        adam_step(weight_D, error_M @ design_MD, moments, step)
    return weight_D


@dataclass(frozen=True)
class LinearReleased:
    """Options of the strategy; see :func:`linear_released`."""

    nu: float
    steps: int
    warm_start: int
    network_seed: int

    @property
    def calibrated(self) -> bool:
        """A diagonal and a free constant are no posterior."""
        return False

    def prepare(self, feature_ND: Array) -> tuple[Array, Array]:
        """The features and the initial weights, which every refit starts from."""
        dimension = feature_ND.shape[1]
        reach = 1.0 / np.sqrt(dimension)
        return feature_ND, np.random.default_rng(self.network_seed).uniform(-reach, reach, dimension)

    def fit(self, prepared: tuple[Array, Array], history: History) -> _Fitted:
        """Train from the initial weights on all votes."""
        feature_ND, start_D = prepared
        counts = count_duels(history.first_M, history.second_M, history.outcome_M)
        weight_D = train_linear(start_D, feature_ND, counts, self.steps)
        design_MD = feature_ND[counts.low_M] - feature_ND[counts.high_M]
        return _Fitted(feature_ND, feature_ND @ weight_D, counts.count_M @ design_MD**2)

    def choose(self, fitted: _Fitted, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """The leader and its optimistic challenger; random distinct pairs at the start.

        Open pairs count in U, which does not depend on the answers.
        """
        pair = warm_pair(history, pool, self.warm_start, rng)
        if pair is not None:
            return pair
        feature_ND = fitted.feature_ND
        open_2O = np.array(pool.open_pairs, dtype=np.int64).reshape(-1, 2).T
        waiting_D = ((feature_ND[open_2O[0]] - feature_ND[open_2O[1]]) ** 2).sum(axis=0)
        free_NN = free_pairs(pool)
        first = leader(fitted.score_N, free_NN)
        inverse_D = self.nu / (fitted.square_D + waiting_D + _FLOOR)
        bonus_N = np.sqrt((feature_ND - feature_ND[first]) ** 2 @ inverse_D)
        return first, challenger(fitted.score_N + bonus_N, free_NN, first)

    def report(self, history: History, fitted: Callable[[History], _Fitted], pool: Pool) -> int:
        """The largest score of those shown, by the model before the latest vote."""
        before = fitted(history.until(max(len(history) - 1, 0)))
        return best_shown(before.score_N, history, pool)

    def belief(self, fitted: _Fitted) -> Gaussian:
        """The scores, with the bonus read as a standard deviation; before any vote it is enormous."""
        feature_ND = fitted.feature_ND - fitted.feature_ND.mean(axis=0)
        scaled_ND = feature_ND * np.sqrt(self.nu / (fitted.square_D + _FLOOR))
        return Gaussian(fitted.score_N - fitted.score_N.mean(), scaled_ND @ scaled_ND.T)


def linear_released(
    *, nu: float = 1.0, steps: int = 1000, warm_start: int = 5, network_seed: int = 0
) -> LinearReleased:
    """Make the linear baseline as released.

    Args:
        nu: Inside the root of the bonus, ≥ 0.
        steps: Adam steps a refit, ≥ 1.
        warm_start: Random distinct pairs before the model chooses, ≥ 0.
        network_seed: Draws the initial weights; the same for all studies, as published.

    Raises:
        ConfigError: An option is out of its range.
    """
    return LinearReleased(
        check_number("nu", nu, 0.0),
        check_whole("steps", steps, 1),
        check_whole("warm_start", warm_start, 0),
        check_whole("network_seed", network_seed, 0),
    )
