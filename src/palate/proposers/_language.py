"""Whether two texts are plainly in different languages, without a model.

Two tests, both made to err on the side of "the same": most letters of the new text belong to a script that
the old one hardly has; or the new text is full of the commonest words of one Latin-script language, the old
one is full of another's, and neither has more than a few of the other's.
"""

import re
import unicodedata
from collections import Counter

__all__ = ["other_language"]

_WORD = re.compile(r"[^\W\d_]+")
_FEW_LETTERS = 8
_COMMON = {
    "English": "the of and to in is that for with as this be are it on or not you your an from which",
    "German": "der die das und ist nicht mit den ein eine zu von auf für im auch dem sich wie oder als",
    "French": "le les des et est une dans pour que qui sur pas par avec ce cette du au vous votre ou",
    "Spanish": "el los las y es una para que con por del como su sus al lo este esta más tu o",
    "Italian": "il gli che di è una per con non della del le sono questo questa nel alla come tuo o",
    "Portuguese": "o os as e é uma para que com não do da em um por seu sua como ao mais ou",
    "Dutch": "de het een en van is dat niet met voor op zijn deze dit aan bij als uw je of",
}
_LIKELY = 0.15  # of the words of running text, far fewer than its own language has and more than any other
_ENOUGH = 3


def other_language(text: str, before: str) -> bool:
    """Whether ``text`` is plainly in another script or language than ``before``.

    Example:
        >>> other_language("Nenne das Gegenteil und nicht mehr als das.", "Name the opposite of the word.")
        True
        >>> other_language("Say the contrary of it.", "Name the opposite of the word.")
        False
    """
    new, old = _scripts(text), _scripts(before)
    if new.total() >= _FEW_LETTERS and old.total():
        main = new.most_common(1)[0][0]
        if old[main] < 0.05 * old.total():
            return True
    said, was = _tongue(text), _tongue(before)
    return said is not None and was is not None and said != was


def _scripts(text: str) -> Counter[str]:
    """Letters by script, the first word of each letter's name."""
    names = (unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha())
    # Japanese mixes three; to a Latin text they are one.
    japanese = {"HIRAGANA", "KATAKANA", "CJK", "KATAKANA-HIRAGANA"}
    return Counter("CJK" if name in japanese else name for name in names)


def _tongue(text: str) -> str | None:
    words = [word.casefold() for word in _WORD.findall(text)]
    hits = {name: sum(word in common.split() for word in words) for name, common in _COMMON.items()}
    first, second = sorted(hits, key=lambda name: -hits[name])[:2]
    sure = hits[first] >= _ENOUGH and hits[first] >= _LIKELY * len(words) and hits[first] >= 2 * hits[second]
    return first if sure else None
