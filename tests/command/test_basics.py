"""Help, version, lists, and how mistakes end."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palate import __version__
from palate.command import _app

Call = Callable[..., Result]

VERBS = [
    "demo",
    "init",
    "run",
    "status",
    "best",
    "report",
    "export",
    "list",
    "schema",
    "doctor",
    "backup",
    "verify",
]


def test_help_names_every_verb(call: Call) -> None:
    shown = call("--help")
    assert shown.exit_code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in shown.stdout


def test_version(call: Call) -> None:
    assert call("--version").stdout == f"palate {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from palate.command._app import app; app(['--help'], standalone_mode=False); "
        "heavy = ('numpy', 'torch', 'pydantic', 'sqlalchemy', 'openai', 'scipy', 'rich'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_list_says_where_parts_come_from(call: Call) -> None:
    shown = call("list", "strategies")
    assert "gp-eubo" in shown.stdout
    assert "palate.strategies:gp_eubo" in shown.stdout
    listed = json.loads(call("list", "--json").stdout)
    assert {"name": "scripted", "package": "palate", "location": "palate.models:scripted_model"} in listed[
        "models"
    ]


def test_an_unknown_group_names_the_nearest(call: Call) -> None:
    shown = call("list", "strategy")
    assert shown.exit_code == 2
    assert "did you mean 'strategies'?" in shown.stderr


def test_schema_is_json(call: Call) -> None:
    assert json.loads(call("schema").stdout)["title"] == "Palate study file"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("rnu",), 2, "'run'"),
        (("run", "--prot", "1"), 2, "--port"),
        (("run", "missing.toml"), 2, "no file"),
        (("run", "missing.db"), 2, "palate run takes a .toml file"),
        (("run", "--port", "99999"), 2, "65535"),
        (("run", "--judge", "simulated", "--terminal"), 2, "--terminal is for people"),
        (("run", "--votes", "3"), 2, "[budget] votes"),
        (("run", "--judge-option", "scale=1"), 2, "name one with --judge"),
        (("status", "missing.db"), 2, "no study at 'missing.db'"),
        (("status", "missing.toml"), 2, "no file"),
        (("export", "x.db", "--format", "trll", "--output", "x"), 2, "did you mean 'trl'?"),
        (("export", "x.db"), 2, "--output is missing"),
        (("init", "study.txt"), 2, "does not end in .toml"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = call(*arguments)
    assert shown.exit_code == code
    assert words in shown.stderr
    assert "Traceback" not in shown.stderr
    assert shown.stdout == ""


def test_debug_shows_where(call: Call, tmp_path: Path) -> None:
    shown = call("--debug", "status", tmp_path / "missing.db")
    assert type(shown.exception).__name__ == "NotFoundError"


def test_a_mistake_of_ours_is_called_one(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("x\x1b[31m\ny")

    monkeypatch.setattr("palate.registry.parts", lambda group: broken())
    shown = call("list")
    assert shown.exit_code == 1
    assert shown.stderr == (
        "palate: unexpected ZeroDivisionError: x y; this is a mistake in Palate or in a plug-in; "
        "palate --debug shows where\n"
    )


def test_ctrl_c_ends_cleanly(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(group: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("palate.registry.parts", interrupted)
    shown = call("list")
    assert shown.exit_code == 130
    assert shown.stderr == "\npalate: stopped; nothing is lost\n"


def test_debug_may_follow_the_verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["palate", "status", str(tmp_path / "x.db"), "--debug"])
    with pytest.raises(LookupError):
        _app.main()


def test_a_narrow_encoding_is_no_reason_to_fail(tmp_path: Path) -> None:
    file = tmp_path / "stüdy.db"
    ran = subprocess.run(
        [sys.executable, "-c", "from palate.command import main; main()", "status", str(file)],
        capture_output=True,
        check=False,
        env={"PYTHONIOENCODING": "ascii", "PATH": "", "PYTHONUTF8": "0"},
    )
    assert ran.returncode == 2
    assert b"st?dy.db" in ran.stderr
