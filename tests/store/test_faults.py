"""Operations of the disk fail, it fills up, its power goes: what was acknowledged is there afterwards."""

import errno
import random
import sys
from pathlib import Path

import apsw
import pytest

from palate.errors import StoreError
from palate.store import StudyState, _dbapi, _sqlite, open_store
from palate.store._engine import info_for
from palate.testing import Fault, FaultyDisk, ballot_on, fault_storm, fill_study

LINKED = {"wal": (3, 53, 0), "truncate": (3, 40, 1)}


@pytest.fixture(params=LINKED)
def journal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either way in which commits reach the disk, whichever SQLite is linked."""
    monkeypatch.setattr(_sqlite, "info_for", lambda version: info_for(LINKED[request.param]))
    return request.param


@pytest.mark.slow
@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("fault", Fault)
def test_no_fault_loses_what_was_acknowledged(tmp_path: Path, fault: Fault) -> None:
    report = fault_storm(tmp_path, last=260, step=31, faults=(fault,), seed=1)
    assert report.good, report
    assert report.runs[fault] >= 5
    assert report.refused >= report.runs[fault] - 1
    assert report.acknowledged > report.runs[fault]


def test_a_full_disk_is_named_reading_goes_on_and_room_ends_it(tmp_path: Path, journal: str) -> None:
    with FaultyDisk() as disk, open_store(tmp_path / "study.db") as store:
        fill_study(store, 3)
        duels = store.open_duels("anna", 3, random.Random(0))
        seq = store.last_seq()
        disk.strike(Fault.FULL, 1)
        for duel in duels:
            with pytest.raises(StoreError, match="the disk is full"):
                store.vote(ballot_on(duel))
        assert "the disk is full" in (store.trouble or "")
        assert [duel.id for duel in store.open_duels("anna", 3)] == [duel.id for duel in duels]
        assert store.last_seq() == seq == len(list(store.events()))
        disk.clear()
        assert [store.vote(ballot_on(duel)).replayed for duel in duels] == [False] * 3
        assert store.trouble is None
        assert store.verify() == []
        assert store.info.journal == journal


def test_a_power_cut_shows_a_store_that_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = _dbapi.Cursor.execute

    def careless(self: _dbapi.Cursor, sql: str, parameters: tuple[object, ...] = ()) -> _dbapi.Cursor:
        return execute(self, sql.replace("synchronous=FULL", "synchronous=NORMAL"), parameters)

    monkeypatch.setattr(_dbapi.Cursor, "execute", careless)
    monkeypatch.setattr(_sqlite, "info_for", lambda version: info_for(LINKED["wal"]))
    report = fault_storm(tmp_path, first=60, last=260, step=40, faults=(Fault.POWER,))
    assert report.lost > 0
    assert not report.good


def test_what_is_left_after_a_power_cut_is_synced_or_torn_at_sectors(tmp_path: Path) -> None:
    path, left = tmp_path / "file", tmp_path / "left"
    with FaultyDisk(seed=3) as disk:
        flags = [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, 0]
        file = apsw.VFSFile(apsw.vfs_names()[0], str(path), flags)
        file.xWrite(b"a" * 2048, 0)
        file.xSync(apsw.SQLITE_SYNC_FULL)
        file.xWrite(b"b" * 2048, 0)
        found = set()
        for _ in range(60):
            disk.left_after_power_cut(path, left)
            content = left.read_bytes()
            assert {content[at : at + 512] for at in range(0, 2048, 512)} <= {b"a" * 512, b"b" * 512}
            found.add(content)
        file.xSync(apsw.SQLITE_SYNC_FULL)
        disk.left_after_power_cut(path, left)
        file.xClose()
    assert b"a" * 2048 in found
    assert len(found) > 5
    assert left.read_bytes() == b"b" * 2048


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_file_that_may_not_grow_is_a_clear_error(tmp_path: Path) -> None:
    import resource
    import signal

    with open_store(tmp_path / "study.db") as store:
        fill_study(store, 40)
        duels = store.open_duels("anna", 40, random.Random(0))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        acknowledged = []
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
            with pytest.raises(StoreError, match=r"study\.db"):
                acknowledged.extend(store.vote(ballot_on(duel)).seq for duel in duels)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        for duel in duels[len(acknowledged) :]:
            store.vote(ballot_on(duel))
        votes = StudyState.replay(store.events()).votes
        assert [vote.seq for vote in votes][: len(acknowledged)] == acknowledged
        assert len(votes) == 40


def test_the_folder_of_the_export_can_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from palate.store import export

    with open_store(tmp_path / "study.db") as store:
        fill_study(store, 1)
        store.vote(ballot_on(store.open_duels("anna", 1)[0]))
        target = tmp_path / "votes.jsonl"
        export(store, "trl", target)
        before = target.read_bytes()

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            export(store, "arena", target)
    assert target.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"study.db", "votes.jsonl", "votes.jsonl.sha256"}
