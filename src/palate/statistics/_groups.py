"""Whose taste: what groups of raters like, and the prompt that is fair between them.

Groups are those that raters were invited into, or any mapping that is given. Whether the groups differ at
all is tested by exchanging the groups of whole raters (see :func:`palate.choice.segment_test`): votes of
one rater hang together for reasons of their own. Only people's votes that were cast by somebody with a
group are used.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from palate.choice import (
    FairChoice,
    Votes,
    arrangements,
    fair_choices,
    fit_groups,
    is_machine,
    outcome,
    segment_test,
)
from palate.statistics._values import Figure, plain
from palate.store import StudyState
from palate.types import Json

__all__ = ["GroupTaste", "Groups", "TradeOff", "groups_of", "study_groups"]

FAIRNESS = tuple(np.linspace(0.0, 1.0, 11).round(2).tolist())
LEVEL = 0.05
_ENOUGH = 40  # arrangements of groups over raters; with fewer no result could pass the level
_LEAST_VOTES = 20
_MOST_PLACES = 600  # groups times candidates; more would take minutes


@dataclass(frozen=True, slots=True)
class GroupTaste:
    """One group.

    Args:
        group: Its name.
        raters: How many of it have voted.
        votes: Their votes that say something.
        best: The candidate that wins most there.
        wins: Share of duels that it is believed to win there, against the others.
    """

    group: str
    raters: int
    votes: int
    best: str
    wins: float


@dataclass(frozen=True, slots=True)
class TradeOff:
    """One point of the curve.

    Args:
        fairness: 0 for the average over groups, 1 for the worst-off alone.
        best: The best candidate for that.
        average: Share of duels that it wins against the others, averaged over groups.
        worst: The same in the group that likes it least.
        wins: The same in every group.
    """

    fairness: float
    best: str
    average: Figure
    worst: Figure
    wins: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Groups:
    """What groups like.

    Args:
        groups: The most votes first.
        curve: Best candidates as fairness rises.
        p_value: Of the test that groups do not differ; ``None`` with too few raters or votes to test.
        together: Probability that groups do not differ at all, half before any vote.
        left_out: Why nothing was worked out; empty when it was.
    """

    groups: tuple[GroupTaste, ...]
    curve: tuple[TradeOff, ...]
    p_value: float | None
    together: float | None
    left_out: str = ""

    @property
    def differ(self) -> bool:
        """Whether votes say that groups differ: the test passes the level of 5 %."""
        return self.p_value is not None and self.p_value <= LEVEL

    @property
    def verdict(self) -> str:
        """What votes say of a difference, in plain words."""
        if self.left_out:
            return self.left_out
        if self.p_value is None:
            return "Too few raters or votes to tell whether the groups differ; what all share is leant on."
        if self.differ:
            return f"The groups differ (p = {self.p_value:.3f}), so it matters whose taste counts."
        return (
            f"The votes cannot tell the groups apart (p = {self.p_value:.2f}): what looks like a difference "
            "below may be chance."
        )

    def to_json(self) -> dict[str, Json]:
        """Everything as JSON; what is not known is ``null``."""
        told = {field: plain(getattr(self, field)) for field in self.__dataclass_fields__}
        return {**told, "differ": self.differ, "verdict": self.verdict}


def groups_of(state: StudyState) -> dict[str, str]:
    """The group of each rater who was invited into one."""
    return {each.rater: each.group for each in state.invitations.by_id.values() if each.rater and each.group}


def study_groups(
    state: StudyState, rng: np.random.Generator, group_of: Mapping[str, str] | None = None
) -> Groups:
    """Find out what groups of raters like, and which prompt is fair between them.

    Args:
        state: The study.
        rng: Draws from the posterior, and the exchanges of the test.
        group_of: The group of each rater; that of the invitations when left out.
    """
    group_of = groups_of(state) if group_of is None else group_of
    said = [
        v
        for v in state.votes
        if v.verdict.teaches
        and v.left_candidate != v.right_candidate
        and v.judge in group_of
        and not is_machine(v.judge)
    ]
    counts = Counter(group_of[v.judge] for v in said)
    names = [name for name, _ in counts.most_common()]
    ids = list(dict.fromkeys(c for v in said for c in (v.left_candidate, v.right_candidate)))
    if len(names) < 2:
        why = "Fewer than two groups have voted; invite raters with --group to compare groups."
        return Groups((), (), None, None, why)
    if len(names) * len(ids) > _MOST_PLACES:
        why = f"{len(names)} groups and {len(ids)} candidates are too many to compare."
        return Groups((), (), None, None, why)
    row, raters = {c: n for n, c in enumerate(ids)}, list(dict.fromkeys(v.judge for v in said))
    who = {rater: place for place, rater in enumerate(raters)}
    pair_M2 = np.array([(row[v.left_candidate], row[v.right_candidate]) for v in said], dtype=np.int64)
    outcome_M = np.array([outcome(v.verdict) for v in said], dtype=np.float64)
    group_M = np.array([names.index(group_of[v.judge]) for v in said], dtype=np.int64)
    rater_M = np.array([who[v.judge] for v in said], dtype=np.int64)
    group_R = np.array([names.index(group_of[rater]) for rater in raters], dtype=np.int64)
    p_value = None
    if len(said) >= _LEAST_VOTES and arrangements(group_R) >= _ENOUGH:
        p_value = segment_test(pair_M2, outcome_M, rater_M, group_R, rng).p_value
    fit = fit_groups(np.eye(len(ids)), Votes(pair_M2[:, 0], pair_M2[:, 1], outcome_M), group_M, rng)
    allowed_N = np.array([c in state.candidates for c in ids])
    curve = fair_choices(fit, np.array(FAIRNESS), allowed_N=allowed_N if allowed_N.any() else None)
    tastes: list[GroupTaste] = []
    for place, name in enumerate(names):
        best = int(fit.mean_GN[place].argmax())
        tastes.append(
            GroupTaste(name, int((group_R == place).sum()), counts[name], ids[best], fit.wins(place, best))
        )
    points = tuple(_point(choice, ids, names) for choice in curve)
    return Groups(tuple(tastes), points, p_value, fit.together)


def _point(choice: FairChoice, ids: list[str], names: list[str]) -> TradeOff:
    wins = dict(zip(names, choice.value_G.tolist(), strict=True))
    return TradeOff(choice.fairness, ids[choice.best], Figure(*choice.average), Figure(*choice.worst), wins)
