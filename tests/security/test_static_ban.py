"""What the source never does: loads code from data, runs a shell, or writes SQL by hand."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import palate

SOURCE = Path(palate.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle",
    "commands", "telnetlib", "xmlrpc", "imp",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execl", "os.spawnl",
    "tempfile.mktemp", "asyncio.create_subprocess_shell", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "jinja2.Template", "code.interact", "ctypes.CDLL",
}  # fmt: skip
SQL = {"execute", "exec_driver_sql", "executemany", "scalar", "scalars", "text"}
# Statements with a part that is no value and so cannot be a parameter, each checked before it gets there.
WRITTEN = {
    ("store/_postgres.py", "CREATE SCHEMA"): "the schema's name is matched against letters, digits and _",
    ("store/_postgres.py", "SET lock_timeout"): "a number of ours",
    ("store/_engine.py", "PRAGMA journal_mode"): "one of two words of ours",
    ("store/_sqlite.py", "PRAGMA application_id"): "a number of ours",
}

# What a check of ours needs: that a learner of ours can be pickled by whoever sends it to another process.
IMPORTS = {"testing/_strategies.py": ("pickle",)}


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_built(node: ast.expr) -> bool:
    """Whether a text is put together from parts that are not all written out."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.left, ast.Constant | ast.JoinedStr | ast.BinOp) and isinstance(
            node.op, ast.Mod | ast.Add
        )
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"


SWITCHES = {
    "shell": (False, "starts a shell"),
    "trust_remote_code": (False, "trusts remote code"),
    "allow_pickle": (False, "allows pickles"),
    "weights_only": (True, "loads more than weights"),
}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def wrong_with(call: ast.Call) -> Iterator[str]:
    name = name_of(call.func)
    if name in CALLS:
        yield f"calls {name}"
    for keyword in call.keywords:
        safe, words = SWITCHES.get(keyword.arg or "", (None, ""))
        if words and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is safe):
            yield words
    if name.endswith("torch.load") and not any(k.arg == "weights_only" for k in call.keywords):
        yield f"calls {name} without weights_only"


def written_sql(call: ast.Call, place: str) -> Iterator[str]:
    last = call.func.attr if isinstance(call.func, ast.Attribute) else name_of(call.func)
    if last in SQL and call.args and is_built(call.args[0]):
        source = ast.unparse(call.args[0])
        if not any(place == where and words in source for where, words in WRITTEN):
            yield f"builds SQL: {source}"


def findings(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    place = file.relative_to(SOURCE).as_posix()
    allowed = IMPORTS.get(place, ())
    found = [
        f"imports {name}" for name in imported(tree) if name.split(".")[0] in MODULES and name not in allowed
    ]
    for call in calls(tree):
        found += wrong_with(call)
        found += written_sql(call, place) if place.startswith("store/") else ()
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_a_file_does_none_of_it(file: Path) -> None:
    assert findings(file) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import pickle", "imports pickle"),
        ("from marshal import loads", "imports marshal"),
        ("eval('1')", "calls eval"),
        ("import yaml\nyaml.load(x)", "calls yaml.load"),
        ("f(trust_remote_code=True)", "trusts remote code"),
        ("f(trust_remote_code=x)", "trusts remote code"),
        ("torch.load('x')", "without weights_only"),
        ("run('x', shell=True)", "starts a shell"),
    ],
)
def test_the_scan_finds_what_it_looks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    (tmp_path / "x.py").write_text(code)
    assert any(words in found for found in findings(tmp_path / "x.py"))


@pytest.mark.parametrize("code", ["c.execute(f'DELETE {x}')", "c.execute('a' + x)", "text('a {}'.format(x))"])
def test_the_scan_finds_sql_that_is_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x.py").write_text(code)
    assert findings(tmp_path / "store" / "x.py")[0].startswith("builds SQL")
