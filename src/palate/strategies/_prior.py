"""What is believed of candidates before any vote: a Gaussian process over their features.

    k(x, y) = a <x, y> + b exp(-|x - y|^2 / (2 l^2)) + c [x and y are the same candidate]

with l a share of the median distance, each part centred over the pool and scaled to a mean variance of one.
The linear part carries trends, the stationary one likeness, and the last what a candidate has for itself: two
near paraphrases can behave differently. Of a large pool the centring and the scale are worked out from an
even sample of it, and covariances are made column by column when they are asked for, so that memory grows
with the votes and not with the square of the pool.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palate.types import Array

__all__ = ["Mixture", "Prior", "make_prior"]

_WRITTEN_OUT = 1024  # candidates up to which the whole table is kept: 8 MB
_LANDMARKS = 512


@dataclass(frozen=True)
class Mixture:
    """Shares of the prior variance, and the length scale in median distances.

    Args:
        linear: Of the part that is linear in the features, ≥ 0.
        smooth: Of the stationary part, ≥ 0.
        own: Of what each candidate has for itself, > 0.
        length: Length scale of the stationary part, > 0.
    """

    linear: float = 0.25
    smooth: float = 0.6
    own: float = 0.15
    length: float = 0.7


@dataclass(frozen=True)
class Prior:
    """Covariance of N utilities of mean variance one; made by :func:`make_prior`."""

    feature_ND: Array
    mixture: Mixture
    square_N: Array = field(repr=False)
    width: float
    level: tuple[Array, float, float] = field(repr=False)
    smooth_level: tuple[Array, float, float] = field(repr=False)
    table_NN: Array | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.feature_ND)

    @property
    def candidates(self) -> int:
        """How many of the rows are candidates: all."""
        return len(self)

    def places(self, row_M: NDArray[np.int64], answer_M: NDArray[np.int64]) -> NDArray[np.int64]:
        """What votes are about: the candidates, as long as nothing is known of their responses."""
        del answer_M
        return row_M

    @property
    def variance_N(self) -> Array:
        """Variance of each utility."""
        if self.table_NN is not None:
            return np.diag(self.table_NN).copy()
        mean_N, mean, unit = self.level
        linear_N = (self.square_N - 2.0 * mean_N + mean) * unit
        mean_N, mean, unit = self.smooth_level
        smooth_N = (1.0 - 2.0 * mean_N + mean) * unit
        part = self.mixture
        return part.linear * linear_N + part.smooth * smooth_N + part.own

    def rows(self, which_K: NDArray[np.int64]) -> Array:
        """Covariance of some utilities with all, ``(K, N)``."""
        return self.between(which_K, np.arange(len(self)))

    def between(self, which_K: NDArray[np.int64], others_L: NDArray[np.int64]) -> Array:
        """Covariance of some utilities with others, ``(K, L)``."""
        whole = len(others_L) == len(self)
        if self.table_NN is not None:
            return self.table_NN[which_K] if whole else self.table_NN[np.ix_(which_K, others_L)]
        other_LD = self.feature_ND if whole else self.feature_ND[others_L]
        product_KL = self.feature_ND[which_K] @ other_LD.T
        part = self.mixture
        total_KL = np.zeros_like(product_KL)
        if part.smooth > 0.0:
            square_K, square_L = self.square_N[which_K], self.square_N[others_L]
            distance_KL = square_K[:, None] + square_L[None, :] - 2.0 * product_KL
            smooth_KL = np.exp(np.maximum(distance_KL, 0.0) * (-0.5 / self.width))
            total_KL += part.smooth * _centre(smooth_KL, which_K, others_L, self.smooth_level)
        if part.linear > 0.0:
            total_KL += part.linear * _centre(product_KL, which_K, others_L, self.level)
        total_KL[which_K[:, None] == others_L[None, :]] += part.own
        return total_KL


def _centre(
    value_KL: Array,
    which_K: NDArray[np.int64],
    others_L: NDArray[np.int64],
    level: tuple[Array, float, float],
) -> Array:
    mean_N, mean, unit = level
    return (value_KL - mean_N[which_K][:, None] - mean_N[others_L][None, :] + mean) * unit


def _level(value_LN: Array, landmark_L: NDArray[np.int64], diagonal_N: Array) -> tuple[Array, float, float]:
    """Mean of each column, mean of all, and what makes the mean variance one; 0 if there is none."""
    mean_N = value_LN.mean(axis=0)
    mean = float(mean_N[landmark_L].mean())
    variance = float((diagonal_N - 2.0 * mean_N + mean).mean())
    # Features that are equal up to rounding carry no information; dividing would blow the rounding up.
    floor = 1e-10 * float(np.abs(diagonal_N).mean())
    return mean_N, mean, (1.0 / variance if variance > floor else 0.0)


def make_prior(feature_ND: Array, mixture: Mixture) -> Prior:
    """Work out the prior's constants.

    Args:
        feature_ND: One row a candidate, finite.
        mixture: What it is made of.
    """
    size = len(feature_ND)
    landmark_L = np.unique(np.linspace(0, size - 1, min(size, _LANDMARKS)).astype(np.int64))
    square_N = np.einsum("nd,nd->n", feature_ND, feature_ND)
    product_LN = feature_ND[landmark_L] @ feature_ND.T
    distance_LN = np.maximum(square_N[landmark_L][:, None] + square_N[None, :] - 2.0 * product_LN, 0.0)
    others_LN = distance_LN[np.arange(size)[None, :] != landmark_L[:, None]]
    typical = float(np.median(others_LN)) or float(others_LN.mean()) or 1.0
    width = typical * mixture.length**2
    smooth_LN = np.exp(distance_LN * (-0.5 / width))
    level = _level(product_LN, landmark_L, square_N)
    smooth_level = _level(smooth_LN, landmark_L, np.ones(size))
    prior = Prior(feature_ND, mixture, square_N, width, level, smooth_level)
    if size > _WRITTEN_OUT:
        return prior
    table_NN = prior.rows(np.arange(size))
    return Prior(feature_ND, mixture, square_N, width, level, smooth_level, 0.5 * (table_NN + table_NN.T))
