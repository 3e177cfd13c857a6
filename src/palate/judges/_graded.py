"""From grades of single responses to verdicts on duels.

A response that breaks a constraint loses to one that keeps it; two that break it are both bad. Among those
that keep it the larger reward wins, and rewards within ``margin`` of each other are a tie. Whatever is
unknown about either response makes the judge skip: an outage is never a verdict. Tables and chats are graded
as plain text, pictures are left to people.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import final

from palate.errors import ConfigError
from palate.kinds import readable
from palate.types import Duel, Grade, Grader, Judgement, Response, Verdict

__all__ = ["GradedJudge", "no_verdict", "verdict_of"]


@final
@dataclass(frozen=True, slots=True)
class GradedJudge:
    """Decides duels by what a grader says of each side.

    Args:
        grader: A rule, a mixture of rules, a reward model.
        margin: Rewards that differ by no more than this are equal; ≥ 0, in the grader's units.
    """

    grader: Grader
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and self.margin >= 0.0):
            raise ConfigError(f"margin is {self.margin!r}; it is a finite number of at least 0")

    @property
    def name(self) -> str:
        """The grader's name; stored with each vote."""
        return self.grader.name

    async def judge(self, duel: Duel) -> Judgement:
        """Grade both sides and compare."""
        if (said := no_verdict(duel)) is not None:
            return said
        left, right = await asyncio.gather(
            *(self.grader.grade(duel.input, Response("text", readable(s))) for s in (duel.left, duel.right))
        )
        return verdict_of(left, right, self.margin)


def no_verdict(duel: Duel) -> Judgement | None:
    """What a judge that only reads says of a duel with a failed side or a picture; otherwise ``None``."""
    for side in (duel.left, duel.right):
        if side.failed is not None:
            return Judgement(Verdict.FAILED, comment=side.failed)
        if side.kind in ("image", "plot"):
            return Judgement(Verdict.SKIP, reason="cannot_judge", comment=f"cannot read a {side.kind}")
    return None


def verdict_of(left: Grade, right: Grade, margin: float = 0.0) -> Judgement:
    """Compare two grades, as the module's text says.

    Example:
        >>> verdict_of(Grade(2.0, True), Grade(3.0, False)).verdict
        <Verdict.LEFT: 'left'>
        >>> verdict_of(Grade(2.0), Grade(unknown="no answer from the service")).verdict
        <Verdict.SKIP: 'skip'>
    """
    unknown = left.unknown or right.unknown
    if unknown:
        return Judgement(Verdict.SKIP, reason="cannot_judge", comment=unknown)
    said = "; ".join(
        filter(None, (left.reason and f"left: {left.reason}", right.reason and f"right: {right.reason}"))
    )
    broken = (left.satisfied is False, right.satisfied is False)
    if all(broken):
        return Judgement(Verdict.BOTH_BAD, comment=said)
    if any(broken):
        return Judgement(Verdict.RIGHT if broken[0] else Verdict.LEFT, comment=said)
    if left.reward is None or right.reward is None:
        return Judgement(Verdict.TIE, comment=said)
    gap = left.reward - right.reward
    if not math.isfinite(gap):
        return Judgement(Verdict.FAILED, comment=f"the rewards are {left.reward!r} and {right.reward!r}")
    if abs(gap) <= margin:
        return Judgement(Verdict.TIE, comment=said)
    return Judgement(Verdict.LEFT if gap > 0 else Verdict.RIGHT, comment=said)
