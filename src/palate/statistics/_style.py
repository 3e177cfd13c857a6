"""How much length and markup win by themselves, and what the ratings are without that.

    x = (a - b) / (a + b)     for each count of the two answers a and b; 0 when both are 0
    P(left wins) = sigmoid(u_left - u_right + side + sum_f c_f x_f)

Source: the style control of Chatbot Arena (Li, Angelopoulos and Chiang, "Does style matter?", 2024, and
arena-rank 0.1.1). Changed: length is counted in characters, since no tokeniser fits every model; code is a
feature of its own; a feature is divided by its root mean square and not shifted, so that exchanging left and
right changes the sign of everything and nothing else.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from palate.choice import Comparisons, Ratings, fit_ratings
from palate.statistics._values import Figure, Places
from palate.types import Array, Response

__all__ = ["FEATURES", "StyleBook", "StyleControl", "StyleEffect", "Styles", "control_style", "style_counts"]

FEATURES = ("length", "headings", "lists", "bold", "code")
VOTES_A_COEFFICIENT = 10  # decided votes below which a coefficient is not worth showing
_PART = 200  # answers read at once
_Z = 1.959963984540054

# No pattern may look at a character more than a few times, whatever the text: a model wrote it.
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`(?!`)[^`\n]+`(?!`)|(?<!`)``(?!`)(?:[^`\n]|`(?!`))+``(?!`)")
_HEADING = re.compile(r"^ {0,3}#{1,6}(?:\s|$)", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S", re.MULTILINE)
_BOLD = re.compile(
    r"\*\*(?=\S)(?:[^*\n]|\*(?!\*))+(?<=\S)\*\*|(?<!\w)__(?=\S)(?:[^_\n]|_(?!_))+(?<=\S)__(?!\w)"
)


@dataclass(frozen=True, slots=True)
class StyleEffect:
    """What one feature wins by itself.

    Args:
        feature: ``length``, ``headings``, ``lists``, ``bold`` or ``code``.
        coefficient: Log-odds for a normalised difference of 1, as between some and none.
        wins: The share of duels between equal prompts that go to the answer with more of it: for ``length``
            an answer twice as long as the other, for the others one that has it against one without.
    """

    feature: str
    coefficient: Figure
    wins: Figure


@dataclass(frozen=True, slots=True)
class StyleControl:
    """The features that occur, and what they are worth.

    Args:
        votes: How many votes had two answers that could be counted.
        effects: One a feature that differs in at least one duel; empty when votes are too few.
        needed: How many decided votes would be enough, when there are too few; else ``None``.
    """

    votes: int
    effects: tuple[StyleEffect, ...]
    needed: int | None


def style_counts(text: str) -> tuple[int, int, int, int, int]:
    r"""Count what a reader sees before reading: characters, headings, list items, bold spans, code.

    Markup inside code does not count.

    Example:
        >>> style_counts("# Hello\n\n- **one**\n- `two`\n")
        (27, 1, 2, 1, 1)
    """
    code = len(_FENCE.findall(text))
    rest = _FENCE.sub("\n", text)
    code += len(_INLINE.findall(rest))
    rest = _INLINE.sub("x", rest)  # it still is what a list item says
    return len(text), len(_HEADING.findall(rest)), len(_ITEM.findall(rest)), len(_BOLD.findall(rest)), code


Styles: TypeAlias = Callable[[Sequence[str]], list[tuple[int, ...] | None]]
"""From addresses of answers to their :func:`style_counts`; ``None`` where there is no text."""


class StyleBook:
    """Counts of answers, read in parts and remembered: under an address there is one text for ever.

    Args:
        responses: Finds responses by their hashes; what is not there is left out.
    """

    def __init__(self, responses: Callable[[Sequence[str]], Mapping[str, Response]]) -> None:
        self._responses = responses
        self._known: dict[str, tuple[int, ...] | None] = {}

    def __call__(self, addresses: Sequence[str]) -> list[tuple[int, ...] | None]:
        """The counts of some answers."""
        new = [address for address in addresses if address not in self._known]
        for start in range(0, len(new), _PART):
            part = new[start : start + _PART]
            found = self._responses(part)
            for address in part:
                shown = found.get(address)
                text = shown.content if shown is not None and shown.kind == "text" else None
                self._known[address] = None if text is None else style_counts(text)
        return [self._known[address] for address in addresses]


def control_style(
    rows: Comparisons, n: int, count_AF: Array, left_R: Places, right_R: Places
) -> tuple[StyleControl, Ratings | None]:
    """Fit ratings and features together.

    Args:
        rows: Votes, counted, the left candidate first; those of :func:`fit_ratings`'s rated candidates.
        n: Number of candidates.
        count_AF: The counts of each answer, in the order of :data:`FEATURES`.
        left_R: Which answer stood left in each row.
        right_R: Which one stood right.

    Returns:
        The effects, and the ratings after them; no ratings when the votes are too few.
    """
    votes = round(float(rows.count_R.sum()))
    used: list[int] = []
    scales: list[float] = []
    columns: list[Array] = []
    for f in range(len(FEATURES)):  # one after the other: of a million votes all at once take 100 MB
        normal_R = _normalised(count_AF[:, f], left_R, right_R)
        scale = math.sqrt(float(rows.count_R @ normal_R**2) / max(1, votes))
        if scale > 0:
            used.append(f)
            scales.append(scale)
            columns.append(normal_R / scale)
    decided = round(float(rows.count_R[rows.outcome_R != 0.5].sum()))
    needed = VOTES_A_COEFFICIENT * (len(used) + 1)
    if decided < needed:
        return StyleControl(votes, (), needed), None
    covariate_RF = np.column_stack((*columns, np.ones(len(left_R))))
    del columns
    found = fit_ratings(rows, n, covariate_RF=covariate_RF)
    std_F = np.sqrt(np.diag(found.coefficient_covariance_FF))
    effects = [
        _effect(FEATURES[f], found.coefficient_F[k] / scale, std_F[k] / scale)
        for k, (f, scale) in enumerate(zip(used, scales, strict=True))
    ]
    return StyleControl(votes, tuple(effects), None), found


def _normalised(count_A: Array, left_R: Places, right_R: Places) -> Array:
    """(a - b) / (a + b) of the counts of two answers; 0 where both are 0."""
    normal_R, total_R = count_A[left_R], count_A[right_R]
    normal_R -= total_R
    total_R *= 2.0
    total_R += normal_R
    return np.divide(normal_R, total_R, out=normal_R, where=total_R > 0)


def _effect(feature: str, coefficient: float, std: float) -> StyleEffect:
    difference = 1 / 3 if feature == "length" else 1.0  # (2 - 1) / (2 + 1) is twice as long
    ends = coefficient, coefficient - _Z * std, coefficient + _Z * std
    wins = [1.0 / (1.0 + float(np.exp(-end * difference))) for end in ends]
    return StyleEffect(feature, Figure(*map(float, ends)), Figure(*wins))
