"""The part of Nunjucks templates that is a plain placeholder: ``{{name}}`` and ``{{name.field}}``.

Everything else of the language is logic, which would have to be run: filters, conditions, loops, calls, and
the environment's variables. It is refused by name, so that a person can rewrite it.
"""

import re
from collections.abc import Mapping, Sequence

from palate.errors import InputError
from palate.types import Json, canonical_json

__all__ = ["as_text", "filled", "look_up", "variables"]

LONGEST = 200_000
"""Most characters that a variable may have once others have been put into it."""

_NAME = r"[A-Za-z_$][\w$]*"
_MARK = re.compile(r"\{\{|\{%|\{#")
_PLAIN = re.compile(rf"\{{\{{\s*({_NAME}(?:\.\w+)*)\s*\}}\}}")
_WHOLE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_NESTED = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_PASSES = 5


def variables(template: str) -> tuple[str, ...]:
    """List the variables of a template, each once, in the order in which they first appear.

    Raises:
        InputError: The template holds anything but plain variables; the text quotes it.

    Example:
        >>> variables("Translate {{ text }} into {{user.language}}: {{text}}")
        ('text', 'user.language')
    """
    found: dict[str, None] = {}
    place = 0
    while mark := _MARK.search(template, place):
        plain = _PLAIN.match(template, mark.start())
        if plain is None:
            raise InputError(_refusal(template, mark.start()))
        name = plain[1]
        if name.split(".")[0] in ("env", "_conversation"):
            raise InputError(f"{plain[0]} reads {_FOREIGN[name.split('.')[0]]}; put in what it stands for")
        found[name] = None
        place = plain.end()
    return tuple(found)


_FOREIGN = {
    "env": "an environment variable, and Palate expands none",
    "_conversation": "the earlier turns of a conversation",
}


def _refusal(template: str, at: int) -> str:
    whole = _WHOLE.match(template, at)
    shown = " ".join((whole[0] if whole else template[at : at + 40]).split())
    shown = shown if len(shown) <= 60 else shown[:57] + "…"
    if whole is None:
        return f"{shown!r} is a tag that does not end"
    if shown.startswith("{%"):
        return f"{shown} is logic, and templates are not run; write the prompt out, once for each case"
    if shown.startswith("{#"):
        return f"{shown} is a comment of the template; take it out"
    if "|" in shown:
        return f"{shown} uses a filter, and templates are not run; put its result into the variable"
    return (
        f"{shown} is more than a variable, and templates are not run; give its result a variable of its own"
    )


def look_up(values: Mapping[str, Json], name: str) -> Json:
    """The value of ``name`` or ``name.field``; what is missing is ``None``, which prints as nothing."""
    if name in values:
        return values[name]
    found: Json = values
    for step in name.split("."):
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, Sequence) and not isinstance(found, str) and step.isdecimal():
            found = found[int(step)] if int(step) < len(found) else None
        else:
            return None
    return found


def as_text(value: Json) -> str:
    """A value as a template prints it; lists of plain values with commas, all other structure as JSON.

    Example:
        >>> as_text(True), as_text(2.0), as_text([1, 2]), as_text(None)
        ('true', '2', '1,2', '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if isinstance(value, Sequence) and all(isinstance(entry, str | int | float | None) for entry in value):
        return ",".join(map(as_text, value))
    return canonical_json(value)


def filled(values: Mapping[str, Json]) -> dict[str, Json]:
    """Put variables into variables, as promptfoo does before it renders: plain names, at most five times.

    Raises:
        InputError: A value grows beyond :data:`LONGEST` characters.
    """
    found = {name: _trimmed(value) for name, value in values.items()}
    for _ in range(_PASSES):
        before = dict(found)
        for name, value in found.items():
            if isinstance(value, str) and "{{" in value:
                inner = [_inner(match, found) for match in _NESTED.finditer(value)]
                if len(value) + sum(map(len, inner)) > LONGEST:
                    raise InputError(f"the variable {name!r} grows beyond {LONGEST:,} characters")
                put = iter(inner)
                found[name] = _NESTED.sub(lambda _, put=put: next(put), value)
        if found == before:
            break
    return found


def _inner(match: re.Match[str], values: Mapping[str, Json]) -> str:
    return as_text(values[match[1]]) if match[1] in values else match[0]


def _trimmed(value: Json) -> Json:
    return value.removesuffix("\n") if isinstance(value, str) else value
