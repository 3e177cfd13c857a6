"""Bradley–Terry ratings with honest intervals, with or without covariates.

    P(first beats second) = sigmoid(u_first - u_second + z · c)
    maximise  sum_r n_r (y_r log p_r + (1 - y_r) log(1 - p_r))  -  ½ sum ridge · (u, c)²
    sandwich covariance  H⁻¹ G H⁻¹,   H = sum n p (1 - p) x xᵀ + ridge,   G = sum n (y - p)² x xᵀ

Sources: Bradley and Terry 1952; the covariance that does not trust the model's variance, Huber 1967 and White
1982, which for paired comparisons with ties as half a win is what arena-rank 0.1.1 computes; covariates,
Chiang et al., arXiv 2403.04132; that a finite maximum exists exactly when no group of candidates only ever
wins against the rest, Ford 1957; a step of length log(1 + r) / r, r the longest change of a log-odds, always
goes up, Bach 2010 ("Self-concordant analysis for logistic regression"), lemma 1.

Changed: candidates that nothing connects with the others get no rating, where arena-rank would give them the
mean; where no finite maximum exists a weak prior holds the scores, where arena-rank stops at whatever its
iterations reached; where votes are few the model's own, wider covariance takes the sandwich's place.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.choice._numeric import sigmoid
from palate.errors import InputError
from palate.types import Array

__all__ = [
    "ELO",
    "Comparisons",
    "Method",
    "Ranking",
    "Ratings",
    "bootstrap_scores",
    "count_comparisons",
    "fit_ratings",
    "rank_ratings",
]

ELO = 400.0 / math.log(10.0)
"""Elo points of one unit of log-odds: 400 points are odds of ten to one."""

Method: TypeAlias = Literal["sandwich", "model", "prior"]
Covariates: TypeAlias = Any
"""An array, or a sparse one of scipy's, which has no types."""

WEAK = 0.1  # precision of the prior of a score, in 1 / log-odds²: two in three scores within ±550 Elo
DECIDED = 10  # votes that are no tie, per free score, from which on the sandwich's intervals cover
_STEPS = 200
_RESAMPLED_RIDGE = 0.01  # a resample may lack what bounds a score in the votes themselves
_CHUNK = 64  # rounds of the bootstrap at once; bounds the memory


class Comparisons(NamedTuple):
    """Votes, counted: row r says that ``count`` votes on first against second had one outcome.

    ``first_R`` and ``second_R`` are indices of candidates, ``outcome_R`` is 1 where the first won, 0 where
    the second won and one half for a tie, ``count_R`` is at least 0.
    """

    first_R: NDArray[np.intp]
    second_R: NDArray[np.intp]
    outcome_R: Array
    count_R: Array


@dataclass(frozen=True, slots=True)
class Ratings:
    """Scores of the candidates and how far they can be trusted.

    Args:
        score_N: Log-odds, zero on average over the rated ones; NaN for those that are not rated.
        covariance_NN: Of the scores about that average, in log-odds squared; NaN where not rated.
        coefficient_F: Log-odds for one unit of each covariate.
        coefficient_covariance_FF: Of the coefficients.
        rated_N: Whether votes connect the candidate, if by way of others, with most votes.
        bounded_N: Whether votes alone bound the score: the candidate neither only won nor only lost against
            the rest, and belongs to no group that did. The other scores are held by the prior.
        method: ``sandwich``, ``model`` where votes are few, ``prior`` where not all scores are bounded.
    """

    score_N: Array
    covariance_NN: Array
    coefficient_F: Array
    coefficient_covariance_FF: Array
    rated_N: NDArray[np.bool_]
    bounded_N: NDArray[np.bool_]
    method: Method

    @property
    def std_N(self) -> Array:
        """Standard error of each score."""
        return np.sqrt(np.maximum(np.diag(self.covariance_NN), 0.0))


class Ranking(NamedTuple):
    """Who is separably better than whom.

    ``rank_N`` is 1 plus the number of candidates that are significantly better, 0 for candidates that are not
    rated. ``leader`` has the highest score, -1 when nobody is rated. ``with_leader_N`` marks the candidates
    that the votes do not separate from the leader, the leader among them: those whose ``behind_N``, the
    leader's score less their own in log-odds, is at most ``reach_N``, half the width of its interval.
    """

    rank_N: NDArray[np.intp]
    leader: int
    with_leader_N: NDArray[np.bool_]
    behind_N: Array
    reach_N: Array


def count_comparisons(
    first_M: NDArray[np.integer], second_M: NDArray[np.integer], outcome_M: Array
) -> Comparisons:
    """Count equal votes: ``M`` votes become at most three rows a pair, the lower index first.

    Args:
        first_M: Index of one candidate of each vote.
        second_M: Index of the other one.
        outcome_M: 1 when the first won, 0 when the second won, one half for a tie.

    Example:
        >>> import numpy as np
        >>> rows = count_comparisons(np.array([0, 1, 0]), np.array([1, 0, 1]), np.array([1.0, 0.0, 0.5]))
        >>> rows.first_R.tolist(), rows.outcome_R.tolist(), rows.count_R.tolist()
        ([0, 0], [0.5, 1.0], [1.0, 2.0])
    """
    turned_M = first_M > second_M
    low_M, high_M = np.minimum(first_M, second_M), np.maximum(first_M, second_M)
    value_K, code_M = np.unique(np.where(turned_M, 1.0 - outcome_M, outcome_M), return_inverse=True)
    # One whole number a row sorts many times faster than three.
    size, kinds = int(high_M.max(initial=-1)) + 1, max(1, len(value_K))
    pair_M = low_M.astype(np.int64) * size + high_M
    row_R, count_R = np.unique(pair_M * kinds + code_M.ravel(), return_counts=True)
    pair_R, code_R = np.divmod(row_R, kinds)
    low_R, high_R = np.divmod(pair_R, max(1, size))
    return Comparisons(
        low_R.astype(np.intp), high_R.astype(np.intp), value_K[code_R], count_R.astype(np.float64)
    )


def fit_ratings(rows: Comparisons, n: int, *, covariate_RF: Covariates | None = None) -> Ratings:
    """Fit one score a candidate, and a coefficient a covariate, by maximum likelihood.

    Coefficients carry a weak prior of precision 0.1, scores only where the votes do not bound them.

    Args:
        rows: Votes, counted or one a row.
        n: Number of candidates ``N``.
        covariate_RF: What differs between the two sides besides the candidates, from the first one's side:
            ``+1`` throughout is a bias towards the first. On a scale on which 1 is a usual difference. An
            array, or a sparse one of scipy's.

    Returns:
        Scores, coefficients and their covariances; all NaN, and nobody rated, without rows.

    Raises:
        InputError: Indices out of range, a candidate against itself, outcomes outside [0, 1], bad counts.

    Example:
        >>> import numpy as np
        >>> votes = count_comparisons(np.zeros(4, int), np.ones(4, int), np.array([1.0, 1.0, 1.0, 0.0]))
        >>> found = fit_ratings(votes, 2)
        >>> round(float(found.score_N[0] - found.score_N[1]), 6) == round(float(np.log(3)), 6)
        True
    """
    _check(rows, n, covariate_RF)
    extra_RF: Covariates = np.zeros((len(rows.count_R), 0)) if covariate_RF is None else covariate_RF
    width = extra_RF.shape[1]
    inside_N = _connected(rows, n)
    kept_R = inside_N[rows.first_R] & (rows.count_R > 0)
    place_N = np.cumsum(inside_N) - 1
    local = Comparisons(
        place_N[rows.first_R[kept_R]],
        place_N[rows.second_R[kept_R]],
        rows.outcome_R[kept_R],
        rows.count_R[kept_R],
    )
    size = int(inside_N.sum())
    bounded_n = _bounded(local, size)
    method = _method(local, bounded_n)
    value_P, covariance_PP = _fit(local, size, extra_RF if kept_R.all() else extra_RF[kept_R], method)
    score_N = np.full(n, np.nan)
    score_N[inside_N] = value_P[:size]
    covariance_NN = np.full((n, n), np.nan)
    covariance_NN[np.ix_(inside_N, inside_N)] = covariance_PP[:size, :size]
    bounded_N = np.zeros(n, dtype=np.bool_)
    bounded_N[inside_N] = bounded_n
    return Ratings(
        score_N,
        covariance_NN,
        value_P[size:] if size else np.full(width, np.nan),
        covariance_PP[size:, size:] if size else np.full((width, width), np.nan),
        inside_N,
        bounded_N,
        method,
    )


def rank_ratings(
    ratings: Ratings, *, level: float = 0.95, correction: Literal["bonferroni", "none"] = "bonferroni"
) -> Ranking:
    """Say who is separably better than whom, from intervals of the differences.

        i is better than j  when  u_i - u_j > z · sqrt(C_ii + C_jj - 2 C_ij)

    Two marginal intervals may overlap though their difference is clear, so those are not consulted.

    Args:
        ratings: What :func:`fit_ratings` found.
        level: Of the two-sided intervals, in (0, 1).
        correction: ``bonferroni`` divides ``1 - level`` by the number of other candidates, so that the level
            holds for all comparisons with one candidate at once; ``none`` is what arenas do.
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"level must lie between 0 and 1, not {level!r}")
    rated_N = ratings.rated_N
    rank_N = np.zeros(len(rated_N), dtype=np.intp)
    if not rated_N.any():
        unknown_N = np.full(len(rated_N), np.nan)
        return Ranking(rank_N, -1, np.zeros_like(rated_N), unknown_N, unknown_N)
    others = max(1, int(rated_N.sum()) - 1) if correction == "bonferroni" else 1
    z = NormalDist().inv_cdf(1.0 - (1.0 - level) / 2.0 / others)
    score_n = ratings.score_N[rated_N]
    covariance_nn = ratings.covariance_NN[np.ix_(rated_N, rated_N)]
    spread_n = np.diag(covariance_nn)
    reach_nn = z * np.sqrt(np.maximum(spread_n[:, None] + spread_n[None, :] - 2.0 * covariance_nn, 0.0))
    gap_nn = score_n[:, None] - score_n[None, :]
    better_nn = gap_nn > np.maximum(reach_nn, 1e-12)
    rank_N[rated_N] = 1 + better_nn.sum(axis=0)
    leader = int(np.nanargmax(ratings.score_N))
    first = int(np.argmax(score_n))
    with_leader_N = np.zeros_like(rated_N)
    with_leader_N[rated_N] = ~better_nn[first]
    reach_N = np.full(len(rated_N), np.nan)
    reach_N[rated_N] = reach_nn[first]
    return Ranking(rank_N, leader, with_leader_N, ratings.score_N[leader] - ratings.score_N, reach_N)


def bootstrap_scores(
    rows: Comparisons, ratings: Ratings, rng: np.random.Generator, *, rounds: int = 200
) -> Array:
    """Fit the scores of votes drawn anew, with replacement, from the votes: a multinomial draw of the counts.

    A weak prior of precision 0.01 holds scores that a draw leaves unbounded. Covariates are not fitted.

    Args:
        rows: The votes, counted.
        ratings: Their fit, from which every round starts.
        rng: Draws the resamples.
        rounds: How many, ``B``; quantiles of 2.5 % need a few hundred.

    Returns:
        Scores ``(B, N)``, zero on average over the rated candidates, NaN for the others.
    """
    rated_N = ratings.rated_N
    score_BN = np.full((rounds, len(rated_N)), np.nan)
    kept_R = rated_N[rows.first_R] & (rows.count_R > 0)
    if not kept_R.any():
        return score_BN
    place_N = np.cumsum(rated_N) - 1
    first_R, second_R = place_N[rows.first_R[kept_R]], place_N[rows.second_R[kept_R]]
    count_R, outcome_R = rows.count_R[kept_R], rows.outcome_R[kept_R]
    size, total = int(rated_N.sum()), round(float(count_R.sum()))
    for begin in range(0, rounds, _CHUNK):
        drawn_BR = rng.multinomial(total, count_R / count_R.sum(), size=min(_CHUNK, rounds - begin))
        wins_Bnn = _tables(drawn_BR, first_R, second_R, outcome_R, size)
        fitted_Bn = _fit_tables(wins_Bnn, ratings.score_N[rated_N])
        score_BN[begin : begin + len(fitted_Bn), rated_N] = fitted_Bn
    return score_BN


def _check(rows: Comparisons, n: int, covariate_RF: Covariates | None) -> None:
    ends = np.concatenate([rows.first_R, rows.second_R])
    if ends.size and (ends.min() < 0 or ends.max() >= n):
        raise InputError(f"votes name a candidate outside 0 … {n - 1}")
    if (rows.first_R == rows.second_R).any():
        raise InputError("a vote compares a candidate with itself; leave such votes out")
    if not ((rows.outcome_R >= 0) & (rows.outcome_R <= 1)).all():
        raise InputError("outcomes must lie in [0, 1]: 1 when the first won, 0.5 for a tie")
    if not (np.isfinite(rows.count_R) & (rows.count_R >= 0)).all():
        raise InputError("counts must be finite and not negative")
    if covariate_RF is not None:
        if covariate_RF.ndim != 2 or covariate_RF.shape[0] != len(rows.count_R):
            raise InputError(
                f"covariates must have one row for each of {len(rows.count_R)} rows of votes, "
                f"not shape {covariate_RF.shape}"
            )
        if not np.isfinite(covariate_RF.data if hasattr(covariate_RF, "multiply") else covariate_RF).all():
            raise InputError("covariates must be finite")


def _labels(source_R: NDArray[np.intp], goal_R: NDArray[np.intp], n: int, kind: str) -> NDArray[np.intp]:
    """The connected component of each node; ``kind`` is ``weak`` or ``strong``."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(source_R)), (source_R, goal_R)), shape=(n, n)).tocsr()
    return connected_components(graph, directed=True, connection=kind)[1].astype(np.intp)


def _connected(rows: Comparisons, n: int) -> NDArray[np.bool_]:
    """The candidates of the component that holds most votes; none when there is no vote."""
    kept_R = rows.count_R > 0
    if not kept_R.any():
        return np.zeros(n, dtype=np.bool_)
    label_N = _labels(rows.first_R[kept_R], rows.second_R[kept_R], n, "weak")
    votes_C = np.bincount(label_N[rows.first_R], weights=rows.count_R, minlength=int(label_N.max()) + 1)
    return label_N == int(np.argmax(votes_C))


def _bounded(rows: Comparisons, n: int) -> NDArray[np.bool_]:
    """The largest set of candidates in which everyone is linked by wins to everyone, both ways."""
    won_R, lost_R = rows.outcome_R > 0, rows.outcome_R < 1
    winner_E = np.concatenate([rows.first_R[won_R], rows.second_R[lost_R]])
    loser_E = np.concatenate([rows.second_R[won_R], rows.first_R[lost_R]])
    if not n:
        return np.zeros(0, dtype=np.bool_)
    label_N = _labels(winner_E, loser_E, n, "strong")
    size_C = np.bincount(label_N)
    largest = int(np.argmax(size_C))
    return (label_N == largest) & (size_C[largest] > 1)


def _method(rows: Comparisons, bounded_n: NDArray[np.bool_]) -> Method:
    if not bounded_n.all():
        return "prior"
    decided = float(rows.count_R[rows.outcome_R != 0.5].sum())
    return "sandwich" if decided >= DECIDED * max(1, len(bounded_n) - 1) else "model"


class _Design:
    """The design matrix ``(R, N + F)``: 1 and -1 at a row's two candidates, then its covariates.

    Kept in its two parts, so that half a million rows fit: of the first only the places are stored, and
    covariates may be a sparse matrix.
    """

    def __init__(self, rows: Comparisons, n: int, extra_RF: Covariates) -> None:
        from scipy.sparse import csr_array

        size = len(rows.count_R)
        place_E = np.stack([rows.first_R, rows.second_R], axis=1).ravel()
        sign_E = np.tile([1.0, -1.0], size)
        self._score_Rn: Any = csr_array((sign_E, place_E, np.arange(0, 2 * size + 1, 2)), shape=(size, n))
        self._first_R, self._second_R, self._n = rows.first_R, rows.second_R, n
        self._extra_RF = extra_RF

    def times(self, value_P: Array) -> Array:
        """The design times a vector."""
        score_n = value_P[: self._n]
        return score_n[self._first_R] - score_n[self._second_R] + self._extra_RF @ value_P[self._n :]

    def turned_times(self, value_R: Array) -> Array:
        """Its transpose times a vector."""
        return np.concatenate([self._score_Rn.T @ value_R, self._extra_RF.T @ value_R])

    def gram(self, weight_R: Array) -> Array:
        """``design^T diag(weight) design``, ``(N + F, N + F)``."""
        n, count = self._n, self._n + self._extra_RF.shape[1]
        gram_PP = np.zeros((count, count))
        cell_R = self._first_R * n + self._second_R
        met_nn = np.bincount(cell_R, weights=weight_R, minlength=n * n).reshape(n, n)
        met_nn = met_nn + met_nn.T
        gram_PP[:n, :n] = np.diag(met_nn.sum(axis=0)) - met_nn
        if count > n:
            sparse = hasattr(self._extra_RF, "multiply")
            column_R1 = weight_R[:, None]
            weighted_RF = self._extra_RF.multiply(column_R1) if sparse else self._extra_RF * column_R1
            cross_nF, own_FF = self._score_Rn.T @ weighted_RF, self._extra_RF.T @ weighted_RF
            gram_PP[:n, n:] = cross_nF.toarray() if sparse else cross_nF
            gram_PP[n:, :n] = gram_PP[:n, n:].T
            gram_PP[n:, n:] = own_FF.toarray() if sparse else own_FF
        return gram_PP


def _fit(rows: Comparisons, n: int, extra_RF: Covariates, method: Method) -> tuple[Array, Array]:
    """Scores then coefficients, and their joint covariance about the scores' average."""
    size = n + extra_RF.shape[1]
    design = _Design(rows, n, extra_RF)
    ridge_P = np.full(size, WEAK)
    ridge_P[:n] = WEAK if method == "prior" else 0.0
    # Scores are known up to a shift; curvature along it makes the system solvable and moves nothing else.
    shift_PP = np.zeros((size, size))
    shift_PP[:n, :n] = 1.0 / max(1, n)
    value_P = np.zeros(size)
    tolerance = 1e-11 * max(1.0, float(rows.count_R.sum()))
    for _ in range(_STEPS):
        prob_R = sigmoid(design.times(value_P))
        gradient_P = design.turned_times(rows.count_R * (rows.outcome_R - prob_R)) - ridge_P * value_P
        if np.abs(gradient_P).max(initial=0.0) < tolerance:
            break
        weight_R = rows.count_R * prob_R * (1.0 - prob_R)
        curvature_PP = design.gram(weight_R) + np.diag(ridge_P) + shift_PP
        step_P = np.linalg.solve(curvature_PP, gradient_P)
        value_P = value_P + step_P * _damping(np.abs(design.times(step_P)).max())
    return value_P, _covariance(rows, design, value_P, np.diag(ridge_P) + shift_PP, n, method)


def _covariance(
    rows: Comparisons, design: _Design, value_P: Array, fixed_PP: Array, n: int, method: Method
) -> Array:
    prob_R = sigmoid(design.times(value_P))
    weight_R = rows.count_R * prob_R * (1.0 - prob_R)
    bread_PP = np.linalg.inv(design.gram(weight_R) + fixed_PP)
    if method == "sandwich":
        noise_R = rows.count_R * (rows.outcome_R - prob_R) ** 2
        bread_PP = bread_PP @ design.gram(noise_R) @ bread_PP
    centre_PP = np.eye(len(value_P))
    centre_PP[:n, :n] -= 1.0 / max(1, n)
    return centre_PP @ bread_PP @ centre_PP.T


def _damping(reach: np.float64) -> float:
    return 1.0 if reach < 1e-12 else float(np.log1p(reach) / reach)


def _tables(
    drawn_BR: NDArray[np.int64],
    first_R: NDArray[np.intp],
    second_R: NDArray[np.intp],
    outcome_R: Array,
    n: int,
) -> Array:
    """Wins of each over each in every draw, ``(B, n, n)``; ties are half a win each way."""
    rounds = len(drawn_BR)
    start_B1 = n * n * np.arange(rounds)[:, None]
    forward_BR, backward_BR = start_B1 + first_R * n + second_R, start_B1 + second_R * n + first_R
    cell_X = np.concatenate([forward_BR.ravel(), backward_BR.ravel()])
    win_X = np.concatenate([(drawn_BR * outcome_R).ravel(), (drawn_BR * (1.0 - outcome_R)).ravel()])
    wins_X: Array = np.bincount(cell_X, weights=win_X, minlength=rounds * n * n).astype(np.float64)
    return wins_X.reshape(rounds, n, n)


def _fit_tables(wins_Bnn: Array, start_n: Array) -> Array:
    """The step of :func:`_fit`, without covariates, for many tables of wins at once."""
    count_Bnn = wins_Bnn + wins_Bnn.swapaxes(1, 2)
    score_Bn = np.repeat(start_n[None, :], len(wins_Bnn), axis=0)
    diagonal_n = np.arange(len(start_n))
    tolerance = 1e-9 * max(1.0, float(count_Bnn[0].sum()))
    for _ in range(_STEPS):
        prob_Bnn = sigmoid(score_Bn[:, :, None] - score_Bn[:, None, :])
        gradient_Bn = (wins_Bnn - count_Bnn * prob_Bnn).sum(axis=2) - _RESAMPLED_RIDGE * score_Bn
        if np.abs(gradient_Bn).max() < tolerance:
            break
        curvature_Bnn = -count_Bnn * prob_Bnn * (1.0 - prob_Bnn)
        curvature_Bnn[:, diagonal_n, diagonal_n] = _RESAMPLED_RIDGE - curvature_Bnn.sum(axis=2)
        step_Bn = np.linalg.solve(curvature_Bnn, gradient_Bn[:, :, None])[:, :, 0]
        reach_B = np.ptp(step_Bn, axis=1) + 1e-12
        score_Bn = score_Bn + step_Bn * (np.log1p(reach_B) / reach_B)[:, None]
    return score_Bn
