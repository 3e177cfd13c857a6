"""Where the project lies, and its source files as syntax trees."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "palate").rglob("*.py"))
SKIPPED = {".git", ".venv", "node_modules", "dist", "build", "site"}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sources() -> dict[Path, ast.Module]:
    """Every file of the library, parsed, under its path from the root."""
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


@pytest.fixture(scope="session")
def kept_files() -> list[Path]:
    """What git keeps; in an unpacked archive, everything that is not a build product."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file()]


@pytest.fixture(scope="session")
def kept_texts(kept_files: list[Path]) -> dict[Path, str]:
    """Every text that git keeps; pictures and databases are left out."""
    texts: dict[Path, str] = {}
    for path in kept_files:
        raw = path.read_bytes()
        if b"\0" not in raw[:8192]:
            texts[path.relative_to(ROOT)] = raw.decode("utf-8")
    return texts
