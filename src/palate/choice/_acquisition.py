"""What a Gaussian belief about utilities says: who wins, who is best, which question is worth asking.

    EUBO(i, j) = E[max(u_i, u_j)] = m_i Phi(g) + m_j Phi(-g) + s phi(g)
    g = (m_i - m_j) / s,  s^2 = Var(u_i - u_j)

Source: Lin et al., "Preference exploration for efficient Bayesian optimization with multiple outcomes", 2022,
section 4 (the expected utility of the best option); Astudillo et al., "qEUBO", 2023, theorem 1, for why the
maximiser is the one-step optimal question when answers carry no noise. No exploration constant is needed.
Peers of it are here too: qEUBO by simulation, BALD, and Thompson's pair.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._numeric import sigmoid
from palate.errors import InputError
from palate.types import Array

__all__ = [
    "WinRate",
    "best_probability",
    "difference_variance",
    "eubo",
    "expected_best",
    "observe_pair",
    "square_root",
    "thompson_pair",
    "variance_removed",
    "vote_information",
    "win_rate",
]

_NORMAL_975 = 1.959963984540054
_GRID_Z = np.linspace(-8.0, 8.0, 401)
_GRID_WEIGHT = np.exp(-0.5 * _GRID_Z**2) / np.exp(-0.5 * _GRID_Z**2).sum()
_ENTROPY_WIDTH = 0.5 * np.pi * np.log(2.0)  # squared width of the bell that is closest to the entropy at zero
_HERMITE_NODES = 12
_BLOCK = 2**20  # numbers held at once while maxima of draws are averaged


class WinRate(NamedTuple):
    """Probability of winning a duel: its mean and a central 95 % credible interval, each in [0, 1]."""

    mean: float
    low: float
    high: float


def difference_variance(covariance_NN: Array) -> Array:
    """Variance of ``u_i - u_j`` for all pairs, ``(N, N)``, ≥ 0 with a zero diagonal."""
    variance_N = np.diag(covariance_NN)
    return np.maximum(variance_N[:, None] + variance_N[None, :] - 2.0 * covariance_NN, 0.0)


def eubo(mean_N: Array, covariance_NN: Array) -> Array:
    """Expected utility of the better of two, for all pairs.

    Args:
        mean_N: Means of the utilities, in log-odds.
        covariance_NN: Their covariance.

    Returns:
        ``(N, N)``, symmetric, in log-odds; larger is more worth asking. The diagonal is the mean itself.

    Example:
        >>> import numpy as np
        >>> round(float(eubo(np.zeros(2), np.eye(2))[0, 1]), 6)  # sqrt(2) phi(0) = 1 / sqrt(pi)
        0.56419
    """
    from scipy.special import ndtr

    spread_NN = np.sqrt(difference_variance(covariance_NN))
    gap_NN = mean_N[:, None] - mean_N[None, :]
    # A spread of zero means that the answer is known: the maximum of the means, the limit of the formula.
    known_NN = spread_NN <= 0.0
    ratio_NN = gap_NN / np.where(known_NN, 1.0, spread_NN)
    density_NN = np.exp(-0.5 * ratio_NN**2) / np.sqrt(2.0 * np.pi)
    value_NN = mean_N[None, :] + gap_NN * ndtr(ratio_NN) + spread_NN * density_NN
    return np.where(known_NN, np.maximum(mean_N[:, None], mean_N[None, :]), value_NN)


def win_rate(mean: float, variance: float) -> WinRate:
    """Probability of winning when the log-odds are Gaussian.

    Args:
        mean: Of ``u_i - u_j``.
        variance: Of ``u_i - u_j``, ≥ 0.

    Returns:
        The mean of sigmoid(u_i - u_j) by the trapezoid rule on 401 points, which is exact to 1e-9 for
        standard deviations up to 20, and the images of the 2.5 % and 97.5 % quantiles.
    """
    spread = float(np.sqrt(max(variance, 0.0)))
    ends_2 = sigmoid(np.array([mean - _NORMAL_975 * spread, mean + _NORMAL_975 * spread]))
    return WinRate(float(sigmoid(mean + spread * _GRID_Z) @ _GRID_WEIGHT), float(ends_2[0]), float(ends_2[1]))


def square_root(covariance_NN: Array) -> Array:
    """Lower triangular ``L`` with ``L L^T`` equal to the covariance up to the smallest jitter that works.

    Args:
        covariance_NN: Positive semi-definite up to rounding.
    """
    size = len(covariance_NN)
    unit = float(np.trace(covariance_NN)) / max(size, 1) or 1.0
    for exponent in range(-12, 0):
        try:
            root_NN = np.linalg.cholesky(covariance_NN + unit * 10.0**exponent * np.eye(size))
        except np.linalg.LinAlgError:
            continue
        return np.asarray(root_NN, dtype=np.float64)
    value_N, vector_NN = np.linalg.eigh(covariance_NN)
    return np.asarray(vector_NN * np.sqrt(np.maximum(value_N, 0.0)), dtype=np.float64)


def best_probability(
    mean_N: Array, covariance_NN: Array, rng: np.random.Generator, *, draws: int = 4096
) -> Array:
    """Probability of each candidate to be the best of all, by simulation.

    Args:
        mean_N: Means of the utilities, in log-odds.
        covariance_NN: Their covariance.
        rng: Where the draws come from; the same generator state gives the same answer.
        draws: Even number of simulated worlds; the standard error is at most ``0.5 / sqrt(draws)``.

    Returns:
        ``(N,)``, summing to one.
    """
    half = rng.standard_normal((draws // 2, len(mean_N))) @ square_root(covariance_NN).T
    winner = np.concatenate([(mean_N + half).argmax(axis=1), (mean_N - half).argmax(axis=1)])
    return np.bincount(winner, minlength=len(mean_N)) / len(winner)


def observe_pair(belief_mean_N: Array, covariance_NN: Array, i: int, j: int) -> Array:
    """The covariance that is expected once the answer to one more duel is known.

    With d = u_i - u_j ~ N(m, v), the answer y is expected to leave E[Var(d | y)] = v - Var(E[d | y]); what it
    says of the others is in proportion to their covariance with d. Averaging over d and y matters: at the
    mean of a lopsided pair an answer seems to say nothing, although the belief may well be wrong.

    Args:
        belief_mean_N: Means of the utilities, in log-odds.
        covariance_NN: Their covariance.
        i: Row number of one side.
        j: Row number of the other.

    Returns:
        ``(N, N)``; no variance is larger than before.
    """
    along_N = covariance_NN[:, i] - covariance_NN[:, j]
    variance = float(along_N[i] - along_N[j])
    if variance <= 0.0:
        return covariance_NN
    removed = variance_removed(float(belief_mean_N[i] - belief_mean_N[j]), variance)
    return covariance_NN - np.outer(along_N, along_N) * (removed / variance**2)


def variance_removed(mean: float, variance: float) -> float:
    """By how much a vote on ``d ~ N(mean, variance)`` is expected to lower the variance of d.

        Var(E[d | y]),  P(y = 1 | d) = sigmoid(d)

    Args:
        mean: Of the difference, in log-odds.
        variance: Of the difference, > 0.

    Returns:
        Between 0 and ``variance``.
    """
    offset_Z = np.sqrt(variance) * _GRID_Z
    won_Z = sigmoid(mean + offset_Z) * _GRID_WEIGHT
    won, moved = float(won_Z.sum()), float(won_Z @ offset_Z)
    # E[d - m | i wins] = moved / won, and E[d - m] = 0 over both answers.
    return min(moved**2 / max(won * (1.0 - won), 1e-300), variance)


def expected_best(draw_NS: Array, group_GQ: NDArray[np.int64]) -> Array:
    """Expected utility of the best of q, for groups of q candidates, by simulation (qEUBO).

        qEUBO(x_1, ..., x_q) = E[max(u_1, ..., u_q)]

    Args:
        draw_NS: ``(N, S)`` joint draws of the utilities, one column a draw.
        group_GQ: ``(G, q)`` row numbers, q ≥ 1; for two of them :func:`eubo` is the exact value.

    Returns:
        ``(G,)``, the mean over the draws of the largest utility of each group.

    Raises:
        InputError: ``group_GQ`` is not a table with at least one column.

    Example:
        >>> import numpy as np
        >>> draws = np.array([[1.0, 4.0], [2.0, 0.0], [0.0, 0.0]])
        >>> expected_best(draws, np.array([[0, 1], [1, 2]])).tolist()  # (2 + 4) / 2 and (2 + 0) / 2
        [3.0, 1.0]
    """
    if group_GQ.ndim != 2 or group_GQ.shape[1] == 0:
        raise InputError(f"groups must be a table with a row for each, not of shape {group_GQ.shape}")
    value_G = np.empty(len(group_GQ))
    block = max(1, _BLOCK // draw_NS.shape[1])
    for start in range(0, len(group_GQ), block):
        rows_BQ = group_GQ[start : start + block]
        best_BS = draw_NS[rows_BQ[:, 0]]
        for column in range(1, rows_BQ.shape[1]):
            np.maximum(best_BS, draw_NS[rows_BQ[:, column]], out=best_BS)
        value_G[start : start + block] = best_BS.mean(axis=1)
    return value_G


def _entropy(z: Array) -> Array:
    """Entropy of a vote that goes to one side with probability Phi(z), in nats."""
    from scipy.special import log_ndtr

    log_won, log_lost = log_ndtr(z), log_ndtr(-z)
    return -np.exp(log_won) * log_won - np.exp(log_lost) * log_lost


def vote_information(mean: Array, variance: Array) -> Array:
    """What one vote would tell about the utilities: mutual information, BALD.

        y ~ Bernoulli(Phi(d)),  d ~ N(m, s^2)
        I(y; d) = H[Phi(m / sqrt(1 + s^2))] - E_d H[Phi(d)]

    The entropy is a bell times a slowly changing factor. The bell is multiplied with the density of ``d``,
    and the factor is averaged under the product by Gauss–Hermite quadrature on 12 nodes.

    Source: Houlsby et al., "Bayesian active learning for classification and preference learning", 2011,
    section 3, who leave the factor out.

    Args:
        mean: Of the difference ``d``, in standard deviations of the noise of one comparison; any shape.
        variance: Of the difference, ≥ 0, same shape.

    Returns:
        Nats, in [0, ln 2], same shape; right to 1e-6.

    Example:
        >>> import numpy as np
        >>> float(vote_information(np.zeros(1), np.zeros(1))[0]) < 1e-12  # a fair coin has nothing to tell
        True
        >>> round(float(vote_information(np.zeros(1), np.full(1, 1e12))[0]), 5) == round(float(np.log(2)), 5)
        True
    """
    node_H, weight_H = np.polynomial.hermite_e.hermegauss(_HERMITE_NODES)
    whole = variance + _ENTROPY_WIDTH
    centre = mean * (_ENTROPY_WIDTH / whole)
    spread = np.sqrt(variance * (_ENTROPY_WIDTH / whole))
    average = np.zeros_like(mean)
    for node, weight in zip(node_H, weight_H / weight_H.sum(), strict=True):
        at = centre + spread * node
        average += weight * _entropy(at) * np.exp(0.5 * at**2 / _ENTROPY_WIDTH - 0.5 * mean**2 / whole)
    average *= np.sqrt(_ENTROPY_WIDTH / whole)
    return np.maximum(_entropy(mean / np.sqrt(1.0 + variance)) - average, 0.0)


def thompson_pair(draw_2N: Array, allowed_NN: NDArray[np.bool_]) -> tuple[int, int]:
    """The best of one draw of the utilities against the best other one of a second draw.

    Args:
        draw_2N: ``(2, N)`` independent draws of all utilities.
        allowed_NN: Which pairs may be asked, ``(N, N)``; read in both directions, at least one.

    Returns:
        Two different rows: the best of the first draw among those that have a partner left, and the best of
        the second among its partners.

    Example:
        >>> import numpy as np
        >>> thompson_pair(np.array([[1.0, 3.0, 2.0], [2.0, 9.0, 1.0]]), np.triu(np.ones((3, 3), bool), 1))
        (1, 0)
    """
    free_NN = allowed_NN | allowed_NN.T
    first = int(np.where(free_NN.any(axis=1), draw_2N[0], -np.inf).argmax())
    return first, int(np.where(free_NN[first], draw_2N[1], -np.inf).argmax())
