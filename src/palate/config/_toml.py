"""Texts as TOML writes them."""

import json

__all__ = ["toml_text"]


def toml_text(text: str) -> str:
    r"""A text as TOML writes it, on one line.

    Example:
        >>> print(toml_text('say "hi"'))
        "say \"hi\""
    """
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
