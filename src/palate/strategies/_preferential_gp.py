"""Plain preferential Gaussian process on a pool: the model and defaults of BoTorch's PairwiseGP.

    f ~ N(0, s k),  k(x, x') = exp(-|(x - x') / l|^2 / 2)       s output scale (a variance), l length scale
    P(i beats j) = Phi((f_i - f_j) / sqrt(2))                   noise fixed at one, absorbed by s
    (l, s) = argmax log Z(l, s) + log Gamma(l; 2.4, 2.7) + log SmoothedBox(s; 0.01, 100)   by L-BFGS-B
    next pair: EUBO, qEUBO, Thompson's or BALD                   (see _preferential_choice.py)

Source: Chu and Ghahramani, "Preference learning with Gaussian processes", 2005; priors, bounds and starting
point as documented for ``botorch.models.PairwiseGP`` 0.18, whose users are advised to scale inputs to the
unit cube. Kept as published and untuned, to measure other strategies against. Differences: one length scale
for all features unless ``ard``, because embeddings have hundreds; ties count as half a win each; the
likelihood is not cut off beyond three standard deviations; nearby candidates are not merged, since work on
differences needs no inverse of the kernel; questions that are still open count as answered in the covariance.

Utilities are reported in log-odds: ``Phi(z)`` and ``sigmoid(1.702 z)`` differ by less than 0.01 everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from palate.choice import DuelCounts, Gaussian, centred, count_duels, observe_pair, update_prior
from palate.errors import ConfigError
from palate.strategies._checks import check_choice
from palate.strategies._preferential_choice import PROBIT, RULES, Rule
from palate.strategies._preferential_laplace import Link, evidence_slope, find_mode
from palate.strategies._protocol import History, Pair, Pool, allowed_pairs
from palate.types import Array

__all__ = [
    "PreferentialGp",
    "Scaling",
    "condition",
    "gather_votes",
    "log_posterior",
    "maximise",
    "preferential_gp",
    "preferential_gp_bald",
    "preferential_gp_qeubo",
    "preferential_gp_thompson",
    "prior_kernel",
    "scale_inputs",
    "square_distances",
]

Scaling: TypeAlias = Literal["cube", "diagonal"]

_SHAPE, _RATE = 2.4, 2.7  # of the Gamma prior of a length scale
_MODE = (_SHAPE - 1.0) / _RATE
_BOX = (0.01, 100.0)
_BOX_SPREAD = 0.01
_BOUNDS = (0.005, 200.0)  # of the output scale
_LENGTHS = (1e-4, 1e3)  # the upper end is ours: the kernel is flat long before
_FINE = 1e-5  # in utility; what is left in the evidence is far below what the search resolves
_FTOL = 1e-5  # of the log posterior: about a thousandth of a nat


def scale_inputs(feature_ND: Array, scaling: Scaling = "cube") -> Array:
    """Put the candidates into the unit cube.

    Args:
        feature_ND: Any finite features.
        scaling: ``cube`` moves and stretches every feature to [0, 1] over the pool. ``diagonal`` divides the
            result by ``sqrt(D)``, so that the cube's diagonal has length one whatever D is.

    Returns:
        ``(N, D)``; a feature that is the same for all candidates becomes zero.

    Example:
        >>> import numpy as np
        >>> scale_inputs(np.array([[2.0, 5.0], [6.0, 5.0], [3.0, 5.0]])).tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.25, 0.0]]
    """
    low_D, width_D = feature_ND.min(axis=0), np.ptp(feature_ND, axis=0)
    # Features that differ by rounding only carry no information; dividing would blow the rounding up.
    flat_D = width_D <= 1e-12 * np.abs(feature_ND).max(axis=0)
    cube_ND = np.where(flat_D, 0.0, (feature_ND - low_D) / np.where(flat_D, 1.0, width_D))
    return cube_ND / np.sqrt(feature_ND.shape[1]) if scaling == "diagonal" else cube_ND


def square_distances(x_ND: Array) -> Array:
    """Squared distances of all rows, ``(N, N)``."""
    square_N = (x_ND**2).sum(axis=1)
    distance_NN = np.maximum(square_N[:, None] + square_N[None, :] - 2.0 * x_ND @ x_ND.T, 0.0)
    np.fill_diagonal(distance_NN, 0.0)
    return distance_NN


class _Votes(NamedTuple):
    """The candidates that were voted on, and the votes by distinct pair in terms of their rows."""

    x_UD: Array
    square_UU: Array
    rows_U: NDArray[np.int64]
    counts: DuelCounts


def gather_votes(x_ND: Array, square_NN: Array, history: History) -> _Votes:
    """Add the votes up by distinct pair, and keep the inputs of the candidates that were voted on.

    Args:
        x_ND: Scaled inputs of the pool.
        square_NN: Their squared distances.
        history: The votes.
    """
    counts = count_duels(history.first_M, history.second_M, history.outcome_M)
    rows_U, place = np.unique(np.stack([counts.low_M, counts.high_M]), return_inverse=True)
    low_M, high_M = place.reshape(2, -1)
    local = counts._replace(low_M=low_M, high_M=high_M)
    return _Votes(x_ND[rows_U], square_NN[np.ix_(rows_U, rows_U)], rows_U, local)


def _log_prior(theta_K: Array) -> tuple[float, Array]:
    """Log density of length scales and output scale, and its slope by their logarithms."""
    length, output = np.exp(theta_K[:-1]), float(np.exp(theta_K[-1]))
    outside = max(_BOX[0] - output, 0.0) - max(output - _BOX[1], 0.0)
    value = float(((_SHAPE - 1.0) * theta_K[:-1] - _RATE * length).sum()) - 0.5 * (outside / _BOX_SPREAD) ** 2
    slope_K = np.append(_SHAPE - 1.0 - _RATE * length, outside * output / _BOX_SPREAD**2)
    return value, slope_K


def prior_kernel(votes: _Votes, theta_K: Array) -> Array:
    """Prior covariance of the candidates; ``theta_K`` as in :func:`log_posterior`."""
    if len(theta_K) == 2:
        return np.exp(theta_K[1] - 0.5 * votes.square_UU * np.exp(-2.0 * theta_K[0]))
    return np.exp(theta_K[-1] - 0.5 * square_distances(votes.x_UD * np.exp(-theta_K[:-1])))


def _differences(kernel_UU: Array, counts: DuelCounts) -> Array:
    cross_MU = kernel_UU[counts.low_M] - kernel_UU[counts.high_M]
    return cross_MU[:, counts.low_M] - cross_MU[:, counts.high_M]


def _by_candidate(slope_MM: Array, votes: _Votes) -> Array:
    """A derivative by the covariance of differences as one by that of utilities, ``P^T G P``."""
    pairs_MU = np.zeros((len(slope_MM), len(votes.x_UD)))
    every_M = np.arange(len(slope_MM))
    pairs_MU[every_M, votes.counts.low_M] = 1.0
    pairs_MU[every_M, votes.counts.high_M] = -1.0
    return pairs_MU.T @ slope_MM @ pairs_MU


def log_posterior(
    votes: _Votes, theta_K: Array, link: Link, start_M: Array | None = None
) -> tuple[float, Array, Array]:
    """Log evidence plus log prior of the hyper-parameters.

    Args:
        votes: Scaled inputs and counts.
        theta_K: Logarithms of the length scale, or of all D of them, and last of the output scale.
        link: ``probit`` or ``logit``.
        start_M: Dual variables to start the mode's search from.

    Returns:
        The value in nats up to a constant, its gradient, and the mode's dual variables.
    """
    kernel_UU = prior_kernel(votes, theta_K)
    kernel_MM = _differences(kernel_UU, votes.counts)
    wins_M, count_M = votes.counts.wins_M, votes.counts.count_M
    fit = find_mode(kernel_MM, wins_M, count_M, link, start_M=start_M, tolerance=_FINE)
    slope_MM = evidence_slope(kernel_MM, wins_M, count_M, link, fit)
    value, slope_K = _log_prior(theta_K)
    slope_K[-1] += float((slope_MM * kernel_MM).sum())
    if len(theta_K) == 2:
        moved_MM = _differences(kernel_UU * votes.square_UU, votes.counts)
        slope_K[0] += float((slope_MM * moved_MM).sum()) * np.exp(-2.0 * theta_K[0])
    else:
        pull_UU = _by_candidate(slope_MM, votes) * kernel_UU
        own_D = pull_UU.sum(axis=1) @ votes.x_UD**2
        mixed_D = ((pull_UU @ votes.x_UD) * votes.x_UD).sum(axis=0)
        slope_K[:-1] += 2.0 * (own_D - mixed_D) * np.exp(-2.0 * theta_K[:-1])
    return fit.log_evidence + value, slope_K, fit.dual_M


def _start(votes: _Votes, ard: bool) -> Array:
    """Where BoTorch starts: the prior's mode and an output scale of one."""
    return np.append(np.full(votes.x_UD.shape[1] if ard else 1, np.log(_MODE)), 0.0)


def maximise(votes: _Votes, link: Link, *, ard: bool) -> Array:
    """Maximise the posterior of the hyper-parameters by L-BFGS-B, from one starting point.

    Args:
        votes: Scaled inputs and counts.
        link: ``probit`` or ``logit``.
        ard: Whether every feature has a length scale of its own.

    Returns:
        Logarithms of the length scales and of the output scale.
    """
    from scipy.optimize import minimize

    start_K = _start(votes, ard)
    # Steps in units of what a hundred votes can tell apart, so that the first one is of a sensible size.
    unit_K = np.append(np.full(len(start_K) - 1, 0.3), 0.6)
    dual_M = np.zeros(len(votes.counts.wins_M))

    def falling(at_K: Array) -> tuple[float, Array]:
        nonlocal dual_M
        value, slope_K, dual_M = log_posterior(votes, at_K * unit_K, link, dual_M)
        return -value, -slope_K * unit_K

    bounds = np.log([*[_LENGTHS] * (len(start_K) - 1), _BOUNDS]) / unit_K[:, None]
    found = minimize(
        falling, start_K / unit_K, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": _FTOL}
    )
    return np.asarray(found.x, dtype=np.float64) * unit_K


@dataclass(frozen=True)
class _Prepared:
    x_ND: Array
    square_NN: Array


@dataclass(frozen=True)
class _Fitted:
    """The belief in log-odds, and the hyper-parameters it was made under."""

    belief: Gaussian
    length: tuple[float, ...]
    output: float


def _in_units(mean_N: Array, covariance_NN: Array, scale: float) -> Gaussian:
    """Utilities relative to the pool's average, in other units; no difference of two changes."""
    relative_N, relative_NN = centred(mean_N, covariance_NN)
    return Gaussian(scale * relative_N, scale**2 * 0.5 * (relative_NN + relative_NN.T))


@dataclass(frozen=True)
class PreferentialGp:
    """Options of the strategy; see :func:`preferential_gp`."""

    choice: Rule
    link: Link
    ard: bool
    scaling: Scaling

    @property
    def calibrated(self) -> bool:
        """A Bayesian posterior."""
        return True

    def prepare(self, feature_ND: Array) -> _Prepared:
        """Scaled inputs and their squared distances."""
        x_ND = scale_inputs(feature_ND, self.scaling)
        return _Prepared(x_ND, square_distances(x_ND))

    def fit(self, prepared: _Prepared, history: History) -> _Fitted:
        """Hyper-parameters from the starting point anew, then Laplace's belief under them."""
        votes = gather_votes(prepared.x_ND, prepared.square_NN, history)
        theta_K = maximise(votes, self.link, ard=self.ard) if len(history) else _start(votes, self.ard)
        everything = votes._replace(x_UD=prepared.x_ND, square_UU=prepared.square_NN)
        prior_NN = prior_kernel(everything, theta_K)
        belief = condition(prior_NN, votes, self.link)
        scale = 1.0 if self.link == "logit" else PROBIT / np.sqrt(2.0)
        length, output = np.exp(theta_K[:-1]), float(np.exp(theta_K[-1]))
        return _Fitted(_in_units(*belief, scale), tuple(length.tolist()), output)

    def choose(self, fitted: _Fitted, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """What the rule picks once the open questions are answered; the likelier winner first."""
        mean_N, covariance_NN = fitted.belief
        for i, j in pool.open_pairs:
            covariance_NN = observe_pair(mean_N, covariance_NN, i, j)
        i, j = RULES[self.choice](Gaussian(mean_N, covariance_NN), allowed_pairs(pool), rng)
        return (i, j) if mean_N[i] >= mean_N[j] else (j, i)

    def report(self, history: History, fitted: Callable[[History], _Fitted], pool: Pool) -> int:
        """The largest posterior mean of the whole pool, shown or not."""
        return pool.best(fitted(history).belief.mean_N)

    def belief(self, fitted: _Fitted) -> Gaussian:
        """The Laplace approximation, in log-odds."""
        return fitted.belief


def condition(prior_NN: Array, votes: _Votes, link: Link) -> Gaussian:
    """Laplace's belief about all candidates under a given prior, in the model's own units, not centred.

    Args:
        prior_NN: Prior covariance of the pool.
        votes: Which of the pool were voted on, and how.
        link: ``probit`` or ``logit``.
    """
    low_M, high_M = votes.rows_U[votes.counts.low_M], votes.rows_U[votes.counts.high_M]
    cross_MN = prior_NN[low_M] - prior_NN[high_M]
    kernel_MM = cross_MN[:, low_M] - cross_MN[:, high_M]
    fit = find_mode(kernel_MM, votes.counts.wins_M, votes.counts.count_M, link)
    return update_prior(prior_NN, cross_MN.T, kernel_MM, fit)


def preferential_gp(
    *, choice: str = "eubo", link: str = "probit", ard: bool = False, scaling: str = "cube"
) -> PreferentialGp:
    """Make the plain preferential Gaussian process.

    Args:
        choice: How the next pair is picked: ``eubo``, ``qeubo``, ``thompson`` or ``bald``.
        link: ``probit`` or ``logit``.
        ard: Whether every feature has a length scale of its own, as PairwiseGP has by default; for few
            features only.
        scaling: ``cube`` scales every feature to [0, 1] over the pool; ``diagonal`` divides by ``sqrt(D)``
            too, without which the prior of the length scale rules out any likeness between embeddings of
            hundreds of dimensions.

    Returns:
        The strategy. A refit at 200 candidates and 150 votes takes 10 to 25 ms; the time grows with the cube
        of the number of distinct pairs. Choosing takes 60 ms by ``qeubo``, 25 ms by ``bald`` and 2 ms by the
        others.

    Raises:
        ConfigError: An option is not one of these.

    Example:
        >>> import numpy as np
        >>> from palate.strategies import duel_bandit
        >>> bandit = duel_bandit("preferential-gp", np.eye(3), seed=0)
        >>> i, j = bandit.ask()
        >>> bandit.tell(i, j, "left")
        >>> bandit.best() == i
        True
    """
    check_choice("choice", choice, tuple(RULES))
    check_choice("link", link, ("probit", "logit"))
    check_choice("scaling", scaling, ("cube", "diagonal"))
    if ard not in (True, False):
        raise ConfigError(f"ard must be true or false, not {ard!r}")
    return PreferentialGp(cast("Rule", choice), cast("Link", link), bool(ard), cast("Scaling", scaling))


def preferential_gp_qeubo(
    *, link: str = "probit", ard: bool = False, scaling: str = "cube"
) -> PreferentialGp:
    """Make it with pairs chosen by qEUBO; see :func:`preferential_gp`."""
    return preferential_gp(choice="qeubo", link=link, ard=ard, scaling=scaling)


def preferential_gp_thompson(
    *, link: str = "probit", ard: bool = False, scaling: str = "cube"
) -> PreferentialGp:
    """Make it with pairs chosen by Thompson's rule; see :func:`preferential_gp`."""
    return preferential_gp(choice="thompson", link=link, ard=ard, scaling=scaling)


def preferential_gp_bald(*, link: str = "probit", ard: bool = False, scaling: str = "cube") -> PreferentialGp:
    """Make it with pairs chosen by BALD; see :func:`preferential_gp`."""
    return preferential_gp(choice="bald", link=link, ard=ard, scaling=scaling)
