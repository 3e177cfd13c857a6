"""Laplace approximation of a preference Gaussian process, with the slope of its evidence.

    d = P f,  f ~ N(0, K)                         differences of the utilities of M distinct pairs
    P(i beats j) = Phi((f_i - f_j) / sqrt(2))     probit: noise of standard deviation one on each utility
                 = sigmoid(f_i - f_j)             logit
    log Z = log p(y | d) - a^T K_d a / 2 - log|B| / 2,   B = I + W^(1/2) K_d W^(1/2),   a = grad log p(y | d)
    d log Z = sum_mn G_mn (d K_d)_mn,   G = a a^T / 2 - R / 2 + v a^T
    R = W^(1/2) B^-1 W^(1/2),   v = (I - R K_d) s,   s_m = (K_d - K_d R K_d)_mm (log p)'''_m / 2

Source: Chu and Ghahramani, "Preference learning with Gaussian processes", 2005, equations 6 to 12 (model and
evidence); Rasmussen and Williams, "Gaussian Processes for Machine Learning", algorithms 3.1 and 5.1, here for
differences. Ties, which the source does not have, are half a win for each side.
"""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from palate.choice import LaplaceFit, log_sigmoid, sigmoid
from palate.types import Array

__all__ = ["Link", "LinkTerms", "evidence_slope", "find_mode", "link_terms"]

Link: TypeAlias = Literal["probit", "logit"]

_STEPS = 100
_LOG_ROOT_2PI = 0.5 * float(np.log(2.0 * np.pi))


class LinkTerms(NamedTuple):
    """Log-likelihood of each pair's votes and its derivatives by the pair's difference.

    ``weight_M`` is minus the second derivative, ≥ 0; ``third_M`` is the third.
    """

    value_M: Array
    slope_M: Array
    weight_M: Array
    third_M: Array


def _log_probit(z_M: Array) -> LinkTerms:
    """``log Phi(z)`` and its derivatives by z, through the hazard ``h = phi / Phi``."""
    from scipy.special import log_ndtr

    value_M = np.asarray(log_ndtr(z_M), dtype=np.float64)
    h_M = np.exp(-0.5 * z_M**2 - _LOG_ROOT_2PI - value_M)
    weight_M = h_M * (h_M + z_M)
    return LinkTerms(value_M, h_M, weight_M, h_M * ((h_M + z_M) * (2.0 * h_M + z_M) - 1.0))


def _log_logit(z_M: Array) -> LinkTerms:
    """``log sigmoid(z)`` and its derivatives by z."""
    prob_M = sigmoid(z_M)
    weight_M = prob_M * (1.0 - prob_M)
    return LinkTerms(log_sigmoid(z_M), 1.0 - prob_M, weight_M, weight_M * (2.0 * prob_M - 1.0))


def link_terms(link: Link, difference_M: Array, wins_M: Array, count_M: Array) -> LinkTerms:
    """Log-likelihood of the votes on each pair.

    Args:
        link: ``probit`` or ``logit``.
        difference_M: Utility of the pair's lower row minus that of its higher one.
        wins_M: Wins of the lower row, in [0, count]; ties count one half.
        count_M: Votes on the pair, > 0.

    Example:
        >>> import numpy as np
        >>> one = np.ones(1)
        >>> float(np.exp(link_terms("probit", 0 * one, one, one).value_M[0]))
        0.5
    """
    per, log_link = (np.sqrt(0.5), _log_probit) if link == "probit" else (1.0, _log_logit)
    won, lost = log_link(per * difference_M), log_link(-per * difference_M)
    lost_M = count_M - wins_M
    return LinkTerms(
        wins_M * won.value_M + lost_M * lost.value_M,
        per * (wins_M * won.slope_M - lost_M * lost.slope_M),
        per**2 * (wins_M * won.weight_M + lost_M * lost.weight_M),
        per**3 * (wins_M * won.third_M - lost_M * lost.third_M),
    )


def _root(kernel_MM: Array, root_M: Array) -> Array:
    """Cholesky factor of ``B``, whose eigenvalues are at least one."""
    system_MM = root_M[:, None] * kernel_MM
    system_MM *= root_M
    system_MM.flat[:: len(root_M) + 1] += 1.0
    return np.asarray(np.linalg.cholesky(system_MM), dtype=np.float64)


class _Point(NamedTuple):
    """A place on the way to the mode; ``height`` is the log-posterior up to a constant."""

    dual_M: Array
    difference_M: Array
    terms: LinkTerms
    height: float


def _point(dual_M: Array, difference_M: Array, votes: tuple[Array, Array], link: Link) -> _Point:
    terms = link_terms(link, difference_M, *votes)
    return _Point(
        dual_M, difference_M, terms, float(terms.value_M.sum()) - 0.5 * float(dual_M @ difference_M)
    )


def _uphill(start: _Point, step: tuple[Array, Array], votes: tuple[Array, Array], link: Link) -> _Point:
    """Take the longest of 1, 1/2, 1/4, … of a step that does not lower the log-posterior."""
    for halving in range(40):
        length = 0.5**halving
        moved = _point(start.dual_M + length * step[0], start.difference_M + length * step[1], votes, link)
        if moved.height >= start.height - 1e-12 * abs(start.height):
            return moved
    return start


def find_mode(
    kernel_MM: Array,
    wins_M: Array,
    count_M: Array,
    link: Link,
    *,
    start_M: Array | None = None,
    tolerance: float = 1e-9,
) -> LaplaceFit:
    """Find the mode of M latent differences with prior N(0, kernel) by Newton's method.

    Args:
        kernel_MM: Prior covariance of the differences, ``(M, M)``, positive semi-definite.
        wins_M: Wins of each pair's lower row, in [0, count].
        count_M: Votes on each pair, > 0.
        link: ``probit`` or ``logit``; both are log-concave, so that the mode is unique.
        start_M: Dual variables to start from; the answer is the same to the tolerance.
        tolerance: Steps smaller than this, in units of the utilities, end the search. What is left of the
            error is about its square in the mode, and about itself in the evidence's determinant.

    Returns:
        Mode, gradient and curvature of the log-likelihood there, and the log evidence in nats.
    """
    votes = (wins_M, count_M)
    dual_M = np.zeros(len(wins_M)) if start_M is None else start_M
    point = _point(dual_M, kernel_MM @ dual_M, votes, link)
    log_root = 0.0
    for _ in range(_STEPS):
        root_M = np.sqrt(point.terms.weight_M)
        b_M = point.terms.weight_M * point.difference_M + point.terms.slope_M
        factor_MM = _root(kernel_MM, root_M)
        step_M = b_M - root_M * _solve(factor_MM, root_M * (kernel_MM @ b_M)) - point.dual_M
        shift_M = kernel_MM @ step_M
        log_root = float(np.log(factor_MM.diagonal()).sum())
        point = _uphill(point, (step_M, shift_M), votes, link)
        if np.abs(shift_M).max(initial=0.0) < tolerance:
            break
    return LaplaceFit(point.difference_M, point.dual_M, point.terms.weight_M, point.height - log_root)


def _solve(factor_MM: Array, right: Array) -> Array:
    """Solve ``L L^T x = right``."""
    from scipy.linalg import cho_solve

    return np.asarray(cho_solve((factor_MM, True), right, check_finite=False), dtype=np.float64)


def evidence_slope(kernel_MM: Array, wins_M: Array, count_M: Array, link: Link, fit: LaplaceFit) -> Array:
    """Derivative of the log evidence by the entries of the kernel, the mode's own motion included.

    Args:
        kernel_MM: Prior covariance of the differences.
        wins_M: Wins of each pair's lower row.
        count_M: Votes on each pair.
        link: ``probit`` or ``logit``.
        fit: From :func:`find_mode` on the same arguments.

    Returns:
        ``(M, M)``, symmetric; the evidence's derivative along a change of the kernel is the sum of products.
    """
    root_M = np.sqrt(fit.weight_M)
    r_MM = root_M[:, None] * _solve(_root(kernel_MM, root_M), np.diag(root_M))
    rk_MM = r_MM @ kernel_MM
    third_M = link_terms(link, fit.difference_M, wins_M, count_M).third_M
    s_M = 0.5 * (np.diag(kernel_MM) - np.einsum("ij,ij->j", kernel_MM, rk_MM)) * third_M
    v_M = s_M - rk_MM @ s_M
    moved_MM = np.outer(v_M, fit.dual_M)
    return 0.5 * (np.outer(fit.dual_M, fit.dual_M) - r_MM + moved_MM + moved_MM.T)
