r"""Ordered weighted averages: one value from several judges' or groups' values, fair if the weights say so.

With values sorted upwards, :math:`y_{(1)} \le \dots \le y_{(m)}`,

.. math:: \mathrm{OWA}_w(y) = \sum_k w_k\, y_{(k)}

Weights that fall make it fair: a gain of the worst-off counts most, and handing something from a better-off
to a worse-off one never lowers the value. Then it is concave, the least :math:`w^\top y_\pi` over all orders,
and its smoothed form

.. math:: \mathrm{OWA}^\beta_w(y) = \max_v \mathrm{OWA}_w(v) - \frac{\lVert v - y\rVert^2}{2\beta}, \qquad
          \nabla \mathrm{OWA}^\beta_w(y) = \mathrm{Proj}_{C(w)}(-y / \beta)

has weights for gradient that move without jumps: for :math:`\beta \to 0` the plain weights in the order of
the values, for :math:`\beta \to \infty` equal ones. :math:`C(w)` is the permutahedron of ``w``; projecting on
it is one sort and one isotonic regression, O(m log m).

Source: Dinh, Kotary and Fioretto, "Learning fair ranking policies via differentiable optimisation of ordered
weighted averages" and "End-to-end learning for fair multiobjective optimisation under uncertainty", arXiv
2402.07772; Ogryczak and Śliwiński, EJOR 148 (2003), for the weights and the linear programme.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from palate.errors import InputError
from palate.types import Array

__all__ = ["SmoothOwa", "gini_weights", "owa", "owa_gradient", "smooth_owa", "tempered_weights"]


class SmoothOwa(NamedTuple):
    """A smoothed ordered weighted average and its gradient, ``(m,)``, of the same sum as the weights."""

    value: float
    gradient_K: Array


def gini_weights(size: int) -> Array:
    """Weights of the m-term Gini mean: ``(2(m - k) + 1) / m²`` for k = 1 … m; they fall and sum to one.

    Raises:
        InputError: ``size`` is below one.

    Example:
        >>> gini_weights(2)
        array([0.75, 0.25])
    """
    if size < 1:
        raise InputError(f"an average needs at least one value, not {size}")
    rank_K = np.arange(1, size + 1)
    return (2.0 * (size - rank_K) + 1.0) / size**2


def tempered_weights(size: int, fairness: float) -> Array:
    """Weights between the mean (``fairness`` 0) and the worst-off alone (1): a geometric fall.

    ``w_k`` is proportional to ``(1 - fairness)^(k - 1)``.

    Raises:
        InputError: ``size`` is below one, or ``fairness`` outside [0, 1].

    Example:
        >>> tempered_weights(3, 0.5).round(4).tolist()
        [0.5714, 0.2857, 0.1429]
    """
    if size < 1:
        raise InputError(f"an average needs at least one value, not {size}")
    if not 0.0 <= fairness <= 1.0:
        raise InputError(f"fairness is {fairness!r}; it lies between 0 (mean) and 1 (worst-off alone)")
    weight_K = (1.0 - fairness) ** np.arange(size)
    return weight_K / weight_K.sum()


def owa(value_K: ArrayLike, weight_K: ArrayLike) -> float:
    """The ordered weighted average of ``m`` values; ``weight_K[0]`` goes with the least one.

    Raises:
        InputError: Not equally many finite values and weights, a negative weight, or none at all.

    Example:
        >>> round(owa([3.0, 1.0, 2.0], [0.5, 0.3, 0.2]), 6)
        1.7
    """
    value_K, weight_K = _checked(value_K, weight_K)
    return float(np.sort(value_K) @ weight_K)


def owa_gradient(value_K: ArrayLike, weight_K: ArrayLike) -> Array:
    """A supergradient ``(m,)``: each value's weight by its rank; equal values share theirs.

    Raises:
        InputError: As :func:`owa`.
    """
    value_K, weight_K = _checked(value_K, weight_K)
    place_K = np.argsort(value_K, kind="stable")
    gradient_K = np.empty_like(value_K)
    gradient_K[place_K] = weight_K
    for value in np.unique(value_K):
        same_K = value_K == value
        gradient_K[same_K] = gradient_K[same_K].mean()
    return gradient_K


def smooth_owa(value_K: ArrayLike, weight_K: ArrayLike, beta: float) -> SmoothOwa:
    """The smoothed average and its gradient.

    Args:
        value_K: ``(m,)`` values in one common unit.
        weight_K: ``(m,)`` weights that do not rise.
        beta: > 0, in the unit of the values: differences well below it are smoothed over.

    Raises:
        InputError: As :func:`owa`; weights that rise (then the average is not concave and has no such form);
            or ``beta`` that is not above zero.
    """
    value_K, weight_K = _checked(value_K, weight_K)
    if not (np.isfinite(beta) and beta > 0.0):
        raise InputError(f"beta is {beta!r}; it is a finite number above 0")
    if (np.diff(weight_K) > 1e-12).any():
        raise InputError("the weights rise, which favours the better-off; smoothing needs weights that fall")
    gradient_K = _on_permutahedron(-value_K / beta, weight_K)
    # max_v OWA(v) - |v - y|² / 2β is reached at v = y + β g.
    reached = float(np.sort(value_K + beta * gradient_K) @ weight_K)
    return SmoothOwa(reached - 0.5 * beta * float(gradient_K @ gradient_K), gradient_K)


def _on_permutahedron(point_K: Array, weight_K: Array) -> Array:
    """Nearest point of the convex hull of all orders of the weights."""
    from scipy.optimize import isotonic_regression

    falling_K = np.argsort(-point_K, kind="stable")
    excess_K = point_K[falling_K] - np.sort(weight_K)[::-1]
    near_K = np.empty_like(point_K)
    near_K[falling_K] = point_K[falling_K] - isotonic_regression(excess_K, increasing=False).x
    return near_K


def _checked(values: ArrayLike, weights: ArrayLike) -> tuple[Array, Array]:
    value_K, weight_K = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if value_K.ndim != 1 or value_K.shape != weight_K.shape or value_K.size == 0:
        raise InputError(
            f"an ordered weighted average needs equally many values and weights, at least one of each, not "
            f"shapes {value_K.shape} and {weight_K.shape}"
        )
    if not (np.isfinite(value_K).all() and np.isfinite(weight_K).all()) or (weight_K < 0.0).any():
        raise InputError("values must be finite, and weights finite and not negative")
    return value_K, weight_K
