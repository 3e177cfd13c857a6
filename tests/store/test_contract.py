"""The SQLite store keeps the contract, in both journal modes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from palate.store import Store, _sqlite, open_store
from palate.store._engine import info_for
from palate.testing import RaterContract, SimulatedClock, StoreContract


class TestWal(StoreContract):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: open_store(tmp_path / "study.db")


class TestRollbackJournal(StoreContract):
    @pytest.fixture
    def reopen(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
        monkeypatch.setattr(_sqlite, "info_for", lambda version: info_for((3, 40, 1)))
        return lambda: open_store(tmp_path / "study.db")


class TestRaters(RaterContract):
    @pytest.fixture
    def at(self, tmp_path: Path) -> Callable[[SimulatedClock], Store]:
        return lambda clock: open_store(tmp_path / "study.db", clock=clock)
