"""The reference pages are what the code says now."""

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES = runpy.run_path(str(FOLDER / "generate.py"))["PAGES"]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_page_is_not_stale(page: str) -> None:
    if page == "training.md":
        pytest.importorskip("torch")
    assert (FOLDER / page).read_text(encoding="utf-8") == PAGES[page](), (
        "run: python docs/reference/generate.py"
    )
