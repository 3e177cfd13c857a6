"""Four published ways to pick the next pair from a Gaussian belief about a pool of candidates.

    eubo       argmax_{i<j} E[max(u_i, u_j)], in closed form         Lin et al. 2022, section 4
    qeubo      the same by simulation, from S joint draws            Astudillo et al. 2023, section 3
    thompson   i = argmax of one joint draw, j of another            the duelling form of Thompson's rule
    bald       argmax_{i<j} I(vote; u_i - u_j)                       Houlsby et al. 2011, section 3

All pairs of the pool are looked at. BALD asks what tells most about the utilities, whether or not they are
high; the other three ask about candidates that may be the best.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.choice import (
    Gaussian,
    difference_variance,
    eubo,
    expected_best,
    square_root,
    thompson_pair,
    vote_information,
)
from palate.strategies._protocol import Pair
from palate.types import Array

__all__ = ["PROBIT", "RULES", "Rule"]

Rule: TypeAlias = Literal["eubo", "qeubo", "thompson", "bald"]
Table: TypeAlias = NDArray[np.bool_]

PROBIT = 1.702  # log-odds in one standard deviation of a comparison's noise; chances differ by less than 0.01
_DRAWS = 512  # BoTorch's default for qEUBO


def _argmax(value_NN: Array, allowed_NN: Table) -> Pair:
    i, j = divmod(int(np.where(allowed_NN, value_NN, -np.inf).argmax()), len(value_NN))
    return i, j


def by_eubo(belief: Gaussian, allowed_NN: Table, rng: np.random.Generator) -> Pair:
    """The pair whose better one is expected to be best."""
    return _argmax(eubo(*belief), allowed_NN)


def by_qeubo(belief: Gaussian, allowed_NN: Table, rng: np.random.Generator) -> Pair:
    """The same, from 512 joint draws."""
    mean_N, covariance_NN = belief
    normal_NS = rng.standard_normal((len(mean_N), _DRAWS))
    draw_NS = mean_N[:, None] + square_root(covariance_NN) @ normal_NS
    pair_GQ = np.argwhere(allowed_NN)
    i, j = pair_GQ[expected_best(draw_NS, pair_GQ).argmax()].tolist()
    return i, j


def by_thompson(belief: Gaussian, allowed_NN: Table, rng: np.random.Generator) -> Pair:
    """The best of one draw against the best of another."""
    mean_N, covariance_NN = belief
    normal_2N = rng.standard_normal((2, len(mean_N)))
    return thompson_pair(mean_N + normal_2N @ square_root(covariance_NN).T, allowed_NN)


def by_bald(belief: Gaussian, allowed_NN: Table, rng: np.random.Generator) -> Pair:
    """The pair whose vote tells most."""
    mean_N, covariance_NN = belief
    i_G, j_G = np.nonzero(allowed_NN)
    gap_G = (mean_N[i_G] - mean_N[j_G]) / PROBIT
    told_G = vote_information(gap_G, difference_variance(covariance_NN)[i_G, j_G] / PROBIT**2)
    chosen = int(told_G.argmax())
    return int(i_G[chosen]), int(j_G[chosen])


RULES: Mapping[Rule, Callable[[Gaussian, Table, np.random.Generator], Pair]] = MappingProxyType(
    {
        "eubo": by_eubo,
        "qeubo": by_qeubo,
        "thompson": by_thompson,
        "bald": by_bald,
    }
)
