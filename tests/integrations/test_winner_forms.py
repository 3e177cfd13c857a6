"""The winner in the forms of other tools says to their models what the study said to its own."""

import json
from collections.abc import Callable
from pathlib import Path

import dspy
import pytest
from dspy.utils import DummyLM
from typer.testing import CliRunner, Result

from palate.command._app import app
from palate.errors import ConfigError, InputError, UnsupportedError
from palate.integrations import WINNER_FORMATS, winner_text
from palate.store import StudyState
from palate.types import Candidate, Input, Json

DEMOS: Json = [{"input": "2+2", "output": "{{4}}"}]


def state(**prompts: Json) -> StudyState:
    made = StudyState()
    made.settings = {"prompts": prompts}
    made.inputs = {"i": Input("i", "text", fields={"tone": "dry", "customer name": "Ann"})}
    return made


def write(candidate: Candidate, form: str, made: StudyState) -> Json:
    return json.loads(winner_text(candidate, made, form))


def test_a_system_prompt_as_messages() -> None:
    made = state(placement="system", template="As {{tone}}: {{input}}")
    candidate = Candidate.make("Use {{braces}} and {% x %} #}.", parts={"demonstrations": []})
    assert write(candidate, "openai", made) == [
        {"role": "system", "content": "Use {{braces}} and {% x %} #}."},
        {"role": "user", "content": "As {{tone}}: {{input}}"},
    ]
    # promptfoo runs templates: braces that are text become templates that print them.
    assert write(candidate, "promptfoo", made) == [
        {"role": "system", "content": "Use {{ '{{' }}braces}} and {{ '{%' }} x %} {{ '#}' }}."},
        {"role": "user", "content": "As {{tone}}: {{input}}"},
    ]


def test_nunjucks_prints_what_the_study_sent() -> None:
    """The escapes use only what Jinja shares with Nunjucks, so Jinja can say what they print."""
    jinja2 = pytest.importorskip("jinja2")
    made = state(placement="template", template="{{prompt}}\n{{input}}")
    nasty = "a {{b}} {% raw %} {# c #} {{ '{{' }} }} {{{ {"
    [message] = write(Candidate.make(nasty), "promptfoo", made)  # type: ignore[misc]
    assert jinja2.Template(message["content"]).render(input="IN {{x}}") == f"{nasty}\nIN {{{{x}}}}"


def test_a_template_prompt_keeps_its_places() -> None:
    made = state(placement="template", template=None)
    candidate = Candidate.make("Say {{ input }} in {{tone}}; {{unknown}}")
    [message] = write(Candidate.make("Say {{ input }} in {{tone}}"), "openai", made)  # type: ignore[misc]
    assert message == {"role": "user", "content": "Say {{input}} in {{tone}}"}
    with pytest.raises(ConfigError, match="unknown"):
        winner_text(candidate, made, "openai")


def test_demonstrations_are_turns() -> None:
    candidate = Candidate.make("Add.", parts={"demonstrations": DEMOS})
    assert write(candidate, "promptfoo", state()) == [
        {"role": "system", "content": "Add."},
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "{{ '{{' }}4}}"},
        {"role": "user", "content": "{{input}}"},
    ]
    assert winner_text(candidate, state(), "text") == "Add.\n\nInput: 2+2\nOutput: {{4}}\n"


def test_what_promptfoo_cannot_name_is_refused() -> None:
    made = state(placement="system", template="{{customer name}}: {{input}}")
    assert winner_text(Candidate.make("x"), made, "openai").count("{{customer name}}") == 1
    with pytest.raises(InputError, match="customer name"):
        winner_text(Candidate.make("x"), made, "promptfoo")
    with pytest.raises(InputError, match="name of a file"):
        winner_text(Candidate.make("file://x.py"), state(), "promptfoo")


def test_json_tells_everything() -> None:
    candidate = Candidate.make("Add.", parts={"demonstrations": DEMOS})
    assert write(candidate, "json", state(placement="system", template=None)) == {
        "candidate": candidate.id,
        "prompt": "Add.",
        "parts": {"demonstrations": DEMOS},
        "placement": "system",
        "template": None,
        "origin": "user",
    }


def test_other_kinds_have_no_conversation() -> None:
    made = state()
    made.settings = {"target": {"kind": "image"}}
    for form in ("openai", "promptfoo", "dspy"):
        with pytest.raises(UnsupportedError, match="image"):
            winner_text(Candidate.make("x"), made, form)
        with pytest.raises(UnsupportedError, match="slots"):
            winner_text(Candidate.make("x", parts={"slots": {}}), state(), form)
    assert winner_text(Candidate.make("x", parts={"slots": {}}), made, "text") == "x\n"
    with pytest.raises(ConfigError, match="'openai'"):
        winner_text(Candidate.make("x"), made, "opnai")


# -- DSPy -----------------------------------------------------------------------------------------


def test_dspy_loads_the_state(tmp_path: Path) -> None:
    """DSPy itself loads it, keeps the fields, and sends the instruction and the demonstration."""
    candidate = Candidate.make("Add the numbers.", parts={"demonstrations": DEMOS})
    path = tmp_path / "winner.json"
    path.write_text(winner_text(candidate, state(), "dspy"), encoding="utf-8")
    program = dspy.Predict("input -> output")
    program.load(path)
    assert program.signature.instructions == "Add the numbers."
    assert list(program.signature.fields) == ["input", "output"]
    lm = DummyLM([{"output": "5"}])
    with dspy.context(lm=lm):
        assert program(input="2+3").output == "5"
    sent = "\n".join(message["content"] for message in lm.history[-1]["messages"])
    assert "Add the numbers." in sent
    assert "2+2" in sent
    assert "{{4}}" in sent


def test_dspy_loads_the_state_into_a_named_predictor(tmp_path: Path) -> None:
    path = tmp_path / "winner.json"
    path.write_text(
        winner_text(Candidate.make("Think."), state(), "dspy", predictor="predict"), encoding="utf-8"
    )
    program = dspy.ChainOfThought("question -> answer")
    described = program.predict.signature.fields["reasoning"].json_schema_extra
    program.load(path)
    assert program.predict.signature.instructions == "Think."
    assert program.predict.signature.fields["reasoning"].json_schema_extra == described


def test_dspy_cannot_fill_placeholders() -> None:
    made = state(placement="template", template=None)
    with pytest.raises(UnsupportedError, match="tone"):
        winner_text(Candidate.make("Say it in {{tone}}: {{7*7}}"), made, "dspy")


# -- the command ----------------------------------------------------------------------------------

STUDY = """\
[study]
candidates = 2
[model]
kind = "scripted"
answers = ["Yes.", "No."]
[embedding]
kind = "scripted"
[inputs]
inline = [{text = "a", answer = "Yes."}, {text = "b", answer = "No."}]
column = "text"
reference_column = "answer"
[prompts]
seed = "Reply."
list = ["Reply well."]
[proposers]
use = []
"""


@pytest.fixture
def best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    runner = CliRunner()
    ran = runner.invoke(app, ["run", "study.toml", "--judge", "simulated", "--votes", "2"])
    assert ran.exit_code == 0, ran.stderr
    return lambda *arguments: runner.invoke(app, ["best", *arguments])


def test_the_best_prompt_for_another_tool(best: Callable[..., Result], tmp_path: Path) -> None:
    prompt = best().stdout.removesuffix("\n")
    assert prompt in ("Reply.", "Reply well.")
    assert best("--format", "text").stdout == f"{prompt}\n"
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": "{{input}}"}]
    assert json.loads(best("--format", "openai").stdout) == messages
    told = best("--format", "promptfoo", "--output", "winner.json")
    assert told.stdout == "Wrote winner.json.\n"
    assert json.loads((tmp_path / "winner.json").read_text(encoding="utf-8")) == messages
    assert (
        best("--format", "promptfoo", "-o", "winner.json").exit_code == 2
    )  # never over a file of the user's
    assert set(json.loads(best("--json").stdout)) > {"prompt", "votes"}
    dspied = json.loads(best("-f", "dspy", "--predictor", "predict").stdout)
    assert dspied["predict"]["signature"]["instructions"] == prompt


def test_formats_that_are_not_known(best: Callable[..., Result]) -> None:
    refused = best("--format", "openi")
    assert refused.exit_code == 2
    for form in WINNER_FORMATS:
        assert repr(form) in refused.stderr
    hint = CliRunner().invoke(app, ["export", "study.toml", "--format", "promptfoo", "-o", "x"])
    assert "palate best --format promptfoo" in hint.stderr
