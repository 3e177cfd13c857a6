"""The browser, the study and the server of the page's own tests, for the security tests."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "web"))

from browser_kit import open_chromium
from selenium import webdriver

from palate.store import Store, open_store


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that costs no disk writes where there is one: what is stored here is not under test."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


@pytest.fixture
def store(memory: Path) -> Iterator[Store]:
    with open_store(memory / "study.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = open_chromium(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()
