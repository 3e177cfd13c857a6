"""``palate raters``: the list, and being forgotten."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palate.command._app import app
from palate.store import StudyState, open_store
from palate.testing import SimulatedClock, ballot_on, with_rules
from palate.types import Ballot, Verdict


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.db"
    with open_store(path, clock=SimulatedClock()) as store:
        with_rules(store, {"overlap": 2}, 3)
        for name in ("Zoë", "Ben"):
            rater = store.add_rater(name, "clinic")
            one, two, _ = store.open_duels(rater, 3)
            store.vote(Ballot(one.id, Verdict.LEFT, rater, "k", 3.0, None, f"{name} was here"))
            store.vote(ballot_on(two))
    return path


def test_the_list_shows_names_and_figures(study: Path) -> None:
    told = CliRunner().invoke(app, ["raters", "list", str(study)])
    assert told.exit_code == 0
    assert "Zoë [rater-" in told.stdout
    assert "(clinic): 2 votes" in told.stdout
    rows = json.loads(CliRunner().invoke(app, ["raters", "list", str(study), "--json"]).stdout)["raters"]
    assert sorted(row["name"] for row in rows) == ["Ben", "Zoë"]


@pytest.mark.parametrize("votes", ["keep", "drop"])
def test_a_rater_is_removed_by_name(study: Path, votes: str) -> None:
    done = CliRunner().invoke(app, ["raters", "remove", "Zoë", str(study), "--votes", votes])
    assert done.exit_code == 0
    assert "erased" in done.stdout
    with open_store(study) as store:
        state = StudyState.replay(store.events())
        assert list(store.rater_names().values()) == ["Ben"]
        assert len(state.votes) == (4 if votes == "keep" else 2)
        assert "Zoë" not in str(list(store.events()))
        assert store.verify() == []
    assert b"Zo\xc3\xab" not in study.read_bytes()
    told = CliRunner().invoke(app, ["raters", "list", str(study)]).stdout
    assert f"removed; votes {'kept' if votes == 'keep' else 'dropped'}" in told


def test_a_name_that_is_not_there_is_told(study: Path) -> None:
    assert CliRunner().invoke(app, ["raters", "remove", "Zoe", str(study)]).exit_code == 2
    assert CliRunner().invoke(app, ["raters", "remove", "Ben", str(study), "--votes", "burn"]).exit_code == 2
