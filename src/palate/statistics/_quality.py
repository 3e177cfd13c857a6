"""How far each rater can be relied on, in plain counts; flags give reasons for a look and delete nothing.

    share on the left of n decided votes:  two-sided exact p = min(1, 2 · 2⁻ⁿ · Σ_{k ≤ min(l, n-l)} C(n, k))

Shares have Wilson's intervals. A flag that rests on a share needs its whole interval on the wrong side, so a
rater of few votes is not flagged by chance alone; of a thousand raters one is, by the test of sides.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from palate.choice import share_interval
from palate.statistics._values import Figure
from palate.store import StudyState
from palate.types import Belief, Verdict, Vote

__all__ = ["Flag", "RaterQuality", "left_p_value", "rater_quality"]

_TOO_FAST = 1.5  # seconds; nobody reads two answers in less
_FAST_SHARE = 0.2
_FEWEST = 5
_SIDE_P = 0.001
_GOLD = 0.75
_REPEATS = 0.6
_OTHERS = 0.5


class Flag(NamedTuple):
    """Why a rater needs a look: ``gold``, ``side``, ``fast``, ``repeats`` or ``others``, and why in words."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class RaterQuality:
    """What the votes of one rater say of the rater.

    Args:
        rater: The name that is stored with the votes.
        group: Of raters; empty for none.
        votes: Votes that stand, those on planted duels too.
        surplus: How many of them came when their pairing had all the votes it wanted.
        with_others: Share of pairings on which the winner is the one that most others saw, of those that the
            rater and others decided; ``None`` without such pairings.
        with_belief: Share of decided votes for the candidate that is believed to be better.
        gold: Share of duels with a known answer that were answered so; a tie is no answer.
        gold_given: How many of those had an answer.
        left: Share of decided votes for the left answer.
        left_p: Probability of a share as far from ½ or farther without any habit, in [0, 1].
        seconds: Median time of a vote; ``None`` where no time is known.
        too_fast: Share of votes within 1.5 seconds, of those whose time is known.
        repeats: Share of swapped repeats on which the same was said again.
        repeats_given: How many repeats were answered.
        flags: Why the rater deserves a look; empty when nothing stands out.
    """

    rater: str
    group: str
    votes: int
    surplus: int
    with_others: Figure | None
    with_belief: Figure | None
    gold: Figure | None
    gold_given: int
    left: Figure | None
    left_p: float | None
    seconds: float | None
    too_fast: float | None
    repeats: Figure | None
    repeats_given: int
    flags: tuple[Flag, ...]


def left_p_value(left: int, decided: int) -> float:
    """Two-sided exact binomial test of a share of one half.

    Args:
        left: Votes for the left answer, at most ``decided``.
        decided: Votes for either answer.

    Example:
        >>> left_p_value(9, 10), left_p_value(5, 10)
        (0.021484375, 1.0)
    """
    term = tail = 1
    for k in range(1, min(left, decided - left) + 1):
        term = term * (decided - k + 1) // k
        tail += term
    return min(1.0, 2 * tail / 2**decided)


def rater_quality(state: StudyState, belief: Belief | None = None) -> tuple[RaterQuality, ...]:
    """Work out the figures of every rater who has a vote, by name.

    Args:
        state: The study, with its votes.
        belief: What was learnt from them; without it nobody is compared with it.
    """
    by_rater: dict[str, list[Vote]] = {}
    for vote in state.all_votes:
        by_rater.setdefault(vote.judge, []).append(vote)
    winners = _winners(state.votes)
    worth = {standing.candidate_id: standing.mean for standing in belief.standings} if belief else {}
    return tuple(_of(rater, by_rater[rater], state, winners, worth) for rater in sorted(by_rater))


def _of(
    rater: str,
    votes: Sequence[Vote],
    state: StudyState,
    winners: Mapping[str, Mapping[str, str]],
    worth: Mapping[str, float],
) -> RaterQuality:
    decided = [vote for vote in votes if vote.winner is not None]
    left = sum(vote.verdict is Verdict.LEFT for vote in decided)
    gold = [v.winner == "better" for v in votes if v.planted == "gold" and v.verdict.teaches]
    again = list(_repeated(votes))
    times = [vote.seconds for vote in votes if vote.seconds is not None]
    fast = [seconds < _TOO_FAST for seconds in times]
    figures = RaterQuality(
        rater=rater,
        group=state.raters.get(rater, ""),
        votes=len(votes),
        surplus=sum(vote.surplus for vote in votes),
        with_others=_share(_with_others(rater, decided, winners)),
        with_belief=_share(_with_belief(decided, worth)),
        gold=_share(gold),
        gold_given=len(gold),
        left=_share([vote.verdict is Verdict.LEFT for vote in decided]),
        left_p=left_p_value(left, len(decided)) if decided else None,
        seconds=statistics.median(times) if times else None,
        too_fast=sum(fast) / len(fast) if fast else None,
        repeats=_share(again),
        repeats_given=len(again),
        flags=(),
    )
    return _flagged(figures, timed=len(times))


def _winners(votes: Iterable[Vote]) -> dict[str, dict[str, str]]:
    """Who saw which winner, by pairing."""
    found: dict[str, dict[str, str]] = {}
    for vote in votes:
        if vote.winner is not None:
            found.setdefault(vote.pairing_id, {})[vote.judge] = vote.winner
    return found


def _with_others(rater: str, decided: Sequence[Vote], winners: Mapping[str, Mapping[str, str]]) -> list[bool]:
    """Whether the rater sees the winner that most others see; pairings where they are even are left out."""
    found: list[bool] = []
    for pairing in dict.fromkeys(vote.pairing_id for vote in decided):
        seen = winners.get(pairing, {})
        others = Counter(winner for judge, winner in seen.items() if judge != rater).most_common()
        even = len(others) > 1 and others[0][1] == others[1][1]
        if rater in seen and others and not even:
            found.append(seen[rater] == others[0][0])
    return found


def _with_belief(decided: Sequence[Vote], worth: Mapping[str, float]) -> list[bool]:
    found: list[bool] = []
    for vote in decided:
        left, right = worth.get(vote.left_candidate), worth.get(vote.right_candidate)
        if left is not None and right is not None and left != right:
            found.append((vote.verdict is Verdict.LEFT) == (left > right))
    return found


def _repeated(votes: Sequence[Vote]) -> Iterable[bool]:
    """Whether the same was said again; "both bad" and a tie both say that neither is better."""
    first = {vote.pairing_id: vote for vote in votes if not vote.planted and vote.verdict.teaches}
    for vote in votes:
        if vote.planted == "repeat" and vote.verdict.teaches and vote.pairing_id in first:
            yield vote.winner == first[vote.pairing_id].winner


def _share(told: Sequence[bool]) -> Figure | None:
    if not told:
        return None
    return Figure(sum(told) / len(told), *share_interval(sum(told), len(told)))


def _flagged(found: RaterQuality, *, timed: int) -> RaterQuality:
    flags = [
        Flag(kind, f"{words} {100 * figure.value:.0f} %, and at most {100 * figure.high:.0f} % is likely")
        for kind, figure, bound, words in (
            ("gold", found.gold, _GOLD, "known answers found in"),
            ("repeats", found.repeats, _REPEATS, "says the same of swapped repeats in"),
            ("others", found.with_others, _OTHERS, "sees the winner that most others see in"),
        )
        if figure is not None and figure.high is not None and figure.high < bound
    ]
    if found.left is not None and found.left_p is not None and found.left_p < _SIDE_P:
        share = f"{100 * found.left.value:.0f} % of decided votes for the left answer"
        flags.append(Flag("side", f"{share}; by chance in {100 * found.left_p:.2g} % of raters"))
    if timed >= _FEWEST and found.too_fast is not None and found.too_fast >= _FAST_SHARE:
        flags.append(Flag("fast", f"{100 * found.too_fast:.0f} % of votes within {_TOO_FAST} seconds"))
    return replace(found, flags=tuple(flags))
