"""Who answers only the duels that a certain candidate takes part in.

Pairs are drawn by the study, sides and names are hidden, and a rater can do no more than answer or pass.
Somebody who wants to raise one candidate therefore passes until it comes. Passing is seen. Of each rater and
candidate

    s, a   duels shown that held the candidate, and how many of them were answered
    S, A   the same of all others
    a ~ Binomial(s, sigmoid(b + d)),    A ~ Binomial(S, sigmoid(b)),    b ~ N(2, 3^2)
    honest     d ~ N(0, 1): some candidates are easier to judge than others, and people tire
    picking    d ~ |N(0, 5^2)|, and one rater in a hundred picks any given candidate

and the probability of picking follows by Bayes' rule, integrated over b and d on a grid. Votes of a rater on
a candidate that he has probably picked count nothing; his others stay. With three candidates or fewer picking
two and avoiding the third are the same, and nothing is concluded. Whoever never passes has nothing to hide,
and can do no more than vote for his candidate in the few duels that it comes up in.

How little it takes otherwise: "Improving your model ranking on Chatbot Arena by vote rigging", ICML 2025.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._numeric import log_sigmoid
from palate.errors import InputError
from palate.types import Array

__all__ = ["PICKED", "Shown", "picked_weights", "picking"]

Rows = NDArray[np.int64]

_GRID: Array = np.linspace(-12.0, 12.0, 97)  # log-odds of answering
_USUAL, _USUAL_SPREAD = 2.0, 3.0
_HONEST, _PICKING, _PICKERS = 1.0, 5.0, 0.01
_LEAST = 3  # answers; nobody picks by fewer
_FEW = 3  # candidates among whom picking two is avoiding the third
PICKED = 0.5


class Shown(NamedTuple):
    """Duels that raters saw: rows of the two candidates, who saw them, and whether they were answered."""

    first_K: Rows
    second_K: Rows
    judge_K: Rows
    answered_K: NDArray[np.bool_]


def picking(shown: Shown, judges: int, candidates: int) -> Array:
    """``(J, N)``: the probability that a rater answers a duel because a certain candidate is in it.

    Args:
        shown: What was answered and what was passed; passes by somebody who never answers change nothing.
        judges: How many there are; numbers in ``shown`` are below it.
        candidates: Likewise.

    Raises:
        InputError: Numbers out of range.

    Example:
        >>> duels = np.array([(i, j) for i in range(5) for j in range(i)] * 4)
        >>> mine = (duels == 2).any(axis=1)  # answers only what candidate 2 is in
        >>> shown = Shown(*duels.T, np.zeros(len(duels), int), mine)
        >>> picking(shown, 1, 5).round(2).tolist()
        [[0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    ends_K = np.concatenate([shown.first_K, shown.second_K])
    if min(ends_K.min(initial=0), shown.judge_K.min(initial=0)) < 0 or (
        ends_K.max(initial=-1) >= candidates or shown.judge_K.max(initial=-1) >= judges
    ):
        raise InputError(f"duels must be between candidates 0 … {candidates - 1}, shown to 0 … {judges - 1}")
    chance_JN = np.zeros((judges, candidates))
    if candidates <= _FEW or shown.answered_K.all():
        return chance_JN
    first_K, second_K, judge_K, answered_K = shown
    answered = Shown(first_K[answered_K], second_K[answered_K], judge_K[answered_K], answered_K[answered_K])
    shown_JN, answered_JN = (_tally(each, judges, candidates) for each in (shown, answered))
    others_JN, said_JN = (
        np.bincount(each.judge_K, minlength=judges)[:, None] - count_JN
        for each, count_JN in ((shown, shown_JN), (answered, answered_JN))
    )
    more_JN = (answered_JN >= _LEAST) & (others_JN > 0) & (answered_JN * others_JN > said_JN * shown_JN)
    counts = (shown_JN, answered_JN, others_JN, said_JN)
    chance_JN[more_JN] = _probability(np.stack([count_JN[more_JN] for count_JN in counts]).astype(np.float64))
    return chance_JN


def picked_weights(chance_JN: Array, judge_M: Rows, first_M: Rows, second_M: Rows) -> Array:
    """What each vote counts for: 0 on a candidate that its rater has probably picked, otherwise 1."""
    picked_JN = chance_JN > PICKED
    return np.where(picked_JN[judge_M, first_M] | picked_JN[judge_M, second_M], 0.0, 1.0)


def _tally(shown: Shown, judges: int, candidates: int) -> NDArray[np.int64]:
    """``(J, N)``: in how many of the duels of each rater each candidate took part."""
    count_JN = np.zeros((judges, candidates), dtype=np.int64)
    for end_K in (shown.first_K, shown.second_K):
        np.add.at(count_JN, (shown.judge_K, end_K), 1)
    return count_JN


def _probability(count_4C: Array) -> Array:
    """Of picking, for counts ``s, a, S, A``."""
    shown_C, answered_C, others_C, said_C = count_4C[:, :, None]
    yes_G, no_G = log_sigmoid(_GRID), log_sigmoid(-_GRID)
    usual_G = -0.5 * ((_GRID - _USUAL) / _USUAL_SPREAD) ** 2
    with_CG = _scaled(answered_C * yes_G + (shown_C - answered_C) * no_G)
    without_CG = _scaled(said_C * yes_G + (others_C - said_C) * no_G + usual_G)
    apart_GG = _GRID[None, :] - _GRID[:, None]  # d, from b (rows) to b + d (columns)
    honest_GG = np.exp(-0.5 * (apart_GG / _HONEST) ** 2) / _HONEST
    picking_GG = np.where(apart_GG > 0.0, 2.0, 0.0) * np.exp(-0.5 * (apart_GG / _PICKING) ** 2) / _PICKING
    honest_C = (1.0 - _PICKERS) * ((without_CG @ honest_GG) * with_CG).sum(axis=1)
    picking_C = _PICKERS * ((without_CG @ picking_GG) * with_CG).sum(axis=1)
    return picking_C / (honest_C + picking_C)


def _scaled(log_CG: Array) -> Array:
    return np.exp(log_CG - log_CG.max(axis=1, keepdims=True))
