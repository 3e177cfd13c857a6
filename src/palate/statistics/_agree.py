"""Whether judges who saw the same two answers said the same, and whether one judge did so twice.

A unit is an input with two different answers, whoever stood left. "Both bad" counts as a tie: both say that
neither answer is better.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice import Estimate, cohen_kappa, krippendorff_alpha, raw_agreement, share_interval
from palate.statistics._values import Figure, figure
from palate.types import Verdict

__all__ = ["Agreement", "JudgePair", "Repeats", "SeenVote", "agreement"]

TIE = 2
_UNITS_FOR_INTERVAL = 10  # a bootstrap of fewer units knows too few outcomes to say anything
_ROUNDS = 1000


class SeenVote(NamedTuple):
    """A vote that teaches, with the addresses of the answers that it was about."""

    judge: str
    input_id: str
    left: str
    right: str
    verdict: Verdict


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


def agreement(votes: Iterable[SeenVote], rng: np.random.Generator) -> Agreement:
    """Measure agreement.

    Args:
        votes: In order. Of a judge's votes on the same unit the first is compared with other judges.
        rng: Draws the resamples of the intervals.
    """
    units: dict[tuple[str, str, str], dict[str, list[tuple[int, bool]]]] = {}
    for vote in votes:
        if vote.left == vote.right:
            continue  # whatever is said of two equal texts says nothing about agreement
        key, label, turned = _oriented(vote)
        units.setdefault(key, {}).setdefault(vote.judge, []).append((label, turned))
    judges = sorted({judge for unit in units.values() for judge in unit})
    column = {judge: place for place, judge in enumerate(judges)}
    shared = [unit for unit in units.values() if len(unit) > 1]
    label_UJ = np.full((len(shared), len(judges)), -1, dtype=np.intp)
    for row, unit in enumerate(shared):
        for judge, given in unit.items():
            label_UJ[row, column[judge]] = given[0][0]
    decided = raw_agreement(label_UJ, rng, without=TIE, rounds=_ROUNDS)
    return Agreement(
        len(shared),
        _figure(raw_agreement(label_UJ, rng, rounds=_ROUNDS)),
        _figure(decided),
        decided.units,
        _figure(krippendorff_alpha(label_UJ, rng, rounds=_ROUNDS)),
        _kappas(label_UJ, judges, rng),
        _repeats(units.values()),
    )


def _oriented(vote: SeenVote) -> tuple[tuple[str, str, str], int, bool]:
    """The unit, the label (0 first, 1 second, 2 neither) and whether the second stood on the left."""
    turned = vote.left > vote.right
    first, second = (vote.right, vote.left) if turned else (vote.left, vote.right)
    said = vote.verdict.swapped() if turned else vote.verdict
    label = {Verdict.LEFT: 0, Verdict.RIGHT: 1}.get(said, TIE)
    return (vote.input_id, first, second), label, turned


def _figure(found: Estimate) -> Figure | None:
    if found.units < _UNITS_FOR_INTERVAL:
        return figure(found.value, np.nan, np.nan)
    return figure(found.value, found.low, found.high)


def _kappas(
    label_UJ: NDArray[np.intp], judges: Sequence[str], rng: np.random.Generator
) -> tuple[JudgePair, ...]:
    found: list[JudgePair] = []
    for (a, first), (b, second) in combinations(enumerate(judges), 2):
        kappa = cohen_kappa(label_UJ[:, a], label_UJ[:, b], rng, rounds=_ROUNDS)
        if kappa.units:
            found.append(JudgePair(first, second, kappa.units, _figure(kappa)))
    return tuple(found)


def _repeats(units: Iterable[dict[str, list[tuple[int, bool]]]]) -> tuple[Repeats, ...]:
    """Each judgement against the same judge's one before on the same unit."""
    seen: dict[str, list[tuple[bool, bool]]] = {}
    for unit in units:
        for judge, given in unit.items():
            for before, after in pairwise(given):
                seen.setdefault(judge, []).append((before[0] == after[0], before[1] != after[1]))
    if not seen:
        return ()
    everyone = [pair for pairs in seen.values() for pair in pairs]
    each = [_repeat(judge, seen[judge]) for judge in sorted(seen)] if len(seen) > 1 else []
    return (_repeat(None, everyone), *each)


def _repeat(judge: str | None, pairs: Sequence[tuple[bool, bool]]) -> Repeats:
    same = sum(equal for equal, _ in pairs)
    share = Figure(same / len(pairs), *share_interval(same, len(pairs)))
    swapped = [equal for equal, swapped in pairs if swapped]
    return Repeats(judge, len(pairs), same, share, len(swapped), sum(swapped))
