"""How far each rater can be relied upon, and utilities that weigh raters by it.

    slope   P(vote of r) = P(vote | a_r d),                       a_r >= 0, ln a_r ~ N(0, s^2)
    flip    P(vote of r) = q_r P(vote | d) + (1 - q_r) P(mirrored vote | d),      q_r ~ Beta(4, 1)

Source: X. Chen et al., "Pairwise ranking aggregation in a crowdsourced setting", 2013, section 3 (the flip
form; there with a Beta prior as well). The slope form is a discrimination parameter, as in item response
theory. A rater who guesses has a = 0, or q = 1/2. One who means the opposite has q near 0, and such votes
then count the other way round; the slope form has no room for that and gives a = 0.

What identifies them. Doubling all slopes and halving all utilities changes nothing that votes show: the mean
slope over votes is one, and the prior covariance says what scale the utilities have. Turning all q and all
utilities round changes nothing either: the prior holds the majority to be honest. A single rater has nobody
to be compared with: the slope, or q, is one by definition and the fit is the plain one.

Fitted by alternation (variational EM). Given reliabilities, utilities get Laplace's approximation; given that
belief N(m, v) about each difference, each rater's reliability gets the density

    ln p(a_r | votes) = sum over r's votes of E_{d ~ N(m, v)} [ ln P(vote | d, a_r) ] + ln p(a_r) + constant

on a grid of 25 points around its centre, expectations by Gauss-Hermite quadrature of 7 points. Intervals come
from that density; they leave out how the errors of utilities and reliabilities hang together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._laplace import Gaussian
from palate.choice._numeric import log_sigmoid, sigmoid
from palate.choice._people import fit_terms, make_latent
from palate.choice._verdicts import Terms, VerdictModel, Votes
from palate.errors import ConfigError
from palate.types import Array

__all__ = ["RaterFit", "RaterOptions", "fit_raters"]

_HONEST, _CONTRARY = 4.0, 1.0  # of the Beta prior: four right votes and one turned round
_ROUNDS = 200
_TOLERANCE = 1e-3  # in slope, or in q; a tenth or less of what a thousand votes leave unknown
_REACH = 5.0  # standard deviations that the grid spans on either side
_GRID = 25
_NODES = 7


@dataclass(frozen=True)
class RaterOptions:
    """How raters differ.

    Args:
        form: ``slope`` or ``flip``.
        spread: Prior standard deviation of ln a_r, > 0; one says that a slope of 2.7 or 0.37 is usual.
        model: Habits that all share.

    Raises:
        ConfigError: An option is out of its range.
    """

    form: Literal["slope", "flip"] = "slope"
    spread: float = 1.0
    model: VerdictModel = field(default_factory=VerdictModel)

    def __post_init__(self) -> None:
        if self.form not in ("slope", "flip"):
            raise ConfigError(f"form must be 'slope' or 'flip', not {self.form!r}")
        if not (np.isfinite(self.spread) and self.spread > 0):
            raise ConfigError(f"spread must be a positive number, not {self.spread!r}; 1 is usual")


class RaterFit(NamedTuple):
    """What raters are worth, and what they say together.

    Args:
        belief: About utilities, in log-odds.
        reliability_J: Slopes ≥ 0 of mean one over the votes, or q in [0, 1].
        low_J: 2.5 % quantiles.
        high_J: 97.5 % quantiles.
        weight_J: How much the vote on a close duel teaches, next to one of reliability one: the square
            of the slope, or of 2 q - 1.
        votes_J: How many votes each cast.
        rounds: Of the alternation.
    """

    belief: Gaussian
    reliability_J: Array
    low_J: Array
    high_J: Array
    weight_J: Array
    votes_J: NDArray[np.int64]
    rounds: int


class _Ability(NamedTuple):
    """Density of one latent a rater: ln a, or the log-odds of q, on a grid."""

    grid_JG: Array
    mass_JG: Array

    def mean(self, link: Callable[[Array], Array]) -> Array:
        return (self.mass_JG * link(self.grid_JG)).sum(axis=1)

    def quantile(self, level: float) -> Array:
        """Of the latent, linear between grid points, which is good to a tenth of a standard deviation."""
        cumulative_JG = np.cumsum(self.mass_JG, axis=1) - 0.5 * self.mass_JG
        return np.array([np.interp(level, c, g) for c, g in zip(cumulative_JG, self.grid_JG, strict=True)])


def fit_raters(kernel_NN: Array, votes: Votes, options: RaterOptions | None = None) -> RaterFit:
    """Learn utilities and reliabilities.

    Args:
        kernel_NN: Prior covariance of the utilities, in log-odds squared.
        votes: What was said, and by whom; raters are numbered from 0 without large gaps.
        options: How raters differ.

    Returns:
        Belief and reliabilities; of a rater without votes the prior's, or one if nobody can be compared.

    Raises:
        InputError: The kernel is no covariance, or votes name candidates that it lacks.

    Example:
        >>> import numpy as np
        >>> left, right = np.zeros(40, int), np.ones(40, int)
        >>> said = np.array([1.0, 0.0] * 10 + [1.0] * 20)  # the first cannot decide, the second can
        >>> fit = fit_raters(np.eye(2), Votes(left, right, said, judge_M=np.repeat([0, 1], 20)))
        >>> bool(fit.reliability_J[0] < 0.5 < 1 < fit.reliability_J[1])
        True
    """
    options = RaterOptions() if options is None else options
    latent = make_latent(np.asarray(kernel_NN, dtype=np.float64), votes)
    raters = int(votes.judge_M.max(initial=0)) + 1
    votes_J = np.bincount(votes.judge_M, minlength=raters)
    reliability_J = np.ones(raters) if options.form == "slope" else np.full(raters, _prior_honesty())
    if (votes_J > 0).sum() <= 1:
        reliability_J = np.ones(raters)
        belief = fit_terms(kernel_NN, latent, _rated(votes, reliability_J, options), votes.weight_M).belief
        return RaterFit(belief, reliability_J, reliability_J, reliability_J, reliability_J, votes_J, 0)
    ability, z_R = _prior_ability(raters, options), None
    scale, rounds, belief = 1.0, 0, None
    while belief is None or rounds < _ROUNDS:
        rounds += 1
        fit = fit_terms(kernel_NN, latent, _rated(votes, reliability_J, options), votes.weight_M, z_R)
        belief, z_R = fit.belief, fit.z_R
        ability = _update(ability, belief, votes, options)
        updated_J, scale = _normalised(ability, votes, options)
        change = float(np.abs(updated_J - reliability_J).max())
        reliability_J = updated_J
        if change < _TOLERANCE:
            break
    low_J, high_J = (_link(options)(ability.quantile(level)) / scale for level in (0.025, 0.975))
    base_J = reliability_J if options.form == "slope" else 2.0 * reliability_J - 1.0
    return RaterFit(belief, reliability_J, low_J, high_J, base_J**2, votes_J, rounds)


def _prior_honesty() -> float:
    return _HONEST / (_HONEST + _CONTRARY)


def _link(options: RaterOptions) -> Callable[[Array], Array]:
    return np.exp if options.form == "slope" else sigmoid


def _log_prior(latent: Array, options: RaterOptions) -> Array:
    """Log-density of the latent, up to a constant; a Beta density takes the link's slope along."""
    if options.form == "slope":
        return -0.5 * (latent / options.spread) ** 2
    return _HONEST * log_sigmoid(latent) + _CONTRARY * log_sigmoid(-latent)


def _prior_ability(raters: int, options: RaterOptions) -> _Ability:
    reach = _REACH * options.spread if options.form == "slope" else 8.0
    grid_JG = np.tile(np.linspace(-reach, reach, _GRID), (raters, 1))
    return _Ability(grid_JG, _mass(_log_prior(grid_JG, options)))


def _mass(log_density_JG: Array) -> Array:
    mass_JG = np.exp(log_density_JG - log_density_JG.max(axis=1, keepdims=True))
    return mass_JG / mass_JG.sum(axis=1, keepdims=True)


def _normalised(ability: _Ability, votes: Votes, options: RaterOptions) -> tuple[Array, float]:
    """Mean reliabilities, and what slopes were divided by to have mean one over the votes."""
    mean_J = ability.mean(_link(options))
    if options.form == "flip":
        return mean_J, 1.0
    total = float(votes.weight_M.sum())
    scale = float(votes.weight_M @ mean_J[votes.judge_M]) / total if total > 0 else 1.0
    return mean_J / scale, scale


def _update(ability: _Ability, belief: Gaussian, votes: Votes, options: RaterOptions) -> _Ability:
    """Density of every rater's latent, on a grid moved to where the last one had its mass."""
    step_J = ability.grid_JG[:, 1] - ability.grid_JG[:, 0]
    mean_J = ability.mean(lambda grid: grid)
    std_J = np.sqrt((ability.mass_JG * (ability.grid_JG - mean_J[:, None]) ** 2).sum(axis=1))
    # A grid that was too coarse to see the spread must shrink by degrees, not at once.
    half_J = _REACH * np.maximum(std_J, 0.5 * step_J)
    grid_JG = mean_J[:, None] + half_J[:, None] * np.linspace(-1.0, 1.0, _GRID)
    mean_M, variance_M = _differences(belief, votes)
    node_H, share_H = np.polynomial.hermite_e.hermegauss(_NODES)
    place_HM = mean_M + np.sqrt(variance_M) * node_H[:, None]
    wide = _repeated(votes, _NODES)
    log_density_JG = _log_prior(grid_JG, options)
    for place in range(_GRID):
        terms = _rated(wide, _link(options)(grid_JG[:, place]), options)
        value_X = terms(place_HM.ravel(), np.zeros(place_HM.size))[0].log_likelihood_M
        expected_M = (share_H / share_H.sum()) @ value_X.reshape(place_HM.shape)
        log_density_JG[:, place] += np.bincount(votes.judge_M, votes.weight_M * expected_M, len(grid_JG))
    return _Ability(grid_JG, _mass(log_density_JG))


def _differences(belief: Gaussian, votes: Votes) -> tuple[Array, Array]:
    """Mean and variance of every vote's difference."""
    i_M, j_M = votes.first_M, votes.second_M
    covariance_NN = belief.covariance_NN
    variance_M = covariance_NN[i_M, i_M] + covariance_NN[j_M, j_M] - 2.0 * covariance_NN[i_M, j_M]
    return belief.mean_N[i_M] - belief.mean_N[j_M], np.maximum(variance_M, 0.0)


def _repeated(votes: Votes, times: int) -> Votes:
    return Votes(*(np.tile(column, times) for column in vars(votes).values()))


def _rated(
    votes: Votes, reliability_J: Array, options: RaterOptions
) -> Callable[[Array, Array], tuple[Terms, Terms]]:
    """The likelihood of votes by raters of these reliabilities."""
    model, reliability_M = options.model, reliability_J[votes.judge_M]
    mirrored = replace(votes, outcome_M=1.0 - votes.outcome_M)

    def slope(difference_M: Array, level_M: Array) -> tuple[Terms, Terms]:
        value_M, slope_M, curvature_M = model.terms(reliability_M * difference_M, votes)
        along = Terms(value_M, reliability_M * slope_M, reliability_M**2 * curvature_M)
        return along, model.level_terms(level_M, votes)

    def flip(difference_M: Array, level_M: Array) -> tuple[Terms, Terms]:
        straight, turned = model.terms(difference_M, votes), model.terms(difference_M, mirrored)
        return _mixed(straight, turned, reliability_M), model.level_terms(level_M, votes)

    return slope if options.form == "slope" else flip


def _mixed(straight: Terms, turned: Terms, honest_M: Array) -> Terms:
    """Terms of a mixture; it is not concave everywhere, and negative curvature is given as 0."""
    tiny = np.finfo(np.float64).tiny
    one_M = np.log(np.maximum(honest_M, tiny)) + straight.log_likelihood_M
    two_M = np.log(np.maximum(1.0 - honest_M, tiny)) + turned.log_likelihood_M
    value_M = np.logaddexp(one_M, two_M)
    kept_M = np.exp(one_M - value_M)
    gap_M = straight.slope_M - turned.slope_M
    curvature_M = kept_M * straight.curvature_M + (1.0 - kept_M) * turned.curvature_M
    curvature_M -= kept_M * (1.0 - kept_M) * gap_M**2
    slope_M = kept_M * straight.slope_M + (1.0 - kept_M) * turned.slope_M
    return Terms(value_M, slope_M, np.maximum(curvature_M, 0.0))
