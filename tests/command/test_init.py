"""``palate init``: what it writes is accepted as it is, and nothing of the user's is overwritten."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palate.command._study_file import Answers, study_file
from palate.config import load_inputs, parse_config, read_config, toml_text

Call = Callable[..., Result]
NASTY = 'say "hi" \\ there\n\t# no comment \x7f \x00 ü {{x}} """ \'\'\''


def test_defaults_make_a_study_that_is_accepted(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.toml"
    shown = call("init", path, "--yes")
    assert shown.exit_code == 0
    assert shown.stdout == f"Wrote {path}. Look through it, then: palate run {path}\n"
    config = read_config(path)
    assert config.model.kind == "embedded"
    assert len(load_inputs(config)) == 3
    assert path.read_text(encoding="utf-8").startswith("#:schema study.schema.json\n")
    assert json.loads((path.parent / "study.schema.json").read_text(encoding="utf-8"))["title"]


def test_every_commented_line_is_true(tmp_path: Path) -> None:
    """Each suggestion in a comment is a key that would be accepted in its place."""
    source = study_file(Answers(), schema="x.json")
    for line in source.splitlines():
        if line.startswith("# ") and " = " in line and "[" not in line.split("=")[0]:
            tomllib.loads(line[2:])
    opened = source.replace("# calls", "calls").replace("# tokens", "tokens").replace("# votes", "votes")
    opened = opened.replace("# cost", "cost").replace('# list = ["…", "…"]', 'list = ["a"]')
    config = parse_config(opened)
    assert (config.budget.calls, config.budget.cost, config.prompts.list) == (5000, 5.0, ("a",))


def test_questions_are_asked_and_answers_written(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mails.csv").write_text("id,mail\n1,Where is it?\n", encoding="utf-8")
    answers = [
        "Replies",  # name
        "gpt",  # no such kind: asked again
        "openai",
        "some-model",
        "http://127.0.0.1:8000/v1",
        "sk-canary-1",  # a key, not a name: asked again, and not repeated
        "MY_KEY",
        "mals.csv",  # no such file: asked again
        "mails.csv",
        "mial",  # no such column: asked again
        "mails.csv",
        "mail",
        "Answer nicely.",
        "Be strict.",
        "12",
    ]
    path = tmp_path / "study.toml"
    shown = call("init", path, stdin="\n".join(answers) + "\n")
    assert shown.exit_code == 0, shown.output
    assert "did you mean 'mails.csv'?" in shown.stderr
    assert "canary" not in shown.stderr
    assert "canary" not in path.read_text(encoding="utf-8")
    assert "The environment variable MY_KEY is not set yet." in shown.stderr
    config = read_config(path)
    assert config.study.name == "Replies"
    assert config.study.guidelines == "Be strict."
    assert config.study.candidates == 12
    assert config.model.options == {
        "model": "some-model",
        "base_url": "http://127.0.0.1:8000/v1",
        "api_key_env": "MY_KEY",
    }
    assert config.prompts.seed == "Answer nicely."
    assert [item.text for item in load_inputs(config)] == ["Where is it?"]


def test_an_existing_file_is_left_alone(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("mine", encoding="utf-8")
    for arguments, stdin in ((("--yes",), ""), ((), "n\n"), ((), "")):
        shown = call("init", path, *arguments, stdin=stdin)
        assert shown.exit_code != 0
        assert path.read_text(encoding="utf-8") == "mine"
    assert call("init", path, "--yes", "--force").exit_code == 0
    assert "[study]" in path.read_text(encoding="utf-8")


def test_a_schema_file_of_the_user_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / "study.schema.json").write_text("mine", encoding="utf-8")
    assert call("init", tmp_path / "study.toml", "--yes").exit_code == 0
    assert (tmp_path / "study.schema.json").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_written_is_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    shown = call("init", tmp_path / "file" / "study.toml", "--yes")
    assert shown.exit_code == 2
    assert "cannot write" in shown.stderr
    assert "nothing was changed" in shown.stderr


@pytest.mark.parametrize("kind", ["embedded", "openai"])
def test_any_answer_comes_back_as_it_was_given(kind: str) -> None:
    answers = Answers(
        name=NASTY,
        guidelines=NASTY,
        kind=kind,
        model=NASTY,
        base_url=NASTY,
        prompt=NASTY,
        inputs=NASTY,
        column=NASTY,
    )
    tables = tomllib.loads(study_file(answers, schema="study.schema.json"))
    assert tables["study"]["name"] == NASTY
    assert tables["prompts"]["seed"] == NASTY
    assert tables["inputs"] == {"path": NASTY, "column": NASTY}
    assert tomllib.loads(f"x = {toml_text(NASTY)}")["x"] == NASTY


def test_an_endpoint_without_a_key_gets_none() -> None:
    answers = Answers(kind="openai", model="m", base_url="http://127.0.0.1:8000/v1", api_key_env="")
    model = tomllib.loads(study_file(answers, schema="study.schema.json"))["model"]
    assert model == {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:8000/v1"}
