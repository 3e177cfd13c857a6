"""Double Thompson sampling: duels decided from counts of wins alone, without features.

    B_ij    how often i beat j; a tie is half a win for each;   N = B + B^T;   t = votes + 1
    u, l    = B / N ± sqrt(alpha log t / N);   1 and 0 where N = 0;   one half on the diagonal
    C       = the candidates with the largest number of j such that u_ij > 1/2
    first   = argmax over C of the number of j such that theta_ij > 1/2,
              theta_ij ~ Beta(B_ij + 1, B_ji + 1) for i < j,  theta_ji = 1 - theta_ij;   ties at random
    second  = argmax of theta_i over {i : l_i,first <= 1/2},  theta_i ~ Beta(B_i,first + 1, B_first,i + 1)

Source: Wu and Liu, "Double Thompson sampling for dueling bandits", 2016, algorithm 1. There the second may
be the first, which ends exploration; people are not asked to compare a text with itself, so the best of the
others is taken. Bounds are cut to [0, 1], which changes no decision.

Nothing is shared between similar candidates: with many more candidates than votes most are never seen. That
is why it is here, as the yardstick for strategies that look at features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice import DuelCounts, Gaussian, fit_utilities
from palate.strategies._arms import free_pairs
from palate.strategies._checks import check_number
from palate.strategies._protocol import History, Pair, Pool
from palate.types import Array

__all__ = [
    "DoubleTs",
    "Standing",
    "copeland",
    "copeland_best",
    "double_thompson",
    "double_ts",
    "pair_bounds",
    "win_table",
]

Mask = NDArray[np.bool_]


class Bounds(NamedTuple):
    """Optimistic and pessimistic win probabilities of row over column."""

    upper_NN: Array
    lower_NN: Array


class Standing(NamedTuple):
    """Opponents beaten minus opponents lost to, and the mean share of wins over the opponents met."""

    score_N: Array
    rate_N: Array


def win_table(history: History, size: int) -> Array:
    """How often each beat each, ``(N, N)``; a tie is half a win for each."""
    code_M = np.concatenate(
        [history.first_M * size + history.second_M, history.second_M * size + history.first_M]
    )
    won_M = np.concatenate([history.outcome_M, 1.0 - history.outcome_M])
    return np.bincount(code_M, won_M, size * size).astype(np.float64).reshape(size, size)


def pair_bounds(wins_NN: Array, alpha: float, t: int) -> Bounds:
    """The bounds of all pairs at the ``t``-th question, t ≥ 1."""
    count_NN = wins_NN + wins_NN.T
    i_M, j_M = np.nonzero(count_NN > 0)
    count_M = count_NN[i_M, j_M]
    mean_M, width_M = wins_NN[i_M, j_M] / count_M, np.sqrt(alpha * np.log(t) / count_M)
    upper_NN, lower_NN = np.ones_like(wins_NN), np.zeros_like(wins_NN)
    upper_NN[i_M, j_M] = np.minimum(mean_M + width_M, 1.0)
    lower_NN[i_M, j_M] = np.maximum(mean_M - width_M, 0.0)
    np.fill_diagonal(upper_NN, 0.5)
    np.fill_diagonal(lower_NN, 0.5)
    return Bounds(upper_NN, lower_NN)


def candidate_set(upper_NN: Array) -> Mask:
    """Those who could beat the most others, ``(N,)``."""
    hope_N = (upper_NN > 0.5).sum(axis=1)
    return np.equal(hope_N, hope_N.max())


def sample_table(wins_NN: Array, rng: np.random.Generator) -> Array:
    """One draw of all win probabilities: ``(N, N)``, with its transpose summing to one."""
    # Beta(1, 1) is uniform, and nearly all pairs have not met: twenty times faster than drawing betas.
    theta_NN = rng.random(wins_NN.shape)
    i_M, j_M = np.nonzero(np.triu(wins_NN + wins_NN.T > 0, 1))
    theta_NN[i_M, j_M] = rng.beta(wins_NN[i_M, j_M] + 1.0, wins_NN[j_M, i_M] + 1.0)
    table_NN = np.where(np.tri(len(theta_NN), dtype=np.bool_), 1.0 - theta_NN.T, theta_NN)
    np.fill_diagonal(table_NN, 0.5)
    return table_NN


def first_of(theta_NN: Array, eligible_N: Mask, rng: np.random.Generator) -> int:
    """The eligible candidate that beats the most others in the draw; one at random of equals."""
    beaten_N = np.where(eligible_N, (theta_NN > 0.5).sum(axis=1), -1)
    return int(rng.choice(np.flatnonzero(beaten_N == beaten_N.max())))


def second_of(theta_N: Array, lower_N: Array, free_N: Mask) -> int:
    """The largest draw among those not surely beaten by the first, or among all it may meet if none is left.

    Args:
        theta_N: Drawn probabilities to beat the first.
        lower_N: Pessimistic probabilities to beat the first.
        free_N: Whom the first may meet; never itself.
    """
    open_N = free_N & (lower_N <= 0.5)
    return int(np.where(open_N if open_N.any() else free_N, theta_N, -1.0).argmax())


def double_thompson(wins_NN: Array, alpha: float, t: int, pool: Pool, rng: np.random.Generator) -> Pair:
    """The pair to ask next.

    Args:
        wins_NN: From :func:`win_table`.
        alpha: Width of the bounds.
        t: Number of the question, ≥ 1.
        pool: Who plays; the table is cut to those, so that only their duels decide.
        rng: Where the draws come from.

    Returns:
        ``(first, second)``. Open pairs are avoided: the first is drawn from the members of C that still have
        someone to meet, or from all if no member has.
    """
    rows_S = np.flatnonzero(pool.live_N)
    wins_SS = wins_NN[np.ix_(rows_S, rows_S)]
    free_SS = free_pairs(pool)[np.ix_(rows_S, rows_S)]
    upper_SS, lower_SS = pair_bounds(wins_SS, alpha, t)
    partner_S = free_SS.any(axis=1)
    eligible_S = np.logical_and(candidate_set(upper_SS), partner_S)
    theta_SS = sample_table(wins_SS, rng)
    first = first_of(theta_SS, eligible_S if eligible_S.any() else np.asarray(partner_S), rng)
    theta_S = rng.beta(wins_SS[:, first] + 1.0, wins_SS[first] + 1.0)
    second = second_of(theta_S, lower_SS[:, first], free_SS[first])
    return int(rows_S[first]), int(rows_S[second])


def copeland(wins_NN: Array) -> Standing:
    """Copeland scores of a table of wins.

    A pair that has not met, or is even, counts for neither side; the rate of somebody who met nobody is 0.
    """
    count_NN = wins_NN + wins_NN.T
    met_N = (count_NN > 0).sum(axis=1)
    rate_N = (wins_NN / np.maximum(count_NN, 1e-300)).sum(axis=1) / np.maximum(met_N, 1)
    return Standing(np.sign(wins_NN - wins_NN.T).sum(axis=1), rate_N)


def copeland_best(wins_NN: Array, live_N: Mask) -> int:
    """The live candidate of the largest score; of equals the larger rate, then the lower row."""
    score_N, rate_N = copeland(wins_NN)
    order_N = np.lexsort((-rate_N, -score_N, ~live_N))
    return int(order_N[0])


def independent_belief(wins_NN: Array, scale: float) -> Gaussian:
    """Bradley–Terry utilities by Laplace's method, a priori independent with standard deviation ``scale``."""
    size = len(wins_NN)
    low_M, high_M = np.nonzero(np.triu(wins_NN + wins_NN.T, 1))
    won_M, lost_M = wins_NN[low_M, high_M], wins_NN[high_M, low_M]
    counts = DuelCounts(low_M, high_M, won_M, won_M + lost_M)
    return fit_utilities(scale * (np.eye(size) - 1.0 / size), counts)[0]


@dataclass(frozen=True)
class DoubleTs:
    """Options of the strategy; see :func:`double_ts`."""

    alpha: float
    scale: float

    @property
    def calibrated(self) -> bool:
        """The rule keeps no utilities; the belief is made for display."""
        return False

    def prepare(self, feature_ND: Array) -> int:
        """The number of candidates; the features are not looked at."""
        return len(feature_ND)

    def fit(self, prepared: int, history: History) -> Array:
        """Count wins."""
        return win_table(history, prepared)

    def choose(self, fitted: Array, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """By the published rule, among the live candidates."""
        return double_thompson(fitted, self.alpha, len(history) + 1, pool, rng)

    def report(self, history: History, fitted: Callable[[History], Array], pool: Pool) -> int:
        """The Copeland winner of the counts.

        Largest number of opponents beaten minus lost to; of equals the one with the larger mean share of wins
        over the opponents it met, so that an unseen candidate, whose share is 0, comes last; then the lower
        row. Wins over withdrawn candidates count.
        """
        return copeland_best(fitted(history), pool.live_N)

    def belief(self, fitted: Array) -> Gaussian:
        """Bradley–Terry from the same counts, with independent priors: a summary that decides nothing."""
        return independent_belief(fitted, self.scale)


def double_ts(*, alpha: float = 0.51, scale: float = 2.0) -> DoubleTs:
    """Make Double Thompson Sampling.

    Args:
        alpha: Width of the bounds; the regret bound needs more than one half.
        scale: Prior standard deviation of the utilities in the belief, in log-odds, > 0; it decides nothing.

    Returns:
        The strategy. One refit and one decision take about two milliseconds at 200 candidates.

    Raises:
        ConfigError: An option is out of its range.

    Example:
        >>> import numpy as np
        >>> from palate.strategies import duel_bandit
        >>> bandit = duel_bandit("double-ts", np.eye(3), seed=0)
        >>> bandit.tell(2, 0, "left")
        >>> bandit.best()
        2
    """
    return DoubleTs(
        check_number("alpha", alpha, 0.5, above=True), check_number("scale", scale, 0.0, above=True)
    )
