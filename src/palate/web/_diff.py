"""Word by word, what one prompt has that another has not."""

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

__all__ = ["Piece", "word_diff"]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
LONGEST = 4_000  # words; the matcher's time grows with the product of both lengths


class Piece(NamedTuple):
    """A stretch of text that both have, that was added, or that was removed."""

    kind: Literal["same", "added", "removed"]
    text: str


def word_diff(before: str, after: str) -> list[Piece]:
    """Compare two texts by words.

    Args:
        before: The older text.
        after: The newer text.

    Returns:
        Pieces in reading order: those that are not ``added`` join to ``before``, those that are not
        ``removed`` join to ``after``. Texts beyond a few thousand words are replaced as a whole.

    Example:
        >>> [tuple(piece) for piece in word_diff("Say it.", "Say it well.")]
        [('same', 'Say it'), ('added', ' well'), ('same', '.')]
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > LONGEST:
        return [Piece("removed", before), Piece("added", after)]
    pieces: list[Piece] = []
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(old[i:j])))
            continue
        if j > i:
            pieces.append(Piece("removed", "".join(old[i:j])))
        if m > k:
            pieces.append(Piece("added", "".join(new[k:m])))
    return pieces
