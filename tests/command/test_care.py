"""Doctor, backup, verify and models."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palate.study import Study

Call = Callable[..., Result]


@pytest.fixture
def voted(study: Path) -> Path:
    with Study.open(study, repeatable=True) as opened:
        for verdict in ("left", "right"):
            opened.tell(opened.ask(), verdict)
        opened.best()
    return study


def test_doctor_says_which_journal_and_why(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = call("doctor")
    assert shown.exit_code == 0, shown.output
    assert "journal mode " in shown.stdout
    found = {entry["name"]: entry for entry in json.loads(call("doctor", "--json").stdout)}
    assert found["database"]["good"] is True
    assert "SQLite" in found["database"]["text"]
    assert found["disk"]["good"] is True
    assert {"palate", "python", "weights", "[local]", "[hf]", "[plot]"} <= set(found)
    assert list(tmp_path.iterdir()) == []


def test_doctor_tells_whether_a_key_is_set_and_nothing_of_it(
    call: Call, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = study.read_text(encoding="utf-8").partition("[model]")[0]
    rest = "[inputs]" + study.read_text(encoding="utf-8").partition("[inputs]")[2]
    model = '[model]\nkind = "openai"\nmodel = "m"\napi_key_env = "CANARY_KEY"\n'
    study.write_text(source + model + rest, encoding="utf-8")
    monkeypatch.delenv("CANARY_KEY", raising=False)
    missing = call("doctor", study)
    assert missing.exit_code == 1
    assert "CANARY_KEY is not set" in missing.stdout
    monkeypatch.setenv("CANARY_KEY", "sk-canary-0123456789")
    there = call("doctor", study)
    assert there.exit_code == 0, there.output
    assert "CANARY_KEY is set" in there.stdout
    assert "canary-0" not in there.output


def test_doctor_finds_a_folder_in_which_nothing_can_be_kept(
    call: Call, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    shown = call("doctor", study)
    assert shown.exit_code == 1
    assert "no study can be kept in" in shown.stdout
    assert "Permission denied" in shown.stdout


def test_backup_is_a_whole_study_and_never_overwrites(call: Call, voted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert call("backup", voted, copy).exit_code == 0
    first, second = (json.loads(call("status", path, "--json").stdout) for path in (voted, copy))
    assert first == second
    assert call("verify", copy).stdout.startswith("ok: ")
    again = call("backup", voted, copy)
    assert (again.exit_code, "never overwrites" in again.stderr) == (2, True)


def test_verify_finds_an_event_that_was_changed(call: Call, voted: Path) -> None:
    assert call("verify", voted).exit_code == 0
    database = sqlite3.connect(voted.with_suffix(".db"))
    with database:
        (payload,) = database.execute("SELECT payload FROM event WHERE kind = 'voted' LIMIT 1").fetchone()
        changed = payload.replace('"left"', '"right"')
        assert changed != payload
        database.execute(
            "UPDATE event SET payload = ? WHERE kind = 'voted' AND payload = ?", (changed, payload)
        )
    database.close()
    shown = call("verify", voted)
    assert shown.exit_code == 1
    assert "PROBLEM" in shown.stdout
    told = json.loads(call("verify", voted, "--json").stdout)
    assert told["good"] is False
    assert told["problems"]


def test_models_list(call: Call) -> None:
    shown = call("models", "list")
    assert shown.exit_code == 0
    assert "embedded" in shown.stdout
    assert "weights of the embedded model: " in shown.stdout
    told = json.loads(call("models", "list", "--json").stdout)
    assert "openai" in {row["name"] for row in told["models"]}


def test_models_fetch_shows_progress_and_prints_the_path(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "model.gguf"

    def fetch(*, progress: Callable[[str, float], None]) -> Path:
        progress("fetching", 0.0)
        progress("fetching", 0.5)
        progress("fetching", 1.0)
        return weights

    monkeypatch.setattr("palate.models.weights_path", lambda: None)
    monkeypatch.setattr("palate.models.fetch_weights", fetch)
    shown = call("models", "fetch")
    assert shown.stdout == f"{weights}\n"
    assert shown.stderr == "fetching …\nfetching: done\n"
    monkeypatch.setattr("palate.models.weights_path", lambda: weights)
    assert call("models", "fetch").stderr == ""
