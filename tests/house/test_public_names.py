"""Every public name exists, is documented, and every registered part can be loaded."""

import ast
import importlib
import inspect
import pkgutil
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import palate

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = sorted(
    f"palate.{module.name}"
    for module in pkgutil.iter_modules(palate.__path__)
    if not module.name.startswith("_")
)
ENTRIES = [
    EntryPoint(name, value, group)
    for group, entries in PROJECT["entry-points"].items()
    for name, value in entries.items()
]


def documented(value: Any) -> bool:
    """Aliases of types and constants have no docstring of their own; classes and functions must."""
    return bool(inspect.getdoc(value)) or not (inspect.isclass(value) or inspect.isroutine(value))


def own_methods(value: Any) -> list[str]:
    """Public methods and properties that a class of ours defines without saying what they do."""
    if not inspect.isclass(value) or not value.__module__.startswith("palate"):
        return []
    return [
        name
        for name, member in vars(value).items()
        if not name.startswith(("_", "test_"))
        and isinstance(member, property | classmethod | staticmethod | type(documented))
        and not inspect.getdoc(getattr(value, name, member))
    ]


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__doc__, f"{module} does not say what it is"
    names: list[str] = loaded.__all__
    assert sorted(names) == sorted(set(names))
    missing = [name for name in names if not documented(getattr(loaded, name))]
    silent = {name: own_methods(getattr(loaded, name)) for name in names}
    assert missing == []
    assert {name: methods for name, methods in silent.items() if methods} == {}


@pytest.mark.parametrize("module", MODULES)
def test_type_aliases_and_constants_are_plain(module: str) -> None:
    """What has no docstring of its own is a constant or a type alias, never a mutable state."""
    loaded = importlib.import_module(module)
    for name in loaded.__all__:
        assert not isinstance(getattr(loaded, name), list | set | bytearray), (
            f"{module}.{name} can be changed"
        )


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.group}:{e.name}")
def test_every_entry_point_resolves(entry: EntryPoint) -> None:
    assert callable(entry.load())


def test_every_script_resolves() -> None:
    for value in PROJECT["scripts"].values():
        assert callable(EntryPoint("script", value, "console_scripts").load())


def test_every_source_file_says_what_it_is(sources: dict[Path, ast.Module]) -> None:
    silent = [
        str(path)
        for path, tree in sources.items()
        if ast.get_docstring(tree) is None and path.name != "_version.py"
    ]
    assert silent == []
