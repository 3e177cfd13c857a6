"""Scores of an answer against accepted answers: the metrics of instruction induction.

Normalisation, in this order: `` and `` becomes a space; the labels ``Sentence 1:`` and ``Sentence 2:``
go; surrounding spaces go; only the first line stays, and of it only what stands before the first full
stop; lower case; hyphens become spaces; other punctuation goes. Every metric is the best over the
accepted answers and lies in [0, 1].

Source: Honovich et al., "Instruction Induction", arXiv 2205.10782, section 3 and its released code; the
use in prompt optimisation from Lin et al., arXiv 2405.17346.

Ours, and not of that source: ``similarity``, for answers of a weak model, which the others all call wrong.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from palate.errors import NotFoundError, nearest

__all__ = ["METRICS", "Metric", "metric", "normalise", "task_metric"]

Metric = Callable[[str, Sequence[str]], float]
"""``metric(answer, references)`` in [0, 1]; 0 if there are no references."""

_SENTENCE_LABELS = re.compile(r"Sentence [12]:")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    r"""Bring an answer into the form in which answers are compared.

    Example:
        >>> normalise("Salt and Pepper-Mill. They go together.\nSo they do.")
        'salt pepper mill'
    """
    text = _SENTENCE_LABELS.sub("", text.replace(" and ", " ")).strip()
    text = text.split("\n", 1)[0].split(".", 1)[0]
    return " ".join(text.lower().replace("-", " ").translate(_PUNCTUATION).split())


def _exact_match(answer: str, reference: str) -> float:
    return float(normalise(answer) == normalise(reference))


def _token_f1(answer: str, reference: str) -> float:
    return _f1(normalise(answer).split(), normalise(reference).split())


def _set_equality(answer: str, reference: str) -> float:
    return float(set(normalise(answer).split()) == set(normalise(reference).split()))


def _containment(answer: str, reference: str) -> float:
    wanted = normalise(reference)
    return float(bool(wanted) and re.search(rf"\b{re.escape(wanted)}\b", normalise(answer)) is not None)


def _multichoice(answer: str, reference: str) -> float:
    wanted = normalise(reference)
    return float(bool(wanted) and wanted in normalise(answer))


def _similarity(answer: str, reference: str) -> float:
    # All lines and sentences count: rambling on after a good start is what a rater punishes first.
    given, wanted = _words(answer), _words(reference)
    longer, shorter = max(len(given), len(wanted)), min(len(given), len(wanted))
    return math.sqrt(_f1(given, wanted) * shorter / longer) if longer else 0.0


def _words(text: str) -> list[str]:
    return text.lower().replace("-", " ").translate(_PUNCTUATION).split()


def _f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2.0 * common / (len(given) + len(wanted)) if common else 0.0


def _best(compare: Callable[[str, str], float]) -> Metric:
    def score(answer: str, references: Sequence[str]) -> float:
        return max((compare(answer, reference) for reference in references), default=0.0)

    return score


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "exact_match": _best(_exact_match),
        "token_f1": _best(_token_f1),
        "set_equality": _best(_set_equality),
        "containment": _best(_containment),
        "multichoice": _best(_multichoice),
        "similarity": _best(_similarity),
    }
)
"""The metrics by name.

``exact_match``
    The normalised texts are equal.
``token_f1``
    Harmonic mean of precision and recall over normalised words, repeats counted.
``set_equality``
    The normalised words are the same set.
``containment``
    The normalised reference stands in the normalised answer between word boundaries.
``multichoice``
    The normalised reference stands anywhere in the normalised answer.
``similarity``
    Geometric mean of two ratios over *all* words of the answer: their F1, and the shorter length over
    the longer. Unlike the others it grows by degrees with a better answer and falls with a rambling one.
"""

_TASK_METRICS: Mapping[str, str] = MappingProxyType(
    {
        "common_concept": "token_f1",
        "informal_to_formal": "token_f1",
        "orthography_starts_with": "set_equality",
        "taxonomy_animal": "set_equality",
        "synonyms": "containment",
    }
)


def metric(name: str) -> Metric:
    """Find a metric by its name in :data:`METRICS`.

    Raises:
        NotFoundError: No such metric; the text lists the known ones and the nearest.

    Example:
        >>> metric("token_f1")("a big dog", ["the big dog"])
        0.6666666666666666
    """
    if name not in METRICS:
        raise NotFoundError(f"no metric called {name!r}; {nearest(name, METRICS)}")
    return METRICS[name]


def task_metric(task: str) -> Metric:
    """The metric with which an instruction-induction task is scored: exact match, but for five tasks."""
    return METRICS[_TASK_METRICS.get(task, "exact_match")]
