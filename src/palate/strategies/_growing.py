"""When new candidates are worth more than further questions about the present ones.

A child c that a proposer makes from a parent p is, before anybody has seen it, believed to be

    u_c | u_p ~ N(rho u_p + d, (1 - rho^2) s^2)

the Gaussian process's prior given its parent, if the parent is all that ties it to the others: rho is the
prior correlation of child and parent, s^2 the prior variance. What proposers add or spoil is learnt from the
K children that there are: d = sum(E[u_c] - rho E[u_p]) / (K + 4). With the belief about the present
candidates and k such children, the value of T clicks is worked out twice, as in
:mod:`palate.strategies._stopping` (expected gain in win rate of the report after T votes that EUBO asks):

    asking    = gain(T | present candidates)
    exploring = gain(T | present candidates and k children) - asking
    grow when exploring > 0.002

that is, when some of the clicks that are left gain more on children than on the present candidates, by more
than asking a model for them is worth. With no clicks left both are zero: a child that nobody has the clicks
to try is worth nothing. The expectation of max(u_c - u_best, 0) alone would not know that.

Source: the knowledge gradient (Frazier, Powell and Dayanik, 2009) applied to a pool that may grow; ours. It
looks one generation ahead, so it is rather too small: children of children are not thought of.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from palate.choice import Gaussian
from palate.strategies._bandit import DuelBandit
from palate.strategies._prior import Mixture, make_prior
from palate.strategies._protocol import Pair
from palate.strategies._stopping import expected_gain
from palate.types import Array

__all__ = [
    "WORTH",
    "Exploring",
    "exploring",
    "likeness_of_kin",
    "with_children",
    "worth_of_growing",
]

WORTH = 0.002  # in win rate; below the stop rule's 0.005, because no person's time is spent
_SHRUNK = 4  # children that would have to be there for half of what they show to be believed
_CONTENDERS = 64  # candidates that more questions are thought of
_SAMPLE = 256  # candidates whose nearest neighbour is looked for
_HORIZON = 20  # clicks that are planned ahead at most, as by the stop rule; the work grows with them


class Exploring(NamedTuple):
    """What the clicks left are worth, in win probability, each in [0, 0.5].

    Args:
        asking: Spent on the present candidates.
        exploring: What children would add to that.
    """

    asking: float
    exploring: float

    @property
    def grow(self) -> bool:
        """Whether new candidates are worth more than further questions about the present ones."""
        return self.exploring > WORTH


def with_children(
    belief: Gaussian, parents: Sequence[int], likeness: float, variance: float, drift: float = 0.0
) -> Gaussian:
    """The joint belief about candidates and one imagined child of each parent, in this order.

    Args:
        belief: About N utilities, in log-odds, zero mean over the pool.
        parents: K rows of the belief; a row may stand there more than once.
        likeness: Prior correlation of a child with its parent, in [0, 1].
        variance: Prior variance of a utility, > 0.
        drift: What children have beyond their parents' share, in log-odds.

    Returns:
        About N + K utilities.

    Example:
        >>> alone = Gaussian(np.array([1.0, -1.0]), np.eye(2))
        >>> mean_N, covariance_NN = with_children(alone, [0], 0.5, 4.0)
        >>> mean_N.tolist(), covariance_NN[2].tolist()  # 0.5 * 1; 0.5 * 1, and 0.25 * 1 + 0.75 * 4
        ([1.0, -1.0, 0.5], [0.5, 0.0, 3.25])
    """
    rows_K = np.array(parents, dtype=np.int64)
    mean_K = likeness * belief.mean_N[rows_K] + drift
    cross_KN = likeness * belief.covariance_NN[rows_K]
    own_KK = likeness * cross_KN[:, rows_K] + (1.0 - likeness**2) * variance * np.eye(len(rows_K))
    covariance: Array = np.block([[belief.covariance_NN, cross_KN.T], [cross_KN, own_KK]])
    return Gaussian(np.concatenate([belief.mean_N, mean_K]), covariance)


def exploring(
    belief: Gaussian,
    best: int,
    parents: Sequence[int],
    *,
    likeness: float,
    variance: float,
    clicks: int,
    drift: float = 0.0,
    seed: int = 0,
) -> Exploring:
    """Weigh children against further questions about the present candidates.

    Args:
        belief: About the contenders, in log-odds, zero mean over the pool.
        best: The row that is reported now.
        parents: Rows that would have a child each.
        likeness: Prior correlation of a child with its parent, in [0, 1].
        variance: Prior variance of a utility.
        clicks: Votes that are left, ≥ 0; more than 20 count as 20.
        drift: What children have beyond their parents' share, in log-odds.
        seed: Of the possible answers; both values see the same ones.
    """
    votes = min(clicks, _HORIZON)
    if votes <= 0:
        return Exploring(0.0, 0.0)
    grown = with_children(belief, parents, likeness, variance, drift)
    asking = expected_gain(belief, best, np.random.default_rng(seed), votes=votes)
    both = expected_gain(grown, best, np.random.default_rng(seed), votes=votes)
    return Exploring(asking, max(both - asking, 0.0))


def likeness_of_kin(feature_ND: Array, kin: Sequence[Pair]) -> float:
    """How alike the prior takes a child and its parent to be: the mean correlation of those there are.

    Args:
        feature_ND: Of all candidates.
        kin: ``(parent, child)`` rows; without any, each candidate and its nearest neighbour stand for them.

    Returns:
        In [0, 1].
    """
    size = len(feature_ND)
    prior = make_prior(feature_ND, Mixture())
    root_N = np.sqrt(np.maximum(prior.variance_N, 1e-12))
    if kin:
        parent_K, child_K = np.array(kin, dtype=np.int64).T
        alike = [float(prior.between(parent_K[[k]], child_K[[k]])[0, 0]) for k in range(len(kin))]
        correlation_K = np.array(alike) / (root_N[parent_K] * root_N[child_K])
        return float(np.clip(correlation_K.mean(), 0.0, 1.0))
    some_L = np.unique(np.linspace(0, size - 1, min(size, _SAMPLE)).astype(np.int64))
    table_LN = prior.rows(some_L) / (root_N[some_L][:, None] * root_N[None, :])
    table_LN[np.arange(len(some_L)), some_L] = -np.inf
    return float(np.clip(table_LN.max(axis=1).mean(), 0.0, 1.0))


def worth_of_growing(
    bandit: DuelBandit, *, children: int, kin: Sequence[Pair], clicks: int, among: Sequence[int] | None = None
) -> Exploring:
    """Weigh ``children`` new candidates, one of each likeliest winner, against further questions.

    Args:
        bandit: The learner, with a belief that is calibrated.
        children: How many are thought of.
        kin: ``(parent, child)`` rows that tell how near children are to their parents.
        clicks: Votes that are left.
        among: Rows that take part; ``None`` for all.
    """
    mean_N, std_N = bandit.posterior()
    live = set(bandit.live)
    rows = [row for row in (range(len(bandit)) if among is None else among) if row in live]
    best = bandit.best(among=among)
    ranked = sorted(rows, key=lambda row: -mean_N[row])
    ahead = sorted(rows, key=lambda row: -(mean_N[row] + 3.0 * std_N[row]))
    parents = ranked[:children]
    place = {row: k for k, row in enumerate(dict.fromkeys([best, *parents, *ahead[:_CONTENDERS]]))}
    likeness = likeness_of_kin(bandit.features, kin)
    shown = [float(mean_N[child] - likeness * mean_N[parent]) for parent, child in kin]
    return exploring(
        bandit.joint(list(place)),
        place[best],
        [place[row] for row in parents],
        likeness=likeness,
        drift=sum(shown) / (len(shown) + _SHRUNK),
        variance=float(np.mean(mean_N[rows] ** 2 + std_N[rows] ** 2)),
        clicks=clicks,
    )
