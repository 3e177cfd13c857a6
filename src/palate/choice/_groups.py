"""Whose taste: utilities of groups of raters, and the candidate that is fair between them.

    u_g = u + d_g,     u ~ N(0, s^2 K),  d_g ~ N(0, t^2 s^2 K)        g: a group of raters
    P(a rater of g prefers i to j) = sigmoid(u_gi - u_gj)

How much groups differ, t, is not given: each value on a grid, no difference among them with prior one half,
is weighed by its evidence, and so is the scale s (Bonilla, Chai and Williams, "Multi-task Gaussian process
prediction", 2008, for the kernel; Laplace's method). Few votes therefore keep all groups together.

A candidate is worth to a group what it wins there against the others:

    y_gi = mean over j of P(a rater of g prefers i to j)          0.5 on average, the same unit for all
    fair value of i = OWA_w(y_1i, …, y_Gi),  w_k ~ (1 - f)^(k - 1)     f = 0 average, f = 1 worst-off alone

which no choice of units of the groups' utilities can bend (they must be commensurable; arXiv 2402.07772).
Every group counts once, however many raters it has.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._acquisition import square_root
from palate.choice._laplace import Gaussian
from palate.choice._numeric import sigmoid
from palate.choice._owa import owa, tempered_weights
from palate.choice._people import fit_verdicts
from palate.choice._verdicts import VerdictModel, Votes
from palate.errors import InputError
from palate.types import Array

__all__ = ["FairChoice", "GroupFit", "fair_choices", "fit_groups"]

Rows = NDArray[np.int64]

_SCALES = (0.75, 1.5, 3.0)
_APART = (0.0, 0.25, 0.5, 1.0, 2.0)  # t: a group's own part in shares of what all have in common
_TOGETHER = 0.5
_DRAWS = 512
_NEGLIGIBLE = 1e-3


class GroupFit(NamedTuple):
    """What each of G groups likes.

    Args:
        mean_GN: Mean utilities in log-odds, zero on average over the candidates.
        draw_SGN: Draws from the posterior, for intervals.
        together: Probability that groups do not differ at all, after the votes.
        apart: Posterior mean of t.
    """

    mean_GN: Array
    draw_SGN: Array
    together: float
    apart: float

    def wins(self, group: int, candidate: int) -> float:
        """Share of duels that a candidate is believed to win in a group, against the others."""
        return float(_won(self.draw_SGN[:, [group]])[:, 0, candidate].mean())


def fit_groups(kernel_NN: Array, votes: Votes, group_M: Rows, rng: np.random.Generator) -> GroupFit:
    """Learn the utilities of groups of raters, as alike as the votes let them be.

    Args:
        kernel_NN: Prior covariance of the utilities up to scale; the identity where nothing is known.
        votes: What was said; ties are half a win for each.
        group_M: The group of each vote's rater, as numbers from 0 without gaps.
        rng: Draws from the posterior.

    Raises:
        InputError: No vote, or not one group a vote.

    Example:
        >>> import numpy as np
        >>> said = np.repeat([1.0, 0.0], 30)  # one group likes the first, the other the second
        >>> votes = Votes(np.zeros(60, int), np.ones(60, int), said)
        >>> fit = fit_groups(np.eye(2), votes, np.repeat([0, 1], 30), np.random.default_rng(0))
        >>> fit.together < 0.01, bool(fit.mean_GN[0, 0] > 0 > fit.mean_GN[1, 0])
        (True, True)
    """
    group_M = np.asarray(group_M, dtype=np.int64)
    if group_M.shape != (len(votes),) or len(votes) == 0 or group_M.min() < 0:
        raise InputError(
            f"each of {len(votes)} votes needs the number of a group, from 0; and one vote at least"
        )
    groups, size = int(group_M.max()) + 1, len(kernel_NN)
    placed = replace(votes, first_M=group_M * size + votes.first_M, second_M=group_M * size + votes.second_M)
    found: list[tuple[float, float, Gaussian]] = []
    for t in _APART[: 1 if groups == 1 else None]:
        share = _TOGETHER if t == 0.0 else (1.0 - _TOGETHER) / (len(_APART) - 1)
        for s in _SCALES:
            same_GG = np.ones((groups, groups)) + t**2 * np.eye(groups)
            kernel_EE = np.asarray(s**2 * np.kron(same_GG, kernel_NN), dtype=np.float64)
            belief, log_evidence = fit_verdicts(kernel_EE, placed, VerdictModel())
            found.append((log_evidence + float(np.log(share)), t, belief))
    log_X = np.array([value for value, _, _ in found])
    weight_X = np.exp(log_X - log_X.max())
    weight_X /= weight_X.sum()
    apart_X = np.array([t for _, t, _ in found])
    mean_E = sum(
        (w * b.mean_N for w, (_, _, b) in zip(weight_X, found, strict=True)), np.zeros(groups * size)
    )
    draw_SE = _draws(weight_X, [belief for _, _, belief in found], rng)
    return GroupFit(
        _levelled(mean_E.reshape(groups, size)),
        _levelled(draw_SE.reshape(-1, groups, size)),
        float(weight_X[apart_X == 0.0].sum()),
        float(weight_X @ apart_X),
    )


def _levelled(utility: Array) -> Array:
    return utility - utility.mean(axis=-1, keepdims=True)


def _draws(weight_X: Array, beliefs: list[Gaussian], rng: np.random.Generator) -> Array:
    kept = np.where(weight_X > _NEGLIGIBLE, weight_X, 0.0)
    count_X = rng.multinomial(_DRAWS, kept / kept.sum())
    parts = [
        belief.mean_N + rng.standard_normal((count, len(belief.mean_N))) @ square_root(belief.covariance_NN).T
        for count, belief in zip(count_X, beliefs, strict=True)
        if count
    ]
    return np.concatenate(parts)


@dataclass(frozen=True)
class FairChoice:
    """The best candidate for one degree of fairness.

    Args:
        fairness: 0 for the average over groups, 1 for the worst-off alone.
        best: Its row.
        average: What it wins on average over the groups, in [0, 1], with the 95 % interval.
        worst: What it wins in the group that likes it least, likewise.
        value_G: What it wins in each group.
    """

    fairness: float
    best: int
    average: tuple[float, float, float]
    worst: tuple[float, float, float]
    value_G: Array


def fair_choices(
    fit: GroupFit, fairness: Array, *, allowed_N: NDArray[np.bool_] | None = None
) -> tuple[FairChoice, ...]:
    """The best candidate as a function of fairness: a trade-off of the average against the worst-off.

    Args:
        fit: The groups.
        fairness: Values in [0, 1].
        allowed_N: Which candidates may be chosen; all when left out.

    Returns:
        One choice for each value. Along rising fairness the worst-off group never gets less, up to the
        groups in between.

    Raises:
        InputError: Nobody may be chosen, or fairness outside [0, 1].
    """
    groups, size = fit.mean_GN.shape
    allowed_N = np.ones(size, dtype=np.bool_) if allowed_N is None else allowed_N
    if not allowed_N.any():
        raise InputError("no candidate may be chosen; leave at least one")
    drawn_SGN = _won(fit.draw_SGN)
    value_GN = drawn_SGN.mean(axis=0)
    found: list[FairChoice] = []
    for f in np.asarray(fairness, dtype=np.float64).tolist():
        weight_G = tempered_weights(groups, f)
        fair_N = np.array([owa(value_G, weight_G) for value_G in value_GN.T])
        best = int(np.where(allowed_N, fair_N, -np.inf).argmax())
        drawn_SG = drawn_SGN[:, :, best]
        # The worst-off of the averages, not the average of the worst-offs, which chases noise.
        worst = int(value_GN[:, best].argmin())
        found.append(
            FairChoice(f, best, _span(drawn_SG.mean(axis=1)), _span(drawn_SG[:, worst]), value_GN[:, best])
        )
    return tuple(found)


def _won(utility_SGN: Array) -> Array:
    """Share of duels that each candidate wins against the others, ``(S, G, N)``."""
    size = utility_SGN.shape[-1]
    won = np.empty_like(utility_SGN)
    for n in range(size):
        won[..., n] = sigmoid(utility_SGN[..., n : n + 1] - utility_SGN).sum(axis=-1) - 0.5
    return won / max(size - 1, 1)


def _span(value_S: Array) -> tuple[float, float, float]:
    low, high = np.quantile(value_S, [0.025, 0.975])
    return float(value_S.mean()), float(low), float(high)
