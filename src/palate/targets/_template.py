"""Filling a template: one literal pass.

``{{name}}`` stands for a value. A name is a letter, digit or underscore followed by letters, digits,
spaces, dots and hyphens, so the name of a column fits; anything else between double braces
(``{{7*7}}``) is ordinary text. What is filled in is never looked at again: a value that contains
``{{input}}`` arrives as those nine characters.
"""

import re
from collections.abc import Mapping

from palate.errors import ConfigError, nearest

__all__ = ["literal_fill", "placeholders"]

_PLACEHOLDER = re.compile(r"\{\{\s*(\w[\w .\-]*?)\s*\}\}")


def placeholders(template: str) -> tuple[str, ...]:
    """List the names that a template asks for, each once, in the order in which they first appear.

    Example:
        >>> placeholders("{{prompt}}: {{ input }} ({{7*7}}, {{input}})")
        ('prompt', 'input')
    """
    return tuple(dict.fromkeys(match[1] for match in _PLACEHOLDER.finditer(template)))


def literal_fill(template: str, values: Mapping[str, str]) -> str:
    """Replace every ``{{name}}`` of a template by its value, in one pass.

    Args:
        template: Text with placeholders; spaces inside the braces do not matter.
        values: What to fill in; values that the template does not name are left unused.

    Returns:
        The text. Values are inserted as they are and never expanded themselves.

    Raises:
        ConfigError: The template asks for a name that has no value; the text lists the known ones.

    Example:
        >>> literal_fill("Say {{word}}.", {"word": "{{word}}"})
        'Say {{word}}.'
    """
    for name in placeholders(template):
        if name not in values:
            raise ConfigError(f"nothing is called {{{{{name}}}}} here; {nearest(name, values)}")
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)
