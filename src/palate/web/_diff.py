"""Word by word, what one prompt has that another has not."""

import re
from collections.abc import Iterator
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
    for piece in _runs(old, new):
        if pieces and pieces[-1].kind == piece.kind:
            pieces[-1] = Piece(piece.kind, pieces[-1].text + piece.text)
        else:
            pieces.append(piece)
    return pieces


def _runs(old: list[str], new: list[str]) -> Iterator[Piece]:
    """The changes in order; changes with nothing but a space between them are one change."""
    removed, added, gap = "", "", ""
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        before, after = "".join(old[i:j]), "".join(new[k:m])
        if tag != "equal":
            removed, added, gap = removed + gap + before, added + gap + after, ""
        elif before.isspace() and not gap and (removed or added):
            gap = before
        else:
            yield from _change(removed, added)
            yield Piece("same", gap + before)
            removed, added, gap = "", "", ""
    yield from _change(removed, added)
    if gap:
        yield Piece("same", gap)


def _change(removed: str, added: str) -> Iterator[Piece]:
    if removed:
        yield Piece("removed", removed)
    if added:
        yield Piece("added", added)
