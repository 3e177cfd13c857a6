r"""A mixture of graders: constraints that veto, and one reward out of several.

Constraints never enter the mean. The reward of a single grader may be calibrated against a baseline answer
to the same input,

.. math:: R_c(x, y) = \sigma\bigl((r(x, y) - r(x, \bar y)) / T\bigr),

which lies in (0, 1), means "as good as the baseline" at one half, and is comparable across inputs and
graders; several are combined by an ordered weighted average (:func:`palate.choice.owa`), from their mean to
the worst of them.

Sources: Xu et al., "The perfect blend: redefining RLHF with mixture of judges", arXiv 2409.20370 (calibrated
reward; a sample is good if all judges are satisfied); arXiv 2402.07772 for the ordered weighted average.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from palate.choice import gini_weights, owa, tempered_weights
from palate.errors import ConfigError
from palate.judges._simulated import sigmoid
from palate.types import Grade, Grader, Input, Response

__all__ = ["Calibrated", "Mixture"]


@final
@dataclass(frozen=True, slots=True)
class Calibrated:
    """A grader whose reward is measured against a baseline answer.

    Args:
        grader: Gives the raw reward.
        temperature: > 0, in the raw reward's units; a gap of one temperature is 0.73 on the calibrated scale.
    """

    grader: Grader
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0.0):
            raise ConfigError(f"temperature is {self.temperature!r}; it is a finite number above 0")

    @property
    def name(self) -> str:
        """The grader's own."""
        return self.grader.name

    @property
    def cost(self) -> int:
        """The grader's own."""
        return self.grader.cost

    async def grade(self, input: Input, response: Response) -> Grade:
        """Grade the response and the input's first reference, and compare.

        An input without a reference has no baseline, so its grade is unknown.
        """
        if not input.references:
            return Grade(unknown=f"input {input.id!r} has no reference to compare with")
        own = await self.grader.grade(input, response)
        if own.unknown is not None or own.reward is None:
            return own
        base = await self.grader.grade(input, Response("text", input.references[0]))
        if base.unknown is not None or base.reward is None:
            return Grade(unknown=base.unknown or f"{self.name} gives the baseline no reward")
        gap = (own.reward - base.reward) / self.temperature
        return Grade(sigmoid(gap), own.satisfied, reason=own.reason)


@final
@dataclass(frozen=True, slots=True)
class Mixture:
    """All constraints must be met; rewards are averaged, fairly if wished.

    Args:
        constraints: Asked first, the cheap before the dear, until one is broken.
        rewards: Graders in one common unit; see :class:`Calibrated`. May be empty.
        average: ``"mean"``, ``"gini"`` (weights that fall linearly from the worst to the best),
        ``"worst"``, or
            how fair, from 0 (the mean) to 1 (the worst alone).
        name: Stored with each vote.

    Raises:
        ConfigError: Nothing to grade by, or an unknown average.
    """

    constraints: Sequence[Grader] = ()
    rewards: Sequence[Grader] = ()
    average: Literal["mean", "gini", "worst"] | float = "mean"
    name: str = "mixture"

    def __post_init__(self) -> None:
        if not self.constraints and not self.rewards:
            raise ConfigError("a mixture needs at least one constraint or one reward")
        if isinstance(self.average, str) and self.average not in ("mean", "gini", "worst"):
            raise ConfigError(
                f"average is {self.average!r}; it is 'mean', 'gini', 'worst' or a number in [0, 1]"
            )
        if self.rewards:
            self._weights()

    @property
    def cost(self) -> int:
        """That of the dearest grader."""
        return max(grader.cost for grader in (*self.constraints, *self.rewards))

    async def grade(self, input: Input, response: Response) -> Grade:
        """Ask the constraints until one is broken, then the rewards.

        An unknown constraint makes the whole unknown unless another one is broken for certain.
        """
        unknown: list[str] = []
        reasons: list[str] = []
        for grader in sorted(self.constraints, key=lambda grader: grader.cost):
            grade = await grader.grade(input, response)
            if grade.satisfied is False:
                return Grade(satisfied=False, reason=f"{grader.name}: {grade.reason}")
            if grade.unknown is not None or grade.satisfied is None:
                unknown.append(f"{grader.name}: {grade.unknown or 'has no constraint'}")
        if unknown:
            return Grade(unknown=unknown[0])
        values: list[float] = []
        for grader in self.rewards:
            grade = await grader.grade(input, response)
            if grade.satisfied is False:
                return Grade(satisfied=False, reason=f"{grader.name}: {grade.reason}")
            if grade.unknown is not None or grade.reward is None:
                return Grade(unknown=f"{grader.name}: {grade.unknown or 'gives no reward'}")
            values.append(grade.reward)
            reasons.append(f"{grader.name} {grade.reward:.3g}")
        satisfied = True if self.constraints else None
        if not values:
            return Grade(satisfied=satisfied, reason="all constraints met")
        if not all(map(math.isfinite, values)):
            return Grade(unknown=f"a reward is not a finite number: {', '.join(reasons)}")
        return Grade(owa(values, self._weights()), satisfied, reason=", ".join(reasons))

    def _weights(self) -> list[float]:
        size = len(self.rewards)
        if self.average == "gini":
            return gini_weights(size).tolist()
        fairness = (
            {"mean": 0.0, "worst": 1.0}.get(self.average) if isinstance(self.average, str) else self.average
        )
        return tempered_weights(size, fairness or 0.0).tolist()
