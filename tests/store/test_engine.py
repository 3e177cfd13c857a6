"""Where a study may lie, what its SQLite may do, and what is said when something is in the way."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from palate.errors import StoreError
from palate.store import Store, _dbapi, _sqlite, open_store
from palate.store._engine import actual_info, explain, info_for, refuse_place, wal_is_safe
from palate.store._migrate import HEAD
from palate.testing import ballot_on, fill_study

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local ext4 rw 0 0
//box/share /mnt/with\\040space cifs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 1), False),
        ((3, 49, 9), False),
        ((3, 50, 4), False),
        ((3, 50, 7), True),
        ((3, 51, 1), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), False),
        ((3, 53, 0), True),
        ((3, 54), True),
        ((4, 0, 0), True),
    ],
)
def test_wal_only_where_its_bug_is_fixed(version: tuple[int, ...], safe: bool) -> None:
    assert wal_is_safe(version) is safe
    info = info_for(version)
    assert info.journal == ("wal" if safe else "truncate")
    assert info.sqlite in info.why


def test_the_linked_sqlite_is_what_is_asked(tmp_path: Path) -> None:
    with open_store(tmp_path / "study.db") as store:
        linked = _dbapi.connect(":memory:").handle.execute("SELECT sqlite_version()").fetchone()
        assert store.info.sqlite == linked[0]
        assert store.info == info_for(tuple(map(int, linked[0].split("."))))


@pytest.mark.parametrize(("version", "journal"), [((3, 53, 0), "wal"), ((3, 51, 2), "truncate")])
def test_the_file_has_the_journal_that_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], journal: str
) -> None:
    monkeypatch.setattr(_sqlite, "info_for", lambda linked: info_for(version))
    with open_store(tmp_path / "study.db") as store:
        assert store.info.journal == journal
        with store.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() in (journal, "delete")
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_journal_that_sqlite_declined_is_reported() -> None:
    assert actual_info(info_for((3, 53, 0)), "delete").journal == "delete"


@pytest.mark.parametrize("place", ["/" + "home/me/study.db", "/mnt/with space/study.db"])
def test_a_network_file_system_is_refused(place: str) -> None:
    with pytest.raises(StoreError, match=r"network file system \((nfs4|cifs)\)"):
        refuse_place(Path(place), MOUNTS)


@pytest.mark.parametrize("place", ["/" + "home/local/study.db", "/tmp/study.db", "/homes/study.db"])
def test_a_local_disk_is_not(place: str) -> None:
    refuse_place(Path(place), MOUNTS)


def foreign_database(path: Path, journal: str) -> None:
    """A database of another program; ``"live"`` as one that was killed leaves it, all of it in its log."""
    making = path.with_name("making")
    connection = sqlite3.connect(making)
    connection.execute(f"PRAGMA journal_mode={'delete' if journal == 'delete' else 'wal'}")
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    if journal != "live":
        connection.close()
    for suffix in ("", "-wal"):
        if (made := making.with_name(f"making{suffix}")).exists():
            path.with_name(path.name + suffix).write_bytes(made.read_bytes())
    connection.close()
    for left in path.parent.glob("making*"):
        left.unlink()


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("kind", ["short text", "long text", "delete", "wal", "live"])
def test_other_files_are_refused_and_not_a_byte_of_them_changes(
    tmp_path: Path, kind: str, exclusive: bool
) -> None:
    path = tmp_path / "other.db"
    if kind.endswith("text"):
        path.write_text("not a database" * (40 if kind == "long text" else 1), encoding="utf-8")
    else:
        foreign_database(path, kind)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    said = (
        "it is some other kind of file" if kind.endswith("text") else "an SQLite database, but not a Palate"
    )
    with pytest.raises(StoreError, match=said):
        open_store(path, exclusive=exclusive)
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert after.items() >= before.items()
    # Only reading another program's log takes the index that SQLite makes beside it.
    assert after.keys() - before.keys() <= ({"other.db-shm"} if kind == "live" else set())


def test_a_study_whose_making_was_cut_short_is_made(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=wal")
    connection.close()
    assert path.stat().st_size == 4096
    with open_store(path) as store:
        fill_study(store)
        assert store.verify() == []


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match="there is no study at"):
        open_store(tmp_path / "study.db", create=False)
    with pytest.raises(StoreError, match="there is no folder"):
        open_store(tmp_path / "missing" / "study.db")
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_a_newer_palate_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with open_store(path) as store:
        fill_study(store)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"newer Palate .schema 9999, this one knows up to {HEAD}"):
        open_store(path)
    assert path.read_bytes() == before


def test_an_event_of_a_newer_palate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with open_store(path) as store:
        fill_study(store)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE event SET kind = 'dreamt' WHERE seq = 2")
    connection.close()
    with open_store(path) as store, pytest.raises(StoreError, match="'dreamt' is from a newer Palate"):
        list(store.events())


@pytest.mark.parametrize("damage", ["cut", "scribbled"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "study.db"
    with open_store(path) as store:
        fill_study(store, 400)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] if damage == "cut" else content[:half] + b"\xaa" * (len(content) - half))
    try:
        with open_store(path) as store:
            problems = store.verify()
    except StoreError as error:
        problems = [str(error)]
    assert problems
    assert "damaged" in problems[0]


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="drops privileges, so it needs some to drop"
)
def test_a_read_only_folder_is_named_for_somebody_without_rights() -> None:
    # In a process of its own: other tests leave threads behind, and a process with threads must not fork.
    program = (
        "import os\n"
        "from palate.errors import StoreError\n"
        "from palate.store import open_store\n"
        "os.setegid(65534); os.seteuid(65534)\n"
        "try:\n    open_store('/usr/study.db')\n"
        "except StoreError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "read-only" in said.stdout


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, **_: False)
    with pytest.raises(StoreError, match="is read-only"):
        open_store(tmp_path / "study.db")


@pytest.mark.parametrize(
    ("code", "words"),
    [(5, "busy"), (8, "read-only"), (10, "disk failed"), (13, "full"), (99, "cannot be used")],
)
def test_what_sqlite_says_is_said_in_words(code: int, words: str) -> None:
    assert words in str(explain(Path("study.db"), _dbapi.OperationalError("said", code)))


def test_a_second_server_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with open_store(path, exclusive=True) as server:
        fill_study(server)
        with pytest.raises(StoreError, match=f"already being served by process {os.getpid()}"):
            open_store(path, exclusive=True)
        with open_store(path) as reader:
            duel = server.open_duels("anna", 1)[0]
            server.vote(ballot_on(duel))
            assert reader.last_seq() == server.last_seq()
    with open_store(path, exclusive=True) as server:
        assert isinstance(server, Store)
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]


def test_a_lock_is_released_when_opening_fails(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, but long enough to have a header " * 40)
    for _ in range(2):
        with pytest.raises(StoreError, match="some other kind"):
            open_store(path, exclusive=True)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.db"]


def test_sqlalchemy_can_use_the_driver_for_anything() -> None:
    engine = create_engine("sqlite://", module=_dbapi, creator=lambda: _dbapi.connect(":memory:"))
    with engine.connect() as connection:
        connection.exec_driver_sql(textwrap.dedent("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)"))
        assert connection.exec_driver_sql("INSERT INTO t (b) VALUES ('x')").lastrowid == 1
        many = connection.exec_driver_sql("INSERT INTO t (b) VALUES (?)", [("y",), ("z",)])
        assert many.rowcount == 2
        result = connection.exec_driver_sql("SELECT a, b FROM t ORDER BY a")
        assert list(result.keys()) == ["a", "b"]
        assert result.fetchmany(2) == [(1, "x"), (2, "y")]
        assert result.fetchall() == [(3, "z")]
        empty = connection.exec_driver_sql("SELECT a AS none_left FROM t WHERE a > 9")
        assert list(empty.keys()) == ["none_left"]
        assert empty.all() == []
        assert connection.exec_driver_sql("SELECT 'abc' REGEXP 'b'").scalar() == 1
    engine.dispose()
