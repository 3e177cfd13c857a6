"""Machines beside people: each has a taste of its own, which its votes are about.

    v_r = rho_r u + sqrt(1 - rho_r^2) t_r,    t_r ~ GP(0, k) like u        see palate.choice.fit_trust

A vote of machine r compares values of v_r. Behind the utilities (and the known responses) of the base prior
stand those of every machine, with the covariances

    cov(u, v_r) = rho_r k,      cov(v_r, v_s) = (rho_r rho_s + [r = s] (1 - rho_r^2)) k

so that nothing else of the strategy need know of them: a thousand votes of a machine pin down v_r, and of u
what rho_r lets through. rho_r is the mean over a grid, weighed by the evidence of all votes under a prior
that is even from 0 to 0.98 and has a tenth for a machine that means the opposite.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from palate.strategies._answers import AnsweredPrior
from palate.strategies._prior import Prior
from palate.strategies._protocol import History
from palate.types import Array

__all__ = ["JudgedPrior", "improve_alignments", "machines_of"]

_ALIGNMENTS = np.array([-0.8, 0.0, 0.3, 0.6, 0.8, 0.92, 0.98])
_LOG_PRIOR = np.log(np.array([0.1] + 6 * [0.15]))
FIRST_ALIGNMENT = float(_ALIGNMENTS @ np.exp(_LOG_PRIOR))

Rows = NDArray[np.int64]


def machines_of(history: History) -> Rows:
    """The place of each judge among the machines, in order of first appearance; -1 for people.

    Where one judge cast all votes, or everything was said by people, nobody needs a taste of his own.
    """
    judges = int(history.judge_M.max(initial=0)) + 1
    place_J = np.full(judges, -1, dtype=np.int64)
    if judges < 2:
        return place_J
    machine_J = np.zeros(judges, dtype=np.bool_)
    machine_J[history.judge_M[history.machine_M]] = True
    place_J[machine_J] = np.arange(int(machine_J.sum()))
    return place_J


@dataclass(frozen=True)
class JudgedPrior:
    """Covariance of what a base prior covers and, behind it, of the same as each of R machines values it."""

    base: Prior | AnsweredPrior
    machine_J: Rows
    alignment_R: Array
    mix_QQ: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        through_Q = np.append(1.0, self.alignment_R)
        object.__setattr__(self, "mix_QQ", np.outer(through_Q, through_Q) + np.diag(1.0 - through_Q**2))

    def __len__(self) -> int:
        return len(self.base) * len(self.mix_QQ)

    @property
    def candidates(self) -> int:
        """How many of the rows are candidates, as people value them."""
        return self.base.candidates

    @property
    def variance_N(self) -> Array:
        """Variance of each row: a machine's taste spreads as wide as people's."""
        return np.tile(self.base.variance_N, len(self.mix_QQ))

    def places(self, row_M: Rows, answer_M: Rows) -> Rows:
        """What people's votes are about; see :meth:`valued_by` for machines'."""
        return self.base.places(row_M, answer_M)

    def valued_by(self, place_M: Rows, judge_M: Rows) -> Rows:
        """The same as whoever judged values it; a judge not met before is taken for a person."""
        machine_J = np.full(max(len(self.machine_J), int(judge_M.max(initial=0)) + 1), -1, dtype=np.int64)
        machine_J[: len(self.machine_J)] = self.machine_J
        return place_M + (machine_J[judge_M] + 1) * len(self.base)

    def rows(self, which_K: Rows) -> Array:
        """Covariance of some with all."""
        who_K, place_K = np.divmod(which_K, len(self.base))
        base_KP = self.base.rows(place_K)
        return (self.mix_QQ[who_K][:, :, None] * base_KP[:, None, :]).reshape(len(which_K), -1)

    def between(self, which_K: Rows, others_L: Rows) -> Array:
        """Covariance of some with others, ``(K, L)``."""
        who_K, place_K = np.divmod(which_K, len(self.base))
        who_L, place_L = np.divmod(others_L, len(self.base))
        distinct_U, back_L = np.unique(place_L, return_inverse=True)
        base_KU = self.base.between(place_K, distinct_U)
        return base_KU[:, back_L.reshape(-1)] * self.mix_QQ[np.ix_(who_K, who_L)]


def improve_alignments(prior: JudgedPrior, evidence: Callable[[JudgedPrior], float]) -> JudgedPrior:
    """Each machine's rho in turn, the others as they stand.

    Args:
        prior: With what was assumed.
        evidence: Log evidence of the votes under a prior, in nats.
    """
    for place in range(len(prior.alignment_R)):
        value_A = np.empty(len(_ALIGNMENTS))
        for trial, rho in enumerate(_ALIGNMENTS):
            alignment_R = prior.alignment_R.copy()
            alignment_R[place] = rho
            value_A[trial] = evidence(replace(prior, alignment_R=alignment_R)) + _LOG_PRIOR[trial]
        weight_A = np.exp(value_A - value_A.max())
        alignment_R = prior.alignment_R.copy()
        alignment_R[place] = weight_A @ _ALIGNMENTS / weight_A.sum()
        prior = replace(prior, alignment_R=alignment_R)
    return prior
