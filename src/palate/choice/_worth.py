r"""How many human votes one vote of a judge is worth.

With the belief about people's utilities as it would be without judge r, of covariance S, let

    V(L) = mean over pairs of candidates of Var(u_i - u_j) after information L: covariance (S^-1 + L)^-1
    H    = sum over r's duels of  E[p (1 - p)] phi phi^T                         one human vote on each
    worth = c   such that   V(c H) = V(information of r's votes)

so that c times as many votes of people on r's duels would have left as much unknown. A person of slope one is
meant, whose votes are about u and nothing else. What a machine's votes say of u is limited by its own taste:
the *ceiling* is the number of human votes that equal endlessly many of its votes.

c is worked out for every hypothesis about the judge; the value is the mean, the ends are the 2.5 and 97.5 %
points of that distribution. V(c H) needs one eigenvalue problem for all c: with S = R R^T and
R^T H R = U diag(g) U^T, V(c H) = sum_k q_k / (1 + c g_k).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._hypotheses import Hypotheses
from palate.choice._laplace import Gaussian
from palate.choice._numeric import sigmoid
from palate.types import Array

__all__ = ["Duels", "Message", "Worth", "unknown_worth", "worth_of"]

Rows = NDArray[np.int64]

_RATES = np.concatenate([[0.0], np.logspace(-5.0, 5.0, 401)])
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


class Message(NamedTuple):
    """What a judge's votes say of the candidates that it saw, under each of H hypotheses about it."""

    touched_T: Rows
    precision_HTT: Array
    pull_HT: Array


class Duels(NamedTuple):
    """What a judge was asked: +1 and -1 for the two candidates of each row, and how often that counts."""

    among_MT: Array
    weight_M: Array


class Worth(NamedTuple):
    """Human votes a vote, with the ends of the 95 % interval, and the ceiling in human votes.

    All are NaN where nothing can be claimed: nobody human has voted, or nobody else. The ceiling is infinite
    where endlessly many votes would tell more than any number of human votes on these duels.
    """

    value: float
    low: float
    high: float
    ceiling: float


def unknown_worth() -> Worth:
    """Nothing is claimed."""
    return Worth(np.nan, np.nan, np.nan, np.nan)


def worth_of(
    message: Message,
    duels: Duels,
    sorts: tuple[Hypotheses, Array],
    belief: tuple[Gaussian, Gaussian],
    prior_NN: Array,
) -> Worth:
    """The rate of exchange of one judge's votes.

    Args:
        message: What its votes say.
        duels: What it was asked.
        sorts: The hypotheses, and their probabilities.
        belief: About people's utilities without its votes, and with them, where duels are as close as known.
        prior_NN: Covariance of the utilities before any vote.
    """
    touched_T, (kinds, share_H), (without, near) = message.touched_T, sorts, belief
    curve = _curve(duels, near.among(touched_T), without, touched_T)
    prior_TT = prior_NN[np.ix_(touched_T, touched_T)]
    inverse_TT = np.asarray(np.linalg.pinv(prior_TT, rcond=1e-9, hermitian=True), dtype=np.float64)
    square_H = kinds.alignment_H**2
    endless_HTT = (square_H / (1.0 - square_H))[:, None, None] * inverse_TT
    rate_H = _rates(curve, _left(message.precision_HTT, without, touched_T))
    cast = float(duels.weight_M.sum())
    ceiling_H = _rates(curve, _left(endless_HTT, without, touched_T))
    ceiling_H = np.where(ceiling_H >= _RATES[-1], np.inf, ceiling_H * cast)
    order_H = np.argsort(rate_H, kind="stable")
    cumulative_H = np.cumsum(share_H[order_H]) - 0.5 * share_H[order_H]
    low, high = np.interp([0.025, 0.975], cumulative_H, rate_H[order_H])
    order_H = np.argsort(ceiling_H, kind="stable")
    middle = min(int(np.searchsorted(np.cumsum(share_H[order_H]), 0.5)), len(share_H) - 1)
    return Worth(float(share_H @ rate_H), float(low), float(high), float(ceiling_H[order_H][middle]))


def _curve(duels: Duels, near: Gaussian, without: Gaussian, touched_T: Rows) -> Array:
    """V after ``c`` human votes on each duel, for every c of a grid; falls."""
    among_MT = duels.among_MT
    mean_M = among_MT @ near.mean_N
    std_M = np.sqrt(np.maximum(np.einsum("mt,ts,ms->m", among_MT, near.covariance_NN, among_MT), 0.0))
    prob_MQ = sigmoid(mean_M[:, None] + std_M[:, None] * _NODES)
    told_M = duels.weight_M * ((prob_MQ * (1.0 - prob_MQ)) @ (_NODE_WEIGHTS / _NODE_WEIGHTS.sum()))
    value_N, vector_NN = np.linalg.eigh(without.covariance_NN)
    root_NN = vector_NN * np.sqrt(np.maximum(value_N, 0.0))
    seen_MN = np.sqrt(told_M)[:, None] * (among_MT @ root_NN[touched_T])
    gain_N, turn_NN = np.linalg.eigh(seen_MN.T @ seen_MN)
    side_NN = root_NN @ turn_NN
    size = len(side_NN)
    spread_N = (side_NN**2).sum(axis=0) - side_NN.sum(axis=0) ** 2 / size
    left_C = (1.0 / (1.0 + _RATES[:, None] * np.maximum(gain_N, 0.0))) @ spread_N
    return 2.0 * left_C / max(size - 1, 1)


def _left(precision_HTT: Array, without: Gaussian, touched_T: Rows) -> Array:
    """V after the information of each hypothesis."""
    covariance_NN, size = without.covariance_NN, len(without.covariance_NN)
    cross_NT = covariance_NN[:, touched_T]
    system_HTT = np.eye(len(touched_T)) + precision_HTT @ covariance_NN[np.ix_(touched_T, touched_T)]
    gain_HTT = np.linalg.solve(system_HTT, precision_HTT)
    centred_NT = cross_NT - cross_NT.mean(axis=0)
    whole = float(np.trace(covariance_NN) - covariance_NN.sum() / size)
    gram_TT = centred_NT.T @ centred_NT
    return 2.0 * (whole - np.einsum("hts,ts->h", gain_HTT, gram_TT)) / max(size - 1, 1)


def _rates(curve_C: Array, left_H: Array) -> Array:
    """The c at which the falling curve has a value; 0 above it and the largest below it."""
    return np.interp(-left_H, -curve_C, _RATES)
