"""What no file may contain."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# The contract suite shows that learners can cross a process boundary; nothing is written to disk.
MAY_PICKLE = {Path("src/palate/testing/_strategies.py")}
BANNED_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "requests",
    "yaml",
}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "torch.load"}

# Spelt in pieces, so that this file is not found by its own test.
UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
PLACES = re.compile(
    "|".join(
        (
            r"/(?:wo" + r"rk|ro" + r"ot|ho" + r"me/(?!me/|local/)\w+|Us" + r"ers/\w+)/",
            r"files\.python" + r"hosted",
            r"(?:^|[^.\w])py" + r"pi\.org",
            r"registry\.np" + r"mjs",
        )
    )
)
LOG_OF_TERMS = Path("LICENSE")


def calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def shell(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            yield node.value.lineno


def test_nothing_is_pickled_or_evaluated(sources: dict[Path, ast.Module]) -> None:
    found = {
        str(path): sorted((BANNED_MODULES & set(imports(tree))) | (BANNED_CALLS & set(calls(tree))))
        for path, tree in sources.items()
        if path not in MAY_PICKLE
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_no_shell(sources: dict[Path, ast.Module]) -> None:
    assert {str(path): lines for path, tree in sources.items() if (lines := list(shell(tree)))} == {}


def test_importing_does_not_set_up_logging(sources: dict[Path, ast.Module]) -> None:
    found = [str(path) for path, tree in sources.items() if "logging.basicConfig" in set(calls(tree))]
    assert found == []


def test_nothing_is_left_unfinished(kept_texts: dict[Path, str]) -> None:
    found = [f"{path}: {line}" for path, text in kept_texts.items() for line in UNFINISHED.findall(text)]
    assert found == []


def test_no_place_of_one_machine_is_named(kept_texts: dict[Path, str]) -> None:
    found = [
        f"{path}: {line.strip()}"
        for path, text in kept_texts.items()
        if path != LOG_OF_TERMS
        for line in text.splitlines()
        if PLACES.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "name"),
    [("import pickle", "pickle"), ("from yaml import load", "yaml"), ("import dill.source", "dill")],
)
def test_the_search_sees_imports(code: str, name: str) -> None:
    assert name in BANNED_MODULES & set(imports(ast.parse(code)))


@pytest.mark.parametrize("code", ["eval('1')", "x = [torch.load(p)]", "def f():\n  return exec(s)"])
def test_the_search_sees_calls(code: str) -> None:
    assert BANNED_CALLS & set(calls(ast.parse(code)))


def test_the_search_sees_places_and_leftovers() -> None:
    assert PLACES.search("see /ho" + "me/anna/notes")
    assert PLACES.search("https://py" + "pi.org/simple")
    assert not PLACES.search("artwork/two and workplace")
    assert UNFINISHED.search("# TO" + "DO: later")
