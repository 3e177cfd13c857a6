import asyncio
from typing import Any

import pytest

from palate.errors import BudgetError, ConfigError, InputError, ModelError, StoreError
from palate.models import ScriptedModel
from palate.registry import make
from palate.targets import LONGEST_ANSWER, InstructionTarget
from palate.testing import TargetContract
from palate.types import Candidate, Completion, Input, Message, Response

ASKED = Input("1", "cold", fields={"topic": "weather"})
SHOTS = {"demonstrations": [{"input": "big", "output": "small"}]}


def _target(answer: Any = "hot", **options: Any) -> InstructionTarget:
    return InstructionTarget(ScriptedModel([answer], repeat=True), **options)


def _turns(target: InstructionTarget, text: str, parts: Any = None) -> list[tuple[str, str]]:
    request = target.request(Candidate.make(text, parts=parts), ASKED)
    return [(message.role, message.content) for message in request.messages]


def _respond(target: InstructionTarget, text: str = "Opposite?") -> Response:
    return asyncio.run(target.respond(Candidate.make(text), ASKED))


class TestContract(TargetContract):
    @pytest.fixture
    def target(self) -> InstructionTarget:
        return _target()

    @pytest.fixture
    def failing_target(self) -> InstructionTarget:
        return _target(ValueError("bad\nthing"))


def test_system_placement_sends_the_prompt_word_for_word() -> None:
    assert _turns(_target(), "Say {{7*7}} {{x}}") == [("system", "Say {{7*7}} {{x}}"), ("user", "cold")]


def test_system_placement_shapes_the_user_message() -> None:
    target = _target(template="{{topic}}: {{ input }}")
    assert _turns(target, "Opposite?") == [("system", "Opposite?"), ("user", "weather: cold")]


def test_template_placement_fills_prompt_and_input_once() -> None:
    target = _target(placement="template", template="{{prompt}}\n\nInput: {{input}}")
    assert _turns(target, "Write {{braces}}") == [("user", "Write {{braces}}\n\nInput: cold")]


@pytest.mark.parametrize("template", [None, "{{prompt}} / {{input}}"])
def test_a_prompt_that_names_the_input_is_the_template(template: str | None) -> None:
    target = _target(placement="template", template=template)
    assert _turns(target, "What is not {{input}}?") == [("user", "What is not cold?")]
    assert _turns(target, "On {{topic}}.") == [("user", "On weather.")]


def test_an_input_full_of_placeholders_stays_what_it_is() -> None:
    target = _target(placement="template")
    request = target.request(Candidate.make("Q: {{input}}"), Input("1", "{{input}} {{topic}}"))
    assert request.messages == (Message("user", "Q: {{input}} {{topic}}"),)


def test_demonstrations_are_earlier_turns() -> None:
    shown = [("user", "> big"), ("assistant", "small"), ("user", "> cold")]
    assert _turns(_target(template="> {{input}}"), "Opposite?", SHOTS) == [("system", "Opposite?"), *shown]
    template = _target(placement="template", template="{{prompt}} {{input}}")
    assert _turns(template, "Not", SHOTS) == [
        ("user", "Not big"),
        ("assistant", "small"),
        ("user", "Not cold"),
    ]


def test_a_template_may_say_where_demonstrations_go() -> None:
    target = _target(
        placement="template", template="{{prompt}}\n{{demonstrations}}\nInput: {{input}}\nOutput:"
    )
    assert _turns(target, "Not", SHOTS) == [("user", "Not\nInput: big\nOutput: small\nInput: cold\nOutput:")]
    assert _turns(target, "Not") == [("user", "Not\n\nInput: cold\nOutput:")]


def test_demonstrations_cannot_fill_other_columns() -> None:
    target = _target(template="{{topic}}: {{input}}")
    with pytest.raises(ConfigError, match="topic"):
        _turns(target, "Opposite?", SHOTS)


@pytest.mark.parametrize(
    "parts",
    [
        {"demonstrations": "big"},
        {"demonstrations": [["big", "small"]]},
        {"demonstrations": [{"input": "big"}]},
        {"demonstrations": [{"input": "big", "output": 3}]},
        {"picture": "x.png"},
    ],
)
def test_malformed_parts_are_refused(parts: Any) -> None:
    candidate = Candidate.make("Opposite?", parts=parts)
    with pytest.raises(InputError, match=candidate.id):
        _target().check(candidate)
    assert asyncio.run(_target().respond(candidate, ASKED)).failed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"placement": "user"}, "'system' or 'template'"),
        ({"placement": "template", "template": "{{input}}"}, "no {{prompt}}"),
        ({"placement": "template", "template": "{{prompt}}"}, "no {{input}}"),
        ({"placement": "template", "template": "{{prompt}} {{demonstrations}}"}, "no {{input}}"),
        ({"template": "{{prompt}} {{input}}"}, "has {{prompt}}"),
        ({"template": "say something"}, "no {{input}}"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _target(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "prompt", "message"),
    [
        ({}, "Negate {{input}}", "placement = 'template'"),
        ({}, "On {{topic}}", "{{topic}}"),
        ({"placement": "template"}, "Negate it", "add {{input}} to it, or set template = '{{prompt}}"),
        ({"placement": "template"}, "Negate {{inptu}}", "it names {{inptu}}"),
        ({"placement": "template"}, "{{inptu}} {{input}}", "did you mean 'input'"),
        ({"template": "{{tpoic}} {{input}}"}, "Negate it", "did you mean 'topic'"),
    ],
)
def test_prompts_that_cannot_work(options: dict[str, Any], prompt: str, message: str) -> None:
    target = _target(**options)
    with pytest.raises(ConfigError) as caught:
        target.check(Candidate.make(prompt), fields=["topic"])
    assert message in str(caught.value)
    failed = _respond(target, prompt).failed
    assert failed is not None
    assert failed.startswith(str(caught.value).split("{{", maxsplit=1)[0])


def test_a_good_prompt_passes_the_check() -> None:
    _target(placement="template").check(Candidate.make("{{topic}}: {{input}}"), fields=["topic"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ModelError("no such host"), "no such host"),
        (Completion("Sorry.", "m", finish="refused"), "refused"),
        ("", "empty"),
        (" \n\t", "empty"),
        ("é" * (LONGEST_ANSWER // 2 + 1), "200,002 bytes"),
    ],
)
def test_answers_that_are_failures(answer: Any, reason: str) -> None:
    response = _respond(_target(answer))
    assert response.content == ""
    assert response.failed is not None
    assert reason in response.failed


def test_long_but_allowed() -> None:
    assert len(_respond(_target("x" * LONGEST_ANSWER)).content) == LONGEST_ANSWER


def test_text_that_no_encoding_takes_is_mended() -> None:
    assert _respond(_target("a\ud800b")).content == "a?b"


@pytest.mark.parametrize("error", [BudgetError("spent"), StoreError("disk full")])
def test_what_is_not_the_candidates_fault_reaches_the_caller(error: Exception) -> None:
    with pytest.raises(type(error)):
        _respond(_target(error))


def test_cost_and_time_are_the_completions() -> None:
    response = _respond(_target(Completion("hot", "m", cost=0.25, seconds=1.5)))
    assert (response.cost, response.seconds) == (0.25, 1.5)
    assert _respond(_target(Completion("hot", "m"))).cost is None


def test_options_reach_the_request() -> None:
    request = _target(temperature=0.7, max_tokens=9, seed=5).request(Candidate.make("x"), ASKED)
    assert (request.temperature, request.max_tokens, request.seed) == (0.7, 9, 5)


def test_features_cover_the_demonstrations() -> None:
    target = _target()
    assert target.features_text(Candidate.make("Opposite?")) == "Opposite?"
    with_shots = target.features_text(Candidate.make("Opposite?", parts=SHOTS))
    assert with_shots == "Opposite?\n\nInput: big\nOutput: small"


def test_the_registry_makes_one() -> None:
    target = make("targets", "instruction", {"max_tokens": 7}, model=ScriptedModel("hot"))
    assert _respond(target).content == "hot"
