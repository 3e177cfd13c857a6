"""How far judges agree with each other and with themselves.

Every measure is a function of a table of pairs of labels summed over the units (what was judged), so its
interval comes from drawing the units anew, with replacement, and summing their tables.

    raw agreement   sum_k t_kk / sum_kl t_kl
    Cohen           (p_o - p_e) / (1 - p_e),     p_e = sum_k p_k. p_.k
    Krippendorff    1 - (n - 1) sum_{k≠l} o_kl / (n² - sum_k n_k²),  nominal; o_kl the coincidences
    Wilson          (s + z²/2 ± z sqrt(s (m - s) / m + z²/4)) / (m + z²)

Sources: Cohen 1960; Krippendorff, "Computing Krippendorff's alpha-reliability", 2011, section C (nominal
data, any number of observers, missing data), whose own bootstrap is not taken over; Wilson 1927.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.errors import InputError
from palate.types import Array

__all__ = [
    "Estimate",
    "cohen_kappa",
    "kappa_of_table",
    "krippendorff_alpha",
    "raw_agreement",
    "share_interval",
]

Labels = NDArray[np.integer]
_Formula = Callable[[Array], Array]


class Estimate(NamedTuple):
    """A figure with the ends of its interval, and the number of units that it rests on.

    NaN stands for what is not defined: a value without a unit, ends without a generator.
    """

    value: float
    low: float
    high: float
    units: int


def share_interval(successes: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share.

    Args:
        successes: How often it happened, in [0, ``total``].
        total: How often it could have; without any, nothing is known and the interval is [0, 1].
        level: In (0, 1).

    Raises:
        InputError: Out of range.

    Example:
        >>> [round(end, 4) for end in share_interval(8, 10)]
        [0.4902, 0.9433]
    """
    if not 0 <= successes <= total or not 0.0 < level < 1.0:
        raise InputError(f"{successes!r} of {total!r} at level {level!r} is not a share")
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    spread = z * math.sqrt(successes * (total - successes) / total + z * z / 4.0)
    middle = successes + z * z / 2.0
    low, high = (middle - spread) / (total + z * z), (middle + spread) / (total + z * z)
    return (0.0 if successes == 0 else low), (1.0 if successes == total else high)


def raw_agreement(
    label_UJ: Labels,
    rng: np.random.Generator | None = None,
    *,
    without: int | None = None,
    rounds: int = 1000,
) -> Estimate:
    """Share of pairs of judgements of one unit that say the same.

    Args:
        label_UJ: What judge j said of unit u, a label ≥ 0, or -1 when nothing.
        rng: Draws the resamples of the interval; none, no interval.
        without: A label, such as a tie, whose pairs are left out.
        rounds: Resamples.

    Raises:
        InputError: Not a table of labels.

    Example:
        >>> import numpy as np
        >>> round(raw_agreement(np.array([[0, 0, 1], [1, 1, -1]])).value, 3)
        0.5
    """
    table_UKK = _pairs(_checked(label_UJ))
    if without is not None and without < table_UKK.shape[1]:
        table_UKK = table_UKK.copy()
        table_UKK[:, without, :] = 0.0
        table_UKK[:, :, without] = 0.0
    return _estimate(table_UKK, _raw, rng, rounds)


def krippendorff_alpha(
    label_UJ: Labels, rng: np.random.Generator | None = None, *, rounds: int = 1000
) -> Estimate:
    """Krippendorff's alpha for labels without an order: 1 is full agreement, 0 is chance.

    Args:
        label_UJ: What judge j said of unit u, a label ≥ 0, or -1 when nothing.
        rng: Draws the resamples of the interval; none, no interval.
        rounds: Resamples.

    Returns:
        NaN when no unit has two judgements, or all of them say the same, so that chance would agree as well.

    Raises:
        InputError: Not a table of labels.

    Example:
        >>> import numpy as np
        >>> round(krippendorff_alpha(np.array([[0, 0], [1, 1], [0, 1], [1, 1]])).value, 4)
        0.5333
    """
    labels = _checked(label_UJ)
    judged_U = (labels >= 0).sum(axis=1)
    table_UKK = _pairs(labels) / np.maximum(judged_U - 1, 1)[:, None, None]
    return _estimate(table_UKK, _alpha, rng, rounds)


def cohen_kappa(
    first_U: Labels, second_U: Labels, rng: np.random.Generator | None = None, *, rounds: int = 1000
) -> Estimate:
    """Cohen's kappa of two judges, over the units that both judged.

    Args:
        first_U: What one said of each unit, a label ≥ 0, or -1 when nothing.
        second_U: What the other said.
        rng: Draws the resamples of the interval; none, no interval.
        rounds: Resamples.

    Returns:
        NaN when no unit has both, or both always gave the same one label.

    Raises:
        InputError: Not two lists of labels of one length.

    Example:
        >>> import numpy as np
        >>> round(cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])).value, 3)
        0.5
    """
    if first_U.shape != second_U.shape:
        raise InputError(f"two judges must have one label a unit each, not {first_U.shape}, {second_U.shape}")
    labels = _checked(np.stack([first_U, second_U], axis=1))
    both = labels[(labels >= 0).all(axis=1)].astype(np.intp)
    kinds, _ = _size(labels)
    count_X = np.bincount(both[:, 0] * kinds + both[:, 1], minlength=kinds * kinds)
    return kappa_of_table(count_X.reshape(kinds, kinds), rng, rounds=rounds)


def kappa_of_table(
    count_KK: NDArray[np.int64], rng: np.random.Generator | None = None, *, rounds: int = 1000
) -> Estimate:
    """Cohen's kappa of two judges from how often one said the row's label and the other the column's.

    Args:
        count_KK: Units that both judged.
        rng: As for :func:`cohen_kappa`; ``rounds`` too.
        rounds: Resamples.

    Example:
        >>> import numpy as np
        >>> round(kappa_of_table(np.array([[1, 1], [0, 2]])).value, 3)
        0.5
    """
    kinds = len(count_KK)
    count_X = count_KK.ravel().astype(np.int64)
    met_T = np.flatnonzero(count_X)
    table_TKK = np.zeros((len(met_T), kinds, kinds))
    table_TKK[np.arange(len(met_T)), met_T // kinds, met_T % kinds] = 1.0
    return _resampled(table_TKK, count_X[met_T], _kappa, rng, rounds)


def _checked(label_UJ: Labels) -> Labels:
    labels = np.asarray(label_UJ)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer) or (labels < -1).any():
        raise InputError("labels must be a table of whole numbers, units by judges; -1 for no judgement")
    return labels


def _size(labels: Labels) -> tuple[int, int]:
    kinds = int(labels.max(initial=0)) + 1
    return kinds, kinds


def _pairs(label_UJ: Labels) -> Array:
    """Ordered pairs of judgements of each unit: ``(U, K, K)``, symmetric; units with one judgement are 0."""
    kinds, _ = _size(label_UJ)
    count_UK = np.stack([(label_UJ == k).sum(axis=1) for k in range(kinds)], axis=1).astype(np.float64)
    table_UKK = count_UK[:, :, None] * count_UK[:, None, :]
    diagonal_K = np.arange(kinds)
    table_UKK[:, diagonal_K, diagonal_K] -= count_UK
    return table_UKK


def _estimate(table_UKK: Array, formula: _Formula, rng: np.random.Generator | None, rounds: int) -> Estimate:
    table_UKK = table_UKK[table_UKK.sum(axis=(1, 2)) > 0]
    units = len(table_UKK)
    # Units with equal tables are drawn together: of many units few differ, and the draw is the same.
    kinds = table_UKK.shape[1]
    flat_TX, count_T = _distinct(table_UKK.reshape(units, kinds * kinds))
    return _resampled(flat_TX.reshape(-1, kinds, kinds), count_T, formula, rng, rounds)


def _distinct(flat_UX: Array) -> tuple[Array, NDArray[np.int64]]:
    """The different rows and how often each is there."""
    place_U = np.zeros(len(flat_UX), dtype=np.int64)
    for column_U in flat_UX.T:
        value_V, code_U = np.unique(column_U, return_inverse=True)
        # Renumbered column by column, so that the numbers stay as small as there are rows.
        _, place_U = np.unique(place_U * len(value_V) + code_U.ravel(), return_inverse=True)
        place_U = place_U.ravel()
    _, first_T, count_T = np.unique(place_U, return_index=True, return_counts=True)
    return flat_UX[first_T], count_T.astype(np.int64)


def _resampled(
    table_TKK: Array,
    count_T: NDArray[np.int64],
    formula: _Formula,
    rng: np.random.Generator | None,
    rounds: int,
) -> Estimate:
    """The measure of tables that are there so often, with the interval of drawing all units anew."""
    units = int(count_T.sum())
    total_KK: Array = np.tensordot(count_T.astype(np.float64), table_TKK, axes=1).astype(np.float64)
    value = float(formula(total_KK))
    if rng is None or units == 0:
        return Estimate(value, math.nan, math.nan, units)
    drawn_BT = rng.multinomial(units, count_T / units, size=rounds)
    drawn_BKK: Array = np.tensordot(drawn_BT.astype(np.float64), table_TKK, axes=1).astype(np.float64)
    value_B = formula(drawn_BKK)
    value_B = value_B[~np.isnan(value_B)]
    if not len(value_B):
        return Estimate(value, math.nan, math.nan, units)
    low, high = np.quantile(value_B, [0.025, 0.975])
    return Estimate(value, float(low), float(high), units)


def _trace(table: Array) -> Array:
    return np.einsum("...kk->...", table)


def _quotient(top: Array, bottom: Array) -> Array:
    """NaN where the bottom is 0: there is nothing to measure against."""
    sound = bottom > 1e-12
    return np.where(sound, top / np.where(sound, bottom, 1.0), np.nan)


def _raw(table: Array) -> Array:
    return _quotient(_trace(table), table.sum(axis=(-2, -1)))


def _alpha(table: Array) -> Array:
    label = table.sum(axis=-1)
    total = label.sum(axis=-1)
    expected = (total**2 - (label**2).sum(axis=-1)) / np.maximum(total - 1.0, 1.0)
    return 1.0 - _quotient(total - _trace(table), expected)


def _kappa(table: Array) -> Array:
    total = table.sum(axis=(-2, -1))
    total = np.where(total > 0, total, np.nan)
    observed = _trace(table) / total
    expected = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / total**2
    return _quotient(observed - expected, 1.0 - expected)
