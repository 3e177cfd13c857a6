"""A factored function learnt from a log: from scores, or from votes under Bradley and Terry's model.

    scores   y_n = f(x_n) + e_n,  e_n ~ N(0, noise)          votes   P(x beats x') = sigmoid(f(x) - f(x'))

f has the prior of :mod:`palate.structure._kernel`. Its scales (variance, decay from one size of term to the
next, length, noise) are those of the highest evidence on a small grid, found by climbing. Scores are learnt
from exactly, votes by Laplace's method.

Source: Kuba et al., "Functional graphical models", arXiv 2401.05442, for the factored model; Rasmussen and
Williams 2006, chapters 2 and 3 and section 5.4, for learning.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias, final

import numpy as np

from palate.choice import DuelCounts, WinRate, fit_differences, fit_utilities, sigmoid, square_root, win_rate
from palate.errors import InputError
from palate.structure._elimination import Factor
from palate.structure._kernel import Form, clique_factors, mean_gradient, order_sums
from palate.types import Array

__all__ = [
    "LARGEST_TABLE",
    "FactoredModel",
    "Log",
    "Scale",
    "ScoreLog",
    "VoteLog",
    "check_log",
    "fit_model",
    "probability_above",
]

LARGEST_TABLE = 2**18
_VARIANCES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_DECAYS = (0.03, 0.1, 0.3, 1.0)
_LENGTHS = (0.1, 0.2, 0.4, 0.8)
_NOISES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)


class ScoreLog(NamedTuple):
    """Combinations and what each scored; rows may repeat."""

    x_NV: Array
    y_N: Array


class VoteLog(NamedTuple):
    """Combinations, and the votes between them by row number."""

    x_NV: Array
    counts: DuelCounts


Log: TypeAlias = ScoreLog | VoteLog


class Scale(NamedTuple):
    """Hyper-parameters.

    ``variance`` of a term of one variable and ``noise`` are in log-odds squared for votes (where noise plays
    no part), in shares of the variance of the scores otherwise; ``decay`` multiplies the variance for each
    further variable of a term; ``length`` is in shares of a number's range.
    """

    variance: float = 1.0
    decay: float = 0.3
    length: float = 0.4
    noise: float = 0.1

    def weights(self, orders: int) -> Array:
        """Prior variance of the terms of 1, 2, … variables."""
        return np.asarray(self.variance * self.decay ** np.arange(orders), dtype=np.float64)


@final
@dataclass(frozen=True, eq=False)
class FactoredModel:
    """A belief about a function that is a sum over the cliques of a graph.

    Args:
        form: The graph.
        scale: The hyper-parameters of the highest evidence.
        log: What was learnt from.
        alpha_N: The mean at x is ``offset + unit · sum_n alpha_n K(x, x_n)``.
        evidence: Log marginal likelihood in nats, by which graphs are compared.
        offset: Mean of the scores; 0 for votes.
        unit: Standard deviation of the scores; 1 for votes.
    """

    form: Form
    scale: Scale
    log: Log
    alpha_N: Array
    evidence: float
    offset: float = 0.0
    unit: float = 1.0

    def mean(self, x_PV: Array) -> Array:
        """Expected value at each row, ``(P,)``: a score, or a utility in log-odds up to a constant."""
        return self.offset + self.unit * (self._prior(x_PV, self.log.x_NV) @ self.alpha_N)

    def covariance(self, x_PV: Array) -> Array:
        """Posterior covariance of the values at the rows, ``(P, P)``."""
        cross_PN = self._prior(x_PV, self.log.x_NV)
        return self.unit**2 * (self._prior(x_PV, x_PV) - cross_PN @ self._shrink_NN @ cross_PN.T)

    def gap(self, x_V: Array, other_V: Array) -> tuple[float, float]:
        """Mean and variance of the difference of two values, the first less the second."""
        pair_2V = np.stack([x_V, other_V])
        mean_2, covariance_22 = self.mean(pair_2V), self.covariance(pair_2V)
        variance = covariance_22[0, 0] + covariance_22[1, 1] - 2.0 * covariance_22[0, 1]
        return float(mean_2[0] - mean_2[1]), max(float(variance), 0.0)

    def compare(self, x_V: Array, other_V: Array) -> WinRate:
        """How often the first beats the second.

        For votes the win rate with its 95 % credible interval; for scores the probability that the first
        is the better one, whose interval is the probability itself.
        """
        gap, variance = self.gap(x_V, other_V)
        return win_rate(gap, variance) if isinstance(self.log, VoteLog) else probability_above(gap, variance)

    def factors(self, grids: list[Array]) -> list[Factor] | None:
        """The mean, less ``offset``, as a table a clique at the given values of each variable.

        None where the table of a clique would have more than 2^18 entries.
        """
        sizes = [math.prod(len(grids[v]) for v in clique) for clique in self.form.cliques]
        if max(sizes) > LARGEST_TABLE:
            return None
        made = clique_factors(
            self.form, self._weight_S, self.log.x_NV, self.alpha_N, grids, self.scale.length
        )
        return [Factor(factor.scope, self.unit * factor.table) for factor in made]

    def gradient(self, x_V: Array) -> tuple[float, Array]:
        """The mean at one point, and its derivative by each number; zero for options."""
        value, gradient_V = mean_gradient(
            self.form, self._weight_S, self.log.x_NV, self.alpha_N, x_V, self.scale.length
        )
        return self.offset + self.unit * value, self.unit * gradient_V

    @property
    def _weight_S(self) -> Array:
        return self.scale.weights(self.form.orders)

    def _prior(self, x_NV: Array, y_PV: Array) -> Array:
        return _weighted(self._weight_S, order_sums(self.form, x_NV, y_PV, self.scale.length))

    @cached_property
    def _shrink_NN(self) -> Array:
        """R of the posterior covariance ``K** - K*N R KN*``."""
        kernel_NN = self._prior(self.log.x_NV, self.log.x_NV)
        identity_NN = np.eye(len(kernel_NN))
        if isinstance(self.log, ScoreLog):
            return np.asarray(np.linalg.inv(kernel_NN + self.scale.noise * identity_NN), dtype=np.float64)
        counts = self.log.counts
        value_N = kernel_NN @ self.alpha_N
        prob_M = sigmoid(value_N[counts.low_M] - value_N[counts.high_M])
        weight_M = counts.count_M * prob_M * (1.0 - prob_M)
        weight_NN = np.zeros_like(kernel_NN)
        np.add.at(weight_NN, (counts.low_M, counts.high_M), -weight_M)
        weight_NN = weight_NN + weight_NN.T
        weight_NN -= np.diag(weight_NN.sum(axis=1))
        root_NN = square_root(kernel_NN)
        seen_NN = root_NN.T @ weight_NN
        inner_NN = np.linalg.solve(identity_NN + seen_NN @ root_NN, seen_NN)
        return weight_NN - seen_NN.T @ inner_NN


def probability_above(mean: float, variance: float) -> WinRate:
    """The probability that a Gaussian is above zero, as its own interval."""
    if variance <= 0.0:
        share = 0.5 if mean == 0.0 else float(mean > 0.0)
    else:
        share = 0.5 * math.erfc(-mean / math.sqrt(2.0 * variance))
    return WinRate(share, share, share)


class _Learnt(NamedTuple):
    alpha_N: Array
    evidence: float


def fit_model(log: Log, form: Form, *, start: Scale | None = None, climb: bool = True) -> FactoredModel:
    """Learn a function with a given graph.

    Args:
        log: Scores or votes. Time grows with the cube of the number of rows, which several thousand strain.
        form: The graph; with all edges, the model without structure.
        start: Where the search for hyper-parameters starts; from several places when not given.
        climb: Whether to search at all; if not, ``start`` is taken as it is.

    Returns:
        The belief of the highest evidence that climbing reached.

    Raises:
        InputError: No rows, rows of the wrong width or out of range, or scores that are not finite or equal.

    Example:
        >>> import numpy as np
        >>> from palate.choice import count_duels
        >>> x = np.array([[0.0], [1.0]])
        >>> votes = VoteLog(x, count_duels(np.zeros(3, int), np.ones(3, int), np.ones(3)))
        >>> model = fit_model(votes, Form((2,), frozenset()))
        >>> bool(model.mean(x)[0] > model.mean(x)[1])
        True
    """
    check_log(log, form)
    scores = isinstance(log, ScoreLog)
    offset, unit = (float(log.y_N.mean()), float(log.y_N.std())) if isinstance(log, ScoreLog) else (0.0, 1.0)
    sums: dict[float, Array] = {}
    known: dict[Scale, _Learnt] = {}

    def learn(scale: Scale) -> float:
        if scale not in known:
            if scale.length not in sums:
                sums[scale.length] = order_sums(form, log.x_NV, log.x_NV, scale.length)
            kernel_NN = _weighted(scale.weights(form.orders), sums[scale.length])
            if isinstance(log, ScoreLog):
                known[scale] = _learn_scores(kernel_NN, (log.y_N - offset) / unit, scale.noise)
            else:
                known[scale] = _learn_votes(kernel_NN, log.counts)
        return known[scale].evidence

    scale = start or Scale()
    if climb:
        numbers = 0 in form.levels_V
        starts = [scale] if start else _starts(numbers=numbers, noises=scores)
        tops = [_climb(learn, s, numbers=numbers, decays=form.orders > 1, noises=scores) for s in starts]
        scale = max(tops, key=learn)
    learn(scale)
    return FactoredModel(form, scale, log, known[scale].alpha_N, known[scale].evidence, offset, unit)


def _starts(*, numbers: bool, noises: bool) -> list[Scale]:
    """Rough or smooth, clean or noisy: the evidence may have a top in each corner."""
    lengths = (0.1, 0.4) if numbers else (0.4,)
    return [
        Scale(length=length, noise=noise)
        for length in lengths
        for noise in ((0.01, 0.3) if noises else (0.1,))
    ]


def _climb(
    height: Callable[[Scale], float], start: Scale, *, numbers: bool, decays: bool, noises: bool
) -> Scale:
    """Go to the best neighbour on the grid of hyper-parameters until none is better."""
    axes: dict[str, tuple[float, ...]] = {"variance": _VARIANCES}
    axes |= {"decay": _DECAYS} if decays else {}
    axes |= {"length": _LENGTHS} if numbers else {}
    axes |= {"noise": _NOISES} if noises else {}
    here = start
    while True:
        best = here
        for name, values in axes.items():
            place = min(range(len(values)), key=lambda k, v=values, n=name: abs(v[k] - getattr(here, n)))
            for k in (place - 1, place + 1):
                if 0 <= k < len(values):
                    there = here._replace(**{name: values[k]})
                    if height(there) > height(best) + 1e-9:
                        best = there
        if best == here:
            return here
        here = best


def _learn_scores(kernel_NN: Array, y_N: Array, noise: float) -> _Learnt:
    from scipy.linalg import cho_solve

    root_NN = np.linalg.cholesky(kernel_NN + noise * np.eye(len(y_N)))
    alpha_N = np.asarray(cho_solve((root_NN, True), y_N), dtype=np.float64)
    log_size = float(np.log(np.diag(root_NN)).sum()) + 0.5 * len(y_N) * math.log(2.0 * math.pi)
    return _Learnt(alpha_N, -0.5 * float(y_N @ alpha_N) - log_size)


def _learn_votes(kernel_NN: Array, counts: DuelCounts) -> _Learnt:
    low_M, high_M = counts.low_M, counts.high_M
    size = len(kernel_NN)
    if len(low_M) <= size:
        half_NM = kernel_NN[:, low_M] - kernel_NN[:, high_M]
        fit = fit_differences(half_NM[low_M] - half_NM[high_M], counts.wins_M, counts.count_M)
        dual_M, evidence = fit.dual_M, fit.log_evidence
    else:
        belief, evidence = fit_utilities(square_root(kernel_NN), counts)
        prob_M = sigmoid(belief.mean_N[low_M] - belief.mean_N[high_M])
        dual_M = counts.wins_M - counts.count_M * prob_M
    # At the mode the weights of the rows are the gradient of the log-likelihood there.
    alpha_N = np.bincount(low_M, dual_M, size) - np.bincount(high_M, dual_M, size)
    return _Learnt(np.asarray(alpha_N, dtype=np.float64), evidence)


def _weighted(weight_S: Array, sum_SNP: Array) -> Array:
    return np.asarray(np.tensordot(weight_S, sum_SNP, axes=1), dtype=np.float64)


def check_log(log: Log, form: Form) -> None:
    """Refuse a log that does not fit the variables, or from which nothing can be learnt."""
    x_NV = log.x_NV
    if x_NV.ndim != 2 or x_NV.shape[1] != form.size or not len(x_NV):
        raise InputError(
            f"rows of shape {x_NV.shape} do not fit {form.size} variables; give (N, V) with N ≥ 1"
        )
    top_V = np.array([levels - 1 if levels else 1.0 for levels in form.levels_V])
    if not np.isfinite(x_NV).all() or (x_NV < 0).any() or (x_NV > top_V).any():
        raise InputError("a value is out of range; options are 0, 1, … and numbers lie in [0, 1]")
    if isinstance(log, ScoreLog):
        if log.y_N.shape != (len(x_NV),) or not np.isfinite(log.y_N).all():
            raise InputError("scores must be finite, one a row")
        if len(log.y_N) < 2 or not log.y_N.std() > 0:
            raise InputError(
                "all scores are equal, so nothing can be learnt from them; give scores that differ"
            )
    elif not len(log.counts.low_M):
        raise InputError("there are no votes to learn from")
