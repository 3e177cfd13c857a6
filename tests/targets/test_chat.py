import asyncio
import json
from typing import Any

import pytest

from palate.errors import BudgetError, ConfigError, InputError, ModelError
from palate.kinds import read_chat
from palate.models import ScriptedModel
from palate.targets import LONGEST_ANSWER, ChatTarget
from palate.testing import TargetContract
from palate.types import Candidate, Completion, Input, Message, Request, Response

EARLIER = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]
PROMPT = Candidate.make("Be brief.")


def asked(text: str = "Why?", **fields: Any) -> Input:
    given = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return Input("1", text, fields=given)


class Listening(ScriptedModel):
    """Answers with the number of messages that it was sent, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(["x"], repeat=True)
        self.requests: list[Request] = []

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        return Completion(f"seen {len(request.messages)}", "listening", cost=0.25, seconds=1.0)


def respond(target: ChatTarget, place: Input, candidate: Candidate = PROMPT) -> Response:
    return asyncio.run(target.respond(candidate, place))


class TestContract(TargetContract):
    @pytest.fixture
    def target(self) -> ChatTarget:
        return ChatTarget(ScriptedModel(["hot"], repeat=True))

    @pytest.fixture
    def failing_target(self) -> ChatTarget:
        return ChatTarget(ScriptedModel([ModelError("no\nnet")], repeat=True))


def test_a_whole_conversation_is_driven_and_shown() -> None:
    model = Listening()
    response = respond(
        ChatTarget(model, temperature=0.5, max_tokens=9), asked(messages=EARLIER, further=["And?"])
    )
    turns = [("user", "Hello"), ("assistant", "Good day."), ("user", "Why?"), ("assistant", "seen 4")]
    turns += [("user", "And?"), ("assistant", "seen 6")]
    assert response.kind == "chat"
    assert [(turn.role, turn.content) for turn in read_chat(response.content)] == turns
    assert (response.seconds, response.cost) == (2.0, 0.5)
    sent = model.requests[1]
    assert [(m.role, m.content) for m in sent.messages] == [("system", "Be brief."), *turns[:5]]
    assert (sent.temperature, sent.max_tokens) == (0.5, 9)


def test_an_input_without_columns_is_one_turn() -> None:
    response = respond(ChatTarget(Listening()), asked(messages="", further=" "))
    assert read_chat(response.content) == (Message("user", "Why?"), Message("assistant", "seen 2"))


def test_demonstrations_are_sent_and_not_shown() -> None:
    model = Listening()
    shots = {"demonstrations": [{"input": "big", "output": "small"}]}
    candidate = Candidate.make("Opposite.", parts=shots)
    response = respond(ChatTarget(model), asked(messages=EARLIER), candidate)
    assert [m.content for m in model.requests[0].messages] == [
        "Opposite.", "big", "small", "Hello", "Good day.", "Why?"
    ]  # fmt: skip
    assert "small" not in response.content
    assert "Opposite." not in response.content
    assert "small" in ChatTarget(model).features_text(candidate)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"messages": "[1"}, "no JSON"),
        ({"messages": {"role": "user"}}, "no list"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "end with the user"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "leave it out"),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "each is an object"),
        ({"messages": [{"role": "assistant", "content": " "}]}, "each is an object"),
        ({"messages": ["Hi"]}, "each is an object"),
        ({"messages": EARLIER * 101}, "202 turns"),
        ({"further": [1]}, "each is a text"),
        ({"further": ["a"] * 21}, "21 turns"),
    ],
)
def test_a_malformed_conversation_fails_without_a_call(fields: dict[str, Any], why: str) -> None:
    model = Listening()
    response = respond(ChatTarget(model), asked(**fields))
    assert response.failed
    assert why in response.failed
    assert response.content == ""
    assert model.requests == []


def test_one_failed_answer_fails_the_conversation() -> None:
    model = ScriptedModel(["one", "", "three"])
    response = respond(ChatTarget(model), asked(further=["And?", "Then?"]))
    assert response.failed
    assert response.failed.startswith("answer 2: ")
    assert response.content == ""


def test_a_conversation_that_grows_too_long_fails() -> None:
    half = "x" * (LONGEST_ANSWER // 2)
    response = respond(ChatTarget(ScriptedModel([half], repeat=True)), asked(further=["And?"]))
    assert response.failed
    assert "bytes" in response.failed


def test_the_budget_ends_the_study_and_not_the_answer() -> None:
    with pytest.raises(BudgetError):
        respond(ChatTarget(ScriptedModel([BudgetError("used up")], repeat=True)), asked())


def test_what_cannot_work_is_refused() -> None:
    target = ChatTarget(Listening())
    with pytest.raises(ConfigError, match="word for word"):
        target.check(Candidate.make("On {{input}}."))
    with pytest.raises(ConfigError, match="topic"):
        target.check(Candidate.make("On {{topic}}."), ["topic"])
    target.check(Candidate.make("Say {{topic}}."))
    with pytest.raises(InputError, match="give a list"):
        target.check(Candidate.make("x", parts={"demonstrations": "y"}))
    with pytest.raises(ConfigError, match="temperature"):
        ChatTarget(Listening(), temperature=3.0)
    with pytest.raises(ConfigError, match="max_tokens"):
        ChatTarget(Listening(), max_tokens=0)
