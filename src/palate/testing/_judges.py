"""What every judge must do."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from palate.types import Duel, Input, Judge, Judgement, Response, Verdict

__all__ = ["JudgeContract", "sample_duels"]

_ANSWERS = ("A cat sat on the mat.", "No.", "The cat, on the whole, sat.", "", "<b>mat</b>", "猫")


def sample_duels(count: int = 12) -> list[Duel]:
    """Duels over plain, odd and empty answers, with a reference for each input."""
    duels: list[Duel] = []
    for k in range(count):
        left = Response("text", _ANSWERS[k % len(_ANSWERS)])
        right = Response("text", _ANSWERS[(k + 1 + k // len(_ANSWERS)) % len(_ANSWERS)])
        asked = Input(f"input-{k % 3}", "Where did the cat sit?", references=("A cat sat on the mat.",))
        duels.append(Duel(f"duel-{k}", f"pairing-{k}", "judge", asked, left, right, "a", "b", k % 2 == 1))
    return duels


class JudgeContract:
    """Subclass it and give a fixture ``judge``; ``duels`` may be replaced by duels of your domain."""

    @pytest.fixture
    def duels(self) -> Sequence[Duel]:
        """Duels that the judge is asked to decide."""
        return sample_duels()

    def test_has_a_name(self, judge: Judge) -> None:
        """The name is stored with each vote, so it is a text and does not change."""
        assert judge.name.strip()
        assert judge.name == judge.name

    def test_answers_with_a_verdict(self, judge: Judge, duels: Sequence[Duel]) -> None:
        """Every duel gets one of the six verdicts."""
        for judgement in _judge_all(judge, duels):
            assert isinstance(judgement, Judgement)
            assert isinstance(judgement.verdict, Verdict)
            assert judgement.seconds is None or judgement.seconds >= 0.0

    def test_never_guesses_about_a_failed_response(self, judge: Judge, duels: Sequence[Duel]) -> None:
        """A response that failed can win nothing, on either side."""
        broken = Response("text", "", failed="the model could not be reached")
        cases = [replace(duel, left=broken) for duel in duels] + [
            replace(duel, right=broken) for duel in duels
        ]
        assert not any(judgement.verdict.teaches for judgement in _judge_all(judge, cases))

    def test_order_of_asking_does_not_matter(self, judge: Judge, duels: Sequence[Duel]) -> None:
        """Asked backwards and all at once, it says the same of each duel."""
        forwards = [asyncio.run(judge.judge(duel)).verdict for duel in duels]
        backwards = [judgement.verdict for judgement in _judge_all(judge, list(reversed(duels)))]
        assert forwards == backwards[::-1]


def _judge_all(judge: Judge, duels: Sequence[Duel]) -> list[Judgement]:
    async def ask() -> list[Judgement]:
        return list(await asyncio.gather(*(judge.judge(duel) for duel in duels)))

    return asyncio.run(ask())
