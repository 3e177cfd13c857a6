"""Whether votes say that the best prompt differs by kind of input, for each column of the inputs.

A column tells kinds apart if it has 2 to 8 values. All such columns are tested, and their p-values are made
larger by Holm's method, so that the chance of any false alarm stays at 5 %.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice import arrangements, outcome, segment_test, segment_utilities, win_rate
from palate.statistics._values import Figure
from palate.store import VERDICTS, StudyState, VoteColumns
from palate.types import Array

__all__ = ["LEVEL", "Segment", "SegmentColumn", "study_segments"]

LEVEL = 0.05
MOST_VALUES = 8
_ENOUGH = 40  # arrangements of kinds over inputs; with fewer no result could pass the level
_LEAST_VOTES = 20
_MOST_CANDIDATES = 400  # voted on; more would take minutes, and votes spread so thin say nothing of kinds


@dataclass(frozen=True, slots=True)
class Segment:
    """One kind of input.

    Args:
        value: What stands in the column.
        inputs: How many inputs have it, of those that were voted on.
        votes: Votes on them that teach.
        best: The candidate of the highest utility there.
        beats: How often that one is believed to beat the overall best on these inputs; ``None`` if it is the
            same one.
    """

    value: str
    inputs: int
    votes: int
    best: str
    beats: Figure | None


@dataclass(frozen=True, slots=True)
class SegmentColumn:
    """One column of the inputs.

    Args:
        column: Its name.
        p_value: Of the test that utilities do not depend on it, Holm's correction included; ``None`` when
            inputs or votes are too few to test.
        differ: Whether votes say that the best candidate depends on it: the p-value is at most 5 % and some
            kind has another best one.
        best: The best candidate over all inputs.
        segments: The kinds, the most votes first.
    """

    column: str
    p_value: float | None
    differ: bool
    best: str
    segments: tuple[Segment, ...]


def study_segments(
    state: StudyState, rng: np.random.Generator, *, votes: VoteColumns | None = None
) -> tuple[SegmentColumn, ...]:
    """Look at every column that tells kinds of input apart.

    Args:
        state: The study; an outline will do where ``votes`` are given.
        rng: Draws the exchanges of the test.
        votes: Those that count; the state's own when ``None``.

    Returns:
        The columns in the order of the inputs' own; none for candidates that are answers to single inputs.
    """
    known = {**state.candidates, **state.withdrawn}
    everything = VoteColumns.of(state) if votes is None else votes
    said = _said(everything.where(everything.teaches_M))
    if not len(said.outcome_M) or len(said.ids) > _MOST_CANDIDATES or any(known[c].context for c in said.ids):
        return ()
    found = [
        column
        for name in _columns(state, said.inputs)
        if (column := _column(state, name, said, rng)) is not None
    ]
    return _corrected(found)


class _Said(NamedTuple):
    """One entry a vote; candidates and inputs are numbered by first appearance."""

    pair_M2: NDArray[np.int64]
    outcome_M: Array
    input_M: NDArray[np.int64]
    ids: Sequence[str]
    inputs: Sequence[str]


def _said(votes: VoteColumns) -> _Said:
    pair_M2 = np.stack([votes.column("left"), votes.column("right")], axis=1)
    candidate_C, pair_M2 = _numbered(pair_M2)
    input_I, input_M = _numbered(votes.column("input"))
    outcome_V = np.array([outcome(verdict) if verdict.teaches else np.nan for verdict in VERDICTS])
    return _Said(
        pair_M2,
        outcome_V[votes.column("verdict")],
        input_M,
        [votes.candidates[int(code)] for code in candidate_C],
        [votes.inputs[int(code)] for code in input_I],
    )


def _numbered(code: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int64]]:
    """The codes by first appearance, and the place in that list instead of each code."""
    flat = code.ravel()
    first_K = np.full(int(flat.max(initial=-1)) + 1, len(flat))
    # From the end, so that what is written last for a code is where it stands first; no sort of every vote.
    first_K[flat[::-1]] = np.arange(len(flat) - 1, -1, -1)
    order_K = np.argsort(first_K, kind="stable")[: np.count_nonzero(first_K < len(flat))]
    rank_K = np.zeros(len(first_K), dtype=np.int64)
    rank_K[order_K] = np.arange(len(order_K))
    return order_K.tolist(), rank_K[code]


def _columns(state: StudyState, voted: Sequence[str]) -> list[str]:
    inputs = [state.inputs[identifier] for identifier in voted]
    names = dict.fromkeys(name for item in inputs for name in item.fields)
    values = {name: {item.fields.get(name, "") for item in inputs} for name in names}
    return [name for name in names if 2 <= len(values[name]) <= min(MOST_VALUES, len(inputs) - 1)]


def _column(state: StudyState, name: str, said: _Said, rng: np.random.Generator) -> SegmentColumn | None:
    ids, inputs, pair_M2, outcome_M, input_M = (
        said.ids,
        said.inputs,
        said.pair_M2,
        said.outcome_M,
        said.input_M,
    )
    value_of = {identifier: state.inputs[identifier].fields.get(name, "") for identifier in inputs}
    votes_I = np.bincount(input_M, minlength=len(inputs))
    counts: Counter[str] = Counter()
    for identifier, count in zip(inputs, votes_I.tolist(), strict=True):
        counts[value_of[identifier]] += count
    values = [value for value, _ in counts.most_common()]
    segment_I = np.array([values.index(value_of[identifier]) for identifier in inputs], dtype=np.int64)
    p_value = None
    if len(outcome_M) >= _LEAST_VOTES and arrangements(segment_I) >= _ENOUGH:
        p_value = segment_test(pair_M2, outcome_M, input_M, segment_I, rng).p_value
    fitted = segment_utilities(pair_M2, outcome_M, segment_I[input_M], len(ids))
    leader = int(fitted.overall_N.argmax())
    segments: list[Segment] = []
    for kind, value in enumerate(values):
        best = int(fitted.mean_SN[kind].argmax())
        beats = None
        if best != leader:
            gap = float(fitted.mean_SN[kind, best] - fitted.mean_SN[kind, leader])
            both = fitted.covariance_SNN[kind][np.ix_([best, leader], [best, leader])]
            beats = Figure(*win_rate(gap, float(both[0, 0] + both[1, 1] - 2.0 * both[0, 1])))
        of_kind = sum(value_of[identifier] == value for identifier in inputs)
        segments.append(Segment(value, of_kind, counts[value], ids[best], beats))
    return SegmentColumn(name, p_value, False, ids[leader], tuple(segments))


def _corrected(columns: Sequence[SegmentColumn]) -> tuple[SegmentColumn, ...]:
    """Holm's step-down correction over the columns that could be tested."""
    order = sorted((c.p_value, n) for n, c in enumerate(columns) if c.p_value is not None)
    adjusted: dict[int, float] = {}
    highest = 0.0
    for rank, (p_value, n) in enumerate(order):
        highest = max(highest, min(1.0, p_value * (len(order) - rank)))
        adjusted[n] = highest
    return tuple(
        SegmentColumn(
            column.column,
            adjusted.get(n),
            adjusted.get(n, 1.0) <= LEVEL and any(kind.beats is not None for kind in column.segments),
            column.best,
            column.segments,
        )
        for n, column in enumerate(columns)
    )
