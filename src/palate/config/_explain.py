"""What pydantic found wrong, as one line for a person.

A line names the file, the place, what was written and what is allowed; for a misspelt name, also the nearest.
"""

import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from palate.config._tables import StudyConfig
from palate.errors import nearest

__all__ = ["explain", "line_of", "place", "shown"]

_KIND = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list in square brackets",
    "dict_type": "a table",
    "model_type": "a table",
    "finite_number": "a finite number",
    "invalid-json-value": "a text, number, true/false, list or table",
    "string_too_short": "a text that is not empty",
}
_LIMIT = (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))


def shown(value: object, width: int = 60) -> str:
    """A value as the user wrote it, shortened to one line of at most ``width`` characters."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def place(location: Sequence[str | int]) -> str:
    """Where a key stands: ``[study] candidates``, ``[inputs] inline, entry 3``."""
    if not location:
        return "the file"
    words = [f"[{location[0]}]", *(str(part) for part in location[1:2])]
    rest = [f", entry {part + 1}" if isinstance(part, int) else f".{part}" for part in location[2:]]
    return " ".join(words) + "".join(rest)


def line_of(source: str, location: Sequence[str | int]) -> int | None:
    """Line, from 1, of a key in TOML text; ``None`` where it cannot be told (inline and dotted tables)."""
    if not location:
        return None
    table = ""
    for number, line in enumerate(source.splitlines(), start=1):
        header = re.match(r"\s*\[\s*([\w.\"'-]+)\s*\]", line)
        if header:
            table = header[1]
            if len(location) == 1 and table == location[0]:
                return number
            continue
        key = re.match(r"\s*([\w\"'-]+)\s*=", line)
        if key and table == location[0] and len(location) > 1 and key[1] == location[1]:
            return number
        if key and not table and len(location) == 1 and key[1] == location[0]:
            return number
    return None


def explain(error: ErrorDetails) -> str:
    """Say what is wrong with one value, and what is allowed."""
    kind, location, written = error["type"], error["loc"], error["input"]
    if kind == "extra_forbidden":
        what = "table" if len(location) == 1 else "key"
        return f"{_where(location)}: unknown {what}; {nearest(str(location[-1]), _known(location[:-1]))}"
    if kind == "missing":
        return f"{_where(location)} is missing; {_remedy(location)}"
    return f"{_where(location)} is {shown(written)}; allowed is {_allowed(error)}"


def _where(location: Sequence[str | int]) -> str:
    # pydantic appends the branch of a union that it tried; users never wrote that.
    cut = next((n for n, part in enumerate(location) if n > 1 and isinstance(part, int)), len(location))
    return place(location[: cut + 1])


def _allowed(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if "inline" in error["loc"] and kind in ("string_type", "dict_type"):
        return "a text in quotes, or a table" if error["loc"][0] == "inputs" else "a table"
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", str(context["expected"]))
        return nearest(str(error["input"]), options).removeprefix("known: ")
    for name, words in _LIMIT:
        if name in context:
            return f"{words} {context[name]}"
    if kind == "string_too_long":
        return f"a text of at most {context['max_length']} characters"
    return _KIND.get(kind, error["msg"])


def _model_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = StudyConfig
    for part in location:
        field = model.model_fields.get(str(part)) if model else None
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    options = getattr(annotation, "__args__", (annotation,))
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _known(location: Sequence[str | int]) -> list[str]:
    model = _model_at(location)
    return list(model.model_fields) if model else []


def _remedy(location: Sequence[str | int]) -> str:
    model = _model_at(location)
    if model is None:
        return f"add {location[-1]} = …"
    needed = [name for name, field in model.model_fields.items() if field.is_required()]
    inside = f" with {', '.join(f'{name} = …' for name in needed)}" if needed else ""
    return f"add the table [{location[-1]}]{inside}"
