"""Learnt judges: what the model says becomes a verdict, and what it cannot say becomes none."""

import math

import numpy as np
import pytest

from palate.errors import ConfigError
from palate.judges import GradedJudge, PreferenceJudge, RewardGrader
from palate.types import Duel, Input, Message, Response, Verdict

EARLIER = (Message("user", "a"), Message("assistant", "b"))


class Longer:
    """Rewards length; answers of a single letter cannot be scored."""

    name = "longer"

    def __init__(self) -> None:
        self.asked: list[tuple[Message, ...]] = []

    def score(self, prompts, answers):  # pyright: ignore
        self.asked += prompts
        return np.array([math.nan if len(answer) == 1 else float(len(answer)) for answer in answers])

    def prefer(self, prompts, first, second):  # pyright: ignore
        gap = self.score(prompts, first) - self.score(prompts, second)
        return 1 / (1 + np.exp(-gap))


def duel(left: str, right: str, kind: str = "text", failed: str | None = None) -> Duel:
    both = (Response(kind, left, failed=failed), Response(kind, right))  # pyright: ignore
    return Duel("d", "p", "j", Input("i", "why?"), *both, "A", "B", False)


@pytest.mark.parametrize("judge", [GradedJudge(RewardGrader(Longer())), PreferenceJudge(Longer())])
async def test_the_better_answer_wins_on_either_side(judge: GradedJudge | PreferenceJudge) -> None:
    assert judge.name == "longer"
    assert (await judge.judge(duel("aaa", "aa"))).verdict is Verdict.LEFT
    assert (await judge.judge(duel("aa", "aaa"))).verdict is Verdict.RIGHT
    assert (await judge.judge(duel("aa", "bb"))).verdict is Verdict.TIE
    assert (await judge.judge(duel("a", "bb"))).verdict is Verdict.SKIP
    assert (await judge.judge(duel("aa", "bb", kind="image"))).verdict is Verdict.SKIP
    assert (await judge.judge(duel("aa", "bb", failed="no answer"))).verdict is Verdict.FAILED


async def test_margins_make_ties() -> None:
    # sigmoid(1) = 0.731
    assert (await PreferenceJudge(Longer(), margin=0.24).judge(duel("aaa", "aa"))).verdict is Verdict.TIE
    assert (await PreferenceJudge(Longer(), margin=0.23).judge(duel("aaa", "aa"))).verdict is Verdict.LEFT
    assert (await GradedJudge(RewardGrader(Longer()), 1.0).judge(duel("aaa", "aa"))).verdict is Verdict.TIE
    with pytest.raises(ConfigError, match="margin"):
        PreferenceJudge(Longer(), margin=0.5)


async def test_the_model_reads_the_whole_conversation() -> None:
    model = Longer()
    for judge in (
        GradedJudge(RewardGrader(model, earlier=lambda _: EARLIER)),
        PreferenceJudge(model, earlier=lambda _: EARLIER),
    ):
        await judge.judge(duel("aaa", "aa"))
    assert set(model.asked) == {(*EARLIER, Message("user", "why?"))}
    assert RewardGrader(model).cost > 0


async def test_a_grade_says_why_it_is_unknown() -> None:
    grader = RewardGrader(Longer())
    assert "too long" in ((await grader.grade(Input("i", "q"), Response("text", "a"))).unknown or "")
    assert "plot" in ((await grader.grade(Input("i", "q"), Response("plot", "a"))).unknown or "")
    assert (await grader.grade(Input("i", "q"), Response("text", "abc"))).reward == 3.0
