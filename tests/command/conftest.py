"""A command line to call, and a study that needs no model and no network."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from palate.command._app import app

SCRIPTED = """\
[study]
name = "Sorry notes"
candidates = 4

[model]
kind = "scripted"
answers = ["I am sorry.", "So sorry about that!", "We apologise.", "Sorry."]

[embedding]
kind = "scripted"

[inputs]
inline = [
  {text = "late parcel", answer = "I am sorry."},
  {text = "broken lamp", answer = "So sorry about that!"},
]
column = "text"
reference_column = "answer"

[prompts]
seed = "Reply."
list = ["Reply politely.", "Say sorry.", "Say sorry, then help."]

[proposers]
use = []
"""

Call = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command line; ``stdin`` is what is typed."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")

    def caller(*arguments: str | Path, stdin: str = "") -> Result:
        return CliRunner().invoke(
            app, [str(argument) for argument in arguments], input=stdin, prog_name="palate"
        )

    return caller


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study file whose model is a script."""
    path = tmp_path / "study.toml"
    path.write_text(SCRIPTED, encoding="utf-8")
    return path
