"""``palate invite`` and ``palate invitations``, and what ``palate run --public`` demands."""

import json
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import Result

from palate.store import StudyState, open_store, secret_hash

Call = Callable[..., Result]
AT = ("--at", "https://rate.example.org")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "letters.db"
    open_store(path).close()
    return path


def state_of(database: Path) -> StudyState:
    with open_store(database) as store:
        return StudyState.replay(store.events())


def test_a_link_a_person_told_once(call: Call, database: Path) -> None:
    one = call("invite", database, "--name", "Anna", *AT)
    assert one.exit_code == 0, one.output
    link = one.stdout.strip()
    assert re.fullmatch(r"https://rate\.example\.org/join/[\w-]{43}", link)
    assert "lets one browser in until" in one.stderr
    secret = link.rpartition("/")[2]
    (kept,) = state_of(database).invitations.by_id.values()
    assert kept.secret == secret_hash(secret)
    ends = datetime.fromisoformat(str(kept.expires)) - datetime.now(UTC)
    assert timedelta(days=29) < ends <= timedelta(days=30)
    listed = call("invitations", database)
    assert "Anna" in listed.stdout
    assert "not used yet" in listed.stdout
    assert secret not in listed.output
    assert kept.secret not in listed.output


def test_several_people_and_every_option(call: Call, database: Path) -> None:
    options = ("--group", "nurses", "--expires", "2w", "--uses", "3")
    made = call("invite", database, "--name", "Anna", "--name", "Ben", *options, *AT, "--json")
    rows = json.loads(made.stdout)
    assert [row["name"] for row in rows] == ["Anna", "Ben"]
    assert len({row["link"] for row in rows}) == 2
    call("invite", database, "--name", "Eva", "--role", "viewer", "--expires", "never", *AT)
    listed = json.loads(call("invitations", database, "--json").stdout)
    assert [(row["name"], row["role"], row["group"], row["uses"]) for row in listed] == [
        ("Anna", "rater", "nurses", 3),
        ("Ben", "rater", "nurses", 3),
        ("Eva", "viewer", "", 1),
    ]
    assert listed[2]["expires"] is None
    assert state_of(database).raters == {row["rater"]: "nurses" for row in rows}
    assert "Anna" not in str(list(state_of(database).invitations.by_id.values()))


def test_revoking(call: Call, database: Path) -> None:
    row = json.loads(call("invite", database, "--name", "Anna", *AT, "--json").stdout)[0]
    gone = call("invitations", database, "--revoke", row["id"])
    assert gone.exit_code == 0
    assert f"Revoked {row['id']}." in gone.stderr
    assert "revoked" in gone.stdout
    unknown = call("invitations", database, "--revoke", "nobody")
    assert unknown.exit_code == 2
    assert "no invitation 'nobody'" in unknown.stderr


def test_the_address_is_told_or_known_or_asked_for(call: Call, database: Path, study: Path) -> None:
    lost = call("invite", database, "--name", "Anna")
    assert lost.exit_code == 2
    assert "--at https://NAME" in lost.stderr
    with open_store(database) as store:
        store.append("page_opened", {"origin": "https://known.example.org"})
    known = call("invite", database, "--name", "Anna")
    assert known.stdout.startswith("https://known.example.org/join/")
    written = study.read_text(encoding="utf-8") + "\n[page]\nport = 8765\n"
    study.write_text(written, encoding="utf-8")
    here = call("invite", study, "--name", "Anna")
    assert here.stdout.startswith("http://127.0.0.1:8765/join/"), here.output


def test_people_can_be_invited_before_the_first_run(call: Call, study: Path) -> None:
    assert call("invite", study, "--name", "Anna", *AT).exit_code == 0
    ran = call("run", study, "--judge", "simulated", "--votes", "2", "--no-browser")
    assert ran.exit_code == 0, ran.output
    state = state_of(study.with_suffix(".db"))
    assert len(state.votes) == 2
    assert len(state.raters) == len(state.invitations.by_id) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--role", "owner"), "role is one of rater, viewer"),
        (("--expires", "soon"), "--expires is 'soon'"),
        (("--expires", "0d"), "--expires is '0d'"),
        (("--at", "http://rate.example.org"), "http only for 127.0.0.1"),
        (("--at", "https://rate.example.org/path"), "the origin that people type"),
        (("--at", "javascript:alert(1)"), "the origin that people type"),
        (("--name", "a\nb"), "printable characters"),
        (("--name", " "), "printable characters"),
        (("--uses", "0"), "--uses"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(
    call: Call, database: Path, options: tuple[str, ...], named: str
) -> None:
    shown = call("invite", database, "--name", "Anna", *AT, *options)
    assert shown.exit_code == 2
    assert named in shown.output
    assert not state_of(database).invitations.by_id


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--public", "rate.example.org"), "--tls-cert FILE and --tls-key FILE, or --behind-proxy"),
        (("--public", "h", "--behind-proxy", "http://rate.example.org"), "https origin"),
        (("--behind-proxy", "https://rate.example.org"), "--behind-proxy belongs to --public"),
        (("--public", "h", "--behind-proxy", "https://x.org", "--terminal"), "leave out --terminal"),
        (("--public", "h", "--behind-proxy", "https://x.org", "--judge", "simulated"), "leave out --judge"),
        (("--public", "127.0.0.1:0", "--behind-proxy", "https://x.org"), "nobody is, or no more"),
        (("--metrics-token-file", "nowhere.token"), "cannot be read"),
    ],
)
def test_a_public_page_without_protection_does_not_start(
    call: Call, study: Path, options: tuple[str, ...], named: str
) -> None:
    shown = call("run", study, "--no-browser", *options)
    assert shown.exit_code == 2
    assert named in shown.stderr


def test_a_token_that_others_can_read_is_refused(call: Call, study: Path, tmp_path: Path) -> None:
    token = tmp_path / "metrics.token"
    token.write_text("x" * 43, encoding="utf-8")
    token.chmod(stat.S_IRUSR | stat.S_IRGRP)
    shown = call("run", study, "--metrics-token-file", token)
    assert shown.exit_code == 2
    assert "chmod 600" in shown.stderr
    assert "xxx" not in shown.output
