"""Files and functions stay small enough to be read in one go."""

import ast
from collections.abc import Iterator
from pathlib import Path

from measure import code_lines, functions, parameters

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 10

Sources = dict[Path, ast.Module]


def test_files_are_short(root: Path, sources: Sources) -> None:
    sizes = {path: code_lines(tree, (root / path).read_text("utf-8")) for path, tree in sources.items()}
    assert {str(path): size for path, size in sizes.items() if size > FILE_LINES} == {}


def _functions(sources: Sources) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, Path]]:
    for path, tree in sources.items():
        for function in functions(tree):
            yield f"{path}:{function.lineno} {function.name}", function, path


def test_functions_are_short(root: Path, sources: Sources) -> None:
    sizes = {
        where: code_lines(function, (root / path).read_text("utf-8"))
        for where, function, path in _functions(sources)
    }
    assert {where: size for where, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_functions_take_few_parameters(sources: Sources) -> None:
    counts = {where: parameters(function) for where, function, _ in _functions(sources)}
    assert {where: count for where, count in counts.items() if count > PARAMETERS} == {}


def test_the_measure_leaves_out_what_is_not_code() -> None:
    text = '''"""Docstring."""

# A comment.
def f(self, a, /, b, *, c, **rest):
    """Docstring
    of two lines."""
    text = (
        "not a docstring"
    )

    return text  # counted
'''
    tree = ast.parse(text)
    assert code_lines(tree, text) == 5
    [function] = functions(tree)
    assert (code_lines(function, text), parameters(function)) == (5, 4)
