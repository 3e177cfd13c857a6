"""Every write and every sync fails once: what was acknowledged is there afterwards, whatever failed."""

import errno
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from palate.errors import StoreError
from palate.store import StudyState, _dbapi, _sqlite, open_store
from palate.store._engine import info_for
from palate.testing import ballot_on, fill_study

NAME = "palate-test-faults"
_CODES = {apsw.IOError: apsw.SQLITE_IOERR, apsw.FullError: apsw.SQLITE_FULL}


class Weather:
    """Counts the operations that reach the disk, and fails one of them."""

    def __init__(self) -> None:
        self.at = 0
        self.count = 0
        self.error: type[apsw.Error] = apsw.IOError

    def strike(self, at: int, error: type[apsw.Error]) -> None:
        self.at, self.count, self.error = at, 0, error

    def clear(self) -> None:
        self.at = 0

    def step(self) -> None:
        self.count += 1
        if self.at and self.count == self.at:
            error = self.error(f"fault {self.at}")
            error.result = error.extendedresult = _CODES[self.error]
            raise error

    @property
    def struck(self) -> bool:
        return self.count >= self.at


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> Iterator[Weather]:
    sky = Weather()

    class File(apsw.VFSFile):
        def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
            super().__init__("", name, flags)

        def xWrite(self, data: bytes, offset: int) -> None:
            sky.step()
            super().xWrite(data, offset)

        def xSync(self, flags: int) -> None:
            sky.step()
            super().xSync(flags)

        def xTruncate(self, newsize: int) -> None:
            sky.step()
            super().xTruncate(newsize)

    class Layer(apsw.VFS):
        def __init__(self) -> None:
            super().__init__(NAME, "")

        def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> File:
            return File(name, flags)

    layer = Layer()
    monkeypatch.setattr(_dbapi, "connect", partial(_dbapi.connect, vfs=NAME))
    yield sky
    layer.unregister()


@pytest.fixture
def prepared(tmp_path: Path, weather: Weather) -> Callable[[], Path]:
    """Copies of one study with open duels."""
    original = tmp_path / "original.db"
    with open_store(original) as store:
        fill_study(store, 2)
        store.open_duels("anna", 2)
    copy = tmp_path / "study.db"

    def fresh() -> Path:
        shutil.copyfile(original, copy)
        for suffix in ("-journal", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        return copy

    return fresh


@pytest.mark.slow
@pytest.mark.parametrize(
    ("linked", "error"), [((3, 53, 0), apsw.IOError), ((3, 40, 1), apsw.FullError)], ids=["wal", "truncate"]
)
def test_no_fault_loses_what_was_acknowledged(
    prepared: Callable[[], Path],
    weather: Weather,
    error: type[apsw.Error],
    linked: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_sqlite, "info_for", lambda version: info_for(linked))
    refused = 0
    for at in range(1, 200):
        path = prepared()
        with open_store(path) as store:
            ballots = [ballot_on(duel) for duel in store.open_duels("anna", 2)]
            receipts = {}
            weather.strike(at, error)
            for ballot in ballots:
                try:
                    receipts[ballot.key] = store.vote(ballot)
                except StoreError:
                    refused += 1
            struck = weather.struck
            weather.clear()
        with open_store(path) as store:
            assert store.verify() == []
            kept = {vote.duel_id: vote for vote in StudyState.replay(store.events()).votes}
            for ballot in ballots:
                if ballot.key in receipts:
                    assert kept[ballot.duel_id].seq == receipts[ballot.key].seq
                # The retry that a browser would send: accepted now, or recognised.
                assert store.vote(ballot).replayed is (ballot.duel_id in kept)
            assert len(StudyState.replay(store.events()).votes) == 2
        if not struck:
            break
    assert not struck, "the fault never moved past the last operation"
    assert refused >= at // 2


def test_a_full_disk_is_named_and_voting_goes_on_when_there_is_room(
    prepared: Callable[[], Path], weather: Weather
) -> None:
    with open_store(prepared()) as store:
        first, second = store.open_duels("anna", 2)
        weather.strike(1, apsw.FullError)
        with pytest.raises(StoreError, match="the disk is full"):
            store.vote(ballot_on(first))
        weather.clear()
        assert not store.vote(ballot_on(first)).replayed
        assert not store.vote(ballot_on(second)).replayed
        assert store.verify() == []


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
