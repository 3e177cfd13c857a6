"""``palate init --from-promptfoo`` writes a study that ``palate run`` accepts, and says what it left out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from palate.command._app import app
from palate.config import load_inputs, read_config

Call = Callable[..., Result]
TEXT = """\
prompts: ['Say {{t}}', 'Tell me {{t}}', '{{ t | upper }}']
providers: [openai:gpt-4o-mini]
tests: [{vars: {t: [a, b]}, assert: [{type: equals, value: 'A {{t}}'}]}]
"""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "promptfooconfig.yaml").write_text(TEXT, encoding="utf-8")

    def caller(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, prog_name="palate")

    return caller


def test_a_study_is_written(call: Call, tmp_path: Path) -> None:
    told = call("init", "--from-promptfoo", "promptfooconfig.yaml")
    assert told.exit_code == 0
    assert told.stdout == (
        "Took over 2 prompts and 2 inputs; the model is openai:gpt-4o-mini.\n"
        "Wrote study.toml. Look through it, then: palate run study.toml\n"
    )
    assert "prompt 3 is left out: {{ t | upper }} uses a filter" in told.stderr
    assert "OPENAI_API_KEY is not set yet" in told.stderr
    assert json.loads((tmp_path / "study.schema.json").read_text(encoding="utf-8"))["title"]
    assert [item.references for item in load_inputs(read_config(tmp_path / "study.toml"))] == [
        ("A a",),
        ("A b",),
    ]


def test_nothing_of_the_users_is_overwritten(call: Call, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("mine", encoding="utf-8")
    refused = call("init", "--from-promptfoo", "promptfooconfig.yaml", "--yes")
    assert refused.exit_code == 2
    assert (tmp_path / "study.toml").read_text(encoding="utf-8") == "mine"
    assert call("init", "--from-promptfoo", "promptfooconfig.yaml", "--force").exit_code == 0


def test_the_written_study_runs(call: Call, tmp_path: Path) -> None:
    """With a scripted model in the place of the endpoint, up to the winner in promptfoo's own form."""
    assert call("init", "--from-promptfoo", "promptfooconfig.yaml").exit_code == 0
    path = tmp_path / "study.toml"
    text = path.read_text(encoding="utf-8").replace("# use = []", "use = []").replace("# [prop", "[prop")
    before, after = text.split("[model]\n", 1)
    _, after = after.split("\n\n", 1)
    model = '[model]\nkind = "scripted"\nanswers = ["A a", "A b"]\n\n[embedding]\nkind = "scripted"\n\n'
    path.write_text(before + model + after, encoding="utf-8")
    ran = call("run", "study.toml", "--judge", "simulated", "--votes", "3")
    assert ran.exit_code == 0, ran.stderr
    told = call("best", "--format", "promptfoo")
    assert json.loads(told.stdout) in (
        [{"role": "user", "content": f"{say} {{{{t}}}}"}] for say in ("Say", "Tell me")
    )


def test_mistakes_are_told_in_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "promptfooconfig.yaml").write_text("prompts: [x]\ntests: []", encoding="utf-8")
    told = call("init", "--from-promptfoo", "promptfooconfig.yaml")
    assert told.exit_code == 2
    assert "names no variable" in told.stderr
    assert not (tmp_path / "study.toml").exists()
    assert call("init", "--from-promptfoo", "missing.yaml").exit_code == 2
