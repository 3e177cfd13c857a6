"""The statistics of a study as plain values.

Ratings are on the Elo scale, 1000 on average: 400 points more are odds of ten to one. Votes are taken as
independent of each other; votes of one judge, or on one input, are somewhat alike, so intervals are if
anything too narrow when few judges or few inputs gave most of them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
from palate.statistics._agree import Agreement, SeenVote, agreement
from palate.statistics._segments import SegmentColumn, study_segments
from palate.statistics._style import StyleControl, control_style, style_counts
from palate.statistics._values import Figure, Span, plain
from palate.store import StudyState
from palate.types import Array, Json, Response, Verdict, Vote

__all__ = ["RatedCandidate", "SideBias", "Statistics", "study_statistics"]

MEAN = 1000.0
DECIDED_A_JUDGE = 10  # decided votes below which a judge's side coefficient is not worth showing
_Z = 1.959963984540054


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
    state: StudyState, response: Callable[[str], Response], *, rounds: int = 200, seed: int = 0
) -> Statistics:
    """Work out the statistics of a study.

    Args:
        state: The study.
        response: Finds a response by its hash; :meth:`palate.store.Store.get_response` does.
        rounds: Resamples of the bootstrap of the ratings; 0 leaves it out.
        seed: Of the resamples.
    """
    everything = state.votes
    # Nobody beats himself: a duel of a candidate with itself would say nothing.
    votes = [v for v in everything if v.verdict.teaches and v.left_candidate != v.right_candidate]
    known = {**state.candidates, **state.withdrawn}
    took_part = {c for vote in votes for c in (vote.left_candidate, vote.right_candidate)}
    ids = [c for c in known if c in state.candidates or c in took_part]
    rows = _rows(votes, {identifier: place for place, identifier in enumerate(ids)})
    counted = count_comparisons(rows.first_R, rows.second_R, rows.outcome_R)
    ratings = fit_ratings(counted, len(ids))
    answers = {vote.seq: _answers(state, vote) for vote in votes}
    style, controlled = _style(votes, rows, ratings, answers, response)
    # Two generators, so that the intervals of agreement do not depend on the rounds of the ratings.
    rating_rng, agreement_rng = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    wins_NN, ties_NN = _tables(rows, len(ids))
    spans = _spans(bootstrap_scores(counted, ratings, rating_rng, rounds=rounds), ratings)
    ranking = rank_ratings(ratings)
    order = sorted(
        range(len(ids)), key=lambda i: (not ratings.rated_N[i], -np.nan_to_num(ratings.score_N[i]))
    )

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
    seen = (SeenVote(vote.judge, vote.input_id, *answers[vote.seq], vote.verdict) for vote in votes)
    return Statistics(
        votes=len(everything),
        counted=len(votes),
        verdicts=dict(sorted(Counter(str(vote.verdict) for vote in everything).items())),
        judges=dict(sorted(Counter(vote.judge for vote in everything).items())),
        method=ratings.method if ratings.rated_N.any() else None,
        candidates=tuple(row(i) for i in order),
        side=_sides(votes, rows, ratings, len(ids)),
        style=style,
        agreement=agreement(seen, agreement_rng),
        wins=_whole(wins_NN[np.ix_(place, place)]),
        ties=_whole(ties_NN[np.ix_(place, place)]),
        rounds=rounds,
        seed=seed,
        segments=study_segments(state, np.random.default_rng([seed, 2])),
    )


def _rows(votes: Sequence[Vote], place: Mapping[str, int]) -> Comparisons:
    """One row a vote, the left candidate first."""
    kept = [(place[v.left_candidate], place[v.right_candidate], outcome(v.verdict)) for v in votes]
    table = np.array(kept, dtype=np.float64).reshape(len(kept), 3)
    pair = table[:, :2].astype(np.intp)
    return Comparisons(pair[:, 0], pair[:, 1], table[:, 2], np.ones(len(kept)))


def _answers(state: StudyState, vote: Vote) -> tuple[str, str]:
    """The addresses of the left and the right answer."""
    pairing = state.pairings[vote.pairing_id]
    if state.duels[vote.duel_id].swapped:
        return pairing.second_response, pairing.first_response
    return pairing.first_response, pairing.second_response


def _tables(rows: Comparisons, n: int) -> tuple[Array, Array]:
    wins_NN, ties_NN = np.zeros((n, n)), np.zeros((n, n))
    won, lost, tied = rows.outcome_R == 1.0, rows.outcome_R == 0.0, rows.outcome_R == 0.5
    np.add.at(wins_NN, (rows.first_R[won], rows.second_R[won]), 1.0)
    np.add.at(wins_NN, (rows.second_R[lost], rows.first_R[lost]), 1.0)
    np.add.at(ties_NN, (rows.first_R[tied], rows.second_R[tied]), 1.0)
    np.add.at(ties_NN, (rows.second_R[tied], rows.first_R[tied]), 1.0)
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


def _among(rows: Comparisons, kept: Sequence[bool] | NDArray[np.bool_]) -> Comparisons:
    kept_M = np.asarray(kept, dtype=np.bool_)
    return Comparisons(
        rows.first_R[kept_M], rows.second_R[kept_M], rows.outcome_R[kept_M], rows.count_R[kept_M]
    )


def _style(
    votes: Sequence[Vote],
    rows: Comparisons,
    ratings: Ratings,
    answers: Mapping[int, tuple[str, str]],
    response: Callable[[str], Response],
) -> tuple[StyleControl, Ratings | None]:
    counts: dict[str, tuple[int, ...] | None] = {}
    for address in {address for pair in answers.values() for address in pair}:
        counts[address] = _counts(response, address)
    usable: list[bool] = []
    styles: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for row, vote in enumerate(votes):
        left, right = (counts[address] for address in answers[vote.seq])
        rated = bool(ratings.rated_N[rows.first_R[row]])
        usable.append(rated and left is not None and right is not None)
        if usable[-1] and left is not None and right is not None:
            styles.append((left, right))
    return control_style(_among(rows, usable), len(ratings.rated_N), styles)


def _counts(response: Callable[[str], Response], address: str) -> tuple[int, ...] | None:
    try:
        found = response(address)
    except NotFoundError:
        return None
    return style_counts(found.content) if found.kind == "text" else None


def _sides(votes: Sequence[Vote], rows: Comparisons, ratings: Ratings, n: int) -> tuple[SideBias, ...]:
    decided = Counter(v.judge for v in votes if v.verdict in (Verdict.LEFT, Verdict.RIGHT))
    left = Counter(v.judge for v in votes if v.verdict is Verdict.LEFT)
    if not decided:
        return ()
    rated = ratings.rated_N[rows.first_R]
    among = _among(rows, rated)
    overall = _coefficients(among, n, np.ones((int(rated.sum()), 1)))
    found = [_side(None, left.total(), decided.total(), overall[0])]
    if len(decided) == 1:
        return tuple(found)
    judges = sorted(decided)
    enough = [judge for judge in judges if decided[judge] >= DECIDED_A_JUDGE]
    who = np.array([vote.judge for vote in votes])[rated]
    each = _coefficients(among, n, (who[:, None] == np.array(enough or [""])).astype(np.float64))
    value = dict(zip(enough, each, strict=False))
    return (*found, *(_side(judge, left[judge], decided[judge], value.get(judge)) for judge in judges))


def _coefficients(rows: Comparisons, n: int, covariate_MF: Array) -> list[Figure]:
    found = fit_ratings(rows, n, covariate_RF=covariate_MF)
    reach_F = _Z * np.sqrt(np.maximum(np.diag(found.coefficient_covariance_FF), 0.0))
    return [
        Figure(float(ELO * c), float(ELO * (c - reach)), float(ELO * (c + reach)))
        for c, reach in zip(found.coefficient_F, reach_F, strict=True)
    ]


def _side(judge: str | None, left: int, decided: int, coefficient: Figure | None) -> SideBias:
    share = Figure(left / decided, *share_interval(left, decided))
    return SideBias(judge, left, decided, share, coefficient if decided >= DECIDED_A_JUDGE else None)
