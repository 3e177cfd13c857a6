"""The migrations make the tables that the code expects, and files of every released schema still open."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import palate.store
from palate.errors import StoreError
from palate.store import StudyState, _migrate, _schema, _sqlite, open_store
from palate.testing import ballot_on

ASSETS = Path(__file__).parent / "assets"
MIGRATIONS = Path(palate.store.__file__).parent / "migrations"


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == _migrate.HEAD


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    with open_store(tmp_path / "study.db") as store, store.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), _schema.metadata)
        partial = dict(
            connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > ''"
            ).all()
        )
    assert differences == []
    # Alembic does not compare the conditions of partial indexes.
    assert "undone = 0" in partial["vote_one_per_duel"]
    assert "open = 1" in partial["duel_open"]


def test_the_questions_of_the_page_use_the_indexes(tmp_path: Path) -> None:
    queries = {
        "duel_open": "SELECT id FROM duel WHERE duel.open = 1 AND judge = 'a' ORDER BY reopened DESC, seq",
        "vote_latest": "SELECT seq FROM vote WHERE vote.undone = 0 AND judge = 'a' ORDER BY seq DESC",
        "vote_once": "SELECT seq FROM vote WHERE key IN ('a', 'b')",
        "pairing_waiting": "SELECT id FROM pairing WHERE state = 'ready' ORDER BY seq",
        "event_setup": f"SELECT payload FROM event WHERE {_schema.SETUP} AND kind = 'inputs_added'",
    }
    with open_store(tmp_path / "study.db") as store, store.reading() as connection:
        for index, query in queries.items():
            plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
            assert index in plan


def test_an_interrupted_migration_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.db"

    def interrupted(connection: Connection) -> None:
        _migrate.migrate(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_sqlite, "migrate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_store(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    with open_store(path) as store:
        assert store.verify() == []


@pytest.mark.parametrize("asset", sorted(ASSETS.glob("schema-*.sql")), ids=lambda path: path.stem)
def test_a_file_of_every_schema_opens_and_verifies(asset: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(asset.read_text(encoding="utf-8"))
    connection.close()
    with open_store(path, create=False) as store:
        assert store.verify() == []
        state = StudyState.replay(store.events())
        assert [vote.verdict.value for vote in state.votes] == ["right", "tie"]
        assert state.guidelines == "Be fair."
        (duel,) = store.open_duels("anna", 1)
        assert duel.input.text == "Hello?"
        store.vote(ballot_on(duel, key="after the upgrade"))
        assert store.verify() == []


def test_there_is_a_file_of_the_newest_schema() -> None:
    assert (ASSETS / f"schema-{_migrate.HEAD}.sql").is_file()


def test_a_version_that_is_no_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with open_store(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM alembic_version")
    connection.close()
    with pytest.raises(StoreError, match="schema None"):
        open_store(path)
