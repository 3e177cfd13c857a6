"""Pairs from groups of scored completions: who is chosen, who is rejected, and which pairs are left out.

    best_worst     the best against the worst             widens the gap as K grows: see below
    best_second    the best against the next              hard pairs
    best_random    the best against any other
    random         any two, the better one chosen

Order and choice follow the same scores. (A published script chose by rewards less a penalty for length and
then ordered by the rewards alone, so that the penalty could turn a pair round; its random rival was not
random; a known implementation of constrained pairs multiplied rewards by a mask, so that a good answer with
a negative reward lost to a forbidden one.) Pairs with equal scores say nothing and are counted, not kept.

The best of K against the worst is a harder selection the larger K is, and with labels that are taken as
certain the same beta then drives the policy further from its reference: raise beta with K, or use an
objective that knows the rewards.

Sources: H. Dong et al., "RLHF Workflow", arXiv:2405.07863; for the filters Y. Shen et al., arXiv:2409.08845.
"""

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from palate.errors import ConfigError, InputError
from palate.types import Array

__all__ = ["Pairing", "Rival", "best_and_worst", "pair_up", "usable_pairs"]

Rival: TypeAlias = Literal["best_worst", "best_second", "best_random", "random"]
"""Who is compared with whom; see the head of the module."""

_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)


class Pairing(NamedTuple):
    """Pairs that were kept.

    Attributes:
        group_M: Group of each pair, increasing.
        chosen_M: Index of the chosen completion in its group.
        rejected_M: Index of the rejected one.
        dropped: How many groups gave no pair, by the reason: ``few`` (fewer than two completions that
            count), ``tie`` (equal scores).
    """

    group_M: NDArray[np.int64]
    chosen_M: NDArray[np.int64]
    rejected_M: NDArray[np.int64]
    dropped: dict[str, int]


def best_and_worst(score_GK: Array, valid_GK: NDArray[np.bool_] | None = None) -> Pairing:
    """The best against the worst completion of each group."""
    return pair_up(score_GK, "best_worst", valid_GK=valid_GK)


def pair_up(
    score_GK: Array,
    rival: Rival = "best_worst",
    *,
    valid_GK: NDArray[np.bool_] | None = None,
    rng: np.random.Generator | None = None,
    length_GK: Array | None = None,
    length_penalty: float = 0.0,
) -> Pairing:
    """Choose one pair a group.

    Args:
            score_GK: Scores; higher is better. Those that are NaN do not count.
            rival: Who is compared with whom.
            valid_GK: Which completions count; all when left out.
            rng: Draws the rivals, for the two random kinds.
            length_GK: Lengths, in the unit of the penalty.
            length_penalty: Score that one unit of length costs, in choosing and in ordering.

    Raises:
            ConfigError: ``rival`` is unknown, a random kind has no ``rng``, or a penalty has no lengths.
            InputError: The shapes differ.

    Example:
            >>> import numpy as np
            >>> best_and_worst(np.array([[0.1, 0.9, 0.4], [1.0, 1.0, 1.0]]))[1:]
            (array([1]), array([0]), {'few': 0, 'tie': 1})
    """
    if rival not in get_args(Rival):
        raise ConfigError(f"rival must be one of {', '.join(get_args(Rival))}, not {rival!r}")
    if rival in ("best_random", "random") and rng is None:
        raise ConfigError(f"the rival {rival!r} is drawn; give a generator of random numbers as rng")
    score_GK = _penalised(np.asarray(score_GK, dtype=np.float64), length_GK, length_penalty)
    if valid_GK is None:
        valid_GK = np.ones(score_GK.shape, dtype=np.bool_)
    if np.shape(valid_GK) != score_GK.shape:
        raise InputError(f"valid_GK has the shape {np.shape(valid_GK)}, but score_GK has {score_GK.shape}")
    counts_GK = np.asarray(valid_GK, dtype=np.bool_) & ~np.isnan(score_GK)
    kept: list[tuple[int, int, int]] = []
    dropped = {"few": 0, "tie": 0}
    for g, (score_K, counts_K) in enumerate(zip(score_GK, counts_GK, strict=True)):
        # Stable, so that the first of equals is the best whatever the others do.
        ranked = [int(i) for i in np.argsort(-score_K, kind="stable") if counts_K[i]]
        if len(ranked) < 2:
            dropped["few"] += 1
            continue
        chosen, rejected = _pick(ranked, rival, rng)
        if score_K[chosen] == score_K[rejected]:
            dropped["tie"] += 1
            continue
        kept.append((g, chosen, rejected))
    column_M3 = np.array(kept, dtype=np.int64).reshape(-1, 3)
    return Pairing(column_M3[:, 0], column_M3[:, 1], column_M3[:, 2], dropped)


def usable_pairs(
    chosen: Sequence[str],
    rejected: Sequence[str],
    *,
    chosen_tokens: Sequence[int],
    rejected_tokens: Sequence[int],
    prompt_tokens: Sequence[int],
    most_answer_tokens: int = 512,
    most_tokens: int = 2560,
) -> tuple[list[int], dict[str, int]]:
    """AIPO's filters on pairs, and two that any training needs.

    Args:
        chosen: Texts of the chosen answers.
        rejected: Texts of the rejected ones.
        chosen_tokens: Their numbers of tokens.
        rejected_tokens: Those of the rejected ones.
        prompt_tokens: Those of the prompts.
        most_answer_tokens: Longer answers are left out.
        most_tokens: Longer prompts with their longer answer are left out.

    Returns:
        Indices of the pairs to keep, and how many were left out by the first reason that held: ``empty``
        answer, ``equal`` texts, ``long``, ``link`` in the chosen answer.

    Raises:
        InputError: The columns differ in length.
    """
    sizes = {len(column) for column in (chosen, rejected, chosen_tokens, rejected_tokens, prompt_tokens)}
    if len(sizes) > 1:
        raise InputError(f"texts and numbers of tokens must be equally many, not {sorted(sizes)}")
    kept: list[int] = []
    dropped = {"empty": 0, "equal": 0, "long": 0, "link": 0}
    for i, (better, worse) in enumerate(zip(chosen, rejected, strict=True)):
        longest = max(chosen_tokens[i], rejected_tokens[i])
        if not better.strip() or not worse.strip():
            dropped["empty"] += 1
        elif better.strip() == worse.strip():
            dropped["equal"] += 1
        elif longest > most_answer_tokens or prompt_tokens[i] + longest > most_tokens:
            dropped["long"] += 1
        elif _LINK.search(better):
            dropped["link"] += 1
        else:
            kept.append(i)
    return kept, dropped


def _penalised(score_GK: Array, length_GK: Array | None, penalty: float) -> Array:
    if score_GK.ndim != 2:
        raise InputError(f"score_GK must be groups by completions, not of the shape {score_GK.shape}")
    if not math.isfinite(penalty):
        raise ConfigError(f"length_penalty must be finite, not {penalty!r}")
    if penalty == 0:
        return score_GK
    if length_GK is None:
        raise ConfigError("length_penalty needs the lengths as length_GK")
    if np.shape(length_GK) != score_GK.shape:
        raise InputError(f"length_GK has the shape {np.shape(length_GK)}, but score_GK has {score_GK.shape}")
    return score_GK - penalty * np.asarray(length_GK, dtype=np.float64)


def _pick(ranked: list[int], rival: Rival, rng: np.random.Generator | None) -> tuple[int, int]:
    if rival == "best_worst":
        return ranked[0], ranked[-1]
    if rival == "best_second":
        return ranked[0], ranked[1]
    assert rng is not None
    if rival == "best_random":
        return ranked[0], ranked[int(rng.integers(1, len(ranked)))]
    first, second = sorted(rng.choice(len(ranked), size=2, replace=False).tolist())
    return ranked[first], ranked[second]
