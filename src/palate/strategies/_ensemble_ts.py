"""The ensemble of networks that APOHF's released code calls DoubleTS.

    h_k(x)   ten score networks, k = 1 … 10, all refitted from one and the same set of initial weights theta_0
    loss     mean over a minibatch of BCE(h_k(x_s1) - h_k(x_s2), y_s)
             + lambda min(1, 32 / t) |theta_k - theta_0|^2
    training ``steps`` passes over the t votes in their order, in minibatches of 32, the last of which takes
             the rest too; each minibatch updates one head k drawn at random, by Adam at 1e-3
    first    argmax of one random head;   second: argmax of another random draw of a head, drawn again while
             the same candidate comes out, up to six times, then a random candidate
    report   argmax of a random head over the candidates shown so far, by the model before the latest vote

Source: the repository of arXiv 2405.17346, its class DoubleTS, after the networks with epistemic
uncertainty of Dwaracherla et al., "Efficient exploration for LLMs", 2024. It is not the double Thompson
sampling of Wu and Liu (``double-ts``). Since all heads start equal, only the order of their minibatches
makes them differ. Two details of that code are kept: in the release of the framework that it pins, Adam
also moves the heads that a minibatch does not touch, by their fading momentum; and the report draws a head
for each block of 300 candidates.

Differences: draws come from numpy. Those of the training and of the report come from a seed and the number
of votes, so that equal votes give equal models, and so that asking twice for the report gives one answer;
those of the choice come from the learner's generator, as everywhere. Open pairs count as collisions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice import Gaussian
from palate.strategies._adam import adam_step, no_moments, schedule, step_sizes
from palate.strategies._arms import best_shown, challenger, free_pairs, leader, warm_pair
from palate.strategies._checks import check_number, check_whole, check_widths
from palate.strategies._network import forward, initial_weights, layers, loss_gradient
from palate.strategies._protocol import History, Pair, Pool
from palate.types import Array

__all__ = ["EnsembleTs", "ensemble_ts", "minibatches", "train_heads"]

_BATCH = 32
_RATE = 1e-3
_BLOCK = 300
_REDRAWS = 6


class Minibatch(NamedTuple):
    """Features of its distinct candidates, the rows of those that met, and who won."""

    input_UD: Array
    sides: tuple[NDArray[np.int64], NDArray[np.int64]]
    outcome_M: Array


class _Fitted(NamedTuple):
    score_KN: Array  # K heads
    reporting_N: NDArray[np.int64]  # the head that scores each candidate in the report


def minibatches(feature_ND: Array, history: History) -> list[Minibatch]:
    """The votes in their order, 32 at a time; what is left over joins the last batch."""
    size = len(history)
    starts = [start * _BATCH for start in range(max(size // _BATCH, 1))]
    low_M, high_M, won_M = history.lower_first
    batches: list[Minibatch] = []
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        row_U, place = np.unique([low_M[start:end], high_M[start:end]], return_inverse=True)
        first_M, second_M = place.reshape(2, -1)
        batches.append(Minibatch(feature_ND[row_U], (first_M, second_M), won_M[start:end]))
    return batches


def train_heads(
    start_P: Array,
    batches: Sequence[Minibatch],
    head_S: NDArray[np.int64],
    *,
    heads: int,
    hidden: tuple[int, ...],
    decay: float,
) -> Array:
    """Train all heads.

    Args:
        start_P: Initial weights of every head, which the penalty pulls back to; left as they are.
        batches: The minibatches, which are taken in turn.
        head_S: Which head each update is for.
        heads: How many there are, ``K``.
        hidden: Widths of the hidden layers.
        decay: Weight of the squared distance from the initial weights, ≥ 0.

    Returns:
        The weights, ``(K, P)``. Heads do not depend on each other, so each is trained to its end at once.
    """
    theta_KP = np.repeat(start_P[None, :], heads, axis=0)
    dimension = batches[0].input_UD.shape[1]
    gradient_P, pull_P = np.empty_like(start_P), np.empty_like(start_P)
    gradient = layers(gradient_P, dimension, hidden)
    later_S = step_sizes(len(head_S), _RATE)
    for head, theta_P in enumerate(theta_KP):
        network = layers(theta_P, dimension, hidden)
        moments = no_moments(len(theta_P))
        place_S = np.flatnonzero(head_S == head)
        for place, step in zip(place_S.tolist(), schedule(place_S + 1, later_S), strict=True):
            loss_gradient(network, gradient, *batches[place % len(batches)])
            np.subtract(theta_P, start_P, out=pull_P)
            pull_P *= 2.0 * decay
            gradient_P += pull_P
            adam_step(theta_P, gradient_P, moments, step)
    return theta_KP


@dataclass(frozen=True)
class EnsembleTs:
    """Options of the strategy; see :func:`ensemble_ts`."""

    heads: int
    decay: float
    steps: int
    warm_start: int
    hidden: tuple[int, ...]
    network_seed: int

    @property
    def calibrated(self) -> bool:
        """Ten heads of one start do not span what is unknown."""
        return False

    def prepare(self, feature_ND: Array) -> tuple[Array, Array]:
        """The features and the initial weights, which every head and every refit starts from."""
        return feature_ND, initial_weights(feature_ND.shape[1], self.hidden, self.network_seed)

    def fit(self, prepared: tuple[Array, Array], history: History) -> _Fitted:
        """Train all heads on all votes; a function of the votes and the seed."""
        feature_ND, start_P = prepared
        votes = len(history)
        rng = np.random.default_rng([self.network_seed, votes])
        theta_KP = np.repeat(start_P[None, :], self.heads, axis=0)
        if votes:
            batches = minibatches(feature_ND, history)
            head_S = rng.integers(self.heads, size=self.steps * len(batches))
            decay = self.decay * min(1.0, _BATCH / votes)
            theta_KP = train_heads(
                start_P, batches, head_S, heads=self.heads, hidden=self.hidden, decay=decay
            )
        size, dimension = feature_ND.shape
        score_KN = np.stack(
            [forward(layers(theta_P, dimension, self.hidden), feature_ND)[-1][:, 0] for theta_P in theta_KP]
        )
        drawn = rng.integers(self.heads, size=size // _BLOCK + 1)
        return _Fitted(score_KN, drawn[np.arange(size) // _BLOCK])

    def choose(self, fitted: _Fitted, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """The winners of two random heads; random distinct pairs at the start."""
        pair = warm_pair(history, pool, self.warm_start, rng)
        if pair is not None:
            return pair
        free_NN = free_pairs(pool)
        first = leader(fitted.score_KN[rng.integers(self.heads)], free_NN)
        for _ in range(_REDRAWS):
            second = pool.best(fitted.score_KN[rng.integers(self.heads)])
            if free_NN[first, second]:
                return first, second
        return first, challenger(rng.random(len(pool)), free_NN, first)

    def report(self, history: History, fitted: Callable[[History], _Fitted], pool: Pool) -> int:
        """The largest score of those shown, by a random head of the model before the latest vote."""
        score_KN, reporting_N = fitted(history.until(max(len(history) - 1, 0)))
        return best_shown(score_KN[reporting_N, np.arange(len(reporting_N))], history, pool)

    def belief(self, fitted: _Fitted) -> Gaussian:
        """Mean and covariance of the heads: how far they disagree, which is nothing before the first vote."""
        score_KN = fitted.score_KN - fitted.score_KN.mean(axis=1, keepdims=True)
        mean_N = score_KN.mean(axis=0)
        return Gaussian(mean_N, (score_KN - mean_N).T @ (score_KN - mean_N) / self.heads)


def ensemble_ts(
    *,
    heads: int = 10,
    decay: float = 0.1,
    steps: int = 1000,
    warm_start: int = 5,
    hidden: Sequence[int] = (32, 32),
    network_seed: int = 0,
) -> EnsembleTs:
    """Make the ensemble as released.

    Args:
        heads: How many networks, ≥ 1.
        decay: Lambda, ≥ 0: weight of the squared distance from the initial weights.
        steps: Passes over the votes in a refit, ≥ 1.
        warm_start: Random distinct pairs before the model chooses, ≥ 0.
        hidden: Widths of the hidden layers, each ≥ 1.
        network_seed: Draws the initial weights, the heads of the minibatches, and the head that reports.

    Returns:
        The strategy. A refit at 384 dimensions and 150 votes takes about a second.

    Raises:
        ConfigError: An option is out of its range.
    """
    return EnsembleTs(
        check_whole("heads", heads, 1),
        check_number("decay", decay, 0.0),
        check_whole("steps", steps, 1),
        check_whole("warm_start", warm_start, 0),
        check_widths("hidden", hidden),
        check_whole("network_seed", network_seed, 0),
    )
