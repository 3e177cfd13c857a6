"""Commands and several serving processes on a study that is kept on a PostgreSQL server."""

import http.client
import json
import random
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlsplit

import pytest
from typer.testing import CliRunner, Result

from palate.command._app import app
from palate.config import parse_config
from palate.errors import ConfigError, MissingExtraError, StoreError
from palate.leading import Lead
from palate.models import Ledger
from palate.store import EventKind, check_server, open_store
from palate.store._postgres_url import read_address
from palate.study import Study
from palate.testing import PostgresServer, save_tiny_model

pytestmark = pytest.mark.postgres

STUDY = """\
[study]
name = "Sorry notes"
candidates = 4
database = "{database}"

[model]
kind = "scripted"
answers = ["I am sorry.", "So sorry about that!", "We apologise.", "Sorry."]
repeat = true

[embedding]
kind = "scripted"

[inputs]
inline = [
  {{text = "late parcel", answer = "I am sorry."}},
  {{text = "broken lamp", answer = "So sorry about that!"}},
]
column = "text"
reference_column = "answer"

[prompts]
seed = "Reply."
list = ["Reply politely.", "Say sorry.", "Say sorry, then help."]

[proposers]
use = []
"""
WRITERS = 8
VOTES = 10  # of each writer
PALATE = (sys.executable, "-c", "from palate.command import main; main()")

Call = Callable[..., Result]


@pytest.fixture
def address(study: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the study, without the password, which is where libpq looks for it."""
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    monkeypatch.setenv("NO_COLOR", "1")
    return study.replace(f":{quote(postgres.password)}@", "@")


@pytest.fixture
def file(address: str, tmp_path: Path) -> Path:
    """The study file, which says where the votes live."""
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(database=address), encoding="utf-8")
    return path


@pytest.fixture
def call() -> Call:
    """Call the command line."""

    def caller(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="palate")

    return caller


def test_every_command_works_on_a_server(
    call: Call, file: Path, address: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    shown = call("run", file, "--judge", "simulated", "--votes", "4")
    assert shown.exit_code == 0, shown.output
    assert f"The study is on a server, {address}; other processes may work on it too." in shown.stderr
    assert "Votes used: 4." in shown.stdout
    said = [shown.output]
    for verb in ("status", "best", "report", "statistics", "verify"):
        by_file, by_address = call(verb, file), call(verb, address)
        assert (by_file.exit_code, by_address.exit_code) == (0, 0), by_file.output
        assert by_file.output == by_address.output
        said.append(by_file.output)
    for words in (
        ("export", address, "-o", tmp_path / "votes.jsonl"),
        ("backup", address, tmp_path / "copy.db"),
        ("raters", "list", address),
        ("invite", address, "--name", "Anna", "--at", "https://rate.example.org"),
        ("invitations", file),
        ("doctor", file),
    ):
        shown = call(*words)
        assert shown.exit_code == 0, shown.output
        said.append(shown.output)
    assert "PostgreSQL" in said[-1]
    said.append(call("propose", "--from", address).output)
    assert "none of the candidates has slots" in said[-1]
    pytest.importorskip("torch")
    quick = ("--set", "steps=1", "--set", "lora=none", "--set", "watch.prompts=0", "--no-page")
    model, out = save_tiny_model(tmp_path / "tiny"), tmp_path / "run"
    said.append(call("train", "dpo", "--study", address, "--model", model, "--out", out, *quick).output)
    assert "groups" in said[-1]
    assert (out / "model" / "model.safetensors").is_file()
    assert postgres.password not in "".join(said)
    with open_store(tmp_path / "copy.db") as copy, open_store(address) as store:
        kept = EventKind.INVITED, EventKind.RATER_JOINED
        assert list(copy.events()) == [event for event in store.events() if event.kind not in kept]
        settings = next(event for event in store.events() if event.kind is EventKind.STUDY_CREATED).payload
    assert "database" not in settings["settings"]["study"]


def test_what_is_wrong_with_a_server_is_one_line_without_the_password(
    call: Call, file: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = call("status", address)
    assert (missing.exit_code, "there is no study at" in missing.stderr) == (2, True)
    wrong = "a-wrong-password"
    monkeypatch.setenv("PGPASSWORD", wrong)
    shown = [call("status", address), call("run", file, "--no-browser")]
    assert all("does not let this user in" in each.stderr and "PGPASSWORD" in each.stderr for each in shown)
    nowhere = f"postgresql://palate@/studies?host={tmp_path}&study=x"
    file.write_text(STUDY.format(database=nowhere), encoding="utf-8")
    shown += [call("status", nowhere), call("run", file, "--no-browser"), call("doctor", file)]
    assert all("cannot be reached" in each.output for each in shown[2:])
    assert {each.exit_code for each in shown} == {1, 2}
    assert not any(wrong in each.output or "Traceback" in each.output for each in shown)
    with pytest.raises(StoreError, match="cannot be reached"):
        check_server(nowhere)


def test_a_password_is_refused_where_others_can_read_it(
    call: Call, study: str, postgres: PostgresServer
) -> None:
    by_key = f"postgresql://palate@host/studies?study=x&password={postgres.password}"
    for given in (study, by_key):
        shown = call("status", given)
        assert (shown.exit_code, "PGPASSWORD" in shown.stderr) == (2, True)
        assert postgres.password not in shown.output
        with pytest.raises(ConfigError, match=r"\[study\] database holds a password") as caught:
            parse_config(STUDY.format(database=given))
        assert postgres.password not in str(caught.value)


def test_without_the_driver_the_command_says_what_to_install(
    call: Call, file: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg.conninfo", None)
    for words in (("status", address), ("run", file, "--no-browser"), ("doctor", file)):
        shown = call(*words)
        assert shown.exit_code != 0
        assert "pip install 'palate[postgres]'" in shown.output
    with pytest.raises(MissingExtraError):
        check_server(address)


def test_one_leads_and_another_takes_over(study: str) -> None:
    ledger = Ledger()
    with open_store(study) as first, open_store(study) as second:
        one, other = Lead(first, ledger), Lead(second, ledger)
        assert (one.taken(), other.taken(), one.taken()) == (True, False, True)
        one.give_back()
        assert (other.taken(), one.taken()) == (True, False)
    with open_store(study) as third:
        assert Lead(third, ledger).taken()


def test_one_piece_of_work_leaves_the_lead_where_it_was(study: str) -> None:
    ledger = Ledger()
    with open_store(study) as first, open_store(study) as second:
        one, other = Lead(first, ledger), Lead(second, ledger)
        with one.for_now() as leads:
            assert (leads, other.taken()) == (True, False)
        assert other.taken()
        with one.for_now() as leads:
            assert not leads
        with pytest.raises(ZeroDivisionError), other.for_now():
            raise ZeroDivisionError
        assert not one.taken()
        other.give_back()
        with pytest.raises(ZeroDivisionError), one.for_now():
            raise ZeroDivisionError
        assert other.taken()


def test_the_lead_ends_with_its_connection(study: str, postgres: PostgresServer) -> None:
    with open_store(study) as first, open_store(study) as second:
        assert first.lead()
        assert ask_about_leader(postgres, study, "pg_terminate_backend(pid, 5000)") == "t"
        assert second.lead()
        assert not first.lead()


def ask_about_leader(postgres: PostgresServer, study: str, what: str) -> str:
    """What the server says of the connection that has the lead of a study."""
    key = read_address(study).lock_key("lead")
    return postgres.execute(
        f"SELECT {what} FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' "
        f"AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = {key}"
    )


def test_processes_that_start_together_set_a_study_up_once(file: Path, address: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for opened in [pool.submit(Study.open, file) for _ in range(4)]:
            opened.result().close()
    with open_store(address) as store:
        kinds = [event.kind for event in store.events()]
    assert kinds == [EventKind.STUDY_CREATED, EventKind.INPUTS_ADDED, EventKind.CANDIDATES_ADDED]


class Page:
    """A served page, as its raters' browsers see it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        link = re.search(r"http://\S+", process.stdout.readline())
        assert link is not None
        self.port = urlsplit(link[0]).port
        threading.Thread(target=process.stdout.read, daemon=True).start()

    def ask(self, cookie: str, path: str, body: object = None) -> tuple[int, dict[str, object], str]:
        """Status, JSON and new cookie of a reply, on a connection of its own.

        Raises:
            OSError: The process is gone.
        """
        host = f"127.0.0.1:{self.port}"
        connection = http.client.HTTPConnection(host, timeout=60)
        headers = {"Origin": f"http://{host}", "Content-Type": "application/json"}
        if cookie:
            headers["Cookie"] = f"palate-{self.port}={cookie}"
        try:
            connection.request("GET" if body is None else "POST", path, json.dumps(body), headers)
            reply = connection.getresponse()
            content, new = reply.read(), str(reply.getheader("set-cookie"))
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
        told = json.loads(content) if content.startswith(b"{") else {}
        return reply.status, told, new.partition("=")[2].partition(";")[0]


@contextmanager
def served(file: Path, count: int) -> Generator[list[Page]]:
    """So many processes that serve the study."""
    with ExitStack() as stack:
        processes: list[subprocess.Popen[str]] = []
        for _ in range(count):
            command = [*PALATE, "run", str(file), "--no-browser"]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            )
            stack.callback(process.kill)
            processes.append(process)
        yield [Page(process) for process in processes]


class Writer:
    """A rater who votes at any of the pages, sends votes twice, and repeats what was not answered."""

    def __init__(self, pages: list[Page], link: str, seed: int) -> None:
        self.acked: dict[str, int] = {}
        self._pages = pages
        self._draws = random.Random(seed)
        self._cookie = self._ask(f"/join/{link}", {})[2]

    def vote(self, count: int) -> None:
        """Vote so often."""
        while count > 0:
            _, told, _ = self._ask("/api/duels")
            duels = told["duels"]
            assert isinstance(duels, list)
            duels = cast("list[dict[str, str]]", duels)
            if not duels:
                time.sleep(0.05)
            for duel in duels[:count]:
                key = f"key-{duel['id']}"
                ballot = {"duel_id": duel["id"], "verdict": "left", "key": key, "seconds": 1.0}
                for _ in range(self._draws.randint(1, 2)):
                    status, receipt, _ = self._ask("/api/votes", ballot)
                    assert status == 200, receipt
                    seq = receipt["seq"]
                    assert isinstance(seq, int)
                    assert self.acked.setdefault(key, seq) == seq
                count -= 1

    def _ask(self, path: str, body: object = None) -> tuple[int, dict[str, object], str]:
        while True:
            page = self._draws.choice(self._pages)
            try:
                return page.ask(getattr(self, "_cookie", ""), path, body)
            except OSError:
                page.process.wait(timeout=30)  # one that lives has to answer


def test_two_servers_take_every_vote_once_also_when_one_is_killed(
    file: Path, address: str, study: str, postgres: PostgresServer
) -> None:
    with open_store(address) as store:
        links = [secrets.token_urlsafe(32) for _ in range(WRITERS)]
        for number, link in enumerate(links):
            store.invite(f"Rater {number}", link)
    with served(file, 2) as pages:
        writers = [Writer(pages, link, seed) for seed, link in enumerate(links)]
        with ThreadPoolExecutor(WRITERS) as pool:
            for each in [pool.submit(writer.vote, VOTES // 2) for writer in writers]:
                each.result()
            name = ask_about_leader(postgres, study, "application_name")
            going = [pool.submit(writer.vote, VOTES - VOTES // 2) for writer in writers]
            next(page for page in pages if f" {page.process.pid} " in name).process.kill()
            for each in going:
                each.result()
    acked = {key: seq for writer in writers for key, seq in writer.acked.items()}
    with open_store(address) as store:
        assert store.verify() == []
        events = list(store.events())
        stored = {str(e.payload["key"]): e.seq for e in events if e.kind is EventKind.VOTED}
        assert stored == acked
        assert len(stored) == sum(e.kind is EventKind.VOTED for e in events) == WRITERS * VOTES
        added = [e for e in events if e.kind in (EventKind.STUDY_CREATED, EventKind.CANDIDATES_ADDED)]
        assert len(added) == 2
