"""What is known of the candidates' responses, and what likeness of responses says about candidates.

    v(c, x) = t [ sqrt(1 - w_c) g(c) + sqrt(w_c) h(c, x) / s_c ]        what a vote on input x is about
    u(c)    = average of v(c, x) over the inputs on which c's response is known
    h ~ GP(0, k),  k = (rho + (1 - rho)[same input]) (a exp(-|e - e'|^2 / (2 l^2)) + (1 - a)[e = e'])
    s_c^2   = variance of c's average h;   w_c = n_c / (2 (n_c + 1)),  n_c: known responses of c

``g`` is the prior of candidates in _prior.py, and ``e`` describes a response. A vote between two responses
teaches about every candidate that answers alike, most of all on the same input. The division by ``s_c`` keeps
candidates whose responses are peculiar, or always the same, from seeming the most promising: without it they
have the largest variance, and they are asked about over and over (measured, see docs/lab-log.md). ``t`` is
such that differences between single responses, which are what people judge, keep the scale that differences
between candidates have where no response is known. Candidates without known responses have ``u = t g``; while
they are more than one in ten, responses are left alone: learning about some candidates by their responses and
about the others by their prompts only did worse than prompts for all (see docs/lab-log.md).

Source: sums of functions of several arguments (Duvenaud et al., "Additive Gaussian processes", 2011), and the
likeness of sets of examples as the average likeness of their members (Gärtner et al., "Multi-instance
kernels", 2002).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palate.strategies._prior import Prior
from palate.types import Array

__all__ = ["MOST_ROWS", "AnsweredPrior", "Answers", "answered_prior"]

MOST_ROWS = 3000  # candidates and responses in one table: 72 MB
_SHARED = 0.4
_LIKENESS = 0.8
_LENGTH = 0.7
_TRUST = 0.5
_LANDMARKS = 512
_COVERED = 0.9

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Known responses, in the order in which they became known.

    Args:
        row_R: Whose they are.
        input_R: To which input, as numbers in order of first appearance.
        feature_RF: One row each; equal rows are equal responses.
    """

    row_R: Rows
    input_R: Rows
    feature_RF: Array = field(repr=False)

    def __len__(self) -> int:
        return len(self.row_R)

    def first(self, count: int) -> "Answers":
        """Those that were known first."""
        return Answers(self.row_R[:count], self.input_R[:count], self.feature_RF[:count])


@dataclass(frozen=True)
class AnsweredPrior:
    """Covariance of N utilities and, behind them, of what votes on R known responses are about."""

    table_EE: Array = field(repr=False)
    candidates: int
    answers: Answers

    def __len__(self) -> int:
        return len(self.table_EE)

    @property
    def variance_N(self) -> Array:
        """Variance of each utility and response."""
        return np.diag(self.table_EE).copy()

    def rows(self, which_K: Rows) -> Array:
        """Covariance of some with all, ``(K, N + R)``."""
        return self.table_EE[which_K]

    def between(self, which_K: Rows, others_L: Rows) -> Array:
        """Covariance of some with others, ``(K, L)``."""
        return self.table_EE[np.ix_(which_K, others_L)]

    def places(self, row_M: Rows, answer_M: Rows) -> Rows:
        """What votes are about: the response where it is known here, else the candidate."""
        return np.where((answer_M >= 0) & (answer_M < len(self.answers)), self.candidates + answer_M, row_M)


def answer_likeness(answers: Answers) -> Array:
    """The kernel ``k`` of the responses, ``(R, R)``."""
    feature_RF = answers.feature_RF
    size = len(feature_RF)
    square_R = np.einsum("rf,rf->r", feature_RF, feature_RF)
    distance_RR = square_R[:, None] + square_R[None, :] - 2.0 * (feature_RF @ feature_RF.T)
    _, kind_R = np.unique(feature_RF, axis=0, return_inverse=True)
    same_RR = kind_R.reshape(-1)[:, None] == kind_R.reshape(-1)[None, :]
    landmark_L = np.unique(np.linspace(0, size - 1, min(size, _LANDMARKS)).astype(np.int64))
    others = distance_RR[landmark_L][~same_RR[landmark_L]]
    width = float(np.median(others)) if len(others) else 1.0
    like_RR = np.exp(np.maximum(distance_RR, 0.0) * (-0.5 / (width * _LENGTH**2)))
    like_RR = np.where(same_RR, 1.0, _LIKENESS * like_RR)
    place_RR = answers.input_R[:, None] == answers.input_R[None, :]
    return like_RR * np.where(place_RR, 1.0, _SHARED)


def answered_prior(prior: Prior, answers: Answers) -> AnsweredPrior | Prior:
    """Join what is known of responses to the prior of candidates.

    Args:
        prior: Of the candidates.
        answers: What is known; the first ones are used if there are too many for one table. None are in pools
            that are too large for it, nor while fewer than nine candidates in ten have a known response.
    """
    size = len(prior)
    answers = answers.first(max(0, MOST_ROWS - size))
    count_N = np.bincount(answers.row_R, minlength=size).astype(np.float64)
    if prior.table_NN is None or (count_N > 0).mean() < _COVERED:
        return prior
    like_RR = answer_likeness(answers)
    level_R = like_RR.mean(axis=0)
    like_RR = like_RR - level_R[:, None] - level_R[None, :] + level_R.mean()
    average_NR = np.zeros((size, len(answers)))
    average_NR[answers.row_R, np.arange(len(answers))] = 1.0 / count_N[answers.row_R]
    spread_N = np.sqrt(
        np.maximum(np.einsum("nr,rs,ns->n", average_NR, like_RR, average_NR, optimize=True), 0)
    )
    usable_N = spread_N > 1e-6
    trust_N = np.where(usable_N, _TRUST * count_N / (count_N + 1.0), 0.0)
    unit_R = (np.sqrt(trust_N) / np.where(usable_N, spread_N, 1.0))[answers.row_R]
    like_RR = like_RR * unit_R[:, None] * unit_R[None, :]
    whole_ER = np.concatenate([average_NR, np.eye(len(answers))])
    owner_E = np.concatenate([np.arange(size), answers.row_R])
    rest_E = np.sqrt(1.0 - trust_N)[owner_E]
    table_EE = rest_E[:, None] * prior.table_NN[np.ix_(owner_E, owner_E)] * rest_E[None, :]
    table_EE += whole_ER @ like_RR @ whole_ER.T
    table_EE /= max(float(np.diag(table_EE)[size:].mean()), 1.0)
    return AnsweredPrior(table_EE, size, answers)
