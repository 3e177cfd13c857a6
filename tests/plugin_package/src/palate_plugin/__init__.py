"""Two parts that a plug-in may bring: a model that repeats what it hears, a judge that likes length."""

from collections.abc import Sequence

from palate.errors import UnsupportedError
from palate.types import Array, Capabilities, Completion, Duel, Judgement, Request, Verdict

__all__ = ["LongestJudge", "Parrot", "longest_judge", "parrot_model"]


class Parrot:
    """A model that answers with the last message."""

    def __init__(self, times: int) -> None:
        self.times = times

    @property
    def name(self) -> str:
        return f"parrot-{self.times}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(generate=True, seed=True)

    async def generate(self, request: Request) -> Completion:
        return Completion(request.messages[-1].content * self.times, self.name)

    async def embed(self, texts: Sequence[str]) -> Array:
        raise UnsupportedError("a parrot does not embed; use another model")

    async def score(self, request: Request, continuation: str) -> Array:
        raise UnsupportedError("a parrot does not score; use another model")

    async def close(self) -> None:
        pass


def parrot_model(*, times: int = 1) -> Parrot:
    """Make a parrot."""
    return Parrot(times)


class LongestJudge:
    """A judge that prefers the longer answer by at least ``margin`` characters."""

    name = "longest"

    def __init__(self, margin: int, seed: int) -> None:
        self.margin, self.seed = margin, seed

    async def judge(self, duel: Duel) -> Judgement:
        gain = len(duel.left.content) - len(duel.right.content)
        if abs(gain) < self.margin:
            return Judgement(Verdict.TIE)
        return Judgement(Verdict.LEFT if gain > 0 else Verdict.RIGHT)


def longest_judge(margin: int, *, seed: int = 0) -> LongestJudge:
    """Make the judge; ``margin`` has no default."""
    return LongestJudge(margin, seed)
