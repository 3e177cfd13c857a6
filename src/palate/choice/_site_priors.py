"""The prior of what votes are about, in whichever of two equal forms is smaller.

    d = A z,  z ~ N(0, K),  sites exp(pull_s d_s - precision_s d_s^2 / 2),  P = diag(precision)

    direct    B = I + P^(1/2) A K A^T P^(1/2)           one row a vote; cubic in the votes
    latent    B = I + R^T A^T P A R  with  K = R R^T    one row a direction of z; linear in the votes

Both have the same determinant (Sylvester's identity) and give the same belief (Woodbury's). A few hundred
votes on thousands of candidates want the first, thousands of votes on a few hundred candidates the second.
Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", sections 2.1.2 and 3.4.3.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.errors import InputError
from palate.types import Array

__all__ = ["DirectPrior", "LatentPrior", "SiteBelief", "SitePrior", "Sites", "root_of"]

Halving: TypeAlias = Callable[[Array], Array]

_RANK = 1e-12  # eigenvalues below this share of the largest are rounding


def root_of(kernel_LL: Array) -> Array:
    """A square root ``(L, R)`` of a positive semi-definite matrix of rank R: ``kernel = root root^T``."""
    value_L, vector_LL = np.linalg.eigh(kernel_LL)
    kept_L = value_L > _RANK * max(float(value_L.max(initial=0.0)), 1e-300)
    return vector_LL[:, kept_L] * np.sqrt(value_L[kept_L])


class Sites(NamedTuple):
    """Natural parameters of the sites: ``precision_S`` ≥ 0 and ``pull_S`` = precision times location."""

    precision_S: Array
    pull_S: Array


class SiteBelief(NamedTuple):
    """Mean and variance of every site's value, and half the logarithm of the determinant of B."""

    mean_S: Array
    variance_S: Array
    half_log_determinant: float


@dataclass(frozen=True)
class DirectPrior:
    """Prior covariance of the sites' values, ``(S, S)``, positive semi-definite with a positive diagonal."""

    kernel_SS: Array

    def __len__(self) -> int:
        return len(self.kernel_SS)

    def believed(self, sites: Sites) -> SiteBelief:
        """What is known once the sites are taken in."""
        from scipy.linalg import solve_triangular

        kernel_SS, root_S = self.kernel_SS, np.sqrt(sites.precision_S)
        factor_SS = self._factor(root_S)
        half_SS = solve_triangular(factor_SS, root_S[:, None] * kernel_SS, lower=True, check_finite=False)
        variance_S = np.diag(kernel_SS) - np.einsum("ab,ab->b", half_SS, half_SS)
        mean_S = kernel_SS @ sites.pull_S - half_SS.T @ (half_SS @ sites.pull_S)
        return SiteBelief(mean_S, np.maximum(variance_S, 1e-12), float(np.log(np.diag(factor_SS)).sum()))

    def pushed(self, value_S: Array) -> Array:
        """``A^T value``; the sites stand for themselves here."""
        return value_S

    def halving(self, sites: Sites) -> Halving:
        """What turns prior covariances into rows h with ``cov(E | votes) = cov(E) - h^T h``.

        It is given those of the sites' values with any E other quantities, ``(S, E)``, and overwrites them.
        """
        from scipy.linalg import solve_triangular

        root_S = np.sqrt(sites.precision_S)
        factor_SS = self._factor(root_S)

        def halves(cross_SE: Array) -> Array:
            cross_SE *= root_S[:, None]
            return solve_triangular(factor_SS, cross_SE, lower=True, overwrite_b=True, check_finite=False)

        return halves

    def _factor(self, root_S: Array) -> Array:
        system_SS = root_S[:, None] * self.kernel_SS * root_S[None, :]
        system_SS[np.diag_indices_from(system_SS)] += 1.0
        return np.asarray(np.linalg.cholesky(system_SS), dtype=np.float64)


@dataclass(frozen=True)
class LatentPrior:
    """Sites that are sums of few out of L latent values.

    Args:
        place_SK: Which latent values each site adds up, K of them.
        weight_SK: And with which weights.
        kernel_LL: Prior covariance of the latent values, positive semi-definite.
        root_LR: A square root of it, ``kernel = root root^T``; worked out when left out.

    Raises:
        InputError: Shapes that do not fit.
    """

    place_SK: NDArray[np.int64]
    weight_SK: Array
    kernel_LL: Array
    root_LR: Array | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.place_SK.shape != self.weight_SK.shape or self.place_SK.max(initial=-1) >= len(
            self.kernel_LL
        ):
            raise InputError("each site needs as many places among the latent values as it has weights")
        if self.root_LR is None:
            object.__setattr__(self, "root_LR", root_of(self.kernel_LL))

    def __len__(self) -> int:
        return len(self.place_SK)

    def believed(self, sites: Sites) -> SiteBelief:
        """What is known once the sites are taken in."""
        from scipy.linalg import solve_triangular

        root_LR = self.root_LR
        assert root_LR is not None  # set when it was made
        system_RR = root_LR.T @ self._told(sites.precision_S) @ root_LR
        system_RR[np.diag_indices_from(system_RR)] += 1.0
        factor_RR = np.linalg.cholesky(system_RR)
        half_RL = solve_triangular(factor_RR, root_LR.T, lower=True, check_finite=False)
        covariance_LL = half_RL.T @ half_RL
        mean_L = covariance_LL @ self.pushed(sites.pull_S)
        place_SK, weight_SK = self.place_SK, self.weight_SK
        mean_S = (weight_SK * mean_L[place_SK]).sum(axis=1)
        among_SKK = covariance_LL[place_SK[:, :, None], place_SK[:, None, :]]
        variance_S = np.einsum("sk,skj,sj->s", weight_SK, among_SKK, weight_SK)
        return SiteBelief(mean_S, np.maximum(variance_S, 1e-12), float(np.log(np.diag(factor_RR)).sum()))

    def pushed(self, value_S: Array) -> Array:
        """``A^T value``, ``(L,)``."""
        told_SK = self.weight_SK * value_S[:, None]
        return np.asarray(
            np.bincount(self.place_SK.ravel(), told_SK.ravel(), len(self.kernel_LL)), np.float64
        )

    def halving(self, sites: Sites) -> Halving:
        """What turns prior covariances into rows h with ``cov(E | votes) = cov(E) - h^T h``.

        It is given those of the latent values with any E other quantities, ``(L, E)``, and makes one row of
        each that votes tell of.
        """
        from scipy.linalg import solve_triangular

        told_GL = root_of(self._told(sites.precision_S)).T
        system_GG = told_GL @ self.kernel_LL @ told_GL.T
        system_GG[np.diag_indices_from(system_GG)] += 1.0
        factor_GG = np.linalg.cholesky(system_GG)

        def halves(cross_LE: Array) -> Array:
            return solve_triangular(factor_GG, told_GL @ cross_LE, lower=True, check_finite=False)

        return halves

    def _told(self, precision_S: Array) -> Array:
        """``A^T P A``."""
        size = len(self.kernel_LL)
        place_SKK = self.place_SK[:, :, None] * size + self.place_SK[:, None, :]
        told_SKK = precision_S[:, None, None] * self.weight_SK[:, :, None] * self.weight_SK[:, None, :]
        flat = np.bincount(place_SKK.ravel(), told_SKK.ravel(), size * size)
        return np.asarray(flat, np.float64).reshape(size, size)


SitePrior: TypeAlias = DirectPrior | LatentPrior
