"""What a Gaussian belief about utilities says: who wins, who is best, which question is worth asking.

    EUBO(i, j) = E[max(u_i, u_j)] = m_i Phi(g) + m_j Phi(-g) + s phi(g)
    g = (m_i - m_j) / s,  s^2 = Var(u_i - u_j)

Source: Lin et al., "Preference exploration for efficient Bayesian optimization with multiple outcomes", 2022,
section 4 (the expected utility of the best option); Astudillo et al., "qEUBO", 2023, theorem 1, for why the
maximiser is the one-step optimal question when answers carry no noise. No exploration constant is needed.
"""

from typing import NamedTuple

import numpy as np

from palate.choice._numeric import sigmoid
from palate.types import Array

__all__ = [
    "WinRate",
    "best_probability",
    "difference_variance",
    "eubo",
    "observe_pair",
    "square_root",
    "win_rate",
]

_NORMAL_975 = 1.959963984540054
_GRID_Z = np.linspace(-8.0, 8.0, 401)
_GRID_WEIGHT = np.exp(-0.5 * _GRID_Z**2) / np.exp(-0.5 * _GRID_Z**2).sum()


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
    """The covariance once the answer to one more duel is known, whatever the answer.

    The logistic likelihood's curvature is taken at the present mean; it does not depend on the answer, so
    that questions that are still open can be taken into account before they are answered.

    Args:
        belief_mean_N: Means of the utilities, in log-odds.
        covariance_NN: Their covariance.
        i: Row number of one side.
        j: Row number of the other.

    Returns:
        ``(N, N)``; no variance is larger than before.
    """
    along_N = covariance_NN[:, i] - covariance_NN[:, j]
    prob = float(sigmoid(np.array(belief_mean_N[i] - belief_mean_N[j])))
    information = max(prob * (1.0 - prob), 1e-12)
    return covariance_NN - np.outer(along_N, along_N) / (1.0 / information + along_N[i] - along_N[j])
