"""Every kind of damage is found; a backup is a whole study."""

import sqlite3
import threading
from pathlib import Path

import pytest

from palate.errors import StoreError
from palate.store import StudyState, open_store
from palate.testing import ballot_on, fill_study
from palate.types import Verdict


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.db"
    with open_store(path) as store:
        fill_study(store, 6)
        for duel in store.open_duels("anna", 4):
            store.vote(ballot_on(duel, Verdict.RIGHT))
        store.undo("anna")
        store.open_duels("ben", 1)
        assert store.verify() == []
    return path


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "UPDATE event SET payload = replace(payload, 'right', 'left') WHERE seq = 15",
            "event 15 was changed",
        ),
        ("UPDATE event SET actor = 'ben' WHERE kind = 'voted'", "was changed after it was written"),
        ("UPDATE event SET at = '2020' WHERE seq = 1", "event 1 was changed"),
        ("DELETE FROM event WHERE seq = 3", "event 3 is missing"),
        ("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", "which no event explains"),
        ("UPDATE vote SET verdict = 'left' WHERE seq = (SELECT max(seq) FROM vote)", "table vote"),
        ("DELETE FROM vote WHERE seq = (SELECT min(seq) FROM vote)", "table vote lacks"),
        ("UPDATE vote SET undone = 0", "table vote"),
        ("UPDATE duel SET swapped = 1 - swapped", "table duel"),
        ("UPDATE duel SET open = 0", "table duel"),
        ("UPDATE duel SET reopened = 0", "table duel"),
        ("UPDATE pairing SET state = 'ready'", "table pairing"),
        ("UPDATE pairing SET first = second", "table pairing"),
        ("UPDATE text SET content = x'41'", "was changed after it was written"),
        ("UPDATE text SET content = x'ff'", "is damaged"),
        ("DELETE FROM text", "which is missing"),
    ],
)
def test_damage_is_found(study: Path, statement: str, found: str) -> None:
    with sqlite3.connect(study) as connection:
        assert connection.execute(statement).rowcount >= 1
    connection.close()
    with open_store(study) as store:
        assert found in " ".join(store.verify())


def test_a_chain_that_makes_no_sense_is_found(study: Path) -> None:
    from palate.store._events import chained, encode

    with sqlite3.connect(study) as connection:
        seq, link = connection.execute("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        payload = encode({"vote_seq": 999, "duel_id": "nobody"})
        row = (
            seq + 1,
            "2026",
            "undone",
            "anna",
            payload,
            chained(link, seq + 1, "2026", "undone", "anna", payload),
        )
        connection.execute(
            "INSERT INTO event (seq, at, kind, actor, payload, hash) VALUES (?,?,?,?,?,?)", row
        )
    connection.close()
    with open_store(study) as store:
        assert "makes no sense" in store.verify()[0]


def test_a_backup_is_a_whole_study(study: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("an older backup")
    with open_store(study) as store:
        assert store.backup(target) == target
        expected = StudyState.replay(store.events())
    assert {file.name for file in tmp_path.iterdir()} == {"study.db", "copy.db"}
    with open_store(target, create=False) as copy:
        assert StudyState.replay(copy.events()) == expected
        assert copy.verify() == []
        copy.vote(ballot_on(copy.open_duels("anna", 1)[0], key="goes on"))


def test_a_backup_while_people_vote_is_a_prefix(tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    with open_store(tmp_path / "study.db") as store:
        fill_study(store, 300)
        duels = store.open_duels("anna", 300)
        half = threading.Event()

        def vote() -> None:
            for number, duel in enumerate(duels):
                store.vote(ballot_on(duel))
                if number == 100:
                    half.set()

        voter = threading.Thread(target=vote)
        voter.start()
        assert half.wait(60)
        store.backup(target)
        voter.join(60)
        every = list(store.events())
        assert store.verify() == []
    with open_store(target) as copy:
        saved = list(copy.events())
        assert saved == every[: len(saved)]
        assert len(StudyState.replay(saved).votes) > 100
        assert copy.verify() == []


def test_a_backup_that_cannot_be_is_refused(study: Path, tmp_path: Path) -> None:
    with open_store(study) as store:
        with pytest.raises(StoreError, match="is the study itself"):
            store.backup(study)
        with pytest.raises(StoreError, match="cannot be written"):
            store.backup(tmp_path)
        with pytest.raises(StoreError, match="cannot be written"):
            store.backup(tmp_path / "missing" / "copy.db")


def test_a_backup_of_a_damaged_study_says_so(study: Path, tmp_path: Path) -> None:
    with sqlite3.connect(study) as connection:
        connection.execute("UPDATE event SET at = '2020' WHERE seq = 1")
    connection.close()
    with open_store(study) as store, pytest.raises(StoreError, match="does not verify: event 1 was changed"):
        store.backup(tmp_path / "copy.db")
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]
