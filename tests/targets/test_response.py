import asyncio
import json
from typing import Any

import pytest

from palate.errors import ConfigError, InputError
from palate.kinds import read_chat
from palate.targets import LONGEST_ANSWER, ResponseTarget
from palate.testing import TargetContract
from palate.types import Candidate, Input, Lineage, Message, Response

ASKED = Input("1", "What barks?", fields={"today": "A dog.", "topic": "pets"})
EARLIER = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]
CHAT = Input("2", "What purrs?", fields={"messages": json.dumps(EARLIER)})
TARGET = ResponseTarget()


def answer(text: str, asked: Input = ASKED) -> Candidate:
    return TARGET.answer(asked, text, Lineage("sample"))


def respond(candidate: Candidate, asked: Input = ASKED) -> Response:
    return asyncio.run(TARGET.respond(candidate, asked))


class TestContract(TargetContract):
    """It calls nothing; what fails it is an answer to another input."""

    @pytest.fixture
    def target(self) -> ResponseTarget:
        return TARGET

    @pytest.fixture
    def failing_target(self) -> "Misplaced":
        return Misplaced()

    @pytest.fixture
    def candidate(self) -> Candidate:
        return answer("A dog.")


class Misplaced:
    async def respond(self, candidate: Candidate, input: Input) -> Response:
        return await TARGET.respond(candidate, Input("other", input.text))


def test_the_answer_is_what_is_shown() -> None:
    assert respond(answer("A dog.")) == Response("text", "A dog.", cost=0.0)
    assert answer("A dog.").context == "1"
    shown = read_chat(respond(answer("A cat.", CHAT), CHAT).content)
    assert [turn.content for turn in shown] == ["Hello", "Good day.", "What purrs?", "A cat."]


def test_the_question_is_asked_with_its_prompt_and_its_past() -> None:
    target = ResponseTarget(prompt="Be kind.", template="{{topic}}: {{input}}", max_tokens=7)
    request = target.request(ASKED)
    assert request.messages == (Message("system", "Be kind."), Message("user", "pets: What barks?"))
    assert request.max_tokens == 7
    assert [m.content for m in TARGET.request(CHAT).messages] == ["Hello", "Good day.", "What purrs?"]
    with pytest.raises(ConfigError, match="topic"):
        target.request(CHAT)


def test_features_read_the_question_and_the_answer() -> None:
    assert TARGET.features_text(answer("A dog.")) == "User: What barks?\n\nA dog."
    assert TARGET.features_text(answer("A cat.", CHAT)) == (
        "User: Hello\n\nAssistant: Good day.\n\nUser: What purrs?\n\nA cat."
    )


def test_answers_of_today_are_the_seeds() -> None:
    [seed] = ResponseTarget(answer_column="today").origin([ASKED, CHAT])
    assert (seed.text, seed.context, seed.lineage.origin) == ("A dog.", "1", "seed")
    assert TARGET.origin([ASKED]) == []
    with pytest.raises(ConfigError, match="yesterday"):
        ResponseTarget(answer_column="yesterday").origin([ASKED])


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (Candidate.make("A dog."), "for no input"),
        (answer("A cat.", CHAT), "for the input 2, not for the input 1"),
        (Candidate.make(" ", parts={"context": "1"}), "empty answer"),
        (Candidate.make("x" * (LONGEST_ANSWER + 1), parts={"context": "1"}), "200,001 bytes"),
        (Candidate.make("é" * (LONGEST_ANSWER // 2 + 1), parts={"context": "1"}), "200,002 bytes"),
        (Candidate.make("x", parts={"context": "1", "slots": {}}), "'slots'"),
    ],
)
def test_what_is_no_answer_here_fails(candidate: Candidate, why: str) -> None:
    response = respond(candidate)
    assert response.failed
    assert why in response.failed
    assert response.content == ""


def test_what_cannot_work_is_refused() -> None:
    for options in ({"template": "no place"}, {"max_tokens": 0}):
        with pytest.raises(ConfigError):
            ResponseTarget(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="belongs to one input"):
        TARGET.check(Candidate.make("Answer politely."))
    bad: Any = Candidate.make("", parts={"context": "1"})
    with pytest.raises(InputError, match="empty"):
        TARGET.check(bad)
