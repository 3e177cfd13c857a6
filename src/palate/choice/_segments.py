"""Whether the best candidate differs by kind of input, and which one is best for each kind.

    P(i beats j on an input of kind s) = sigmoid(u_i + d_is - u_j - d_js)

The question is whether all ``d`` are zero. Under that assumption u is fitted once, and each vote m leaves a
residual r_m = y_m - p_m. The score of the votes of one kind is

    g_s = sum over its votes of r_m (e_i - e_j),        T = sum over kinds of |g_s|^2

T is the locally most powerful statistic against small random d (Goeman, van de Geer and van Houwelingen,
"Testing against a high dimensional alternative", 2006). Its distribution is found by exchanging the kinds of
whole inputs: votes on one input hang together for reasons of their own, and exchanging single votes would
take that for a difference between kinds.

The utilities of each kind are the mode under u ~ N(0, 1 / RIDGE), d ~ N(0, 1 / SHRINK), so that a kind with
few votes keeps to what all votes say.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._bradley_terry import bradley_terry
from palate.choice._numeric import sigmoid
from palate.errors import InputError
from palate.types import Array

__all__ = ["SegmentTest", "SegmentUtilities", "arrangements", "segment_test", "segment_utilities"]

RIDGE = 0.1
SHRINK = 2.0  # prior standard deviation of a difference: 0.7 log-odds, 67 % against 50 %
_STEPS = 100
_TOLERANCE = 1e-9
_CHUNK = 64  # exchanges that are worked out at once

Rows = NDArray[np.int64]


class SegmentTest(NamedTuple):
    """The test of no difference.

    Args:
        statistic: T of the module's text, ≥ 0.
        p_value: Share of exchanges, this one among them, with a T at least as large; in (0, 1].
    """

    statistic: float
    p_value: float


class SegmentUtilities(NamedTuple):
    """Utilities in log-odds: ``(N,)`` over all inputs and ``(S, N)`` for each kind, with its covariance.

    ``covariance_SNN[s]`` is the Laplace approximation's, of the utilities of kind s.
    """

    overall_N: Array
    mean_SN: Array
    covariance_SNN: Array


def arrangements(segment_I: Rows) -> float:
    """In how many ways the kinds can be handed out to the inputs; with few, no test can say anything."""
    counts = np.bincount(segment_I)
    logs = math.lgamma(len(segment_I) + 1) - sum(math.lgamma(count + 1) for count in counts)
    return float("inf") if logs > 700 else math.exp(logs)


def segment_test(
    pair_M2: Rows,
    outcome_M: Array,
    input_M: Rows,
    segment_I: Rows,
    rng: np.random.Generator,
    *,
    rounds: int = 999,
) -> SegmentTest:
    """Test whether utilities differ by kind of input.

    Args:
        pair_M2: Row numbers of the two candidates of each vote.
        outcome_M: 1 where the first won, 0 where the second did, one half for a tie.
        input_M: The input of each vote, as a row of ``segment_I``.
        segment_I: The kind of each input, as numbers from 0.
        rng: Draws the exchanges.
        rounds: How many, at least 19.

    Raises:
        InputError: No votes, or fewer rounds.
    """
    if len(outcome_M) == 0 or rounds < 19:
        raise InputError("a test of segments needs votes and at least 19 rounds")
    size = int(pair_M2.max()) + 1
    wins_NN = np.zeros((size, size))
    np.add.at(wins_NN, (pair_M2[:, 0], pair_M2[:, 1]), outcome_M)
    np.add.at(wins_NN, (pair_M2[:, 1], pair_M2[:, 0]), 1.0 - outcome_M)
    score_N = bradley_terry(wins_NN, ridge=RIDGE)
    residual_M = outcome_M - sigmoid(score_N[pair_M2[:, 0]] - score_N[pair_M2[:, 1]])
    gradient_IN = np.zeros((len(segment_I), size))
    np.add.at(gradient_IN, (input_M, pair_M2[:, 0]), residual_M)
    np.add.at(gradient_IN, (input_M, pair_M2[:, 1]), -residual_M)
    # |g_s|^2 needs inner products of inputs only, however many candidates there are.
    gram_II = gradient_IN @ gradient_IN.T
    observed = float(_statistics(gram_II, segment_I[None, :])[0])
    as_large = 0
    for start in range(0, rounds, _CHUNK):
        drawn_RI = np.stack([rng.permutation(segment_I) for _ in range(min(_CHUNK, rounds - start))])
        as_large += int((_statistics(gram_II, drawn_RI) >= observed * (1.0 - 1e-12)).sum())
    return SegmentTest(observed, (1 + as_large) / (1 + rounds))


def _statistics(gram_II: Array, segment_RI: Rows) -> Array:
    """T of each row of kinds."""
    total_R = np.zeros(len(segment_RI))
    for segment in range(int(segment_RI.max()) + 1):
        member_RI = (segment_RI == segment).astype(np.float64)
        total_R += ((member_RI @ gram_II) * member_RI).sum(axis=1)
    return total_R


def segment_utilities(pair_M2: Rows, outcome_M: Array, segment_M: Rows, n: int) -> SegmentUtilities:
    """Fit utilities that may differ by kind of input.

    Args:
        pair_M2: Row numbers of the two candidates of each vote.
        outcome_M: 1 where the first won, 0 where the second did, one half for a tie.
        segment_M: The kind of each vote's input, as numbers from 0.
        n: How many candidates there are.
    """
    kinds = int(segment_M.max()) + 1
    # Of many votes few differ: equal ones are one row with a count.
    vote_M = (segment_M * n + pair_M2[:, 0]) * n + pair_M2[:, 1]
    value_K, code_M = np.unique(outcome_M, return_inverse=True)
    key_R, count_R = np.unique(vote_M * len(value_K) + code_M.ravel(), return_counts=True)
    outcome_R, cell_R = value_K[key_R % len(value_K)], key_R // len(value_K)
    segment_R, pair_R = np.divmod(cell_R, n * n)
    first_R, second_R = np.divmod(pair_R, n)
    prior_P = np.concatenate([np.full(n, RIDGE), np.full(n * kinds, SHRINK)])
    weight_P = np.zeros(len(prior_P))
    hessian_PP = np.diag(prior_P)
    for _ in range(_STEPS):
        utility_SN = weight_P[:n] + weight_P[n:].reshape(kinds, n)
        prob_R = sigmoid(utility_SN[segment_R, first_R] - utility_SN[segment_R, second_R])
        missed_X = np.bincount(cell_R, count_R * (outcome_R - prob_R), minlength=kinds * n * n)
        missed_SNN = missed_X.reshape(kinds, n, n)
        gradient_SN = missed_SNN.sum(axis=2) - missed_SNN.sum(axis=1)
        gradient_P = np.concatenate([gradient_SN.sum(axis=0), gradient_SN.ravel()]) - prior_P * weight_P
        curved_X: Array = np.bincount(
            cell_R, count_R * prob_R * (1.0 - prob_R), minlength=kinds * n * n
        ).astype(np.float64)
        hessian_PP = _hessian(curved_X.reshape(kinds, n, n)) + np.diag(prior_P)
        # The rounding of a sum grows with the votes, and so does the gradient that counts as none.
        if np.abs(gradient_P).max() < _TOLERANCE * max(1.0, 1e-2 * len(outcome_M)):
            break
        step_P = np.linalg.solve(hessian_PP, gradient_P)
        # At most two log-odds at once: the objective is concave, and so damped a step cannot run away.
        weight_P = weight_P + step_P * min(1.0, 2.0 / max(float(np.abs(step_P).max()), 1e-300))
    covariance_PP = np.linalg.inv(hessian_PP)
    overall_N, difference_SN = weight_P[:n], weight_P[n:].reshape(kinds, n)
    covariances = []
    for kind in range(kinds):
        own = slice(n * (kind + 1), n * (kind + 2))
        cross_NN = covariance_PP[:n, own]
        covariances.append(covariance_PP[:n, :n] + covariance_PP[own, own] + cross_NN + cross_NN.T)
    return SegmentUtilities(overall_N, overall_N + difference_SN, np.stack(covariances))


def _hessian(curved_SNN: Array) -> Array:
    """Of u, then of the d of each kind, from how much each two candidates' votes of a kind curve."""
    kinds, n, _ = curved_SNN.shape
    met_SNN = curved_SNN + curved_SNN.swapaxes(1, 2)
    own_SNN = -met_SNN
    own_SNN[:, np.arange(n), np.arange(n)] += met_SNN.sum(axis=2)
    whole_PP = np.zeros((n * (kinds + 1), n * (kinds + 1)))
    whole_PP[:n, :n] = own_SNN.sum(axis=0)
    for kind in range(kinds):
        place = slice(n * (kind + 1), n * (kind + 2))
        whole_PP[:n, place] = whole_PP[place, :n] = whole_PP[place, place] = own_SNN[kind]
    return whole_PP
