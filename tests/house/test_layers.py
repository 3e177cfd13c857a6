"""What may import what, and what an import may load."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "alembic",
    "datasets",
    "jinja2",
    "matplotlib",
    "openai",
    "opentelemetry",
    "pandas",
    "rich",
    "scipy",
    "sqlalchemy",
    "starlette",
    "torch",
    "transformers",
    "typer",
    "uvicorn",
    "wordllama",
    "xllamacpp",
}


def test_the_layers_hold(root: Path) -> None:
    lint = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert lint, "import-linter is not installed: pip install -e '.[dev]'"
    told = subprocess.run([lint, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after a statement."""
    code = (
        f"import sys, json; {statement}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout.splitlines()[-1]))


def test_importing_palate_loads_nothing_heavy() -> None:
    assert loaded_by("import palate") & (HEAVY | {"numpy", "pydantic"}) == set()


@pytest.mark.parametrize(
    ("module", "may_load"),
    [
        ("types", set[str]()),
        ("choice", {"scipy"}),
        ("strategies", {"scipy"}),
        ("judges", set[str]()),
        ("proposers", set[str]()),
        ("targets", set[str]()),
        ("models", set[str]()),
        ("policy", set[str]()),
        ("config", set[str]()),
        ("store", {"alembic", "sqlalchemy"}),
        ("command", set[str]()),
    ],
)
def test_a_part_loads_only_what_it_stands_on(module: str, may_load: set[str]) -> None:
    assert loaded_by(f"import palate.{module}") & HEAVY <= may_load


def test_the_measure_sees_a_heavy_import() -> None:
    assert "sqlalchemy" in loaded_by("import sqlalchemy")
