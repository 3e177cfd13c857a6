"""Texts that template languages would run come out of every substitution as they went in."""

import asyncio
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from payloads import FAMILIES

from palate.command._study_file import Answers, study_file
from palate.config import load_inputs, load_prompts, read_config
from palate.integrations.promptfoo import read_promptfoo
from palate.judges import LanguageModelJudge
from palate.judges._talk import talk_in
from palate.models import scripted_model
from palate.proposers._written import filled
from palate.targets import InstructionTarget, SettingsTarget, literal_fill
from palate.targets._template import placeholders
from palate.types import Candidate, Duel, Input, Request, Response

CORPUS = [
    *FAMILIES["notation"],
    "{{input}}",
    "{{ input }}{{prompt}}{{column}}",
    "{input}{prompt}{0}{0.__class__}{rubric}{fence}",
    "%(input)s %s %n %d",
    "$input ${input} $$ $(id) `id`",
    "<%= system('id') %>",
    "{{config.items()}}{{request.application.__globals__}}",
    "{{''|attr('__class__')}}{%if 1%}x{%endif%}",
    "\\1\\g<0>\\g<input>\\n",
    "{{" * 50 + "}}" * 50,
    "{}{}{!r:>{width}}",
    "\x00{{input}}\x00",
]
ROWS = [text for text in CORPUS if text.strip()]


@pytest.mark.parametrize("text", CORPUS)
def test_one_literal_pass(text: str) -> None:
    assert literal_fill("{{input}}", {"input": text}) == text
    assert literal_fill("a {{x}} b {{ y }}", {"x": text, "y": text}) == f"a {text} b {text}"
    assert text in filled("{first}, {second}", {"first": text, "second": "{first}"})


class Listener:
    """A model that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self._model = scripted_model(["FIRST"], repeat=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    async def generate(self, request: Request) -> Any:
        self.asked.append(request)
        return await self._model.generate(request)


def told(make: Callable[[Any], Any], candidate: Candidate, input: Input) -> str:
    model = Listener()
    asyncio.run(make(model).respond(candidate, input))
    return "\n".join(message.content for request in model.asked for message in request.messages)


@pytest.mark.parametrize("text", CORPUS)
def test_targets_hand_on_what_they_were_given(text: str) -> None:
    given = Input("i", text, (), {"column": text})
    shape = "Q {{input}} C {{column}} E"
    said = told(lambda model: InstructionTarget(model, template=shape), Candidate.make("Answer."), given)
    assert f"Q {text} C {text} E" in said
    prompt = Candidate.make(f"Do {text}")
    said = told(lambda model: InstructionTarget(model), prompt, given)
    if {"input", "column"} & set(placeholders(text)):  # a system message fills none: refused, and not sent
        response = asyncio.run(InstructionTarget(scripted_model(["x"])).respond(prompt, given))
        assert said == ""
        assert "but with placement" in str(response.failed)
    else:
        assert f"Do {text}" in said
    placed = told(
        lambda model: InstructionTarget(model, placement="template", template="{{prompt}} / {{input}}"),
        Candidate.make(text),
        Input("i", "plain {{prompt}}"),
    )
    if "input" in placeholders(text):  # such a prompt is the template itself; what goes in is not read again
        # One that names what the input does not have is refused, and not sent.
        unknown = set(placeholders(text)) - {"input"}
        assert placed.count("plain {{prompt}}") == (0 if unknown else 1)
        assert bool(placed) == (not unknown)
    else:
        assert f"{text} / plain {{{{prompt}}}}" in placed


@pytest.mark.parametrize("text", [text for text in CORPUS if "\x00" not in text])
def test_a_command_gets_its_arguments_as_they_are(text: str) -> None:
    code = "import sys, json; print(json.dumps(sys.argv[1:]))"
    target = SettingsTarget(
        {"size": [1, 2]},
        [sys.executable, "-I", "-c", code, "{size}", "{{input}}", "x{{column}}"],
        stdin="nothing",
    )
    given = Input("i", text, (), {"column": text})
    answered = asyncio.run(target.respond(target.origin([given])[0], given))
    assert answered.failed is None
    assert json.loads(answered.content) == ["1", text, f"x{text}"]


@pytest.mark.parametrize("text", [text for text in CORPUS if not talk_in(text)])
def test_a_judge_reads_answers_and_rubrics_as_they_are(text: str) -> None:
    model = Listener()
    judge = LanguageModelJudge(model, rubric=f"Look at {text}")  # pyright: ignore[reportArgumentType]
    sides = Response("text", text), Response("text", "other")
    asyncio.run(judge.judge(Duel("d", "p", "j", Input("i", text), *sides, "a", "b", False)))
    system, user = (message.content for message in model.asked[0].messages)
    assert f"Look at {text}" in system
    assert user.count(text) >= 2


@pytest.mark.parametrize("text", ROWS)
def test_a_study_file_that_is_written_says_what_was_answered(text: str) -> None:
    plain = text.replace("\x00", "")
    tables = tomllib.loads(study_file(Answers(name=plain, prompt=plain, guidelines=plain), schema="s.json"))
    assert tables["study"]["name"] == plain
    assert tables["study"]["guidelines"] == plain
    assert tables["prompts"]["seed"] == plain


def test_a_promptfoo_file_keeps_its_values(tmp_path: Path) -> None:
    values = [
        text.replace("\x00", "")
        for text in ROWS
        if "{{" not in text and "{%" not in text and "{#" not in text
    ]
    config = {
        "prompts": ["Say {{t}} twice"],
        "providers": ["openai:m"],
        "tests": [{"vars": {"t": v}} for v in values],
    }
    (tmp_path / "promptfooconfig.json").write_text(json.dumps(config))
    made = read_promptfoo(tmp_path / "promptfooconfig.json", inputs_file="study.inputs.jsonl")
    (tmp_path / "study.toml").write_text(made.text)
    if made.inputs is not None:
        (tmp_path / "study.inputs.jsonl").write_text(made.inputs)
    study = read_config(tmp_path / "study.toml")
    found = {input.text for input in load_inputs(study)} | {
        value for input in load_inputs(study) for value in input.fields.values()
    }
    assert set(values) <= found
    assert len(load_prompts(study)) >= 1
