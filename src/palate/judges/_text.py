"""Words, sentences and syllables of plain text, by rules that a person can follow.

Reading levels and length rules need no more than this, and agree with a person's count on ordinary prose.
They know nothing of abbreviations beyond the list below, and syllables are counted for English only.
"""

import re

__all__ = ["paragraphs", "sentences", "syllables", "words"]

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|\n\s*\n|(?<=[。！？])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:dr|mr|mrs|ms|prof|st|vs|etc|e\.g|i\.e|no|fig|approx|[A-Z])\.$", re.IGNORECASE
)
_SPOKEN_ES = ("ces", "ses", "ges", "zes", "xes", "shes", "ches", "les", "ies", "ees")
_VOWELS = re.compile(r"[aeiouy]+")


def words(text: str) -> list[str]:
    """The words of a text; ``don't`` and ``well-kept`` are one each, numbers count.

    Example:
        >>> words("Don't panic: 42 well-kept towels!")
        ["Don't", 'panic', '42', 'well-kept', 'towels']
    """
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """The sentences of a text: a stop, then a space and no small letter, or an empty line.

    Example:
        >>> sentences("Dr. Ames left. She came back at 3.30 p.m. on foot!")
        ['Dr. Ames left.', 'She came back at 3.30 p.m. on foot!']
    """
    found: list[str] = []
    for piece in _END.split(text):
        piece = piece.strip()
        if not words(piece):
            continue
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] = f"{found[-1]} {piece}"
        else:
            found.append(piece)
    return found


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, which empty lines part."""
    return [piece.strip() for piece in re.split(r"\n\s*\n", text) if piece.strip()]


def syllables(word: str) -> int:
    """Syllables of an English word, at least one: groups of vowels, a silent e at the end left out.

    Example:
        >>> [syllables(w) for w in ("make", "table", "readability", "rhythm", "wanted", "asked")]
        [1, 2, 5, 1, 2, 1]
    """
    plain = "".join(letter for letter in word.lower() if letter.isalpha())
    count = len(_VOWELS.findall(plain))
    if plain.endswith("e") and not plain.endswith(("le", "ee", "ie", "oe", "ye")):
        count -= 1
    if plain.endswith("ed") and not plain.endswith(("ted", "ded", "eed", "ied")):
        count -= 1
    if plain.endswith("es") and len(plain) > 3 and not plain.endswith(_SPOKEN_ES):
        count -= 1
    return max(1, count)
