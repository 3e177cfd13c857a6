"""Rewards and judges by the names that a person writes."""

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from palate.errors import ConfigError
from palate.judges import GradedJudge, PreferenceJudge, ReadingLevel, RewardGrader, rules_judge
from palate.policy.data import Prompt, plain_prompt
from palate.policy.rewards import NgramReward, PairwiseReward, Rewards, load_reward
from palate.targets import earlier_turns
from palate.types import Array, Grade, Grader, Input, Judge, Response, digest

__all__ = ["GradedRewards", "reward_judge", "reward_named"]

_BROKEN = -10.0


class GradedRewards:
    """Rules and other graders as rewards.

    An answer that breaks a constraint gets the grader's reward less 10, so that it loses to any that keeps it
    while the rewards of both are within that; a grader without rewards gives 1 or 0.

    Args:
        grader: Grades one answer at a time.
    """

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self.name = f"graded:{grader.name}"

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Array:
        """Rewards of N answers; NaN where the grader does not know."""

        async def ask() -> list[Grade]:
            return [
                await self._grader.grade(_input(prompt), Response("text", answer))
                for prompt, answer in zip(prompts, answers, strict=True)
            ]

        return np.array([_number(grade) for grade in asyncio.run(ask())], dtype=np.float64)


def _input(prompt: Prompt) -> Input:
    text = prompt if isinstance(prompt, str) else plain_prompt(prompt)
    return Input(digest(text)[:16], text)


def _number(grade: Grade) -> float:
    if grade.unknown is not None:
        return math.nan
    if grade.reward is None:
        return float(grade.satisfied is not False)
    return grade.reward + (_BROKEN if grade.satisfied is False else 0.0)


def reward_named(name: str) -> Rewards:
    """A reward by its name: ``reading-level``, ``rules:FILE``, or the folder of a reward model.

    Raises:
        ConfigError: It is none of them.
        InputError: The file or folder cannot be used.
    """
    if name == "reading-level":
        return GradedRewards(ReadingLevel())
    if name.startswith("rules:"):
        judge: GradedJudge = rules_judge(name.removeprefix("rules:"))
        return GradedRewards(judge.grader)
    if Path(name).is_dir():
        return load_reward(name)
    raise ConfigError(f"no reward {name!r}; give reading-level, rules:FILE or the folder of a reward model")


def reward_judge(path: str, margin: float = 0.0) -> Judge:
    """A reward or preference model as a judge of duels, as a study file or ``--judge reward-model`` names it.

    Args:
        path: Folder of the model: safetensors only.
        margin: Of a pairwise model, probabilities within so much of one half are a tie; of others, rewards
            within so much of each other.

    Raises:
        InputError: The folder cannot be used, or its weights are pickles.
        ModelError: It is no reward model.
        ConfigError: ``margin`` is out of its range.
    """
    model = load_reward(path)
    if isinstance(model, PairwiseReward):
        return PreferenceJudge(model, margin=margin, earlier=earlier_turns)
    if isinstance(model, NgramReward):
        return GradedJudge(RewardGrader(model), margin)
    return GradedJudge(RewardGrader(model, earlier=earlier_turns), margin)
