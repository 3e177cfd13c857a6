"""Calls one Python function in a process of its own: ``python _call.py FOLDER MODULE:FUNCTION``.

The arguments stand on the standard input as JSON, ``{"settings": {…}, "input": "…", "fields": {…}}``; what
the function returns goes to the standard output as bytes. Whatever it prints goes to the standard error, so
that it cannot spoil the outcome. Imports the standard library only, because it is started again and again.
"""

import importlib
import io
import json
import os
import sys
from typing import Any

__all__ = ["as_bytes"]


def as_bytes(result: Any) -> bytes:  # noqa: ANN401 - whatever a user's function returns
    """What a function returned, as a file: texts in UTF-8, figures as PNG, lists and tables as JSON.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(result, str):
        return result.encode("utf-8", "replace")
    if isinstance(result, bytes):
        return result
    if isinstance(result, dict | list | tuple):
        return json.dumps(result, ensure_ascii=False).encode()
    save = getattr(result, "savefig", None)  # of matplotlib, which need not be installed here
    if callable(save):
        file = io.BytesIO()
        save(file, format="png")
        return file.getvalue()
    raise TypeError(
        f"the function returned {type(result).__name__}; return a text, bytes, a figure, a list or a table"
    )


def main() -> None:
    """Read the arguments, call the function, write what it returns."""
    folder, name = sys.argv[1:]
    outcome = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.buffer.read())
    sys.path.insert(0, folder)
    module, _, function = name.partition(":")
    with outcome:
        outcome.write(
            as_bytes(getattr(importlib.import_module(module), function)(asked["settings"], asked["input"]))
        )


if __name__ == "__main__":
    main()
