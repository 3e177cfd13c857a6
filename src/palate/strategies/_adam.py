"""Adam, also for weights that have no gradient in some steps.

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
    theta <- theta - w_k m / (sqrt(v) + eps_k)
    w_k = rate sqrt(1 - b2^k) / (1 - b1^k),   eps_k = eps sqrt(1 - b2^k)          at step k

Where g = 0 the moments fade and theta drifts on. Between two steps with a gradient, at k and k + n, the
drift is

    (sum_{s<n} r^s w_{k+s}) m / sqrt(v),   r = b1 / sqrt(b2)

so that all n moves are made at once, at the cost of one. Only eps is not carried through the sum exactly:
the drift has a relative error of about eps over the size of the gradient.

Source: Kingma and Ba, arXiv 1412.6980, algorithm 1 and the constants proposed there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.types import Array

__all__ = ["Moments", "Step", "adam_step", "no_moments", "schedule", "step_sizes"]

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_FADE = _BETA_1 / _BETA_2**0.5


class Moments(NamedTuple):
    """Running means of the gradient and of its square, and room to work in; all are overwritten."""

    first_P: Array
    second_P: Array
    work_P: Array


class Step(NamedTuple):
    """Coefficients of one step: how much of the moments is left, how far to move, what to add to the root."""

    keep_first: float
    keep_second: float
    size: float
    floor: float


def no_moments(size: int) -> Moments:
    """Before the first step."""
    return Moments(np.zeros(size), np.zeros(size), np.empty(size))


def step_sizes(steps: int, rate: float) -> Array:
    """What a gradient moves in its own step and all later ones, ``(steps + 2,)``, by its number from 1."""
    number_S = np.arange(1, steps + 1)
    size_S = rate * np.sqrt(1.0 - _BETA_2**number_S) / (1.0 - _BETA_1**number_S)
    later_S = np.zeros(steps + 2)
    for number in range(steps, 0, -1):
        later_S[number] = size_S[number - 1] + _FADE * later_S[number + 1]
    return later_S


def schedule(number_S: NDArray[np.int64], later_S: Array) -> Iterator[Step]:
    """The steps of weights that have a gradient in some steps only.

    Args:
        number_S: Numbers of the steps with a gradient, from 1, ascending.
        later_S: From :func:`step_sizes`; its length says which step is the last.

    Returns:
        One entry for each; the drift until the next one, or until the last step of all, is part of it.
    """
    gap_S = np.diff(number_S, append=len(later_S) - 1)
    since_S = np.diff(number_S, prepend=0)
    columns = (
        _BETA_1**since_S,
        _BETA_2**since_S,
        later_S[number_S] - _FADE**gap_S * later_S[number_S + gap_S],
        _EPSILON * np.sqrt(1.0 - _BETA_2**number_S),
    )
    return map(Step, *(column_S.tolist() for column_S in columns))


def adam_step(theta_P: Array, gradient_P: Array, moments: Moments, step: Step) -> None:
    """Move ``theta_P`` against the gradient; both the weights and the moments are overwritten."""
    first_P, second_P, work_P = moments
    first_P *= step.keep_first
    np.multiply(gradient_P, 1.0 - _BETA_1, out=work_P)
    first_P += work_P
    second_P *= step.keep_second
    np.multiply(gradient_P, gradient_P, out=work_P)
    work_P *= 1.0 - _BETA_2
    second_P += work_P
    np.sqrt(second_P, out=work_P)
    work_P += step.floor
    np.divide(first_P, work_P, out=work_P)
    work_P *= step.size
    theta_P -= work_P
