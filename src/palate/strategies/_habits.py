"""How the judges of a study turn utilities into verdicts, as far as their votes show it.

    d = a_r (u_left - u_right) + side             a_r: how consistent judge r is; side: a taste for one side
    P(left) : P(right) : P(tie) = e^(d/2) : e^(-d/2) : nu                       (Davidson 1970)
    P(both bad) = sigmoid(-(u_left + u_right))    both are below the pool's average, and no more is learnt

The side offset is one more Gaussian unknown and needs no estimate. The others are set to where the votes,
averaged over the belief about d, and a weak prior make them likeliest (one step of the EM algorithm;
Dempster, Laird and Rubin 1977). Strengths use the sequential model of :class:`palate.choice.VerdictModel`.

``a_r`` is a discrimination as in crowd Bradley–Terry (Chen et al. 2013). Its prior knows two sorts of rater,
as MACE does (Hovy et al. 2013): nine in ten mean what they say, with ln a of standard deviation 0.2 about 0;
the tenth says nothing, a = 0. Machines may be sharper or duller: 0.8 in place of 0.2. ``a_r`` is its
posterior mean, so that a rater counts as one who means it until votes speak against that. What votes say of
it is how well each is foretold by all the others, at the cavities of the fit (Opper and Winther 2000):
averaged over the belief that a vote itself has shaped, every rater would seem to agree with it, and the more
so the less is known. One judge alone has a = 1, because the scale of the utilities says the same thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from palate.choice import (
    LogLikelihood,
    Propagated,
    VerdictModel,
    capped_weights,
    log_sigmoid,
    picked_weights,
    picking,
    repeat_votes,
)
from palate.strategies._protocol import History
from palate.types import Array

__all__ = ["SIDE_VARIANCE", "Directions", "Habits", "capped", "directions", "improve", "likelihood"]

SIDE_VARIANCE = 0.25  # log-odds squared: one judge in twenty takes a side of equals 73 times in 100
_SLOPES = np.concatenate([[0.0], np.exp(np.linspace(-1.8, 1.8, 25))])
_SLOPE_SPREAD, _MACHINE_SPREAD = 0.2, 0.8
_COINS = 0.1
_NEW_MACHINE = 0.5
_LEAST_SLOPE = 0.02  # a vote must be about something, if hardly
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
        weight_J: What one vote of each counts for, in (0, 1]; see :func:`palate.choice.capped_weights`.
        picking_JN: Probability that each answers because of a candidate; see :func:`palate.choice.picking`.
        tie: Davidson's nu.
        cuts: Cut points of strength, in log-odds.
    """

    slope_J: Array = field(default_factory=lambda: np.ones(1))
    weight_J: Array = field(default_factory=lambda: np.ones(1))
    picking_JN: Array = field(default_factory=lambda: np.zeros((0, 0)))
    tie: float = float(np.exp(_TIE_CENTRE))
    cuts: tuple[float, float] = _CUT_CENTRES

    def slopes(self, history: History) -> Array:
        """Consistency of whoever cast each vote; of a person not met before 1, of a machine one half.

        Its taste is learnt when everything next is, and until then its votes are taken for people's.
        """
        slope_M = _known(self.slope_J, history.judge_M)
        slope_M[history.machine_M & (history.judge_M >= len(self.slope_J))] = _NEW_MACHINE
        return slope_M

    def weights(self, history: History) -> Array:
        """What each vote counts for; of a judge not met before, 1."""
        weight_M = _known(self.weight_J, history.judge_M)
        judges, candidates = self.picking_JN.shape
        met_M = (history.judge_M < judges) & (np.maximum(history.first_M, history.second_M) < candidates)
        ends = (history.judge_M[met_M], history.first_M[met_M], history.second_M[met_M])
        weight_M[met_M] *= picked_weights(self.picking_JN, *ends)
        return weight_M


def _known(value_J: Array, judge_M: NDArray[np.int64]) -> Array:
    known_J = np.ones(max(len(value_J), int(judge_M.max(initial=0)) + 1))
    known_J[: len(value_J)] = value_J
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
    slope_M = habits.slopes(history)
    bad_M = history.bad_M
    return Directions(
        history.first_M,
        history.second_M,
        np.where(bad_M, 1.0, slope_M),
        np.where(bad_M, 1.0, -slope_M),
        np.where(
            bad_M, 0.0, np.minimum(slope_M, 1.0)
        ),  # whoever says nothing does not say it of sides either
    )


def likelihood(history: History, habits: Habits) -> LogLikelihood:
    """Log-likelihood of every vote at ``(M, Q)`` values of its site."""
    outcome_M, bad_M, strength_M = history.outcome_M, history.bad_M, history.strength_M
    sign_M1 = np.where(bad_M, -1.0, 2.0 * outcome_M - 1.0)[:, None]
    ties = bool(((outcome_M == 0.5) & ~bad_M).any())
    model = VerdictModel(tie=habits.tie if ties else None, cuts=habits.cuts if strength_M.any() else None)
    # Without ties a plain vote is logistic, which needs no model; one tie makes Davidson's of all.
    modelled_M = ~bad_M if ties else strength_M > 0
    said, plain_M = repeat_votes(history, np.flatnonzero(modelled_M), 1), ~modelled_M
    weight_M = habits.weights(history)
    capped = bool((weight_M != 1.0).any())

    def value(site_MQ: Array) -> Array:
        if len(said.outcome_M):
            log_MQ = np.empty_like(site_MQ)
            log_MQ[plain_M] = log_sigmoid(sign_M1[plain_M] * site_MQ[plain_M])
            log_MQ[modelled_M] = model.log_likelihood(site_MQ[modelled_M], said)
        else:
            log_MQ = log_sigmoid(sign_M1 * site_MQ)
        if capped:
            log_MQ *= weight_M[:, None]
        return log_MQ

    return value


def improve(history: History, habits: Habits, fit: Propagated, offset: float) -> Habits:
    """One step towards the habits that make the votes likeliest.

    Args:
        history: The votes.
        habits: As they were assumed.
        fit: The belief that these gave about each vote's site.
        offset: Mean of the side offset under that belief.
    """
    mean_M, variance_M = fit.mean_S, fit.variance_S
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
    if history.judge_M.max(initial=0) > 0:
        found = replace(found, slope_J=_slopes(history, found, fit, offset))
    return found


def capped(history: History, habits: Habits) -> Habits:
    """The same, with nobody's votes counting for more than the cap on one rater's influence allows.

    And those that a rater casts because of a candidate count nothing.
    """
    person_J = np.ones(int(history.judge_M.max(initial=0)) + 1, dtype=np.bool_)
    person_J[history.judge_M[history.machine_M]] = False
    shown = history.shown
    candidates = int(max(shown.first_K.max(initial=-1), shown.second_K.max(initial=-1))) + 1
    picking_JN = picking(shown, len(person_J), candidates) * person_J[:, None]
    return replace(habits, weight_J=capped_weights(history.judge_M, person_J), picking_JN=picking_JN)


def _slopes(history: History, habits: Habits, fit: Propagated, offset: float) -> Array:
    """Posterior mean of every judge's consistency."""
    precision_M = np.maximum(1.0 / fit.variance_S - fit.sites.precision_S, 1e-8 / fit.variance_S)
    mean_M = (fit.mean_S / fit.variance_S - fit.sites.pull_S) / precision_M
    site_MQ = mean_M[:, None] + _NODES / np.sqrt(precision_M)[:, None]
    slope_M = habits.slopes(history)
    decided_M1 = ~history.bad_M[:, None]
    apart_MQ = (site_MQ - offset) / slope_M[:, None]
    said = likelihood(history, habits)
    log_share_Q = np.log(_NODE_WEIGHTS / _NODE_WEIGHTS.sum())
    judges = int(history.judge_M.max()) + 1
    score_TJ = np.empty((len(_SLOPES), judges))
    for place, a in enumerate(_SLOPES):
        log_MQ = said(np.where(decided_M1, a * apart_MQ + offset, site_MQ)) + log_share_Q
        top_M = log_MQ.max(axis=1)
        foretold_M = np.log(np.exp(log_MQ - top_M[:, None]).sum(axis=1)) + top_M
        score_TJ[place] = np.bincount(history.judge_M, foretold_M, judges)
    machine_J = np.zeros(judges, dtype=np.bool_)
    machine_J[history.judge_M[history.machine_M]] = True
    score_TJ += np.where(machine_J, _LOG_MACHINES[:, None], _LOG_PEOPLE[:, None])
    weight_TJ = np.exp(score_TJ - score_TJ.max(axis=0))
    return np.maximum((_SLOPES @ weight_TJ) / weight_TJ.sum(axis=0), _LEAST_SLOPE)


def _log_prior(spread: float) -> Array:
    share_T = np.exp(-0.5 * (np.log(_SLOPES[1:]) / spread) ** 2)
    return np.log(np.concatenate([[_COINS], (1.0 - _COINS) * share_T / share_T.sum()]))


_LOG_PEOPLE, _LOG_MACHINES = _log_prior(_SLOPE_SPREAD), _log_prior(_MACHINE_SPREAD)


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
