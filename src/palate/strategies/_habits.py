"""How the judges of a study turn utilities into verdicts, as far as their votes show it.

    d = a_r (u_left - u_right) + side             a_r: how consistent judge r is; side: a taste for one side
    P(left) : P(right) : P(tie) = e^(d/2) : e^(-d/2) : nu                       (Davidson 1970)
    P(both bad) = sigmoid(-(u_left + u_right))    both are below the pool's average, and no more is learnt

The side offset is one more Gaussian unknown and needs no estimate. The others are set to where the votes,
averaged over the belief about d, and a weak prior make them likeliest (one step of the EM algorithm;
Dempster, Laird and Rubin 1977). ``a_r`` follows the slope form of crowd Bradley–Terry (Chen et al. 2013): its
logarithm has prior standard deviation 0.7 about 0, and one judge alone has a = 1, because the scale of the
utilities says the same thing. Strengths use the sequential model of :class:`palate.choice.VerdictModel`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from palate.choice import LogLikelihood, VerdictModel, log_sigmoid, repeat_votes
from palate.strategies._protocol import History
from palate.types import Array

__all__ = ["SIDE_VARIANCE", "Directions", "Habits", "directions", "improve", "likelihood"]

SIDE_VARIANCE = 0.25  # log-odds squared: one judge in twenty takes a side of equals 73 times in 100
_SLOPES = np.exp(np.linspace(-2.4, 1.2, 19))
_SLOPE_SPREAD = 0.7
_TIES = np.exp(np.linspace(-3.0, 2.0, 21))
_TIE_CENTRE, _TIE_SPREAD = -1.0, 1.0  # of ln nu: equals are called a tie once in six
_CUTS = np.linspace(-2.0, 8.0, 21)
_CUT_CENTRES, _CUT_SPREAD = (1.0, 2.5), 2.0
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


@dataclass(frozen=True)
class Habits:
    """What is assumed of the judges.

    Args:
        slope_J: Consistency of each judge, > 0, relative to the study's scale.
        tie: Davidson's nu.
        cuts: Cut points of strength, in log-odds.
    """

    slope_J: Array = field(default_factory=lambda: np.ones(1))
    tie: float = float(np.exp(_TIE_CENTRE))
    cuts: tuple[float, float] = _CUT_CENTRES

    def slopes(self, judge_M: NDArray[np.int64]) -> Array:
        """Consistency of whoever cast each vote; of a judge not met before, 1."""
        known_J = np.ones(max(len(self.slope_J), int(judge_M.max(initial=0)) + 1))
        known_J[: len(self.slope_J)] = self.slope_J
        return known_J[judge_M]


@dataclass(frozen=True)
class Directions:
    """What each vote is about: ``left u_first + right u_second + side offset``."""

    first_S: NDArray[np.int64]
    second_S: NDArray[np.int64]
    left_S: Array
    right_S: Array
    side_S: Array


def directions(history: History, habits: Habits) -> Directions:
    """The linear site of each vote: the sum of utilities for both bad, the scaled difference for others."""
    slope_M = habits.slopes(history.judge_M)
    bad_M = history.bad_M
    return Directions(
        history.first_M,
        history.second_M,
        np.where(bad_M, 1.0, slope_M),
        np.where(bad_M, 1.0, -slope_M),
        np.where(bad_M, 0.0, 1.0),
    )


def likelihood(history: History, habits: Habits) -> LogLikelihood:
    """Log-likelihood of every vote at ``(M, Q)`` values of its site."""
    outcome_M, bad_M, strength_M = history.outcome_M, history.bad_M, history.strength_M
    sign_M1 = np.where(bad_M, -1.0, 2.0 * outcome_M - 1.0)[:, None]
    ties = bool(((outcome_M == 0.5) & ~bad_M).any())
    model = VerdictModel(tie=habits.tie if ties else None, cuts=habits.cuts if strength_M.any() else None)
    # Without ties a plain vote is logistic, which needs no model; one tie makes Davidson's of all.
    chosen_K = np.flatnonzero(~bad_M if ties else strength_M > 0)

    def value(site_MQ: Array) -> Array:
        log_MQ = log_sigmoid(sign_M1 * site_MQ)
        if len(chosen_K):
            width = site_MQ.shape[1]
            terms = model.terms(site_MQ[chosen_K].ravel(), repeat_votes(history, chosen_K, width))
            log_MQ[chosen_K] = terms.log_likelihood_M.reshape(-1, width)
        return log_MQ

    return value


def improve(history: History, habits: Habits, mean_M: Array, variance_M: Array, offset: float) -> Habits:
    """One step towards the habits that make the votes likeliest.

    Args:
        history: The votes.
        habits: As they were assumed.
        mean_M: Of each vote's site under the belief that these gave.
        variance_M: Of each vote's site.
        offset: Mean of the side offset under that belief.
    """
    site_MQ = mean_M[:, None] + np.sqrt(variance_M)[:, None] * _NODES
    weight_Q = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()

    def expected(trial: Habits, value_MQ: Array) -> Array:
        return likelihood(history, trial)(value_MQ) @ weight_Q

    decided_M = ~history.bad_M
    found = habits
    if (decided_M & (history.outcome_M == 0.5)).any():
        score_T = [
            expected(replace(habits, tie=tie), site_MQ)[decided_M].sum()
            - 0.5 * ((np.log(tie) - _TIE_CENTRE) / _TIE_SPREAD) ** 2
            for tie in _TIES
        ]
        found = replace(found, tie=float(_TIES[int(np.argmax(score_T))]))
    if history.strength_M.any():
        found = replace(found, cuts=_best_cuts(found, lambda trial: float(expected(trial, site_MQ).sum())))
    judges = int(history.judge_M.max(initial=0)) + 1
    if judges > 1:
        slope_M = habits.slopes(history.judge_M)
        apart_MQ = (site_MQ - offset) / slope_M[:, None]
        score_TM = np.stack(
            [expected(found, np.where(decided_M[:, None], a * apart_MQ + offset, site_MQ)) for a in _SLOPES]
        )
        score_TJ = np.stack([np.bincount(history.judge_M, row, judges) for row in score_TM])
        score_TJ -= 0.5 * (np.log(_SLOPES)[:, None] / _SLOPE_SPREAD) ** 2
        found = replace(found, slope_J=_SLOPES[score_TJ.argmax(axis=0)])
    return found


def _best_cuts(habits: Habits, value: Callable[[Habits], float]) -> tuple[float, float]:
    """The cut points of largest value, found one after the other, twice."""
    cuts = list(habits.cuts)
    for place in (0, 1, 0, 1):
        score_C: list[float] = []
        for cut in _CUTS.tolist():
            cuts[place] = cut
            away = (cut - _CUT_CENTRES[place]) / _CUT_SPREAD
            score_C.append(value(replace(habits, cuts=(cuts[0], cuts[1]))) - 0.5 * away**2)
        cuts[place] = float(_CUTS[int(np.argmax(score_C))])
    return cuts[0], cuts[1]
