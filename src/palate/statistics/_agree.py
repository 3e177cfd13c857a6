"""Whether judges who saw the same two answers said the same, and whether one judge did so twice.

A unit is an input with two different answers, whoever stood left. "Both bad" counts as a tie: both say that
neither answer is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice import Estimate, kappa_of_table, krippendorff_alpha, raw_agreement, share_interval
from palate.statistics._values import Figure, Places, figure
from palate.store import VERDICTS, VoteColumns
from palate.types import Verdict

__all__ = ["Agreement", "JudgePair", "Repeats", "agreement"]

TIE = 2
_UNITS_FOR_INTERVAL = 10  # a bootstrap of fewer units knows too few outcomes to say anything
_SLICE = 10_000  # units whose judges are compared at once
_ROUNDS = 1000
# 0 the first answer, 1 the second, 2 neither, by the verdict's place; and with the sides exchanged.
_LABEL = np.array([{Verdict.LEFT: 0, Verdict.RIGHT: 1}.get(verdict, TIE) for verdict in VERDICTS])
_TURNED_LABEL = np.array([{Verdict.LEFT: 1, Verdict.RIGHT: 0}.get(verdict, TIE) for verdict in VERDICTS])


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Cohen's kappa of two judges over the duels that both judged; ``None`` where it is not defined."""

    first: str
    second: str
    duels: int
    kappa: Figure | None


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often a judge who saw the same two answers again said the same again.

    Args:
        judge: Whose; ``None`` for all together.
        repeats: How often that happened.
        same: How often the verdict was the same.
        share: ``same`` of ``repeats``, with Wilson's interval.
        swapped: How many of the repeats had the sides exchanged.
        swapped_same: How many of those had the same verdict.
    """

    judge: str | None
    repeats: int
    same: int
    share: Figure
    swapped: int
    swapped_same: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement between judges, and of judges with themselves.

    Args:
        shared: How many duels two or more judges judged.
        raw: Share of pairs of judgements of one duel that are equal; ``None`` without such pairs.
        raw_decided: The same where neither is a tie.
        decided: How many duels that rests on.
        alpha: Krippendorff's alpha, nominal; ``None`` where it is not defined.
        pairs: Cohen's kappa of each two judges who share a duel.
        repeats: Self-consistency, all judges together first; empty when nothing was shown twice.
    """

    shared: int
    raw: Figure | None
    raw_decided: Figure | None
    decided: int
    alpha: Figure | None
    pairs: tuple[JudgePair, ...]
    repeats: tuple[Repeats, ...]


def agreement(votes: VoteColumns, rng: np.random.Generator) -> Agreement:
    """Measure agreement.

    Args:
        votes: Those that teach, in order. Of a judge's votes on the same unit the first is compared with
            other judges.
        rng: Draws the resamples of the intervals.
    """
    said = _said(votes)
    judges = [votes.judges[int(code)] for code in said.judge_J]
    label_UJ = _shared(said, len(judges))
    decided = raw_agreement(label_UJ, rng, without=TIE, rounds=_ROUNDS)
    return Agreement(
        len(label_UJ),
        _figure(raw_agreement(label_UJ, rng, rounds=_ROUNDS)),
        _figure(decided),
        decided.units,
        _figure(krippendorff_alpha(label_UJ, rng, rounds=_ROUNDS)),
        _kappas(label_UJ, judges, rng),
        _repeats(said, judges),
    )


class _Said(NamedTuple):
    """What V votes say of units: the unit, the judge's place by name, the label, whether sides are turned."""

    unit_V: Places
    judge_V: NDArray[np.int32]
    label_V: NDArray[np.int8]
    turned_V: NDArray[np.bool_]
    judge_J: Places


def _said(votes: VoteColumns) -> _Said:
    """Orient every vote: the answer whose address comes first is the first, wherever it stood."""
    rank_A = np.empty(len(votes.answers), dtype=np.int64)
    rank_A[sorted(range(len(rank_A)), key=votes.answers.__getitem__)] = np.arange(len(rank_A))
    left_M, right_M = rank_A[votes.table_M["left_answer"]], rank_A[votes.table_M["right_answer"]]
    # Whatever is said of two equal texts says nothing about agreement.
    rows_V = np.flatnonzero(left_M != right_M)
    turned_V = left_M[rows_V] > right_M[rows_V]
    pair_V = (np.minimum(left_M, right_M) * len(rank_A) + np.maximum(left_M, right_M))[rows_V]
    del left_M, right_M  # a million votes need the room
    unit_V = _units(pair_V, votes.table_M["input"][rows_V], len(rank_A), len(votes.inputs))
    verdict_V, code_V = votes.table_M["verdict"][rows_V], votes.table_M["judge"][rows_V]
    label_V = np.where(turned_V, _TURNED_LABEL[verdict_V], _LABEL[verdict_V]).astype(np.int8)
    present = np.flatnonzero(np.bincount(code_V, minlength=len(votes.judges))).tolist()
    judge_J = np.array(sorted(present, key=votes.judges.__getitem__), dtype=np.int64)
    place_of = np.zeros(len(votes.judges), dtype=np.int32)
    place_of[judge_J] = np.arange(len(judge_J))
    return _Said(unit_V, place_of[code_V], label_V, turned_V, judge_J)


def _units(pair_V: Places, input_V: NDArray[np.int32], answers: int, inputs: int) -> Places:
    """A number for each input with two answers, in the order of inputs and then of pairs."""
    if answers * answers * inputs >= 2**62:  # no room for both in one number
        _, pair_V = np.unique(pair_V, return_inverse=True)
        pair_V, size = pair_V.ravel(), len(input_V)
    else:
        size = answers * answers
    _, unit_V = np.unique(input_V * np.int64(size) + pair_V, return_inverse=True)
    return unit_V.ravel()


def _shared(said: _Said, judges: int) -> NDArray[np.int8]:
    """The labels of the units that two or more judges judged; of each judge's the first, -1 without."""
    _, first_W = np.unique(said.unit_V * judges + said.judge_V, return_index=True)
    unit_W = said.unit_V[first_W]
    judged_U = np.bincount(unit_W)
    shared_U = judged_U > 1
    row_U = np.cumsum(shared_U) - 1
    kept_W = shared_U[unit_W]
    label_UJ = np.full((int(shared_U.sum()), judges), -1, dtype=np.int8)
    label_UJ[row_U[unit_W[kept_W]], said.judge_V[first_W][kept_W]] = said.label_V[first_W][kept_W]
    return label_UJ


def _figure(found: Estimate) -> Figure | None:
    if found.units < _UNITS_FOR_INTERVAL:
        return figure(found.value, np.nan, np.nan)
    return figure(found.value, found.low, found.high)


def _kappas(
    label_UJ: NDArray[np.int8], judges: Sequence[str], rng: np.random.Generator
) -> tuple[JudgePair, ...]:
    # How often judge i said k and judge j said l, for all of them at once.
    met_KKJJ = np.zeros((TIE + 1, TIE + 1, len(judges), len(judges)))
    for start in range(0, len(label_UJ), _SLICE):
        said_KUJ = [(label_UJ[start : start + _SLICE] == k).astype(np.float64) for k in range(TIE + 1)]
        met_KKJJ += np.array([[one_UJ.T @ other_UJ for other_UJ in said_KUJ] for one_UJ in said_KUJ])
    found: list[JudgePair] = []
    for (a, first), (b, second) in combinations(enumerate(judges), 2):
        kappa = kappa_of_table(met_KKJJ[:, :, a, b].astype(np.int64), rng, rounds=_ROUNDS)
        if kappa.units:
            found.append(JudgePair(first, second, kappa.units, _figure(kappa)))
    return tuple(found)


def _repeats(said: _Said, judges: Sequence[str]) -> tuple[Repeats, ...]:
    """Each judgement against the same judge's one before on the same unit."""
    order_V = np.argsort(said.unit_V * len(judges) + said.judge_V, kind="stable")
    unit_V, judge_V = said.unit_V[order_V], said.judge_V[order_V]
    label_V, turned_V = said.label_V[order_V], said.turned_V[order_V]
    again_P = np.flatnonzero((unit_V[1:] == unit_V[:-1]) & (judge_V[1:] == judge_V[:-1])) + 1
    if not len(again_P):
        return ()
    same_P = label_V[again_P] == label_V[again_P - 1]
    swapped_P = turned_V[again_P] != turned_V[again_P - 1]
    who_P = judge_V[again_P]
    found = [_repeat(None, same_P, swapped_P)]
    repeating = sorted(set(who_P.tolist()))
    if len(repeating) > 1:
        found += [
            _repeat(judges[int(judge)], same_P[who_P == judge], swapped_P[who_P == judge])
            for judge in repeating
        ]
    return tuple(found)


def _repeat(judge: str | None, same_P: NDArray[np.bool_], swapped_P: NDArray[np.bool_]) -> Repeats:
    repeats, same = len(same_P), int(same_P.sum())
    share = Figure(same / repeats, *share_interval(same, repeats))
    return Repeats(judge, repeats, same, share, int(swapped_P.sum()), int((same_P & swapped_P).sum()))
