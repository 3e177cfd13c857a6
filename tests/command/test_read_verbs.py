"""The reading verbs on a study that has votes, and on one that has none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palate.command._read import FORMATS
from palate.store import EXPORT_FORMATS, EventKind, Store, open_store
from palate.study import Study

Call = Callable[..., Result]
PROMPTS = ("Reply.", "Reply politely.", "Say sorry.", "Say sorry, then help.")


@pytest.fixture
def voted(study: Path) -> Path:
    """A study with three votes that teach and a skip."""
    with Study.open(study, repeatable=True) as opened:
        for verdict in ("left", "tie", "skip", "right"):
            opened.tell(opened.ask(), verdict)
        opened.best()
    return study


@pytest.fixture
def new(study: Path) -> Path:
    """A study without a vote."""
    Study.open(study).close()
    return study


def test_status(call: Call, voted: Path) -> None:
    lines = call("status", voted).stdout.splitlines()
    assert lines[:3] == ["Sorry notes", "  prompts    4", "  inputs     2"]
    assert lines[3].startswith("  votes      4 (1 ")
    assert lines[-1] == "  state      open"
    told = json.loads(call("status", voted, "--json").stdout)
    assert told["verdicts"] == {"left": 1, "right": 1, "skip": 1, "tie": 1}
    assert (told["votes"], told["votes_that_teach"], told["votes_learnt_from"]) == (4, 3, 3)
    assert told["judges"] == {"me": 4}
    assert told["best"]["prompt"] in PROMPTS


def test_the_database_may_be_named_as_well(call: Call, voted: Path) -> None:
    assert call("status", voted.with_suffix(".db"), "--json").stdout == call("status", voted, "--json").stdout


def test_best_prints_the_prompt_alone(call: Call, voted: Path) -> None:
    prompt = call("best", voted).stdout
    assert prompt.removesuffix("\n") in PROMPTS
    told = json.loads(call("best", voted, "--json").stdout)
    assert told["prompt"] == prompt.removesuffix("\n")
    assert told["seed_prompt"] == "Reply."
    assert told["votes"] == 3
    low, high = told["interval"]
    assert 0 <= low <= told["beats_seed"] <= high <= 1
    assert 0 < told["probability_best"] < 1


def test_report(call: Call, voted: Path) -> None:
    text = call("report", voted).stdout
    assert text.startswith("# Sorry notes\n\n## Best prompt now\n")
    assert "| prompt | beats the seed | 95 % interval | P(best) | duels |" in text
    told = json.loads(call("report", voted, "--json").stdout)
    assert {row["prompt"] for row in told["standings"]} == set(PROMPTS)
    assert told["cost"]["dollars"] == 0
    assert f"Cost so far: $0 ({told['cost']['calls']} calls, " in text
    assert sum(row["probability_best"] for row in told["standings"]) == pytest.approx(1, abs=1e-6)
    assert sum(row["duels"] for row in told["standings"]) == 8  # four votes, two prompts each
    assert [point["votes"] for point in told["curve"]][-1] == 3


def test_before_the_first_vote_nothing_is_claimed(call: Call, new: Path) -> None:
    assert "no votes yet" in call("best", new).stderr
    assert call("best", new).exit_code == 2
    told = json.loads(call("best", new, "--json").stdout)
    assert (told["prompt"], told["votes"], told["seed_prompt"]) == (None, 0, "Reply.")
    assert "No votes yet" in call("report", new).stdout
    assert "  votes      0\n" in call("status", new).stdout


def test_reading_changes_nothing(call: Call, voted: Path) -> None:
    before = json.loads(call("verify", voted, "--json").stdout)["events"]
    for verb in ("status", "best", "report"):
        assert call(verb, voted).exit_code == 0
    assert json.loads(call("verify", voted, "--json").stdout)["events"] == before


def test_studies_are_read_while_they_run(call: Call, voted: Path) -> None:
    with Study.open(voted, exclusive=True):
        for verb in ("status", "best", "report", "verify"):
            assert call(verb, voted).exit_code == 0


@pytest.mark.parametrize("name", EXPORT_FORMATS)
def test_export_in_every_format(call: Call, voted: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / f"out-{name}"
    shown = call("export", voted, "--format", name, "--output", output, "--ties", "both")
    assert shown.exit_code == 0, shown.output
    assert output.exists()
    assert "  ties           1 (" in shown.stdout
    assert "  skipped        1\n" in shown.stdout


def test_export_as_json_counts_what_is_left_out(call: Call, voted: Path, tmp_path: Path) -> None:
    output = tmp_path / "votes.jsonl"
    told = json.loads(call("export", voted, "-f", "trl", "-o", output, "--json").stdout)
    assert (told["votes"], told["ties"], told["ties_as"], told["path"]) == (4, 1, "drop", str(output))
    assert told["rows"] == len(output.read_text(encoding="utf-8").splitlines())


def test_export_offers_what_the_store_can(call: Call, voted: Path, tmp_path: Path) -> None:
    assert FORMATS == EXPORT_FORMATS
    shown = call("export", voted, "-f", "csv", "-o", tmp_path / "x.csv", "--ties", "half")
    assert shown.exit_code == 2
    assert "ties is 'half'; known: 'both', 'drop'" in shown.stderr


def test_a_withdrawn_prompt_does_not_break_the_reports(call: Call, voted: Path) -> None:
    best = json.loads(call("best", voted, "--json").stdout)["candidate"]
    with open_store(voted.with_suffix(".db")) as store:
        store.append(EventKind.CANDIDATE_WITHDRAWN, {"id": best, "reason": "fails"})
    for verb in ("status", "report"):
        for more in ((), ("--json",)):
            assert call(verb, voted, *more).exit_code == 0
    assert "  prompts    3 (1 withdrawn)\n" in call("status", voted).stdout


def test_statistics_of_very_many_votes_read_no_single_one(
    call: Call, voted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(call("statistics", voted, "--json", "--rounds", "50").stdout)
    assert None not in (whole["trust"], whole["raters"])
    monkeypatch.setattr("palate.command._read.MANY_VOTES", 1)
    asked = json.loads(call("statistics", voted, "--json", "--rounds", "50", "--judges").stdout)
    assert asked == whole

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("an event was read")

    monkeypatch.setattr(Store, "events", refused)
    shown = call("statistics", voted, "--json", "--rounds", "50")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout) == {**whole, "trust": None, "raters": None, "promotion": None}
    shown = call("statistics", voted)
    assert "only with --judges" in shown.stderr
    assert "raters" not in shown.stdout


def test_statistics(call: Call, voted: Path, new: Path) -> None:
    lines = call("statistics", voted).stdout.splitlines()
    assert lines[0] == "Sorry notes"
    assert lines[2] == "3 votes counted, by 1 judge; too few to settle anything."
    assert any("not separable from the best" in line for line in lines)
    assert any(line.startswith("left side  all judges: ") for line in lines)
    told = json.loads(call("statistics", voted, "--json", "--rounds", "50").stdout)
    assert (told["name"], told["votes"], told["counted"], told["rounds"]) == ("Sorry notes", 4, 3, 50)
    assert {row["text"] for row in told["candidates"]} == set(PROMPTS)
    assert sum(row["wins"] for row in told["candidates"]) == 2
    assert sum(map(sum, told["wins"])) == 2
    assert told["judges"] == {"me": 4}
