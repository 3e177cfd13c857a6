"""What the command line prints, and what it never prints.

Results go to standard output, everything that is said along the way to standard error, so that a pipe gets
the result alone. Texts of models and users lose their control characters first: a terminal would obey them.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from palate.types import Json

__all__ = ["clean", "console", "note", "one_line", "percent", "print_json", "say"]

# Whole escape sequences go, so that nothing of "\x1b[31m" stays; then lone control characters and those
# that turn the direction of text around, which can make a line read as another one.
_SEQUENCES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])|\x9b[0-?]*[@-~]"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def clean(text: str) -> str:
    r"""Remove what a terminal would act on; line feeds and tabs stay.

    Example:
        >>> clean("\x1b[31mred\x1b[0m\rover\u202e")
        'redover'
    """
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, width: int = 70) -> str:
    """A text as one line of at most ``width`` characters, safe to print."""
    line = " ".join(clean(text).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def percent(share: float) -> str:
    """A probability in words of a report; certainty is never claimed.

    Example:
        >>> percent(0.634), percent(0.9999), percent(0.0001)
        ('63 %', '> 99 %', '< 1 %')
    """
    if share > 0.995:
        return "> 99 %"
    return "< 1 %" if share < 0.005 else f"{100 * share:.0f} %"


def say(text: str = "") -> None:
    """Print a result."""
    print(text, file=sys.stdout, flush=True)


def note(text: str) -> None:
    """Print something by the way, as one line or a few."""
    print(clean(text), file=sys.stderr, flush=True)


def print_json(value: "Mapping[str, Json] | Sequence[Json]") -> None:
    """Print JSON whose text is exact and yet harmless: control characters stand escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # The line feeds of the layout are not among _CONTROLS; those inside texts are escaped already.
    say(_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def console(*, stderr: bool = False) -> "Console":
    """A rich console that takes nothing in a text for markup and obeys ``NO_COLOR``."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)
