"""What can be told of a prompt without a model: its words, how it ends, and its form, as one feature row.

Embeddings are made to ignore what often decides how a prompt works: whether it ends in a colon or a question
mark, where the input stands, line breaks, quotation marks. Three blocks of columns say it, each of about unit
length so that none drowns the others or the embedding beside it:

    words    hashed words, marks and pairs of neighbours                              128 columns
    ending   hashed runs of 1 to 4 characters of the last 25                          64 columns
    form     logarithms of counts, flags for the last mark, place of the first slot   16 columns

Hashing with signs keeps inner products on average (Weinberger et al., "Feature hashing for large scale
multitask learning", 2009). Each row depends on its own text only, so rows can be added at any time.
"""

import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from palate.types import Array

__all__ = ["beside_embedding", "wording_features"]

_WORDS, _ENDING, _TAIL = 128, 64, 25
_TOKEN = re.compile(r"\w+|[^\w\s]|\n")
_SLOT = re.compile(r"\{[^{}]*\}")


def _hashed(tokens: Iterable[str], size: int) -> Array:
    """Signed hash counts, damped by the square root, of length one; all zero without tokens."""
    row = np.zeros(size)
    for token, count in Counter(tokens).items():
        code = zlib.crc32(token.encode())
        row[code % size] += (1.0 if code & 0x80000000 else -1.0) * np.sqrt(count)
    norm = float(np.linalg.norm(row))
    return row / norm if norm > 0 else row


def _words(text: str) -> list[str]:
    token = _TOKEN.findall(text.lower())
    return [*token, *(f"{a} {b}" for a, b in itertools.pairwise(token))]


def _endings(text: str) -> list[str]:
    tail = text[-_TAIL:]
    return [tail[k : k + n] for n in (1, 2, 3, 4) for k in range(len(tail) - n + 1)]


def _form(text: str) -> list[float]:
    last = text.rstrip()[-1:]
    slot = _SLOT.search(text)
    place = slot.start() / max(1, len(text)) if slot else 0.0
    words = text.split()
    return [
        0.7 * np.log1p(len(text)),
        0.5 * np.log1p(text.count("\n")),
        0.7 * float(last == ":"),
        0.7 * float(last == "?"),
        0.7 * float(last == "."),
        0.7 * float(last in ("}", '"', "'")),
        0.7 * float(text[-1:].isspace()),
        0.7 * float(text[:1].isspace()),
        0.5 * float("?" in text),
        0.3 * np.log1p(text.count('"') + text.count("'")),
        0.3 * np.log1p(text.count(":")),
        0.3 * np.log1p(text.count(".")),
        0.3 * np.log1p(text.count("{")),
        1.0 * place,
        0.1 * float(np.mean([len(word) for word in words])) if words else 0.0,
        3.0 * sum(c.isupper() for c in text) / max(1, len(text)),
    ]


def wording_features(texts: Sequence[str]) -> Array:
    """Describe prompts by their wording.

    Args:
        texts: The prompts.

    Returns:
        ``(N, 208)``, a pure function of each text.

    Example:
        >>> row, same, other = wording_features(["Name it:", "Name it:", "Name it?"])
        >>> bool((row == same).all()), bool((row == other).all())
        (True, False)
    """
    rows = [
        np.concatenate([_hashed(_words(t), _WORDS), _hashed(_endings(t), _ENDING), _form(t)]) for t in texts
    ]
    return np.stack(rows) if rows else np.zeros((0, _WORDS + _ENDING + 16))


def beside_embedding(embedding_ND: Array, texts: Sequence[str]) -> Array:
    """Put wording beside an embedding.

    Args:
        embedding_ND: One row of about unit length a prompt.
        texts: The prompts, in the same order.

    Returns:
        ``(N, D + 208)``.
    """
    return np.concatenate([embedding_ND, wording_features(texts)], axis=1)
