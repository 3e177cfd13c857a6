"""Belief about utilities from duels: Laplace approximation under a Gaussian prior.

    u = F z,  z ~ N(0, I)                 prior covariance of the utilities: F F^T
    P(i beats j) = sigmoid(u_i - u_j)     one vote; a tie counts as half a win for each

The mode is found by Newton's method; the belief is the Gaussian that has the curvature of the log-posterior
at its mode. With M distinct pairs and F of R columns, the work is done in the smaller of the two spaces:

    M <= R   on the differences d = Phi z:  B = I + W^(1/2) Phi Phi^T W^(1/2)
    M >  R   on the weights z:              H = I + Phi^T W Phi

where Phi holds the rows F_i - F_j and W = diag(n p (1 - p)). Both give the same numbers. Source: Rasmussen
and Williams, "Gaussian Processes for Machine Learning", algorithms 3.1 and 3.2 (section 3.4), applied to
differences as in Chu and Ghahramani, "Preference learning with Gaussian processes", 2005, with a logistic
instead of a probit link.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from palate.choice._numeric import log_sigmoid, sigmoid
from palate.types import Array

__all__ = [
    "DuelCounts",
    "Gaussian",
    "LaplaceFit",
    "Utilities",
    "centred",
    "count_duels",
    "fit_differences",
    "fit_utilities",
    "update_prior",
]

STEP_TOLERANCE = 1e-9  # in log-odds: far below what a vote, or its display, can resolve
_STEPS = 100


class Gaussian(NamedTuple):
    """A belief about N utilities, in log-odds, with its covariance written out."""

    mean_N: Array
    covariance_NN: Array

    @property
    def variance_N(self) -> Array:
        """Variance of each utility."""
        return np.maximum(np.diag(self.covariance_NN), 0.0)

    def among(self, rows_S: NDArray[np.int64]) -> "Gaussian":
        """The belief about some of them."""
        return Gaussian(self.mean_N[rows_S], self.covariance_NN[np.ix_(rows_S, rows_S)])


def centred(mean_N: Array, covariance_NN: Array) -> Gaussian:
    """The same differences, with utilities that are zero on average."""
    row_N = covariance_NN.mean(axis=0)
    return Gaussian(mean_N - mean_N.mean(), covariance_NN - row_N[:, None] - row_N[None, :] + row_N.mean())


class Utilities(Protocol):
    """A Gaussian belief about N utilities, in log-odds, that need not hold an ``(N, N)`` table."""

    @property
    def mean_N(self) -> Array:
        """Means, zero on average over the candidates."""
        ...

    @property
    def variance_N(self) -> Array:
        """Variance of each, ≥ 0."""
        ...

    def among(self, rows_S: NDArray[np.int64]) -> Gaussian:
        """The joint belief about some of them."""
        ...


class DuelCounts(NamedTuple):
    """Votes added up over distinct unordered pairs.

    Entry m says that ``low_M[m] < high_M[m]`` met ``count_M[m]`` times and the lower row number won
    ``wins_M[m]`` of them. Who stood on the left, and in which order votes came, leaves no trace.
    """

    low_M: NDArray[np.int64]
    high_M: NDArray[np.int64]
    wins_M: Array
    count_M: Array


class LaplaceFit(NamedTuple):
    """The mode of the differences and what is needed to go on from it.

    ``dual_M`` is the gradient of the log-likelihood at the mode, ``weight_M`` its curvature, both in votes;
    ``log_evidence`` is the approximate log marginal likelihood in nats, for comparing priors.
    """

    difference_M: Array
    dual_M: Array
    weight_M: Array
    log_evidence: float


class _Point(NamedTuple):
    """A place in weight space: weights ``w``, ``K w`` where K is the prior's metric, and the differences."""

    weight: Array
    gradient: Array
    difference_M: Array


def count_duels(first_M: NDArray[np.int64], second_M: NDArray[np.int64], outcome_M: Array) -> DuelCounts:
    """Add votes up over distinct pairs.

    Args:
        first_M: Row numbers of one side.
        second_M: Row numbers of the other, never equal to ``first_M``.
        outcome_M: 1 where first won, 0 where second won, one half for a tie.
    """
    low_M, high_M = np.minimum(first_M, second_M), np.maximum(first_M, second_M)
    won_M = np.where(first_M <= second_M, outcome_M, 1.0 - outcome_M)
    base = int(high_M.max(initial=0)) + 1
    code_U, place_M = np.unique(low_M * base + high_M, return_inverse=True)
    place_M = place_M.reshape(-1)
    size = len(code_U)
    return DuelCounts(
        code_U // base,
        code_U % base,
        np.bincount(place_M, weights=won_M, minlength=size).astype(np.float64),
        np.bincount(place_M, minlength=size).astype(np.float64),
    )


def _log_likelihood(difference_M: Array, wins_M: Array, count_M: Array) -> float:
    lost_M = count_M - wins_M
    return float(wins_M @ log_sigmoid(difference_M) + lost_M @ log_sigmoid(-difference_M))


def _uphill(
    start: _Point, towards: _Point, wins_M: Array, count_M: Array, height: float
) -> tuple[_Point, float]:
    """Take the longest of 1, 1/2, 1/4, … of a step that does not lower the log-posterior."""
    length = 1.0
    while True:
        moved = _Point(
            start.weight + length * towards.weight,
            start.gradient + length * towards.gradient,
            start.difference_M + length * towards.difference_M,
        )
        reached = _log_likelihood(moved.difference_M, wins_M, count_M)
        reached -= 0.5 * float(moved.weight @ moved.gradient)
        if reached >= height - 1e-12 * abs(height) or length < 1e-12:
            return moved, reached
        length *= 0.5


def fit_differences(
    kernel_MM: Array,
    wins_M: Array,
    count_M: Array,
    *,
    start_M: Array | None = None,
    tolerance: float = STEP_TOLERANCE,
) -> LaplaceFit:
    """Find the mode of M latent differences with prior N(0, kernel) and logistic likelihood.

    Args:
        kernel_MM: Prior covariance of the differences, ``(M, M)``, positive semi-definite.
        wins_M: Wins of each pair's lower row number, in [0, count].
        count_M: Votes on each pair, > 0.
        start_M: Dual variables to start from, to save steps; the answer is the same to the tolerance.
        tolerance: Steps smaller than this, in log-odds, end the search. Convergence is quadratic: the error
            that is left is about the square of it.

    Returns:
        The fit. The objective is strictly concave, so the mode is unique; each step is halved until it does
        not go down, so that no data can make it diverge.
    """
    dual_M = np.zeros(len(wins_M)) if start_M is None else start_M
    difference_M = kernel_MM @ dual_M
    point = _Point(dual_M, difference_M, difference_M)
    height = _log_likelihood(difference_M, wins_M, count_M) - 0.5 * float(dual_M @ difference_M)
    for _ in range(_STEPS):
        prob_M = sigmoid(point.difference_M)
        weight_M = count_M * prob_M * (1.0 - prob_M)
        root_M = np.sqrt(weight_M)
        b_M = weight_M * point.difference_M + wins_M - count_M * prob_M
        inner_M = np.linalg.solve(_system(kernel_MM, root_M), root_M * (kernel_MM @ b_M))
        towards_M = b_M - root_M * inner_M - point.weight
        shift_M = kernel_MM @ towards_M
        point, height = _uphill(point, _Point(towards_M, shift_M, shift_M), wins_M, count_M, height)
        if np.abs(shift_M).max(initial=0.0) < tolerance:
            break
    prob_M = sigmoid(point.difference_M)
    weight_M = count_M * prob_M * (1.0 - prob_M)
    root = np.linalg.cholesky(_system(kernel_MM, np.sqrt(weight_M)))
    evidence = height - float(np.log(np.diag(root)).sum())
    return LaplaceFit(point.difference_M, point.weight, weight_M, evidence)


def _system(kernel_MM: Array, root_M: Array) -> Array:
    """``B = I + W^(1/2) K W^(1/2)``, whose eigenvalues are at least one."""
    return np.eye(len(root_M)) + root_M[:, None] * kernel_MM * root_M[None, :]


def _fit_weights(design_MR: Array, wins_M: Array, count_M: Array) -> tuple[Array, Array, float]:
    """Mode of z, the Hessian there, and the log evidence; for more distinct pairs than columns."""
    z_R = np.zeros(design_MR.shape[1])
    identity_RR = np.eye(len(z_R))
    point = _Point(z_R, z_R, design_MR @ z_R)
    height = _log_likelihood(point.difference_M, wins_M, count_M)
    hessian_RR = identity_RR
    for _ in range(_STEPS):
        prob_M = sigmoid(point.difference_M)
        weight_M = count_M * prob_M * (1.0 - prob_M)
        hessian_RR = identity_RR + design_MR.T @ (weight_M[:, None] * design_MR)
        slope_R = design_MR.T @ (wins_M - count_M * prob_M) - point.weight
        step_R = np.asarray(np.linalg.solve(hessian_RR, slope_R), dtype=np.float64)
        shift_M = design_MR @ step_R
        if np.abs(shift_M).max(initial=0.0) < STEP_TOLERANCE:
            break
        point, height = _uphill(point, _Point(step_R, step_R, shift_M), wins_M, count_M, height)
    evidence = height - float(np.log(np.diag(np.linalg.cholesky(hessian_RR))).sum())
    return point.weight, hessian_RR, evidence


def fit_utilities(factor_NR: Array, counts: DuelCounts) -> tuple[Gaussian, float]:
    """Learn utilities from duels under the prior N(0, F F^T).

    Args:
        factor_NR: Square root of the prior covariance, ``(N, R)``, in log-odds. Utilities matter only in
            differences: centre its columns to get a belief whose mean is zero over the candidates.
        counts: Votes by distinct pair; none at all gives the prior back.

    Returns:
        The belief, and the log evidence in nats.

    Example:
        >>> import numpy as np
        >>> votes = count_duels(np.array([0]), np.array([1]), np.array([1.0]))
        >>> belief, _ = fit_utilities(np.array([[1.0], [-1.0]]), votes)
        >>> bool(belief.mean_N[0] > 0 > belief.mean_N[1])
        True
    """
    design_MR = factor_NR[counts.low_M] - factor_NR[counts.high_M]
    if len(design_MR) > factor_NR.shape[1]:
        z_R, hessian_RR, evidence = _fit_weights(design_MR, counts.wins_M, counts.count_M)
        covariance_NN = factor_NR @ np.linalg.solve(hessian_RR, factor_NR.T)
        return Gaussian(factor_NR @ z_R, 0.5 * (covariance_NN + covariance_NN.T)), evidence
    fit = fit_differences(design_MR @ design_MR.T, counts.wins_M, counts.count_M)
    cross_NM = factor_NR @ design_MR.T
    return update_prior(factor_NR @ factor_NR.T, cross_NM, design_MR @ design_MR.T, fit), fit.log_evidence


def update_prior(prior_NN: Array, cross_NM: Array, kernel_MM: Array, fit: LaplaceFit) -> Gaussian:
    """The belief about all utilities, given the mode of the differences that were observed.

    Args:
        prior_NN: Prior covariance of the utilities.
        cross_NM: Prior covariance of utilities and observed differences.
        kernel_MM: Prior covariance of the observed differences.
        fit: From :func:`fit_differences` on ``kernel_MM``.
    """
    root_M = np.sqrt(fit.weight_M)
    half_MN = np.linalg.solve(np.linalg.cholesky(_system(kernel_MM, root_M)), root_M[:, None] * cross_NM.T)
    return Gaussian(cross_NM @ fit.dual_M, prior_NN - half_MN.T @ half_MN)
