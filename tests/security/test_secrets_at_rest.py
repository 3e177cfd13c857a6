"""Secrets that nobody can guess, forge or read on the disk: each start and each link has its own."""

import random
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from people_kit import People
from study_kit import PORT, StudyKit
from test_page_server import ask, served
from typer.testing import CliRunner

from palate.command._app import app as commands
from palate.errors import ConfigError
from palate.store import Store, open_store
from palate.web._app import create_apps

OWN = pytest.mark.skipif(sys.platform == "win32", reason="rights of files are of other systems")


def token_of(link: str) -> str:
    return link.rpartition("/")[2]


def test_two_starts_share_no_secret_even_with_the_same_seeds(store: Store) -> None:
    StudyKit(store)
    drawn: list[set[str]] = []
    for _ in range(2):
        random.seed(7)
        np.random.seed(7)
        with served(store) as link:
            let_in = ask(link, "/start/" + token_of(link))
        cookie = str(let_in.getheader("set-cookie")).partition("=")[2].partition(";")[0]
        words = ["invite", str(store.path), "--name", "Anna", "--at", "https://rate.example.org"]
        invited = CliRunner().invoke(commands, words)
        assert invited.exit_code == 0, invited.output
        found = re.search(r"/join/([\w-]+)", invited.output)
        assert found, invited.output
        guest, _ = People(store).guest()
        drawn.append({token_of(link), cookie, found[1], *guest.cookies.values()})
    first, second = drawn
    assert len(first) == len(second) == 4
    assert not first & second
    assert all(len(secret) == 43 for secret in first | second)  # 256 bits in base 64


def test_what_another_start_handed_out_opens_nothing(store: Store) -> None:
    StudyKit(store)
    with served(store) as old:
        path = "/start/" + token_of(old)
        cookie = str(ask(old, path).getheader("set-cookie")).partition(";")[0].partition("=")[2]
    with served(store) as new:
        port = new.split(":")[2].partition("/")[0]
        assert ask(new, path).status == 403
        assert ask(new, "/", cookie=f"palate-{port}={cookie}").status == 403


@pytest.mark.parametrize("token", ["", "me", "secret", "palate", "a" * 21])
def test_no_secret_is_short_and_none_is_built_in(store: Store, token: str) -> None:
    for options in ({"launch_token": token}, {"launch_token": "t" * 43, "metrics_token": token}):
        with pytest.raises(ConfigError, match="at least 22"):
            create_apps(store, port=PORT, **options)


@OWN
def test_what_a_study_writes_is_its_owners_alone(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db", exclusive=True) as store:
        kit = StudyKit(store)
        kit.pair(2)
        People(store).owner().get("/statistics")
        store.columns()
        store.backup(tmp_path / "backup.db")
        while_open = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    closed = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert {"s.db", "backup.db"} <= set(while_open)
    assert {**while_open, **closed} == dict.fromkeys({**while_open, **closed}, 0o600)


@OWN
def test_a_file_that_others_may_read_stays_as_its_owner_made_it(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    open_store(path).close()
    path.chmod(0o640)
    open_store(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
