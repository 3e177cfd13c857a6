"""The statistics of a study as plain values.

Ratings are on the Elo scale, 1000 on average: 400 points more are odds of ten to one. Votes are taken as
independent of each other; votes of one judge, or on one input, are somewhat alike, so intervals are if
anything too narrow when few judges or few inputs gave most of them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.choice import (
    ELO,
    Comparisons,
    Ranking,
    Ratings,
    bootstrap_scores,
    count_comparisons,
    fit_ratings,
    outcome,
    rank_ratings,
    share_interval,
)
from palate.errors import NotFoundError
from palate.statistics._agree import Agreement, agreement
from palate.statistics._segments import SegmentColumn, study_segments
from palate.statistics._style import FEATURES, StyleBook, StyleControl, Styles, control_style
from palate.statistics._values import Figure, Places, Span, plain
from palate.store import VERDICTS, StudyState, VoteColumns
from palate.types import Array, Json, Response

__all__ = ["RatedCandidate", "SideBias", "Statistics", "study_statistics"]

MEAN = 1000.0
DECIDED_A_JUDGE = 10  # decided votes below which a judge's side coefficient is not worth showing
_Z = 1.959963984540054
_SLICE = 100_000  # votes that are grouped at once

Covariates: TypeAlias = Any  # an array, or one of scipy's sparse ones, which have no types


@dataclass(frozen=True, slots=True)
class RatedCandidate:
    """One candidate.

    Args:
        candidate_id: Its identifier.
        text: The prompt.
        withdrawn: Whether it has left the study; its votes still count.
        wins: Duels won; ``losses`` and ``ties`` likewise. "Both bad" is a tie.
        losses: Duels lost.
        ties: Duels without a winner.
        rating: Elo points with the 95 % interval; ``None`` when votes do not connect it with the leader.
        bootstrap: The interval by resampling; ``None`` when votes are too few for it.
        controlled: The rating after style control; ``None`` without it.
        rank: 1 plus the number of candidates that are significantly better.
        behind: Elo points that the leader is ahead, with the interval of that difference, which holds for all
            candidates at once (Bonferroni); ``None`` for the leader itself.
        with_leader: Whether that interval holds 0: the votes do not separate it from the leader.
        bounded: Whether votes alone hold the rating; if not, it only won or only lost against the rest,
            and an assumption holds it.
    """

    candidate_id: str
    text: str
    withdrawn: bool
    wins: int
    losses: int
    ties: int
    rating: Figure | None
    bootstrap: Span | None
    controlled: Figure | None
    rank: int | None
    behind: Figure | None
    with_leader: bool
    bounded: bool

    @property
    def votes(self) -> int:
        """Duels that it took part in."""
        return self.wins + self.losses + self.ties


@dataclass(frozen=True, slots=True)
class SideBias:
    """Whether the left answer wins by standing on the left.

    Args:
        judge: Whose votes; ``None`` for all together.
        left: Votes for the left answer.
        decided: Votes for the left or the right one.
        share: ``left`` of ``decided``, with Wilson's interval.
        coefficient: What standing on the left is worth in Elo points, the prompts' ratings allowed for;
            ``None`` when votes are too few.
    """

    judge: str | None
    left: int
    decided: int
    share: Figure
    coefficient: Figure | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything that the votes say by themselves.

    Args:
        votes: Votes that stand.
        counted: Those that say something: left, right, tie, both bad.
        verdicts: Votes by verdict.
        judges: Votes by judge.
        method: How the intervals were made: ``sandwich``, ``model`` where votes are few, ``prior`` where some
            candidates only won or only lost; ``None`` without votes.
        candidates: Best first; those without a rating last.
        side: All judges together first; empty without a decided vote.
        style: Length and markup.
        agreement: Between judges and of judges with themselves.
        wins: ``wins[i][j]`` counts the duels that ``candidates[i]`` won against ``candidates[j]``.
        ties: The duels of each two without a winner.
        rounds: Of the bootstrap.
        seed: Of every random draw in here.
        segments: Columns of the inputs that tell kinds of input apart, and whether the best differs by kind.
    """

    votes: int
    counted: int
    verdicts: Mapping[str, int]
    judges: Mapping[str, int]
    method: str | None
    candidates: tuple[RatedCandidate, ...]
    side: tuple[SideBias, ...]
    style: StyleControl
    agreement: Agreement
    wins: tuple[tuple[int, ...], ...]
    ties: tuple[tuple[int, ...], ...]
    rounds: int
    seed: int
    segments: tuple[SegmentColumn, ...] = ()

    @property
    def rated(self) -> tuple[RatedCandidate, ...]:
        """The candidates that have a rating, best first."""
        return tuple(row for row in self.candidates if row.rating is not None)

    @property
    def with_leader(self) -> tuple[RatedCandidate, ...]:
        """The candidates that the votes do not separate from the leader, the leader first."""
        return tuple(row for row in self.candidates if row.with_leader)

    def to_json(self) -> dict[str, Json]:
        """Everything as JSON; what is not known is ``null``."""
        return {field: plain(getattr(self, field)) for field in self.__dataclass_fields__}


def study_statistics(
    state: StudyState,
    response: Callable[[str], Response],
    *,
    votes: VoteColumns | None = None,
    styles: Styles | None = None,
    rounds: int = 200,
    seed: int = 0,
) -> Statistics:
    """Work out the statistics of a study.

    Args:
        state: The study; an outline will do where ``votes`` are given.
        response: Finds a response by its hash; :meth:`palate.store.Store.get_response` does.
        votes: Those that count, from :meth:`palate.store.Store.columns`; the state's own when ``None``.
        styles: Counts what answers look like; a :class:`StyleBook` reads many at once and remembers. By
            default each is asked from ``response``.
        rounds: Resamples of the bootstrap of the ratings; 0 leaves it out.
        seed: Of the resamples.
    """
    if styles is None:
        styles = StyleBook(lambda addresses: {a: r for a in addresses if (r := _found(response, a))})
    everything = VoteColumns.of(state) if votes is None else votes
    # Nobody beats himself: a duel of a candidate with itself would say nothing.
    teaching = everything.where(everything.teaches_M)
    known = {**state.candidates, **state.withdrawn}
    took_part = _taking_part(teaching)
    ids = [c for c in known if c in state.candidates or c in took_part]
    said = _said(teaching, ids)
    counted = count_comparisons(said.first_M, said.second_M, said.outcome_M)
    ratings = fit_ratings(counted, len(ids))
    style, controlled = _style(teaching, said, ratings, styles)
    sides = _sides(teaching, said, ratings, len(ids))
    del said  # of a million votes it takes 24 MB, which what follows needs
    # Two generators, so that the intervals of agreement do not depend on the rounds of the ratings.
    rating_rng, agreement_rng = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    wins_NN, ties_NN = _tables(counted, len(ids))
    spans = _spans(bootstrap_scores(counted, ratings, rating_rng, rounds=rounds), ratings)
    ranking = rank_ratings(ratings)
    order = _best_first(ratings)

    def row(i: int) -> RatedCandidate:
        return RatedCandidate(
            candidate_id=ids[i],
            text=known[ids[i]].text,
            withdrawn=ids[i] in state.withdrawn,
            wins=int(wins_NN[i].sum()),
            losses=int(wins_NN[:, i].sum()),
            ties=int(ties_NN[i].sum()),
            rating=_rating(ratings, i),
            bootstrap=spans.get(i),
            controlled=_rating(controlled, i) if controlled else None,
            rank=int(ranking.rank_N[i]) or None,
            behind=_behind(ranking, i),
            with_leader=bool(ranking.with_leader_N[i]),
            bounded=bool(ratings.bounded_N[i]),
        )

    place = np.array(order, dtype=np.intp)
    return Statistics(
        votes=len(everything),
        counted=len(teaching),
        verdicts=_counts_of(everything.column("verdict"), [str(verdict) for verdict in VERDICTS]),
        judges=_counts_of(everything.column("judge"), everything.judges),
        method=ratings.method if ratings.rated_N.any() else None,
        candidates=tuple(row(i) for i in order),
        side=sides,
        style=style,
        agreement=agreement(teaching, agreement_rng),
        wins=_whole(wins_NN[np.ix_(place, place)]),
        ties=_whole(ties_NN[np.ix_(place, place)]),
        rounds=rounds,
        seed=seed,
        segments=study_segments(state, np.random.default_rng([seed, 2]), votes=teaching),
    )


def _best_first(ratings: Ratings) -> list[int]:
    """Rows by score; those without one last."""
    rows = range(len(ratings.score_N))
    return sorted(rows, key=lambda i: (not ratings.rated_N[i], -np.nan_to_num(ratings.score_N[i])))


def _taking_part(votes: VoteColumns) -> set[str]:
    """The candidates that votes are about."""
    left_C, right_C = (
        np.bincount(votes.column(side), minlength=len(votes.candidates)) for side in ("left", "right")
    )
    return {name for name, met in zip(votes.candidates, left_C + right_C, strict=True) if met}


def _found(response: Callable[[str], Response], address: str) -> Response | None:
    try:
        return response(address)
    except NotFoundError:
        return None


class _Said(NamedTuple):
    """One entry a vote, the left candidate first: rows of candidates, and 1, 0 or one half."""

    first_M: NDArray[np.int32]
    second_M: NDArray[np.int32]
    outcome_M: Array


def _said(votes: VoteColumns, ids: Sequence[str]) -> _Said:
    row_of = {identifier: row for row, identifier in enumerate(ids)}
    row_C = np.array([row_of.get(candidate, -1) for candidate in votes.candidates], dtype=np.int32)
    outcome_V = np.array([outcome(verdict) if verdict.teaches else np.nan for verdict in VERDICTS])
    table_M = votes.table_M
    return _Said(row_C[table_M["left"]], row_C[table_M["right"]], outcome_V[table_M["verdict"]])


def _counts_of(code_M: NDArray[np.int64], names: Sequence[str]) -> dict[str, int]:
    count_K = np.bincount(code_M, minlength=len(names))
    return dict(sorted((name, int(count)) for name, count in zip(names, count_K, strict=True) if count))


def _grouped(
    said: _Said, kept_M: NDArray[np.bool_], code: Callable[[slice], Places]
) -> tuple[Comparisons, Places]:
    """Equal votes together, of the same candidates, outcome and code; and the codes.

    Args:
        said: The votes.
        kept_M: Which of them.
        code: Of those in a slice of them; of a million votes all codes at once would take too much room.
    """
    size = int(max(said.first_M.max(initial=0), said.second_M.max(initial=0))) + 1
    found: list[tuple[Places, Places]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for start in range(0, len(kept_M), _SLICE):
        part = slice(start, start + _SLICE)
        said_V = (code(part) * size + said.first_M[part]) * size + said.second_M[part]
        said_V = said_V * 3 + (2 * said.outcome_M[part]).astype(np.int64)
        found.append(np.unique(said_V[kept_M[part]], return_counts=True))
    keys, counts = zip(*found, strict=True)
    key_R, place_E = np.unique(np.concatenate(keys), return_inverse=True)
    count_R = np.bincount(place_E.ravel(), np.concatenate(counts), len(key_R))
    pair_R, half_R = np.divmod(key_R, 3)
    pair_R, second_R = np.divmod(pair_R, size)
    code_R, first_R = np.divmod(pair_R, size)
    rows = Comparisons(
        first_R.astype(np.intp), second_R.astype(np.intp), 0.5 * half_R, count_R.astype(np.float64)
    )
    return rows, code_R


def _tables(rows: Comparisons, n: int) -> tuple[Array, Array]:
    """How often each won against each, and how often neither did; from counted votes."""
    wins_NN, ties_NN = np.zeros((n, n)), np.zeros((n, n))
    won, lost, tied = rows.outcome_R == 1.0, rows.outcome_R == 0.0, rows.outcome_R == 0.5
    np.add.at(wins_NN, (rows.first_R[won], rows.second_R[won]), rows.count_R[won])
    np.add.at(wins_NN, (rows.second_R[lost], rows.first_R[lost]), rows.count_R[lost])
    np.add.at(ties_NN, (rows.first_R[tied], rows.second_R[tied]), rows.count_R[tied])
    np.add.at(ties_NN, (rows.second_R[tied], rows.first_R[tied]), rows.count_R[tied])
    return wins_NN, ties_NN


def _whole(table_NN: Array) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(count) for count in row) for row in table_NN)


def _rating(ratings: Ratings, i: int) -> Figure | None:
    if not ratings.rated_N[i]:
        return None
    middle, reach = MEAN + ELO * float(ratings.score_N[i]), _Z * ELO * float(ratings.std_N[i])
    return Figure(middle, middle - reach, middle + reach)


def _behind(ranking: Ranking, i: int) -> Figure | None:
    if not ranking.rank_N[i] or i == ranking.leader:
        return None
    gap, reach = ELO * float(ranking.behind_N[i]), ELO * float(ranking.reach_N[i])
    return Figure(gap, gap - reach, gap + reach)


def _spans(score_BN: Array, ratings: Ratings) -> dict[int, Span]:
    """Intervals by resampling, where votes are many enough for resamples to resemble the study."""
    if ratings.method != "sandwich" or not len(score_BN):
        return {}
    places = np.flatnonzero(ratings.rated_N)
    low_n, high_n = np.quantile(score_BN[:, places], [0.025, 0.975], axis=0)
    ends = zip(places, MEAN + ELO * low_n, MEAN + ELO * high_n, strict=True)
    return {int(i): Span(float(low), float(high)) for i, low, high in ends}


def _style(
    votes: VoteColumns, said: _Said, ratings: Ratings, styles: Styles
) -> tuple[StyleControl, Ratings | None]:
    left_M, right_M = votes.table_M["left_answer"], votes.table_M["right_answer"]
    used_M = ratings.rated_N[said.first_M]
    shown_A = np.zeros(len(votes.answers), dtype=np.bool_)
    for answer_M in (left_M, right_M):
        shown_A[answer_M[used_M]] = True
    shown = np.flatnonzero(shown_A).tolist()
    count_AF = np.full((len(votes.answers), len(FEATURES)), -1.0)
    for code, counts in zip(shown, styles([votes.answers[int(code)] for code in shown]), strict=True):
        if counts is not None:
            count_AF[code] = counts
    known_A = count_AF[:, 0] >= 0.0
    usable_M = used_M & known_A[left_M] & known_A[right_M]
    answers = len(known_A)
    rows, code_R = _grouped(
        said, usable_M, lambda part: left_M[part].astype(np.int64) * answers + right_M[part]
    )
    left_R, right_R = np.divmod(code_R, max(1, len(known_A)))
    return control_style(rows, len(ratings.rated_N), count_AF, left_R, right_R)


def _sides(votes: VoteColumns, said: _Said, ratings: Ratings, n: int) -> tuple[SideBias, ...]:
    judge_M, all_M = votes.table_M["judge"], said.outcome_M != 0.5
    decided = _counts_of(judge_M[all_M], votes.judges)
    left = Counter(_counts_of(judge_M[said.outcome_M == 1.0], votes.judges))
    if not decided:
        return ()
    rated_M = ratings.rated_N[said.first_M]
    rows, _ = _grouped(said, rated_M, lambda part: np.zeros(len(judge_M[part]), np.int64))
    overall = _coefficients(rows, n, np.ones((len(rows.count_R), 1)))
    found = [_side(None, left.total(), sum(decided.values()), overall[0])]
    if len(decided) == 1:
        return tuple(found)
    enough = [judge for judge in decided if decided[judge] >= DECIDED_A_JUDGE]
    rows, code_R = _grouped(said, rated_M, lambda part: judge_M[part].astype(np.int64))
    each = _coefficients(rows, n, _one_hot([votes.judges[int(code)] for code in code_R], enough or [""]))
    value = dict(zip(enough, each, strict=False))
    return (*found, *(_side(judge, left[judge], decided[judge], value.get(judge)) for judge in decided))


def _one_hot(name_R: Sequence[str], names: Sequence[str]) -> Covariates:
    """1 in the column of a row's name, sparse; rows of other names are empty."""
    from scipy.sparse import csr_array

    column = {name: place for place, name in enumerate(names)}
    filled = [(row, column[name]) for row, name in enumerate(name_R) if name in column]
    place_2E = np.array(filled, dtype=np.int64).reshape(len(filled), 2).T
    return csr_array((np.ones(len(filled)), (place_2E[0], place_2E[1])), shape=(len(name_R), len(names)))


def _coefficients(rows: Comparisons, n: int, covariate_RF: Covariates) -> list[Figure]:
    found = fit_ratings(rows, n, covariate_RF=covariate_RF)
    reach_F = _Z * np.sqrt(np.maximum(np.diag(found.coefficient_covariance_FF), 0.0))
    return [
        Figure(float(ELO * c), float(ELO * (c - reach)), float(ELO * (c + reach)))
        for c, reach in zip(found.coefficient_F, reach_F, strict=True)
    ]


def _side(judge: str | None, left: int, decided: int, coefficient: Figure | None) -> SideBias:
    share = Figure(left / decided, *share_interval(left, decided))
    return SideBias(judge, left, decided, share, coefficient if decided >= DECIDED_A_JUDGE else None)
