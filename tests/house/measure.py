"""Sizes of code: lines that are neither docstring, blank nor comment; parameters that a caller may give."""

import ast
import io
import tokenize
from collections.abc import Iterator

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
