"""The PostgreSQL store keeps the same contract, and is the same study as the file."""

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from palate.errors import ConfigError, ConflictError, MissingExtraError, StoreError
from palate.store import EXPORT_FORMATS, Store, StudyState, _postgres, _schema, export, open_store
from palate.store._events import chained, encode
from palate.store._migrate import HEAD
from palate.store._postgres_url import is_postgres, read_address
from palate.testing import (
    PostgresServer,
    RaterContract,
    SimulatedClock,
    StoreContract,
    ballot_on,
    fill_study,
    storm,
)
from palate.types import Ballot, Response, Verdict

pytestmark = pytest.mark.postgres
FORMATS = [name for name in EXPORT_FORMATS if name != "hf"]


class TestContract(StoreContract):
    @pytest.fixture
    def reopen(self, study: str) -> Callable[[], Store]:
        return lambda: open_store(study)


class TestRaters(RaterContract):
    @pytest.fixture
    def at(self, study: str) -> Callable[[SimulatedClock], Store]:
        return lambda clock: open_store(study, clock=clock)


def ticking() -> Callable[[], str]:
    seconds = count()
    return lambda: f"2026-11-21T08:{(k := next(seconds)) // 60:02}:{k % 60:02}.000+00:00"


def script(store: Store) -> None:
    """Everything that can happen, drawn from one seed; repeats, conflicts, undoes and odd texts among it."""
    fill_study(store, 60)
    # Two requests that led to one text: the first by code points counts, whatever the server's language.
    for key in ("b", "a", "B", "é", "z"):
        store.put_response(key, Response("text", "the same", seconds=float(ord(key)), cost=None))
    draws = Random(5)
    for number in range(40):
        judge = draws.choice(("anna", "Ben", "Ärger"))
        duel = draws.choice(store.open_duels(judge, 3, draws))
        verdict = draws.choice(tuple(Verdict))
        ballot = Ballot(duel.id, verdict, judge, f"k{number}", 0.1 * number, None, "\0 =1+1 \ud800 猫")
        receipts = [store.vote(ballot) for _ in range(draws.randint(1, 3))]
        assert [receipt.replayed for receipt in receipts] == [False, True, True][: len(receipts)]
        if number % 7 == 0:
            with pytest.raises(ConflictError):
                store.vote(replace(ballot, comment="changed"))
        if number % 5 == 0:
            store.undo(judge)
    store.append("study_closed", {"reason": "done"})


def test_the_same_script_gives_the_same_events_and_exports(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents: list[dict[str, bytes]] = []
    for name, place in (("file", tmp_path / "study.db"), ("server", study)):
        salts = count()
        monkeypatch.setattr(secrets, "token_hex", lambda length, salts=salts: f"{next(salts):0{2 * length}x}")
        folder = tmp_path / name
        folder.mkdir()
        with open_store(place, clock=ticking()) as store:
            script(store)
            assert store.verify() == []
            for format_ in FORMATS:
                for ties in ("drop", "both"):
                    export(store, format_, folder / f"{format_}-{ties}", ties=ties)
            same = store.get_response(Response("text", "the same").hash)
            assert same.seconds == ord("B")
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4 * len(FORMATS)


def test_the_migrations_make_the_tables_of_the_code(study: str) -> None:
    with open_store(study) as store, store.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), _schema.metadata)
        indexes = dict(
            connection.exec_driver_sql(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
            ).all()
        )
        collations = connection.exec_driver_sql(
            "SELECT DISTINCT collation_name FROM information_schema.columns WHERE "
            "table_schema = current_schema() AND data_type IN ('text', 'character varying') "
            "AND table_name <> 'alembic_version'"
        ).all()
    assert differences == []
    assert "(undone = 0)" in indexes["vote_one_per_duel"]
    assert "(open = 1)" in indexes["duel_open"]
    assert collations == [("C",)]


_VOTER = """
import json, random, sys
from concurrent.futures import ThreadPoolExecutor
from palate.store import open_store
from palate.types import Ballot, Verdict
url, seed, ballots = sys.argv[1], int(sys.argv[2]), json.loads(sys.stdin.read())
draws = random.Random(seed)
sent = [Ballot(d, Verdict.LEFT, j, k) for d, j, k in ballots for _ in range(draws.randint(1, 3))]
draws.shuffle(sent)
with open_store(url, create=False) as store, ThreadPoolExecutor(8) as pool:
    receipts = list(pool.map(store.vote, sent))
    fresh = sum(not receipt.replayed for receipt in receipts)
    print(json.dumps([fresh, sorted({(b.key, r.seq) for b, r in zip(sent, receipts)})]))
"""


def test_four_processes_make_each_vote_once_and_readers_see_a_prefix(study: str) -> None:
    with open_store(study) as store:
        fill_study(store, 200)
        ballots = [
            (duel.id, judge, f"key-{duel.id}")
            for judge in ("a", "b")
            for duel in store.open_duels(judge, 100)
        ]
        running = [
            subprocess.Popen(
                [sys.executable, "-c", _VOTER, study, str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in range(4)
        ]
        seen = store.last_seq()
        link = list(store.events())[-1].hash
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(process.communicate, json.dumps(ballots)) for process in running]
            while not all(future.done() for future in asked) or seen < store.last_seq():
                for event in store.events(after=seen):
                    assert event.seq == seen + 1
                    link = chained(link, event.seq, event.at, event.kind, event.actor, encode(event.payload))
                    assert event.hash == link
                    seen = event.seq
            said = [json.loads(future.result()[0]) for future in asked]
        assert [process.returncode for process in running] == [0] * 4
        assert sum(fresh for fresh, _ in said) == 200
        assert all(receipts == said[0][1] for _, receipts in said)
        assert len(said[0][1]) == 200
        assert len(StudyState.replay(store.events()).votes) == 200
        assert store.verify() == []


@pytest.mark.slow
def test_a_storm_of_kills_loses_doubles_and_invents_nothing(study: str) -> None:
    report = storm(study, rounds=3, writers=8, longest=0.5)
    assert report.good, report
    assert report.acknowledged > 50


def test_two_processes_never_show_one_pairing_to_two_judges(study: str) -> None:
    with open_store(study) as one, open_store(study) as two:
        fill_study(one, 60)
        with ThreadPoolExecutor(6) as pool:
            hands = pool.map(lambda k: (one, two)[k % 2].open_duels(f"judge-{k % 3}", 10), range(12))
            shown = {(duel.id, duel.pairing_id, duel.judge) for hand in hands for duel in hand}
        assert len(shown) == 30
        assert len({pairing for _, pairing, _ in shown}) == 30
        assert one.verify() == []


def test_votes_survive_a_crash_of_the_server_and_the_store_goes_on(
    study: str, postgres: PostgresServer
) -> None:
    with open_store(study) as store:
        fill_study(store, 300)
        ballots = [ballot_on(duel) for duel in store.open_duels("anna", 300)]
        acknowledged: dict[str, int] = {}
        crashed = threading.Event()
        refused: list[tuple[Ballot, str]] = []

        def vote(ballot: Ballot) -> None:
            try:
                acknowledged[ballot.key] = store.vote(ballot).seq
            except StoreError as error:
                refused.append((ballot, str(error)))
            if len(acknowledged) == 60:
                crashed.set()

        with ThreadPoolExecutor(8) as pool:
            done = pool.map(vote, ballots)
            assert crashed.wait(60)
            postgres.stop("immediate")
            postgres.start()
            list(done)
        for ballot, said in refused:
            assert postgres.password not in said
            acknowledged[ballot.key] = store.vote(ballot).seq
        votes = {vote.duel_id: vote.seq for vote in StudyState.replay(store.events()).votes}
        assert votes == {ballot.duel_id: acknowledged[ballot.key] for ballot in ballots}
        assert store.verify() == []


def test_a_connection_that_was_cut_is_made_again(study: str, postgres: PostgresServer) -> None:
    with open_store(study) as store:
        fill_study(store)
        duels = store.open_duels("anna", 2)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'palate%'"
        for duel in duels:
            assert "t" in postgres.execute(cut)
            assert not store.vote(ballot_on(duel)).replayed
            assert postgres.execute(cut)
            assert store.last_seq() > 0


def test_a_process_that_stands_still_with_the_lock_is_thrown_out(
    study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(study) as store:
        fill_study(store)
        duel = store.open_duels("anna", 1)[0]
    monkeypatch.setattr(_postgres, "IDLE_SECONDS", 1)
    with open_store(study) as stuck, open_store(study) as other:
        inside, go_on = threading.Event(), threading.Event()

        def hold(batch: object) -> None:
            inside.set()
            assert go_on.wait(60)

        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(stuck._writer.run, hold)
            assert inside.wait(30)
            assert not other.vote(ballot_on(duel)).replayed
            go_on.set()
            # Its work was done again on a fresh connection.
            assert held.result(30) is None
        assert stuck.vote(ballot_on(duel)).replayed


def test_a_lock_that_is_not_let_go_of_is_named(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_postgres, "LOCK_SECONDS", 1)
    with open_store(study) as store, open_store(study) as other:
        inside, go_on = threading.Event(), threading.Event()

        def hold(batch: object) -> None:
            inside.set()
            assert go_on.wait(60)

        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(store._writer.run, hold)
            assert inside.wait(30)
            with pytest.raises(StoreError, match="is busy"):
                other.append("study_closed", {"reason": ""})
            go_on.set()
            held.result(30)


def test_one_server_at_a_time_where_that_is_wanted(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_postgres, "TAKEOVER_SECONDS", 1)
    with open_store(study, exclusive=True) as server:
        fill_study(server)
        with pytest.raises(StoreError, match=r"already being served by palate \d+ on"):
            open_store(study, exclusive=True)
        with open_store(study) as beside:
            beside.vote(ballot_on(beside.open_duels("anna", 1)[0]))
            assert server.last_seq() == beside.last_seq()
    with open_store(study, exclusive=True) as server:
        assert server.verify() == []


def test_a_study_moves_onto_a_server_and_back(study: str, tmp_path: Path) -> None:
    with open_store(tmp_path / "study.db", clock=ticking()) as file, open_store(study) as server:
        script(file)
        assert server.fill_from(file) == file.last_seq() == server.last_seq()
        assert server.verify() == []
        with pytest.raises(ConflictError, match="not empty"):
            server.fill_from(file)
        copy = server.backup(tmp_path / "copy.db")
        assert list(server.events()) == list(file.events())
    with open_store(copy, create=False) as back:
        assert list(back.events()) == list(file_events(tmp_path / "study.db"))
        assert back.verify() == []
        back.append("study_reopened", {"reason": ""})
        back.vote(ballot_on(back.open_duels("anna", 1)[0], key="goes on"))
    assert {path.name for path in tmp_path.iterdir()} == {"study.db", "copy.db"}


def file_events(path: Path) -> list[object]:
    with open_store(path) as store:
        return list(store.events())


def test_a_study_of_python_objects_lives_on_a_server(study: str) -> None:
    from palate.study import Study

    def make() -> Study:
        return Study.create(
            target=lambda prompt, text: f"{prompt} {text}",
            inputs=["one", "two"],
            candidates=["Say:", "Please say:"],
            path=study,
        )

    with closing(make()) as here, closing(make()) as there:
        for each, judge in ((here, "anna"), (there, "ben"), (here, "anna")):
            each.tell(each.ask(judge), "left", judge=judge)
        assert here.store.title in here._repr_html_()
    with closing(make()) as again:
        assert [vote.judge for vote in again.state.votes] == ["anna", "ben", "anna"]
        assert again.store.verify() == []


def test_studies_of_one_database_know_nothing_of_each_other(postgres: PostgresServer) -> None:
    with open_store(postgres.url("left")) as left, open_store(postgres.url("right")) as right:
        fill_study(left)
        assert left.last_seq() > 0
        assert right.last_seq() == 0
        assert (left.title, right.title) == ("left", "right")


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE event SET actor = 'somebody' WHERE seq = 2", "event 2 was changed"),
        ("DELETE FROM event WHERE seq = 2", "event 2 is missing"),
        ("UPDATE vote SET verdict = 'tie'", "table vote lacks"),
        ("DELETE FROM text", "which is missing"),
        ("DROP INDEX vote_once", "vote_once is missing"),
    ],
)
def test_damage_is_found(study: str, postgres: PostgresServer, statement: str, found: str) -> None:
    with open_store(study) as store:
        fill_study(store)
        store.vote(ballot_on(store.open_duels("anna", 1)[0]))
        schema = read_address(study).schema
        postgres.execute(f'SET search_path TO "{schema}"; {statement}')
        assert found in " ".join(store.verify())


def test_what_is_not_there_or_not_ours_is_refused(study: str, postgres: PostgresServer) -> None:
    schema = read_address(study).schema
    with pytest.raises(StoreError, match="there is no study"):
        open_store(study, create=False)
    assert postgres.execute(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}'") == "0"
    postgres.execute(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}".mine (a int)')
    with pytest.raises(StoreError, match="holds other tables"):
        open_store(study)
    postgres.execute(f'DROP TABLE "{schema}".mine')
    with open_store(study) as store:
        fill_study(store)
    postgres.execute(f"UPDATE \"{schema}\".alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=f"newer Palate .schema 9999, this one knows up to {HEAD}"):
        open_store(study)


def test_a_server_that_would_forget_is_refused(study: str, postgres: PostgresServer) -> None:
    postgres.execute(
        "CREATE DATABASE small ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    )
    with pytest.raises(StoreError, match="UTF8"):
        open_store(postgres.url("any", database="small"))
    postgres.execute("ALTER DATABASE studies SET synchronous_commit = off")
    postgres.execute("ALTER DATABASE studies SET default_transaction_isolation = 'repeatable read'")
    try:
        with open_store(study) as store, open_store(study) as other:
            assert store.info.why.endswith("synchronous_commit on")
            fill_study(store)
            duels = store.open_duels("anna", 4)
            for voter, duel in zip((store, other, store, other), duels, strict=True):
                assert not voter.vote(ballot_on(duel)).replayed
    finally:
        postgres.execute("ALTER DATABASE studies RESET ALL")


@pytest.mark.parametrize("kind", ["password", "user", "database"])
def test_no_password_is_ever_said(study: str, postgres: PostgresServer, kind: str) -> None:
    address = read_address(study)
    assert postgres.password not in f"{address} {address.name}"
    with open_store(study) as store:
        assert postgres.password not in f"{store!r} {store.place} {store.info} {store.path}"
    wrong = {
        "password": study.replace(postgres.password, "wrong-secret"),
        "user": study.replace("palate:", "nobody:"),
        "database": study.replace("/studies", "/nothing"),
    }[kind]
    with pytest.raises(StoreError, match=r"cannot be reached|does not let this user in") as caught:
        open_store(wrong)
    error: BaseException | None = caught.value
    while error is not None:
        assert postgres.password not in f"{error} {error!r}"
        assert "wrong-secret" not in f"{error} {error!r}"
        error = error.__cause__


def test_an_address_that_cannot_be_read_is_not_repeated() -> None:
    for wrong in ("postgresql://me:sec%ret@host/db", "postgresql://me:secret@host/db?nonsense=1"):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            open_store(wrong)
        assert "sec" not in str(caught.value)
        assert caught.value.__cause__ is None
    for name in ("", "Tone", "a" * 51, "a;b", 'a"b', "-a", "public.x"):
        with pytest.raises(ConfigError, match="a study on a server is named"):
            read_address(f"postgresql://host/db?study={name}")
    with pytest.raises(ConfigError, match="named once"):
        read_address("postgresql://host/db?study=a&study=b")


def test_an_address_is_shown_without_its_secrets() -> None:
    shown = {
        "postgresql://me:pw@host:5433/db?study=tone&sslmode=require": "postgresql://me@host:5433/db?study=tone",
        "postgres://host/db": "postgresql://host/db?study=study",
        "postgresql+psycopg://me@[::1]/db?password=pw": "postgresql://me@[::1]/db?study=study",
        "postgresql:///db?host=/tmp&user=me&study=a": "postgresql://me@/db?host=/tmp&study=a",
    }
    for url, name in shown.items():
        assert is_postgres(url)
        assert read_address(url).name == name
        assert read_address(name).parameters.get("dbname") == "db"
    assert read_address("postgresql://host/db?study=tone").schema == "palate_tone"
    assert not is_postgres("study.db")
    assert not is_postgres(Path("postgresql:/x"))


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg.conninfo", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'palate\[postgres\]'"):
        open_store("postgresql://host/db")


def test_a_file_does_not_load_the_driver(tmp_path: Path) -> None:
    program = (
        "import sys; from palate.store import open_store; open_store(sys.argv[1]).close(); "
        "assert not any(name.startswith('psycopg') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "study.db")], check=True)
