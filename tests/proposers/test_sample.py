import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from palate.errors import BudgetError, ConfigError, ModelError
from palate.models import ScriptedModel
from palate.proposers import Sample
from palate.targets import InstructionTarget, ResponseTarget
from palate.types import Candidate, Completion, Input, Known, Request

INPUTS = [Input("a", "What barks?"), Input("b", "What purrs?"), Input("c", "What sings?")]


class Answering(ScriptedModel):
    """Answers by a function of the question and of how often it was asked, and keeps the requests."""

    def __init__(self, answer: Callable[[str, int, Request], Any]) -> None:
        super().__init__(["x"], repeat=True)
        self.requests: list[Request] = []
        self._answer = answer
        self._times: Counter[str] = Counter()

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        question = request.messages[-1].content
        self._times[question] += 1
        said = self._answer(question, self._times[question], request)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Completion) else Completion(said, "answering")


def numbered(question: str, times: int, _request: Request) -> str:
    return f"{question[5:-1]} {times}"


def propose(
    model: Answering, n: int, existing: Sequence[Candidate] = (), seed: int = 0, **options: Any
) -> list[Candidate]:
    proposer = Sample(model, ResponseTarget(), **options)
    known = Known(existing, inputs=INPUTS)
    return asyncio.run(proposer.propose(n, known=known, rng=np.random.default_rng(seed)))


def test_the_first_answer_of_each_input_is_greedy_and_the_seed() -> None:
    model = Answering(numbered)
    made = propose(model, 6)
    assert [(c.context, c.lineage.origin) for c in made] == [
        *((place, "seed") for place in "abc"),
        *((place, "sample") for place in "abc"),
    ]
    assert [request.temperature for request in model.requests] == [0.0] * 3 + [1.0] * 3
    assert len({request.sample for request in model.requests}) == 6


def test_the_input_with_the_fewest_answers_comes_next() -> None:
    first = propose(Answering(numbered), 4)
    assert Counter(c.context for c in first) == {"a": 2, "b": 1, "c": 1}
    more = propose(Answering(lambda q, n, _: f"{q} again {n}"), 5, first)
    assert Counter(c.context for c in [*first, *more]) == {"a": 3, "b": 3, "c": 3}
    assert {c.lineage.origin for c in more} == {"sample"}


def test_the_same_generator_draws_the_same() -> None:
    once, again = Answering(numbered), Answering(numbered)
    assert propose(once, 7) == propose(again, 7)
    assert once.requests == again.requests
    other = Answering(numbered)
    propose(other, 7, seed=1)
    assert other.requests != once.requests


def test_an_input_whose_answers_repeat_does_not_hold_up_the_others() -> None:
    model = Answering(lambda q, n, _: "Woof!" if "barks" in q else f"{q} {n}")
    made = propose(model, 9, attempts=3)
    assert Counter(c.context for c in made) == {"a": 1, "b": 4, "c": 4}
    assert sum("barks" in r.messages[-1].content for r in model.requests) <= 1 + 3 + 3


def test_a_model_that_always_says_the_same_ends() -> None:
    model = Answering(lambda *_: "Yes.")
    made = propose(model, 9, attempts=2, concurrency=2)
    assert Counter(c.context for c in made) == {"a": 1, "b": 1, "c": 1}
    assert propose(model, 9, made, attempts=2) == []


def test_the_same_answer_to_two_inputs_is_two_candidates() -> None:
    made = propose(Answering(lambda *_: "Yes."), 3)
    assert len({c.id for c in made}) == 3


def test_what_is_no_answer_is_drawn_again() -> None:
    def ill(question: str, times: int, _request: Request) -> Any:
        return ["", Completion("No.", "m", finish="refused"), "x" * 200_001, "fine"][min(times, 4) - 1]

    model = Answering(ill)
    made = propose(model, 3)
    assert [c.text for c in made] == ["fine"] * 3
    assert [c.lineage.origin for c in made] == ["seed"] * 3
    # The likeliest answer would only come again, so it is asked for once.
    assert Counter(r.temperature for r in model.requests)[0.0] == 3


def test_failures_are_raised_before_there_is_an_answer_and_kept_quiet_after() -> None:
    with pytest.raises(ModelError):
        propose(Answering(lambda *_: ModelError("no net")), 3)
    later = Answering(lambda q, n, _: f"{q}" if n == 1 else ModelError("no net"))
    assert len(propose(later, 9, concurrency=3)) == 3
    with pytest.raises(BudgetError):
        propose(Answering(lambda q, n, _: BudgetError("used up") if "purrs" in q else q), 3)


def test_nothing_wanted_or_nothing_to_ask() -> None:
    model = Answering(numbered)
    assert propose(model, 0) == []
    proposer = Sample(model, ResponseTarget())
    assert asyncio.run(proposer.propose(3, known=Known(), rng=np.random.default_rng(0))) == []
    assert model.requests == []


def test_what_cannot_work_is_refused() -> None:
    model = Answering(numbered)
    with pytest.raises(ConfigError, match="kind = 'response'"):
        Sample(model, InstructionTarget(model))
    for options in ({"temperature": 0.0}, {"temperature": 2.5}, {"attempts": 0}, {"concurrency": 0}):
        with pytest.raises(ConfigError):
            Sample(model, ResponseTarget(), **options)
