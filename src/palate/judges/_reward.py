"""Judges whose taste was learnt: a reward model that grades one answer, a preference model that compares two.

The models themselves are handed in, so that nothing here knows of networks. They work in a thread of their
own, one call at a time: a network gains nothing from two at once.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, final

from palate.errors import ConfigError
from palate.judges._graded import no_verdict
from palate.kinds import readable
from palate.types import Array, Duel, Grade, Input, Judgement, Message, Response, Verdict

__all__ = ["Comparing", "PreferenceJudge", "RewardGrader", "Scoring"]

Earlier = Callable[[Input], Sequence[Message]]


class Scoring(Protocol):
    """A model that gives answers a number."""

    @property
    def name(self) -> str:
        """For records."""
        ...

    def score(self, prompts: Sequence[tuple[Message, ...]], answers: Sequence[str]) -> Array:
        """Rewards of N answers; NaN where one cannot be scored."""
        ...


class Comparing(Protocol):
    """A model that compares two answers."""

    @property
    def name(self) -> str:
        """For records."""
        ...

    def prefer(
        self, prompts: Sequence[tuple[Message, ...]], first: Sequence[str], second: Sequence[str]
    ) -> Array:
        """P(first beats second) of N pairs; NaN where they cannot be compared."""
        ...


def _nothing(_: Input) -> Sequence[Message]:
    return ()


@final
class RewardGrader:
    """A reward model as a grader; :class:`GradedJudge` decides duels with it.

    Args:
        model: Gives the rewards.
        earlier: Reads what was said before an input.
    """

    def __init__(self, model: Scoring, *, earlier: Earlier = _nothing) -> None:
        self._model, self._earlier = model, earlier
        self._one = threading.Lock()

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    @property
    def cost(self) -> int:
        """Dearer than a rule."""
        return 3

    async def grade(self, input: Input, response: Response) -> Grade:
        """The reward of one response; unknown for a picture, and for a text that the model cannot read."""
        if response.kind in ("image", "plot"):
            return Grade(unknown=f"{self.name} cannot read a {response.kind}")
        prompt = (*self._earlier(input), Message("user", input.text))

        def ask() -> float:
            with self._one:
                return float(self._model.score([prompt], [readable(response)])[0])

        reward = await asyncio.to_thread(ask)
        if not math.isfinite(reward):
            return Grade(unknown=f"{self.name} cannot score this answer; it is probably too long")
        return Grade(reward, reason=f"reward {reward:.3g}")


@final
class PreferenceJudge:
    """A preference model as a judge.

    Args:
        model: Asked for the probability that one answer beats the other; ours are asked in both orders.
        margin: Probabilities within so much of 1/2 are a tie, in [0, 1/2).
        earlier: Reads what was said before an input.

    Raises:
        ConfigError: ``margin`` is out of its range.
    """

    def __init__(self, model: Comparing, *, margin: float = 0.0, earlier: Earlier = _nothing) -> None:
        if not 0 <= margin < 0.5:
            raise ConfigError(f"margin is {margin!r}; it lies in [0, 0.5), as a probability beside one half")
        self._model, self._margin, self._earlier = model, margin, earlier
        self._one = threading.Lock()

    @property
    def name(self) -> str:
        """The model's; stored with each vote."""
        return self._model.name

    async def judge(self, duel: Duel) -> Judgement:
        """Compare both sides."""
        if (said := no_verdict(duel)) is not None:
            return said
        prompt = (*self._earlier(duel.input), Message("user", duel.input.text))

        def ask() -> float:
            with self._one:
                return float(self._model.prefer([prompt], [readable(duel.left)], [readable(duel.right)])[0])

        left = await asyncio.to_thread(ask)
        if not math.isfinite(left):
            return Judgement(Verdict.SKIP, reason="cannot_judge", comment="probably too long to compare")
        told = f"left is better with probability {left:.3f}"
        if abs(left - 0.5) <= self._margin:
            return Judgement(Verdict.TIE, comment=told)
        return Judgement(Verdict.LEFT if left > 0.5 else Verdict.RIGHT, comment=told)
