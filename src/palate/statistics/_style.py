"""How much length and markup win by themselves, and what the ratings are without that.

    x = (a - b) / (a + b)     for each count of the two answers a and b; 0 when both are 0
    P(left wins) = sigmoid(u_left - u_right + side + sum_f c_f x_f)

Source: the style control of Chatbot Arena (Li, Angelopoulos and Chiang, "Does style matter?", 2024, and
arena-rank 0.1.1). Changed: length is counted in characters, since no tokeniser fits every model; code is a
feature of its own; a feature is divided by its root mean square and not shifted, so that exchanging left and
right changes the sign of everything and nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palate.choice import Comparisons, Ratings, fit_ratings
from palate.statistics._values import Figure
from palate.types import Array

__all__ = ["FEATURES", "StyleControl", "StyleEffect", "control_style", "style_counts"]

FEATURES = ("length", "headings", "lists", "bold", "code")
VOTES_A_COEFFICIENT = 10  # decided votes below which a coefficient is not worth showing
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


def control_style(
    rows: Comparisons, n: int, styles: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> tuple[StyleControl, Ratings | None]:
    """Fit ratings and features together.

    Args:
        rows: One a vote, the left candidate first; those of :func:`fit_ratings`'s rated candidates.
        n: Number of candidates.
        styles: The counts of the left and of the right answer of each row.

    Returns:
        The effects, and the ratings after them; no ratings when the votes are too few.
    """
    normal_MF = _differences(styles)
    scale_F = np.sqrt((normal_MF**2).mean(axis=0)) if len(normal_MF) else np.zeros(len(FEATURES))
    used = np.flatnonzero(scale_F > 0)
    decided = int((rows.outcome_R != 0.5).sum())
    needed = VOTES_A_COEFFICIENT * (len(used) + 1)
    if decided < needed:
        return StyleControl(len(styles), (), needed), None
    scaled_MF = normal_MF[:, used] / scale_F[used]
    side_M1 = np.ones((len(scaled_MF), 1))
    found = fit_ratings(rows, n, covariate_RF=np.hstack([scaled_MF, side_M1]))
    std_F = np.sqrt(np.diag(found.coefficient_covariance_FF))
    effects = [
        _effect(FEATURES[f], found.coefficient_F[k] / scale_F[f], std_F[k] / scale_F[f])
        for k, f in enumerate(used)
    ]
    return StyleControl(len(styles), tuple(effects), None), found


def _differences(styles: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Array:
    count_M2F = np.array(styles, dtype=np.float64).reshape(len(styles), 2, len(FEATURES))
    total_MF = count_M2F.sum(axis=1)
    return (count_M2F[:, 0] - count_M2F[:, 1]) / np.where(total_MF > 0, total_MF, 1.0)


def _effect(feature: str, coefficient: float, std: float) -> StyleEffect:
    difference = 1 / 3 if feature == "length" else 1.0  # (2 - 1) / (2 + 1) is twice as long
    ends = coefficient, coefficient - _Z * std, coefficient + _Z * std
    wins = [1.0 / (1.0 + float(np.exp(-end * difference))) for end in ends]
    return StyleEffect(feature, Figure(*map(float, ends)), Figure(*wins))
