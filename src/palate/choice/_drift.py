"""Taste that drifts: votes that fade, and utilities that walk.

    fading   weight of a vote = keep^age                                          keep in (0, 1]
    walking  u(t) = u(s) + N(0, q (t - s) K),  u(t_0) ~ N(0, K)                   q >= 0, t_0 the first vote

so that Cov(u(s), u(t)) = (1 + q (min(s, t) - t_0)) K. Fading forgets at one rate everything that it was told,
and the belief falls back to the prior; walking adds to what is not known and leaves the mean where it was.
Without drift (keep = 1, q = 0) both are the static fit. Time is in the votes' own unit: one a vote, unless
they say otherwise.

Two ways to follow a walk. :func:`fit_drift` is Laplace's method on the whole path: the mode of the
differences at the times of their votes, under the covariance above; it costs the cube of the number of votes.
:func:`filter_drift` goes through the votes once and keeps a Gaussian about the present only:

    m += c (E - e) / v,   V -= c c^T (v - S) / v^2,      c = V a,  e = a^T m,  v = a^T c

where a is the vote's row (+1 left, -1 right), and E and S are the mean and the variance of the difference
once the vote is known, exact on the line by quadrature: an assumed-density filter. An extended Kalman filter,
with the mode and the curvature there in place of mean and variance, was left out: next to the exact posterior
of 150 votes on 8 candidates its means were wrong by 0.35 standard deviations, and this one's by 0.15, as
little as those of Laplace's method. With a threshold for both bad, the level is a second row. It costs N^2 a
vote and depends a little on the order.

Sources: discount factors and random-walk states, West and Harrison, "Bayesian Forecasting and Dynamic
Models", 1997, chapters 2 and 6; ratings that walk, M. E. Glickman, "Parameter estimation in large dynamic
paired comparison experiments", 1999; assumed-density filtering, M. Opper, "A Bayesian approach to on-line
learning", 1998.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from palate.choice._laplace import STEP_TOLERANCE, Gaussian, LaplaceFit, update_prior
from palate.choice._people import make_latent
from palate.choice._verdicts import Said, Terms, VerdictModel, Votes, repeat_votes
from palate.errors import ConfigError
from palate.types import Array

__all__ = ["DriftFit", "discounted", "filter_drift", "fit_drift"]

_STEPS = 100
_KNOWN = 1e-20  # variance in log-odds squared; its square must not underflow
_GRID_Z = np.linspace(-8.0, 8.0, 201)  # exact to rounding up to a standard deviation of about ten log-odds
_GRID_WEIGHT = np.exp(-0.5 * _GRID_Z**2) / np.exp(-0.5 * _GRID_Z**2).sum()


class DriftFit(NamedTuple):
    """Belief about the utilities at one time, in log-odds, and the log evidence of all votes in nats.

    The evidence tells rates of drift apart; a filter's and a path's are two approximations of one number.
    """

    belief: Gaussian
    log_evidence: float


def discounted(votes: Votes, keep: float, *, now: float | None = None) -> Votes:
    """Let old votes count less: each weight is multiplied by ``keep ** age``.

    Args:
        votes: What was said, and when.
        keep: What is left of a weight after one unit of time, in (0, 1]; half is left after
            ``ln(1/2) / ln(keep)``, which is 69 votes at 0.99.
        now: Time from which age is counted, not before the last vote; that of the last vote when left out.

    Raises:
        ConfigError: ``keep`` or ``now`` is out of its range.

    Example:
        >>> import numpy as np
        >>> votes = Votes(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([1.0, 0.0, 1.0]))
        >>> discounted(votes, 0.5).weight_M.tolist()
        [0.25, 0.5, 1.0]
    """
    if not 0.0 < keep <= 1.0:
        raise ConfigError(f"keep must lie in (0, 1], not {keep!r}; 0.99 forgets half of a vote in 69 votes")
    age_M = _present(votes, now) - votes.time_M
    return replace(votes, weight_M=votes.weight_M * keep**age_M)


def filter_drift(
    kernel_NN: Array, votes: Votes, rate: float, model: VerdictModel, *, now: float | None = None
) -> DriftFit:
    """Follow walking utilities by one pass over the votes, in the order of their times.

    Args:
        kernel_NN: Prior covariance of the utilities at the first vote, in log-odds squared.
        votes: What was said, and when.
        rate: Variance that a unit of time adds, as a share ≥ 0 of the prior's.
        model: The judges' habits.
        now: When the belief is wanted, not before the last vote; the time of the last vote when left out.

    Raises:
        ConfigError: ``rate`` or ``now`` is out of its range.
        InputError: The kernel is no covariance, votes name candidates that it lacks, or there are ties that
            the model rules out.

    Example:
        >>> import numpy as np
        >>> votes = Votes(np.zeros(6, int), np.ones(6, int), np.array([1.0, 1, 1, 0, 0, 0]))
        >>> still, moving = (filter_drift(np.eye(2), votes, q, VerdictModel()).belief for q in (0.0, 1.0))
        >>> bool(abs(still.mean_N[0]) < 0.1), bool(moving.mean_N[0] < -0.3)  # taste has turned round
        (True, True)
    """
    _check_rate(rate)
    make_latent(kernel_NN, votes)  # refuses what is no covariance, and unknown candidates
    mean_N, covariance_NN = np.zeros(len(kernel_NN)), np.array(kernel_NN, dtype=np.float64)
    order_M = np.argsort(votes.time_M, kind="stable")
    time = float(votes.time_M[order_M[0]]) if len(votes) else 0.0
    evidence = 0.0
    for place in order_M.tolist():
        step = float(votes.time_M[place]) - time
        time += step
        if rate * step > 0.0:
            covariance_NN += rate * step * kernel_NN
        evidence += _observe(mean_N, covariance_NN, votes, place, model)
    covariance_NN += rate * (_present(votes, now) - time) * kernel_NN
    return DriftFit(Gaussian(mean_N, covariance_NN), evidence)


def fit_drift(
    kernel_NN: Array, votes: Votes, rate: float, model: VerdictModel, *, now: float | None = None
) -> DriftFit:
    """Follow walking utilities by the mode of their whole path.

    Args:
        kernel_NN: Prior covariance of the utilities at the first vote, in log-odds squared.
        votes: What was said, and when, in any order.
        rate: Variance that a unit of time adds, as a share ≥ 0 of the prior's.
        model: The judges' habits.
        now: When the belief is wanted, not before the last vote; the time of the last vote when left out.

    Raises:
        ConfigError: ``rate`` or ``now`` is out of its range.
        InputError: The kernel is no covariance, votes name candidates that it lacks, or there are ties that
            the model rules out.

    Example:
        >>> import numpy as np
        >>> votes = Votes(np.zeros(6, int), np.ones(6, int), np.array([1.0, 1, 1, 0, 0, 0]))
        >>> bool(fit_drift(np.eye(2), votes, 1.0, VerdictModel()).belief.mean_N[0] < -0.3)
        True
    """
    _check_rate(rate)
    make_latent(kernel_NN, votes)  # refuses what is no covariance, and unknown candidates
    begin = float(votes.time_M.min()) if len(votes) else 0.0
    grown = 1.0 + rate * (_present(votes, now) - begin)
    levels = model.bad is not None
    cross_NO = _row(kernel_NN, votes, 1.0, -1.0)
    time_O = votes.time_M - begin
    if levels:
        cross_NO = np.concatenate([cross_NO, _row(kernel_NN, votes, 0.5, 0.5)], axis=1)
        time_O = np.tile(time_O, 2)
    kernel_OO = _row(cross_NO.T, votes, 1.0, -1.0)
    if levels:
        kernel_OO = np.concatenate([kernel_OO, _row(cross_NO.T, votes, 0.5, 0.5)], axis=1)
    kernel_OO = (1.0 + rate * np.minimum(time_O[:, None], time_O[None, :])) * kernel_OO
    fit = _mode(kernel_OO, _terms(votes, model))
    belief = update_prior(grown * kernel_NN, (1.0 + rate * time_O) * cross_NO, kernel_OO, fit)
    return DriftFit(belief, fit.log_evidence)


def _check_rate(rate: float) -> None:
    if not (np.isfinite(rate) and rate >= 0.0):
        raise ConfigError(f"rate must be a finite number of at least 0, not {rate!r}; 0.01 is a slow drift")


def _present(votes: Votes, now: float | None) -> float:
    last = float(votes.time_M.max()) if len(votes) else 0.0
    if now is None:
        return last
    if not (np.isfinite(now) and (now >= last or not len(votes))):
        raise ConfigError(f"now must not lie before the last vote, at {last!r}, but is {now!r}")
    return float(now)


def _row(table_XN: Array, votes: Votes, left: float, right: float) -> Array:
    """``left`` times the column of each vote's left candidate plus ``right`` times that of the right one."""
    return left * table_XN[:, votes.first_M] + right * table_XN[:, votes.second_M]


def _terms(votes: Votes, model: VerdictModel) -> Callable[[Array], Terms]:
    """What weighted votes say of their differences, followed by their levels if the model has a threshold."""

    def terms(latent_O: Array) -> Terms:
        size = len(votes)
        parts = [model.terms(latent_O[:size], votes)]
        if model.bad is not None:
            parts.append(model.level_terms(latent_O[size:], votes))
        return Terms(
            *(
                np.concatenate([votes.weight_M * part for part in column])
                for column in zip(*parts, strict=True)
            )
        )

    return terms


def _observe(mean_N: Array, covariance_NN: Array, votes: Votes, place: int, model: VerdictModel) -> float:
    """Learn one vote, in place; returns the logarithm of the chance that it had."""
    said = repeat_votes(votes, np.array([place]), len(_GRID_Z))
    i, j = int(votes.first_M[place]), int(votes.second_M[place])
    rows: list[tuple[float, float, Callable[[Array, Said], Terms]]] = [(1.0, -1.0, model.terms)]
    if model.bad is not None:
        rows.append((0.5, 0.5, model.level_terms))
    found = 0.0
    for left, right, terms in rows:
        along_N = left * covariance_NN[i] + right * covariance_NN[j]
        variance = left * along_N[i] + right * along_N[j]
        shift_G = np.sqrt(max(variance, 0.0)) * _GRID_Z
        here = left * mean_N[i] + right * mean_N[j]
        log_mass_G = float(votes.weight_M[place]) * terms(here + shift_G, said).log_likelihood_M
        top = float(log_mass_G.max())
        mass_G = _GRID_WEIGHT * np.exp(log_mass_G - top)
        total = float(mass_G.sum())
        found += top + float(np.log(total))
        if variance <= _KNOWN:
            continue
        move = float(mass_G @ shift_G) / total
        spread = float(mass_G @ (shift_G - move) ** 2) / total
        mean_N += along_N * (move / variance)
        covariance_NN -= np.outer(along_N, along_N * ((variance - spread) / variance**2))
    return found


def _mode(kernel_OO: Array, terms: Callable[[Array], Terms]) -> LaplaceFit:
    """The mode of latents with prior N(0, kernel), by Newton's method on ``kernel^-1 latent``.

    As :func:`palate.choice.fit_differences`, for any likelihood that is a product over the latents.
    """
    identity_OO = np.eye(len(kernel_OO))
    dual_O, latent_O = np.zeros(len(kernel_OO)), np.zeros(len(kernel_OO))
    said = terms(latent_O)
    height = float(said.log_likelihood_M.sum())
    for _ in range(_STEPS):
        root_O = np.sqrt(said.curvature_M)
        b_O = said.curvature_M * latent_O + said.slope_M
        system_OO = identity_OO + root_O[:, None] * kernel_OO * root_O[None, :]
        towards_O = b_O - root_O * np.linalg.solve(system_OO, root_O * (kernel_OO @ b_O)) - dual_O
        move_O = kernel_OO @ towards_O
        length, least = 1.0, height - 1e-12 * (1.0 + abs(height))
        while length > 1e-9:
            moved_O, moved_dual_O = latent_O + length * move_O, dual_O + length * towards_O
            said = terms(moved_O)
            height = float(said.log_likelihood_M.sum()) - 0.5 * float(moved_dual_O @ moved_O)
            if height >= least:
                break
            length *= 0.5
        dual_O, latent_O = dual_O + length * towards_O, latent_O + length * move_O
        if np.abs(move_O).max(initial=0.0) * length < STEP_TOLERANCE:
            break
    root_O = np.sqrt(said.curvature_M)
    system_OO = identity_OO + root_O[:, None] * kernel_OO * root_O[None, :]
    log_det = float(np.log(np.diag(np.linalg.cholesky(system_OO))).sum())
    return LaplaceFit(latent_O, dual_O, said.curvature_M, height - log_det)
