"""A few rounds of kill -9, and proof that the ledger would notice a loss."""

import random
import sys
from pathlib import Path

import pytest

from palate.store import StudyState, open_store
from palate.testing import ballot_on, fill_study, storm
from palate.testing._storm import _Ledger, _reckon


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_nothing_is_lost_doubled_or_invented(tmp_path: Path) -> None:
    report = storm(tmp_path / "storm.db", rounds=2, writers=8, longest=0.5)
    assert report.good, report
    assert report.acknowledged == report.sent > 0


@pytest.fixture
def ledger(tmp_path: Path) -> _Ledger:
    """A writer whose memory fits the study: three votes, all acknowledged."""
    memory = _Ledger("anna", random.Random(0))
    with open_store(tmp_path / "storm.db") as store:
        fill_study(store, 3)
        for duel in store.open_duels("anna", 3):
            ballot = ballot_on(duel)
            memory.sent[ballot.key] = (duel.id, ballot.verdict.value)
            memory.acknowledged[ballot.key] = store.vote(ballot).seq
    return memory


def test_a_true_ledger_is_good(ledger: _Ledger, tmp_path: Path) -> None:
    report = _reckon(tmp_path / "storm.db", [ledger], StudyState(), 1, 0.0)
    assert report.good
    assert report.acknowledged == 3


@pytest.mark.parametrize(
    ("lie", "field"),
    [("forgotten", "lost"), ("other seq", "lost"), ("never sent", "invented"), ("other verdict", "invented")],
)
def test_a_ledger_that_differs_is_not(ledger: _Ledger, tmp_path: Path, lie: str, field: str) -> None:
    key = next(iter(ledger.sent))
    if lie == "forgotten":
        ledger.sent["k"] = ("duel", "left")
        ledger.acknowledged["k"] = 99
    elif lie == "other seq":
        ledger.acknowledged[key] += 1
    elif lie == "never sent":
        del ledger.sent[key], ledger.acknowledged[key]
    else:
        ledger.sent[key] = (ledger.sent[key][0], "tie")
    report = _reckon(tmp_path / "storm.db", [ledger], StudyState(), 1, 0.0)
    assert not report.good
    assert getattr(report, field) == 1
