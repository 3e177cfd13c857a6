r"""How good a reward model is: accuracy with intervals, calibration, and what it does to length.

Pairs are scored by the gap g = r(chosen) - r(rejected). A pair with g > 0 is right, with g = 0 half right.

    P(chosen is better) = sigmoid(g / T)         T minimises the mean of -log sigmoid(g / T) on held-out pairs

With T = 1 the Bradley–Terry likelihood takes a reward for log-odds; a model that was trained for long on few
pairs is surer than it is right, and has T > 1. The table of reliability puts pairs into bins of confidence
max(p, 1 - p) and compares each bin's mean with the share that is right; the expected calibration error is
the mean distance, weighted by pairs.

Source: C. Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599 (temperature, ECE).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from palate.choice import log_sigmoid, share_interval, sigmoid
from palate.errors import ConfigError, InputError
from palate.types import Array

__all__ = [
    "Accuracy",
    "Bin",
    "Calibration",
    "LengthBias",
    "accuracy",
    "accuracy_by_subset",
    "calibrate",
    "length_bias",
]

_SURE = 1e-6  # of a gap's scale: below it a temperature would only say "always right"


class Accuracy(NamedTuple):
    """Share of pairs that are right, in [0, 1], with Wilson's 95 % interval, and the number of pairs.

    An equal score is half right. The interval counts half of the equal ones, rounded down, as right.
    """

    share: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        """Such as ``0.630 [0.576, 0.681] of 318``."""
        return f"{self.share:.3f} [{self.low:.3f}, {self.high:.3f}] of {self.pairs}"


class Bin(NamedTuple):
    """Pairs of similar confidence.

    Attributes:
        low: Least confidence of the bin.
        high: Largest.
        confidence: Mean of its pairs.
        right: Share that is right, with its interval.
    """

    low: float
    high: float
    confidence: float
    right: Accuracy


class Calibration(NamedTuple):
    """What a gap of rewards is worth.

    Attributes:
        temperature: T, > 0, in the unit of the rewards.
        nll: Mean of -log sigmoid(g / T) in nats; ln 2 = 0.693 is a coin's.
        raw_nll: The same with T = 1.
        error: Expected calibration error after T, in [0, 1].
        raw_error: The same with T = 1.
        bins: The table of reliability after T; empty bins are left out.
    """

    temperature: float
    nll: float
    raw_nll: float
    error: float
    raw_error: float
    bins: tuple[Bin, ...]


class LengthBias(NamedTuple):
    """What length has to do with it.

    Attributes:
        people: Share of pairs in which people chose the longer answer.
        model: Share in which the model does.
        correlation: Pearson's, between the gap in reward and the gap in length; NaN when one is constant.
        chosen_longer: Accuracy on pairs whose chosen answer is the longer one.
        chosen_shorter: Accuracy on the others. Far below the former: the model goes by length.
        equal: Pairs of equal length, which only the correlation counts.
    """

    people: Accuracy
    model: Accuracy
    correlation: float
    chosen_longer: Accuracy
    chosen_shorter: Accuracy
    equal: int


def accuracy(gap_M: Array) -> Accuracy:
    """Accuracy of M pairs from their gaps.

    Raises:
        InputError: A gap is NaN.

    Example:
        >>> print(accuracy(np.array([1.0, 2.0, -1.0, 0.0])))
        0.625 [0.150, 0.850] of 4
    """
    gap_M = np.asarray(gap_M, dtype=np.float64)
    if np.isnan(gap_M).any():
        raise InputError(f"{int(np.isnan(gap_M).sum())} of {len(gap_M)} gaps of rewards are NaN")
    right, tied = int((gap_M > 0).sum()), int((gap_M == 0).sum())
    low, high = share_interval(right + tied // 2, len(gap_M))
    share = (right + tied / 2) / len(gap_M) if len(gap_M) else math.nan
    return Accuracy(share, low, high, len(gap_M))


def accuracy_by_subset(gap_M: Array, subset_M: Sequence[str]) -> Mapping[str, Accuracy]:
    """Accuracy within each subset, by its name, in the order of the first pair of each.

    Raises:
        InputError: The columns differ in length, or a gap is NaN.
    """
    if len(gap_M) != len(subset_M):
        raise InputError(f"{len(gap_M)} gaps do not fit {len(subset_M)} names of subsets")
    names = np.asarray(subset_M)
    return {name: accuracy(gap_M[names == name]) for name in dict.fromkeys(subset_M)}


def calibrate(gap_M: Array, *, bins: int = 10) -> Calibration:
    """Fit the temperature on held-out pairs, and table the reliability.

    Args:
        gap_M: Gaps of pairs that the model was not trained on.
        bins: Bins of equal width between confidence 1/2 and 1, ≥ 1.

    Raises:
        ConfigError: ``bins`` is below 1.
        InputError: There is no pair, a gap is NaN or infinite, or no temperature is best: every gap is 0, or
            the model is right, or no better than a coin, throughout.
    """
    gap_M = np.asarray(gap_M, dtype=np.float64)
    if bins < 1:
        raise ConfigError(f"bins must be 1 or more, not {bins!r}")
    if not len(gap_M) or not np.isfinite(gap_M).all():
        raise InputError("calibration needs one or more pairs, each with a finite gap of rewards")
    scale = float(np.abs(gap_M).max())
    if gap_M.sum() <= 0 or gap_M.min() >= 0:
        wrong = "is no better than a coin" if gap_M.sum() <= 0 else "is never wrong"
        raise InputError(f"no temperature is best on these {len(gap_M)} pairs: the model {wrong} on them")

    def nll(log_temperature: float) -> float:
        return -float(np.mean(log_sigmoid(gap_M / math.exp(log_temperature))))

    ends = (math.log(scale * _SURE), math.log(scale / _SURE))
    best = math.exp(minimize_scalar(nll, bounds=ends, method="bounded", options={"xatol": 1e-9}).x)
    table = _reliability(gap_M / best, bins)
    return Calibration(
        best,
        nll(math.log(best)),
        nll(0.0),
        _error(table, len(gap_M)),
        _error(_reliability(gap_M, bins), len(gap_M)),
        table,
    )


def _reliability(logit_M: Array, bins: int) -> tuple[Bin, ...]:
    sure_M = sigmoid(np.abs(logit_M))
    place_M = np.minimum(((sure_M - 0.5) * 2 * bins).astype(int), bins - 1)
    table: list[Bin] = []
    for b in range(bins):
        inside_M = place_M == b
        if inside_M.any():
            low, high = 0.5 + b / (2 * bins), 0.5 + (b + 1) / (2 * bins)
            table.append(Bin(low, high, float(sure_M[inside_M].mean()), accuracy(logit_M[inside_M])))
    return tuple(table)


def _error(table: Sequence[Bin], pairs: int) -> float:
    return sum(b.right.pairs * abs(b.confidence - b.right.share) for b in table) / pairs


def length_bias(gap_M: Array, length_gap_M: Array) -> LengthBias:
    """Compare what the model makes of length with what people make of it.

    Args:
        gap_M: Reward of the chosen minus that of the rejected.
        length_gap_M: Length of the chosen minus that of the rejected, in any unit.

    Raises:
        InputError: There are fewer than two pairs, the columns differ in length, or a gap is NaN.
    """
    gap_M, length_gap_M = np.asarray(gap_M, dtype=np.float64), np.asarray(length_gap_M, dtype=np.float64)
    if gap_M.shape != length_gap_M.shape or len(gap_M) < 2:
        raise InputError(
            f"give two or more pairs, not gaps of the shapes {gap_M.shape} and {length_gap_M.shape}"
        )
    longer_M, shorter_M = length_gap_M > 0, length_gap_M < 0
    differ_M = longer_M | shorter_M
    constant = np.ptp(gap_M) == 0 or np.ptp(length_gap_M) == 0
    return LengthBias(
        accuracy(length_gap_M[differ_M]),
        accuracy(gap_M[differ_M] * np.sign(length_gap_M[differ_M])),
        math.nan if constant else float(np.corrcoef(gap_M, length_gap_M)[0, 1]),
        accuracy(gap_M[longer_M]),
        accuracy(gap_M[shorter_M]),
        int((~differ_M).sum()),
    )
