"""Sample: several answers of a model to each input, for targets whose candidates are answers.

Answers are drawn at temperature 1, those equal to an earlier answer to the same input are drawn again, and
inputs take turns: the next answer goes to the input that has the fewest. The first answer to an input is the
model's likeliest (temperature 0); it is what the others are measured against, unless the user gave one.

Source: Lin et al., "Prompt Optimization with Human Feedback", arXiv 2405.17346, and its released code (50
distinct completions for each context at temperature 1). The greedy first answer is ours.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, final, runtime_checkable

import numpy as np

from palate.errors import ConfigError, InputError
from palate.proposers._clean import likeness
from palate.proposers._draw import check_options, failures
from palate.types import Candidate, Input, Known, Lineage, Model, Request

__all__ = ["Answers", "Sample"]


@runtime_checkable
class Answers(Protocol):
    """A target whose candidates are answers to inputs."""

    def request(self, input: Input) -> Request:
        """The question to sample from."""
        ...

    def answer(self, input: Input, text: str, lineage: Lineage) -> Candidate:
        """A candidate of an answer."""
        ...


class _Draw(NamedTuple):
    """One draw: for which input, whether it is the first answer there, and whether it is the likeliest."""

    input: Input
    first: bool
    greedy: bool
    number: int


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Makes answers by asking the model the question again.

    Args:
        model: Who is asked.
        target: What the answers are for; supplied by the study.
        temperature: Of a draw, in (0, 2]; 1 as published.
        attempts: Draws without a new answer after which an input has to do with what it has.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range, or the target's candidates are no answers.
    """

    model: Model
    target: object
    temperature: float = 1.0
    attempts: int = 8
    concurrency: int = 8

    def __post_init__(self) -> None:
        check_options(temperature=self.temperature, attempts=self.attempts, concurrency=self.concurrency)
        if self.temperature == 0.0:
            raise ConfigError("temperature is 0, so every draw would be the same answer; 1 is usual")
        if not isinstance(self.target, Answers):
            raise ConfigError(
                "sample makes answers, and the candidates of this study are none; "
                "set kind = 'response' under [target], or take it out of [proposers] use"
            )

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` answers; see :class:`palate.types.Proposer`.

        Raises:
            BudgetError: A call could have exceeded the budget.
            Exception: What the model raised, if it failed before there was any answer.
        """
        answered = _Answered(known, base=int(rng.integers(2**31)), attempts=self.attempts)
        made: list[Candidate] = []
        while len(made) < n and (draws := answered.next(min(self.concurrency, n - len(made)))):
            outcomes = await asyncio.gather(*map(self._draw, draws), return_exceptions=True)
            failed = failures(outcomes)
            if len(failed) == len(outcomes):
                if made:
                    break
                raise failed[0]
            for draw, outcome in zip(draws, outcomes, strict=True):
                candidate = outcome if isinstance(outcome, Candidate) else None
                if answered.keep(draw, candidate) and candidate is not None:
                    made.append(candidate)
        return made

    async def _draw(self, draw: _Draw) -> Candidate | None:
        """Ask once; ``None`` for an answer that cannot be shown."""
        assert isinstance(self.target, Answers)
        temperature = 0.0 if draw.greedy else self.temperature
        seed = draw.number if self.model.capabilities.seed else None
        request = replace(
            self.target.request(draw.input), temperature=temperature, seed=seed, sample=draw.number
        )
        completion = await self.model.generate(request)
        if completion.finish == "refused":
            return None
        lineage = Lineage(
            "seed" if draw.first else "sample",
            model=self.model.name,
            detail={"temperature": temperature, "attempt": draw.number},
        )
        try:
            return self.target.answer(draw.input, completion.text.strip(), lineage)
        except InputError:
            return None


class _Answered:
    """Which inputs have which answers, and whose turn it is.

    Args:
        known: What the study has.
        base: Number of the first draw.
        attempts: Draws in vain after which an input is passed over.
    """

    def __init__(self, known: Known, *, base: int, attempts: int) -> None:
        self._inputs = {item.id: item for item in known.inputs}
        self._said = {identifier: set[str]() for identifier in self._inputs}
        for candidate in known.existing:
            if candidate.context in self._said:
                self._said[candidate.context].add(_likeness(candidate.text))
        self._misses: Counter[str] = Counter()
        self._number = base
        self._attempts = attempts

    def next(self, n: int) -> list[_Draw]:
        """The next ``n`` draws, each for the input that has the fewest answers then; ties in their order."""
        have = {c: len(texts) for c, texts in self._said.items() if self._misses[c] < self._attempts}
        draws: list[_Draw] = []
        for _ in range(n if have else 0):
            fewest = min(have, key=lambda identifier: have[identifier])
            first = have[fewest] == 0
            # A likeliest answer that could not be used would only come again.
            draws.append(_Draw(self._inputs[fewest], first, first and not self._misses[fewest], self._number))
            have[fewest] += 1
            self._number += 1
        return draws

    def keep(self, draw: _Draw, candidate: Candidate | None) -> bool:
        """Note the outcome of a draw; whether it is a new answer."""
        said, likely = self._said[draw.input.id], "" if candidate is None else _likeness(candidate.text)
        new = candidate is not None and likely not in said
        if new:
            said.add(likely)
            self._misses[draw.input.id] = 0
        else:
            self._misses[draw.input.id] += 1
        return new


def _likeness(text: str) -> str:
    return likeness(text) or text
