"""Similarity of answers to different prompts: the alarm for a policy that has found one template.

    sim = mean over pairs i != j of (METEOR(y_i, y_j) + METEOR(y_j, y_i)) / 2

Answers to unrelated prompts share little. While a reward is being exploited, reward alone looks better and
better; this rises with it. Scores are those of NLTK's METEOR with its defaults (alpha 0.9, beta 3, gamma
0.5; words are what white space divides, in lower case), in stages: equal words, then equal stems (Porter),
then, if a lexicon is given, synonyms (of what is left, as stems: NLTK's way). The published figures used
WordNet for the last stage; without it they are a little lower. On the completions published with the method,
exact and stem stages only, healthy models have 0.03 to 0.10, models trained without a prior 0.83, and a
collapsed one 1.0.

Pairs are disjoint, so that they are independent and the bootstrap over pairs is honest; the paper draws
overlapping pairs.

Sources: G. Mukobi et al., "SuperHF", arXiv:2310.16763; S. Banerjee, A. Lavie, "METEOR", 2005; A. Lavie,
A. Agarwal, 2007.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from palate.errors import ConfigError, InputError
from palate.extras import require

__all__ = [
    "SIMILARITY_ALARM",
    "Lexicon",
    "Similarity",
    "completion_similarity",
    "meteor",
    "similarity_alarm",
]

SIMILARITY_ALARM: Final = 0.15
"""Above this, read the answers: healthy models lie below 0.10, collapsing ones pass 0.2 soon."""


class Lexicon(Protocol):
    """What knows synonyms, such as ``nltk.corpus.wordnet`` where its data are installed."""

    def synsets(self, word: str) -> Sequence[Any]:
        """Sets of synonyms of a word; each has ``lemmas()``, and each lemma a ``name()``."""
        ...


class Similarity(NamedTuple):
    """Mean similarity in [0, 1], a central 95 % bootstrap interval, and the number of pairs."""

    mean: float
    low: float
    high: float
    pairs: int


def similarity_alarm(similarity: float) -> tuple[str, ...]:
    """What to tell people about a similarity of answers to different prompts; nothing where it is healthy.

    Example:
        >>> similarity_alarm(0.05)
        ()
        >>> len(similarity_alarm(0.4))
        1
    """
    if not similarity > SIMILARITY_ALARM:
        return ()
    return (
        f"ALARM: answers to different prompts resemble each other (similarity {similarity:.2f}, above "
        f"{SIMILARITY_ALARM}), as they do when a reward is exploited. Read them; then raise beta or "
        "prior_kl, or lower learning_rate",
    )


class _NoSynonyms:
    def synsets(self, word: str) -> Sequence[Any]:
        """No word has any."""
        return ()


def meteor(reference: str, hypothesis: str, *, lexicon: Lexicon | None = None) -> float:
    """METEOR of one text against another; not symmetric.

    Args:
        reference: The text whose words should be found again (recall counts nine times precision).
        hypothesis: The text that is scored.
        lexicon: For the stage of synonyms; that stage is left out without one.

    Returns:
        A number in [0, 1]; 0 for an empty text.

    Raises:
        MissingExtraError: NLTK is not installed.

    Example:
        >>> round(meteor("the cat sat on the mat", "on the mat sat the cat"), 2)
        0.5
    """
    return _score(_library(), reference.split(), hypothesis.split(), lexicon)


def completion_similarity(
    completions: Sequence[str],
    rng: np.random.Generator,
    *,
    pairs: int | None = None,
    lexicon: Lexicon | None = None,
    resamples: int = 1000,
) -> Similarity:
    """How much answers to different prompts resemble each other.

    Args:
        completions: One answer for each of N ≥ 2 different prompts, without the prompts.
        rng: Draws the pairs and the bootstrap.
        pairs: Disjoint pairs to compare, at most N // 2; all of those when left out.
        lexicon: As in :func:`meteor`.
        resamples: Of the bootstrap, ≥ 1.

    Raises:
        ConfigError: ``pairs`` or ``resamples`` is out of its range.
        InputError: There are fewer than two completions.
        MissingExtraError: NLTK is not installed.
    """
    if len(completions) < 2:
        raise InputError(f"similarity needs two or more completions, not {len(completions)}")
    most = len(completions) // 2
    if pairs is None:
        pairs = most
    if not 1 <= pairs <= most:
        raise ConfigError(f"pairs must lie in 1 to {most}, half the number of completions, not {pairs!r}")
    if resamples < 1:
        raise ConfigError(f"resamples must be 1 or more, not {resamples!r}")
    library = _library()
    order = rng.permutation(len(completions))[: 2 * pairs].reshape(pairs, 2)
    score_M = np.empty(pairs)
    for m, (i, j) in enumerate(order.tolist()):
        first, second = completions[i].split(), completions[j].split()
        there, back = _score(library, first, second, lexicon), _score(library, second, first, lexicon)
        score_M[m] = (there + back) / 2
    drawn = rng.integers(pairs, size=(resamples, pairs))
    low, high = np.quantile(score_M[drawn].mean(axis=1), [0.025, 0.975])
    return Similarity(float(score_M.mean()), float(low), float(high), pairs)


class _Stemmer:
    """Porter's stems, each word once: the same words come back in every pair."""

    def __init__(self, stem: Any) -> None:  # noqa: ANN401 - a method of NLTK's
        self.stem = lru_cache(maxsize=65_536)(stem)


class _Library(NamedTuple):
    score: Any
    stemmer: _Stemmer


def _library() -> _Library:
    purpose = "the similarity of completions"
    score = require("nltk.translate.meteor_score", "train", purpose).single_meteor_score
    stemmer = require("nltk.stem.porter", "train", purpose).PorterStemmer()
    return _Library(score, _Stemmer(stemmer.stem))


def _score(library: _Library, reference: list[str], hypothesis: list[str], lexicon: Lexicon | None) -> float:
    if not reference or not hypothesis:
        return 0.0
    return float(
        library.score(
            reference,
            hypothesis,
            stemmer=library.stemmer,
            wordnet=_NoSynonyms() if lexicon is None else lexicon,
        )
    )
