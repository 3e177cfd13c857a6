"""Files and functions stay small enough to be read in one go."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 10

Sources = dict[Path, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef

NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: Function) -> int:
    """All that may be given, ``self`` and ``cls`` apart."""
    arguments = function.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    if positional[:1] in (["self"], ["cls"]):
        positional = positional[1:]
    starred = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return len(positional) + len(arguments.kwonlyargs) + len(starred)


def _docstring_lines(tree: ast.AST) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | Function) or not node.body:
            continue
        match node.body[0]:
            case ast.Expr(value=ast.Constant(value=str()), lineno=first, end_lineno=last):
                lines.update(range(first, (last or first) + 1))
            case _:
                pass
    return lines


def code_lines(node: ast.AST, text: str) -> int:
    """Lines of a module, or of one function in it, that hold code."""
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            held.update(range(token.start[0], token.end[0] + 1))
    held -= _docstring_lines(node)
    if not isinstance(node, ast.Module):
        first, last = node.lineno, node.end_lineno  # pyright: ignore[reportAttributeAccessIssue]
        held &= set(range(first, last + 1))
    return len(held)


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
