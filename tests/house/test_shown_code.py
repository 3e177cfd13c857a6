"""What documentation and docstrings show runs as shown."""

import doctest
import importlib
from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parents[2]
SHOWN = [
    example
    for example in find_examples(*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if example.prefix.startswith(("python", "py")) and "notest" not in example.prefix
]
SOURCES = sorted(
    path for path in (ROOT / "src" / "palate").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("example", SHOWN, ids=lambda e: f"{e.path.relative_to(ROOT)}:{e.start_line}")
def test_a_page_runs(
    example: CodeExample, eval_example: EvalExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "#>" in example.source:
        eval_example.run_print_check(example)
    else:
        eval_example.run(example)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_a_docstring_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    told = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert told.attempted > 0
    assert told.failed == 0


def test_there_is_something_to_run() -> None:
    assert SHOWN
    assert SOURCES
