"""What sort of judge somebody may be: the prior of the rater model, for people and for machines.

A judge compares by a utility of its own that agrees with people's to the degree rho:

    v = rho u + sqrt(1 - rho^2) t,     t ~ GP(0, K) like u itself
    log-odds of a vote for the left    a (v_left - v_right) + side + bias · x

    people      85 %  ln a ~ N(0, 0.4^2), rho = 0.95: alike, a tenth of each one's variance is its own
                 8 %  a = 0: a coin, or one and the same side; side ~ N(0, 3^2)
                 5 %  rho = 0.6, 0.2: votes for something else than the others
                 2 %  rho = -0.95: the contrary
    machines    80 %  ln a ~ N(0, 0.8^2), rho one of 0, 0.2, 0.4, 0.6, 0.75, 0.87, 0.95, 0.99
                10 %  a = 0
                10 %  rho = -0.5, -0.9

Sources: that a rater either means something or spams, D. Hovy et al., "Learning whom to trust with MACE",
2013; a slope a rater, X. Chen et al., "Pairwise ranking aggregation in a crowdsourced setting", 2013, and
the discrimination of item response theory; a direction of its own for a judge that is not human, the bias
terms of Bayesian win-rate sampling, arXiv 2411.04424, here over candidates and not for the whole; utilities
of several judges from one kernel, the intrinsic model of coregionalisation (Bonilla et al., 2008).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.types import Array

__all__ = ["Hypotheses", "hypotheses_of"]

HONEST, COIN, OWN_AIM, CONTRARY = range(4)
SIDE_STD = 0.5  # log-odds, of judges that say something
COIN_SIDE_STD = 3.0  # wide enough for somebody who always takes one side
_ALIKE = 0.95
_OTHER = (0.6, 0.2)
_MACHINE = (0.0, 0.2, 0.4, 0.6, 0.75, 0.87, 0.95, 0.99)
_MACHINE_CONTRARY = (-0.5, -0.9)


class Hypotheses(NamedTuple):
    """H sorts of judge, with what is thought of each before any vote.

    Args:
        slope_H: Sharpness a ≥ 0 of the votes.
        alignment_H: rho in (-1, 1): how far the judge's taste is people's.
        side_std_H: Prior standard deviation of the offset of the left side, in log-odds.
        kind_H: 0 means what it says, 1 coin or one side, 2 another aim, 3 contrary.
        log_prior_H: In nats; the probabilities sum to one.
    """

    slope_H: Array
    alignment_H: Array
    side_std_H: Array
    kind_H: NDArray[np.int64]
    log_prior_H: Array

    def __len__(self) -> int:
        return len(self.slope_H)


def hypotheses_of(machine: bool) -> Hypotheses:
    """The sorts of people, or of machines.

    Example:
        >>> people = hypotheses_of(False)
        >>> round(float(np.exp(people.log_prior_H).sum()), 9), float(people.alignment_H[0])
        (1.0, 0.95)
    """
    rows: list[tuple[float, float, float, int, float]] = []
    if machine:
        rows += _sharp(0.8, 1.6, 7, _MACHINE, HONEST, 0.8)
        rows += _sharp(0.8, 0.8, 3, _MACHINE_CONTRARY, CONTRARY, 0.1)
        rows.append((0.0, 0.0, COIN_SIDE_STD, COIN, 0.1))
    else:
        rows += _sharp(0.4, 1.0, 7, (_ALIKE,), HONEST, 0.85)
        rows += _sharp(0.4, 0.8, 3, _OTHER, OWN_AIM, 0.05)
        rows += _sharp(0.4, 0.8, 3, (-_ALIKE,), CONTRARY, 0.02)
        rows.append((0.0, 0.0, COIN_SIDE_STD, COIN, 0.08))
    table = np.array(rows, dtype=np.float64)
    kind_H = table[:, 3].astype(np.int64)
    return Hypotheses(table[:, 0], table[:, 1], table[:, 2], kind_H, np.log(table[:, 4]))


def _sharp(
    spread: float, reach: float, places: int, alignments: tuple[float, ...], kind: int, share: float
) -> list[tuple[float, float, float, int, float]]:
    """Slopes on a grid in ln a, for each of several alignments."""
    log_a = np.linspace(-reach, reach, places)
    weight = np.exp(-0.5 * (log_a / spread) ** 2)
    weight *= share / weight.sum() / len(alignments)
    return [
        (float(np.exp(place)), rho, SIDE_STD, kind, float(w))
        for rho in alignments
        for place, w in zip(log_a, weight, strict=True)
    ]
