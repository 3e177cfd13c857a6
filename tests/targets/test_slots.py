import asyncio
from typing import Any

import numpy as np
import pytest

from palate.errors import ConfigError, InputError, ModelError
from palate.models import ScriptedModel
from palate.targets import InstructionTarget, SlotsTarget
from palate.testing import TargetContract
from palate.types import Candidate, Input, Response

SLOTS = {
    "role": ["You are a librarian.", "You are a teacher."],
    "task": ["Summarise the text.", "Name the main point.", "Ask one question about the text."],
    "format": ["", "Use one sentence."],
}
ASKED = Input("1", "A text.", fields={"topic": "books"})


def _target(answer: Any = "hot", slots: Any = SLOTS, **options: Any) -> SlotsTarget:
    return SlotsTarget(ScriptedModel([answer], repeat=True), slots, **options)


def _said(target: SlotsTarget, candidate: Candidate) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in target.request(candidate, ASKED).messages]


class TestContract(TargetContract):
    @pytest.fixture
    def target(self) -> SlotsTarget:
        return _target()

    @pytest.fixture
    def failing_target(self) -> SlotsTarget:
        return _target(ModelError("the model\nis ill"))

    @pytest.fixture
    def candidate(self) -> Candidate:
        return _target().origin([])[0]


def test_the_first_options_are_the_seed() -> None:
    [seed] = _target().origin([ASKED])
    assert seed.text == "You are a librarian.\n\nSummarise the text."
    assert seed.parts == {
        "slots": {"role": "You are a librarian.", "task": "Summarise the text.", "format": ""}
    }
    assert seed.lineage.origin == "seed"


def test_what_is_sent_is_what_an_instruction_would_send() -> None:
    target = _target()
    choice = {"role": "You are a teacher.", "task": "Name the main point.", "format": "Use one sentence."}
    candidate = target.combination(choice)
    plain = InstructionTarget(ScriptedModel(["x"]))
    text = "You are a teacher.\n\nName the main point.\n\nUse one sentence."
    assert candidate.text == text
    assert target.request(candidate, ASKED) == plain.request(Candidate.make(text), ASKED)


def test_a_layout_says_where_slots_stand() -> None:
    target = _target(layout="{{task}} {{format}}\n\n\n\n({{role}})")
    assert target.origin([])[0].text == "Summarise the text. \n\n(You are a librarian.)"
    own = _target(layout="{{role}}\n{{task}}{{format}}\n\n{{input}} on {{topic}}", placement="template")
    candidate = own.origin([])[0]
    assert _said(own, candidate) == [
        ("user", "You are a librarian.\nSummarise the text.\n\nA text. on books")
    ]
    own.check(candidate, ["topic"])
    with pytest.raises(ConfigError, match="'input', 'other'"):
        own.check(candidate, ["other"])


def test_an_option_is_filled_in_as_it_is() -> None:
    target = _target(slots={"a": ["{{b}}", "x"], "b": ["y", "z"]}, layout="{{a}} {{b}}")
    assert target.origin([])[0].text == "{{b}} y"


def test_demonstrations_travel_with_the_slots() -> None:
    target = _target()
    shots = [{"input": "big", "output": "small"}]
    candidate = target.combination(target.origin([])[0].parts["slots"], demonstrations=shots)
    assert _said(target, candidate)[1:] == [("user", "big"), ("assistant", "small"), ("user", "A text.")]
    assert "small" in target.features_text(candidate)
    np.testing.assert_array_equal(target.features(candidate), target.features(target.origin([])[0]))


def test_features_are_one_column_an_option() -> None:
    target = _target()
    row = target.features(target.origin([])[0])
    np.testing.assert_allclose(row, np.array([1, 0, 1, 0, 0, 1, 0]) / np.sqrt(3))
    choice = {"role": "You are a teacher.", "task": "Ask one question about the text.", "format": ""}
    other = target.features(target.combination(choice))
    np.testing.assert_allclose(other, np.array([0, 1, 0, 0, 1, 1, 0]) / np.sqrt(3))
    assert np.linalg.norm(other) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("slots", "options", "message"),
    [
        ({"role": ["only"]}, {}, "'role' has 1 option, so there is nothing to choose"),
        ({"role": []}, {}, "0 options"),
        ({"role": ["a", "a"]}, {}, "twice"),
        ({"role": "ab"}, {}, "give a list of options"),
        ({"role": ["a", 2]}, {}, "give a text"),
        ({"input": ["a", "b"]}, {}, "cannot be called 'input'"),
        ({"a{b": ["a", "b"]}, {}, "cannot be called"),
        ({}, {}, "give a table of options"),
        ({"role": ["a", "b"]}, {"layout": "no slot"}, r"no \{\{role\}\}"),
        ({"role": ["a", "b"]}, {"layout": "{{role}} {{rule}}"}, "did you mean 'role'"),
        ({"role": ["a", "b"]}, {"temperature": 3.0}, "temperature"),
    ],
)
def test_what_cannot_work_is_refused(slots: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _target(slots=slots, **options)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "has no slots"),
        ({"slots": {"role": "You are a librarian.", "task": "Summarise the text."}}, "'format' has no value"),
        ({"slots": {**{k: v[0] for k, v in SLOTS.items()}, "tone": "kind"}}, "no slot is called 'tone'"),
        ({"slots": {**{k: v[0] for k, v in SLOTS.items()}, "format": "Shout."}}, "'format' is 'Shout.'"),
        ({"slots": {k: v[1] for k, v in SLOTS.items()}}, "not what its slots make"),
    ],
)
def test_what_is_no_combination_fails_and_says_so(parts: dict[str, Any], message: str) -> None:
    candidate = Candidate.make("You are a librarian.\n\nSummarise the text.", parts=parts)
    with pytest.raises(InputError, match=message):
        _target().check(candidate)
    response = asyncio.run(_target().respond(candidate, ASKED))
    assert response == Response("text", "", failed=response.failed)
    assert response.failed
