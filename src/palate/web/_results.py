"""What the page of results shows, worked out from the store: plain values for the template."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from palate.models import Spent
from palate.store import BeliefPoint, StudyState, seed_of
from palate.types import Belief, Candidate, Example, Standing, Verdict
from palate.web._diff import Piece, word_diff
from palate.web._origins import (
    ANCESTORS,
    FAILURES,
    Ancestor,
    Failure,
    Showing,
    ancestors,
    failures,
    showings,
)
from palate.web._view import StudyView, candidate_of
from palate.web._words import Words

__all__ = ["Answer", "Curve", "Results", "Row", "cost_words", "results_view"]

POINTS = 400  # more than a screen has columns for


class Row(NamedTuple):
    """One candidate of the table. Shares are percentages."""

    rank: int
    text: str
    mean: float
    low: float
    high: float
    p_best: float
    duels: int
    is_best: bool
    is_seed: bool


class Answer(NamedTuple):
    """The best answer to one input. Shares are percentages; wins are against that input's first answer."""

    input: str
    text: str
    mean: float
    low: float
    high: float
    p_best: float
    votes: int
    is_seed: bool


class Curve(NamedTuple):
    """Two lines over the votes, as SVG points in a box of 100 × 100, and the last vote."""

    sure: str
    wins: str
    last: int


@dataclass(frozen=True, slots=True)
class Results:
    """Everything on the page."""

    name: str
    belief: Belief | None
    best: Row | None
    demonstrations: tuple[Example, ...]
    changes: Sequence[Piece]
    rows: Sequence[Row]
    curve: Curve | None
    verdicts: Sequence[tuple[str, int, float]]
    given: int
    cost: tuple[str, str]
    file: str
    showings: Sequence[Showing]
    failures: Sequence[Failure]
    more_failures: int
    family: Sequence[Ancestor]
    more_family: int
    answers: Sequence[Answer]


def results_view(view: StudyView, words: Words, spent: Spent | None) -> Results:
    """Collect what was learnt.

    Args:
        view: The study.
        words: Texts of the pages.
        spent: What the study has cost, or ``None`` when nobody said.
    """
    state = view.state()
    belief = view.store.belief()
    votes = Counter(vote.verdict for vote in state.votes)
    texts = words["results"]
    shares = [
        (str(texts[verdict]), votes[verdict], 100 * votes[verdict] / max(1, votes.total()))
        for verdict in (Verdict.LEFT, Verdict.RIGHT, Verdict.TIE, Verdict.BOTH_BAD, Verdict.SKIP)
    ]
    rows = _rows(belief, state)
    best = next((row for row in rows if row.is_best), None)
    failed = failures(state)
    tree = ancestors(view, state, belief.best if belief else None)
    return Results(
        name=view.title,
        belief=belief,
        best=best,
        demonstrations=_demonstrations(candidate_of(state, belief.best)) if belief else (),
        changes=word_diff(state.candidates[seed_of(state.candidates)].text, best.text) if best else (),
        rows=rows,
        curve=_curve(view),
        verdicts=shares,
        given=votes.total(),
        cost=cost_words(spent, texts),
        file=shlex.quote(view.store.place),
        showings=showings(view, state, belief, seed_of(state.candidates)) if best else (),
        failures=failed[:FAILURES],
        more_failures=max(0, len(failed) - FAILURES),
        family=tree[:ANCESTORS],
        more_family=max(0, len(tree) - ANCESTORS),
        answers=_answers(belief, state),
    )


def _rows(belief: Belief | None, state: StudyState) -> list[Row]:
    if belief is None:
        return []
    seed = seed_of(state.candidates)
    found: list[Row] = []
    for standing in belief.standings:
        candidate = candidate_of(state, standing.candidate_id)
        if candidate is not None:
            found.append(_row(len(found) + 1, candidate, standing, belief.best, seed))
    return found


def _answers(belief: Belief | None, state: StudyState) -> list[Answer]:
    """The best answer to each input, where candidates are answers."""
    found: list[Answer] = []
    for told in belief.contexts if belief else ():
        first, place = told.standings[0], state.inputs[told.input_id]
        candidate = candidate_of(state, first.candidate_id)
        if candidate is not None:
            found.append(
                Answer(
                    input=place.text,
                    text=candidate.text,
                    mean=100 * first.mean,
                    low=100 * first.low,
                    high=100 * first.high,
                    p_best=100 * first.p_best,
                    votes=told.votes,
                    is_seed=candidate.lineage.origin == "seed",
                )
            )
    return found


def _row(rank: int, candidate: Candidate, standing: Standing, best: str, seed: str) -> Row:
    return Row(
        rank,
        candidate.text,
        100 * standing.mean,
        100 * standing.low,
        100 * standing.high,
        100 * standing.p_best,
        standing.votes,
        candidate.id == best,
        candidate.id == seed,
    )


def _demonstrations(candidate: Candidate | None) -> tuple[Example, ...]:
    listed: Any = candidate.parts.get("demonstrations") if candidate else None
    if not isinstance(listed, list):
        return ()
    return tuple(
        Example(str(item.get("input", "")), str(item.get("output", "")))
        for item in listed
        if isinstance(item, dict)
    )


def _curve(view: StudyView) -> Curve | None:
    """Thin the curve to what a screen can show, and scale it; the ends stay."""
    points: list[BeliefPoint] = []
    for point in view.store.belief_curve():
        while points and points[-1].votes >= point.votes:  # a vote was undone since, or thought over again
            points.pop()
        points.append(point)
    if len(points) < 2:
        return None
    step = max(1, -(-len(points) // POINTS))
    kept = [*points[:-1:step], points[-1]]
    last = kept[-1].votes
    sure = " ".join(f"{100 * p.votes / last:.2f},{100 - 100 * p.p_best:.2f}" for p in kept)
    wins = " ".join(f"{100 * p.votes / last:.2f},{100 - 100 * p.win_rate:.2f}" for p in kept)
    return Curve(sure, wins, last)


def cost_words(spent: Spent | None, texts: dict[str, str]) -> tuple[str, str]:
    """The cost and a remark; an unknown price stays unknown and is never 0."""
    if spent is None:
        return "–", texts["cost_none"]
    if not spent.calls:
        return "$0", texts["cost_free"]
    remark = texts["cost_calls"].format(calls=f"{spent.calls:,}", tokens=f"{spent.tokens:,}")
    if spent.cost is None:
        return texts["cost_unknown"], texts["cost_unpriced"].format(calls=f"{spent.unpriced_calls:,}")
    return f"${spent.cost:.2f}" if spent.cost >= 0.01 or not spent.cost else "< $0.01", remark
