"""Every text on the pages, from the one file that a translator edits."""

import json
from importlib.resources import files
from typing import Any, TypeAlias

__all__ = ["Words", "read_words"]

Words: TypeAlias = dict[str, Any]


def read_words() -> Words:
    """Read ``words.json``: one object of texts for each page, and the language they are in."""
    text = (files("palate.web") / "words.json").read_text(encoding="utf-8")
    words: Words = json.loads(text)
    return words
