"""A tiny policy on disk."""

import sys
from pathlib import Path

import pytest

from palate.testing import save_tiny_model

sys.path.append(str(Path(__file__).parents[1] / "policy" / "trainer"))  # two processes are made there


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
