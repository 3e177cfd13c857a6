"""A run as it is watched: ``palate run --log-json``, the learner's times, and outages of the model."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from palate.command._app import app as commands
from palate.errors import ModelError
from palate.models._embeddings import _load_wordllama
from palate.store import open_store
from palate.study import Study

STUDY = """\
[study]
candidates = 3

[model]
kind = "scripted"
answers = ["wombat one", "wombat two", "wombat three"]
repeat = true

[embedding]
kind = "scripted"

[inputs]
inline = [{text = "wombat input", answer = "wombat one"}]
column = "text"
reference_column = "answer"

[prompts]
seed = "wombat seed"
list = ["wombat first", "wombat second"]

[proposers]
use = []
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def told(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_is_told_from_its_start_to_its_end(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    run = ["run", str(study), "--judge", "simulated", "--votes", "3", "--log-json", str(path)]
    shown = CliRunner().invoke(commands, run)
    assert shown.exit_code == 0, shown.output
    events = told(path)
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "stopped")
    assert (events[-1]["outcome"], events[-1]["error"]) == ("done", None)
    for kind in ("vote", "judged", "fit"):
        assert kinds.count(kind) == 3, kind
    assert [event["votes"] for event in events if event["event"] == "fit"] == [1, 2, 3]
    votes = [event["seq"] for event in events if event["event"] == "vote"]
    with open_store(tmp_path / "study.db", create=False) as store:
        assert votes == [event.seq for event in store.events() if event.kind == "voted"]
    assert "wombat" not in path.read_text()
    again = CliRunner().invoke(commands, run)  # appends
    assert again.exit_code == 0
    assert [event["event"] for event in told(path)].count("started") == 2


def test_a_run_that_fails_tells_the_class_alone(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    study.write_text(STUDY + '[wombat]\nwombat = "wombat"\n', encoding="utf-8")
    shown = CliRunner().invoke(commands, ["run", str(study), "--judge", "simulated", "--log-json", str(path)])
    assert shown.exit_code == 2
    assert [event["event"] for event in told(path)] == ["started", "error", "stopped"]
    _, error, stopped = told(path)
    assert (error["part"], error["error"]) == ("run", "ConfigError")
    assert str(error["where"]).startswith("config/")
    assert (stopped["outcome"], stopped["error"]) == ("failed", "ConfigError")
    assert "wombat" not in path.read_text()


def test_a_file_that_cannot_be_written_is_one_line(study: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(commands, ["run", str(study), "--log-json", str(tmp_path / "no" / "events")])
    assert shown.exit_code == 2
    assert "cannot be written: No such file or directory; name another file" in shown.output


def test_the_page_is_told_and_the_link_is_not(study: Path) -> None:
    """In a process of its own, ended as a person ends it."""
    words = ["run", study.name, "--no-browser", "--log-json", "events.jsonl"]
    with subprocess.Popen(
        [sys.executable, "-c", "from palate.command import main; main()", *words],
        cwd=study.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    ) as running:
        try:
            assert running.stdout is not None
            link = running.stdout.readline().rpartition(" ")[2].strip()
            with pytest.raises(HTTPError):  # without a cookie
                urlopen(link.partition("/start")[0], timeout=60)
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 0, err
    assert err.endswith("palate run study.toml --log-json events.jsonl\n")
    events = told(study.parent / "events.jsonl")
    (request,) = (event for event in events if event["event"] == "request")
    assert (request["route"], request["status"], request["role"]) == ("/", 403, "local")
    assert events[-1]["event"] == "stopped"
    assert link.rpartition("/")[2] not in (study.parent / "events.jsonl").read_text() + err


def test_the_learner_says_how_far_it_is_and_how_long_it_took(study: Path) -> None:
    with Study.open(study) as opened:
        opened.prepare()
        assert opened.learnt.votes == 0
        began = time.monotonic()
        for _ in range(2):
            opened.tell(opened.ask(), "left")
        assert opened.learnt.votes == 1  # the second vote is in the store, and nobody has looked since
        opened.belief()
        took = time.monotonic() - began
        votes, seconds = opened.learnt
        assert votes == 2
        assert seconds.up_to[-1][1] == 2
        assert 0 < seconds.total < took
        opened.belief()
        assert opened.learnt == (votes, seconds)  # nothing was learnt


def test_an_outage_of_the_model_is_an_alarm_once_and_over_once(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = 'answers = ["wombat one", "wombat two", "wombat three"]'
    failing = STUDY.replace(f"{answers}\nrepeat = true", "answers = []")
    study.write_text(failing, encoding="utf-8")
    caplog.set_level(logging.INFO, "palate.operations")
    with Study.open(study) as opened:
        opened.prepare()
        for _ in range(2):
            with pytest.raises(ModelError, match="in a row"):
                opened.ask()
    changes = [str(record.msg) for record in caplog.records if str(record.msg).startswith("alarm")]
    assert changes == ["alarm alarm=model on=True"]


def test_opening_a_study_and_loading_embeddings_say_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    open_store(tmp_path / "s.db").close()
    _load_wordllama()
    assert (list(root.handlers), root.level) == before
    assert not [record for record in caplog.records if record.name.startswith("alembic")]
    assert logging.getLogger("alembic").level == logging.NOTSET


def test_a_librarys_error_shows_no_key(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("401 for key-of-the-tests-0123456789, says a library")

    monkeypatch.setenv("MY_API_KEY", "key-of-the-tests-0123456789")
    monkeypatch.setattr("palate.study.Study.open", fail)
    path = tmp_path / "events.jsonl"
    shown = CliRunner().invoke(commands, ["run", str(study), "--judge", "simulated", "--log-json", str(path)])
    assert shown.exit_code == 1
    assert "unexpected RuntimeError: 401 for [MY_API_KEY], says a library" in shown.output
    assert "0123456789" not in shown.output + path.read_text()
