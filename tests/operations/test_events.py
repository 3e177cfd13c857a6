"""Events: what they say, where they end up, and that nothing else gets in."""

import json
import logging
import stat
import sys
from concurrent.futures import Future
from io import StringIO
from pathlib import Path

import pytest

from palate.errors import ConflictError, StoreError
from palate.operations import (
    FIT_SECONDS,
    AlarmChanged,
    Failed,
    Histogram,
    ModelCalled,
    Plain,
    RequestServed,
    VoteStored,
    fitted,
    heard,
    listening,
    masked,
    place_of,
    tell,
    watch_vote,
)
from palate.types import Ballot, Receipt, Verdict

PLAIN = Plain(lambda text: text.replace("\x1b", ""), {"MY_TOKEN": "t0k3n-of-twenty-letters"})


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_event_is_one_object_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with listening(path, PLAIN, StringIO()):
        tell(RequestServed("GET", "/join/{secret}", 303, 1.5, "guest"))
        tell(AlarmChanged("share", True))
        tell(ModelCalled("chat", "m\n\x1b[31m@http://127.0.0.1:8000/v1", float("nan"), cost=0.25))
    request, alarm, call = lines(path)
    assert str(request.pop("at")).endswith("Z")
    assert request == {
        "level": "INFO",
        "event": "request",
        "method": "GET",
        "route": "/join/{secret}",
        "status": 303,
        "milliseconds": 1.5,
        "role": "guest",
        "refused": None,
    }
    assert (alarm["level"], alarm["event"], alarm["alarm"], alarm["on"]) == (
        "WARNING",
        "alarm",
        "share",
        True,
    )
    assert call["model"] == "m??[31m@http://127.0.0.1:8000/v1"
    assert (call["milliseconds"], call["cost"], call["input_tokens"]) == (None, 0.25, None)


def test_of_other_libraries_only_who_and_how_serious(tmp_path: Path) -> None:
    path, shown = tmp_path / "events.jsonl", StringIO()
    with listening(path, PLAIN, shown):
        logging.getLogger("some.library").warning("secret content")
        logging.getLogger("some.library").info("hardly of interest")
        try:
            raise ValueError("secret cause")
        except ValueError:
            logging.getLogger("other").exception("secret head")
            logging.getLogger("palate.web").exception("for people, who get an event of it elsewhere")
    first, second = lines(path)
    assert first == {
        "at": first["at"],
        "level": "WARNING",
        "event": "library",
        "logger": "some.library",
        "error": None,
        "where": None,
    }
    assert (second["level"], second["logger"], second["error"]) == ("ERROR", "other", "ValueError")
    assert "secret" not in path.read_text()
    # People still get the message and the traceback.
    assert "secret content\n" in shown.getvalue()
    assert "ValueError: secret cause" in shown.getvalue()
    assert "for people" in shown.getvalue()
    assert "hardly" not in shown.getvalue()


def test_the_terminal_gets_no_secret_and_no_escape_sequence() -> None:
    shown = StringIO()
    with listening(None, PLAIN, shown):
        logging.getLogger("library").error("sent t0k3n-of-twenty-letters\x1b[2J")
    assert shown.getvalue() == "sent [MY_TOKEN][2J\n"
    harmless = {"API_KEY": "short", "TOKEN_FILE": "/srv/palate/some-token-file", "SHELL": "a-long-word"}
    text = " ".join(harmless.values())
    assert masked(text, harmless) == text


def test_nobody_hears_unless_asked_and_logging_is_left_as_it_was(tmp_path: Path) -> None:
    root, own = logging.getLogger(), logging.getLogger("palate.operations")
    before = (list(root.handlers), root.level, own.level)
    assert not heard()
    with listening(None, PLAIN, StringIO()):
        assert not heard()
    with listening(tmp_path / "e", PLAIN, StringIO()):
        assert heard()
    assert (list(root.handlers), root.level, own.level) == before
    with pytest.raises(StoreError, match="cannot be written"), listening(tmp_path / "no" / "e", PLAIN):
        pass
    assert (list(root.handlers), root.level, own.level) == before


def test_a_dash_is_standard_error() -> None:
    shown = StringIO()
    with listening(Path("-"), PLAIN, shown):
        tell(AlarmChanged("model", False))
        logging.getLogger("library").warning("secret")
    told = [json.loads(line) for line in shown.getvalue().splitlines()]
    assert [each["event"] for each in told] == ["alarm", "library"]
    assert "secret" not in shown.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="rights and renaming of open files are of other systems")
def test_the_file_is_its_owners_is_appended_to_and_may_be_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with listening(path, PLAIN, StringIO()):
            tell(AlarmChanged("model", True))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(lines(path)) == 2
    with listening(path, PLAIN, StringIO()):
        tell(AlarmChanged("model", True))
        path.rename(tmp_path / "old.jsonl")
        tell(AlarmChanged("model", False))
    assert len(lines(tmp_path / "old.jsonl")) == 3
    assert [each["on"] for each in lines(path)] == [False]


def test_an_error_is_told_by_its_line(tmp_path: Path) -> None:
    try:
        masked(None, {"KEY": "x" * 20})  # type: ignore[arg-type]
    except AttributeError as error:
        where = place_of(error)
    name, _, number = where.partition(":")
    assert name == "operations/_sinks.py"
    source = Path(sys.modules[Plain.__module__].__file__ or "").read_text(encoding="utf-8").splitlines()
    assert "text.replace(secret" in source[int(number) - 1]
    assert place_of(ValueError("never raised")) == ""
    assert str(Failed("page", "KeyError", where)) == f"error part=page error=KeyError where={where}"


def test_a_vote_is_told_when_it_has_landed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "palate.operations")
    ballot = Ballot("d", Verdict.LEFT, "r-1", "key", comment="secret words", reason="unclear")
    for outcome in (Receipt(7, "d", Verdict.LEFT, True), ConflictError("secret text")):
        landing: Future[Receipt] = Future()
        watch_vote(ballot, landing)
        assert not caplog.records
        if isinstance(outcome, Receipt):
            landing.set_result(outcome)
        else:
            landing.set_exception(outcome)
        (record,) = caplog.records
        told = record.msg
        assert isinstance(told, VoteStored)
        assert (told.judge, told.verdict, told.milliseconds >= 0) == ("r-1", "left", True)
        wanted = (7, True, None) if isinstance(outcome, Receipt) else (None, False, "ConflictError")
        assert (told.seq, told.replayed, told.error) == wanted
        assert "secret" not in str(told)
        caplog.clear()


def test_fits_are_counted_by_size() -> None:
    fits = Histogram(FIT_SECONDS)
    for seconds in (0.005, 0.01, 0.3, 100.0):
        fitted(3, seconds, fits)
    counted = fits.counted()
    # By hand: two are at most 0.01, the third is at most 0.5, the last is above every bound.
    assert dict(counted.up_to)[0.01] == 2
    assert dict(counted.up_to)[0.25] == 2
    assert dict(counted.up_to)[0.5] == dict(counted.up_to)[60.0] == 3
    assert dict(counted.up_to)[float("inf")] == 4
    assert counted.total == pytest.approx(100.315)
