"""Belief about utilities from votes of any likelihood: expectation propagation under a Gaussian prior.

    d = A z,  z ~ N(0, K)                     one linear site per vote, for instance u_left - u_right + side
    p(z | votes)  ~  N(z; 0, K) prod_s t_s(d_s),   t_s(d) = exp(pull_s d - precision_s d^2 / 2)
    each t_s is such that the tilted distribution  cavity_s(d) p(vote_s | d)  has the moments of the fit

Laplace's method puts the Gaussian at the mode. For a rater who hardly errs a vote says little more than
"d has this sign", the posterior is far from symmetric about its mode, and beliefs and questions from the
mode go wrong; moments do not. Source: Minka, "Expectation propagation for approximate Bayesian inference",
2001; Rasmussen and Williams, "Gaussian Processes for Machine Learning", section 3.6 (the stable form with
``B = I + S^(1/2) K S^(1/2)``, and equation 3.65 for the evidence); all sites move at once, with damping.
Moments are sums over an even grid of 49 points within six standard deviations of the cavity.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from palate.choice._site_priors import DirectPrior, SiteBelief, SitePrior, Sites
from palate.types import Array

__all__ = ["LogLikelihood", "Moments", "Propagated", "propagate", "site_of", "tilted_moments"]

LogLikelihood: TypeAlias = Callable[[Array], Array]
"""Log-likelihood of S votes at ``(S, Q)`` values of their sites."""

_GRID_Q = np.linspace(-6.0, 6.0, 49)
_LOG_WEIGHT_Q = -0.5 * _GRID_Q**2 - np.log(np.exp(-0.5 * _GRID_Q**2).sum())
_LEAST_PRECISION = 1e-10  # relative to the cavity's; a vote that widens the belief is taken as saying nothing
_DAMPING = 0.9
_SWEEPS = 40


class Moments(NamedTuple):
    """Of a Gaussian times a likelihood: ``log_mass_S``, mean and variance."""

    log_mass_S: Array
    mean_S: Array
    variance_S: Array


class Propagated(NamedTuple):
    """The fit.

    ``mean_S`` and ``variance_S`` are the belief about the sites' own values; ``log_evidence`` approximates
    the log marginal likelihood in nats, for comparing priors; ``log_predictive_S`` is the log-probability of
    each vote given all others, a by-product of the cavities (Opper and Winther, "Gaussian processes for
    classification: mean-field algorithms", 2000).
    """

    sites: Sites
    mean_S: Array
    variance_S: Array
    log_evidence: float
    log_predictive_S: Array

    @property
    def dual_S(self) -> Array:
        """``(A K A^T + P^-1)^-1 P^-1 pull``: weights of the sites' covariances in any other mean."""
        return self.sites.pull_S - self.sites.precision_S * self.mean_S


def tilted_moments(mean_S: Array, variance_S: Array, log_likelihood: LogLikelihood) -> Moments:
    """Moments of ``N(d; mean, variance) · likelihood(d)`` for each site.

    Args:
        mean_S: Of the cavities.
        variance_S: Of the cavities, > 0.
        log_likelihood: Of each vote at many values of its site.
    """
    value_SQ = mean_S[:, None] + np.sqrt(variance_S)[:, None] * _GRID_Q
    weight_SQ = log_likelihood(value_SQ) + _LOG_WEIGHT_Q
    top_S = weight_SQ.max(axis=1)
    weight_SQ -= top_S[:, None]
    np.exp(weight_SQ, out=weight_SQ)
    mass_S = weight_SQ.sum(axis=1)
    weight_SQ /= mass_S[:, None]
    tilted_S = np.einsum("sq,sq->s", weight_SQ, value_SQ)
    value_SQ -= tilted_S[:, None]
    spread_S = np.einsum("sq,sq,sq->s", weight_SQ, value_SQ, value_SQ)
    return Moments(np.log(mass_S) + top_S, tilted_S, np.maximum(spread_S, 1e-12 * variance_S))


def site_of(mean_S: Array, variance_S: Array, moments: Moments) -> Sites:
    """The sites that turn cavities into Gaussians of the given moments."""
    precision_S = np.maximum(1.0 / moments.variance_S - 1.0 / variance_S, _LEAST_PRECISION / variance_S)
    return Sites(precision_S, moments.mean_S * (precision_S + 1.0 / variance_S) - mean_S / variance_S)


def propagate(
    prior: Array | SitePrior,
    log_likelihood: LogLikelihood,
    start: Sites | None = None,
    *,
    sweeps: int = _SWEEPS,
    tolerance: float = 1e-5,
) -> Propagated:
    """Fit the sites of S votes.

    Args:
        prior: Of the sites' values, or their covariance as ``(S, S)``.
        log_likelihood: Of each vote at ``(S, Q)`` values of its site, in nats, finite.
        start: Where to start, to save sweeps; by default from sites that say nothing.
        sweeps: At most so many passes over all sites.
        tolerance: Passes end when no mean moves by more than this share of its site's spread.

    Returns:
        The fit; with no votes, an empty one of evidence 0.
    """
    prior = prior if not isinstance(prior, np.ndarray) else DirectPrior(prior)
    size = len(prior)
    sites = start or Sites(np.zeros(size), np.zeros(size))
    known = prior.believed(sites)
    for _ in range(sweeps if size else 0):
        mean_S, variance_S, _ = known
        cavity_mean_S, cavity_variance_S = _cavity(sites, mean_S, variance_S)
        found = tilted_moments(cavity_mean_S, cavity_variance_S, log_likelihood)
        wanted = site_of(cavity_mean_S, cavity_variance_S, found)
        moved = np.abs(found.mean_S - mean_S).max() if size else 0.0
        unit = float(np.sqrt(variance_S).max())
        sites = Sites(
            sites.precision_S + _DAMPING * (wanted.precision_S - sites.precision_S),
            sites.pull_S + _DAMPING * (wanted.pull_S - sites.pull_S),
        )
        known = prior.believed(sites)
        if moved < tolerance * unit:
            break
    cavity_mean_S, cavity_variance_S = _cavity(sites, known.mean_S, known.variance_S)
    mass_S = np.zeros(0)
    if size:
        mass_S = tilted_moments(cavity_mean_S, cavity_variance_S, log_likelihood).log_mass_S
    return Propagated(sites, known.mean_S, known.variance_S, _evidence(sites, known, mass_S), mass_S)


def _cavity(sites: Sites, mean_S: Array, variance_S: Array) -> tuple[Array, Array]:
    """Each site's belief without its own vote."""
    precision_S = np.maximum(1.0 / variance_S - sites.precision_S, 1e-8 / variance_S)
    return (mean_S / variance_S - sites.pull_S) / precision_S, 1.0 / precision_S


def _evidence(sites: Sites, known: SiteBelief, mass_S: Array) -> float:
    mean_S, variance_S, half_log_determinant = known
    cavity_mean_S, cavity_variance_S = _cavity(sites, mean_S, variance_S)
    precision_S, pull_S = sites
    total_S = precision_S + 1.0 / cavity_variance_S
    known_S = cavity_mean_S / cavity_variance_S * (precision_S * cavity_mean_S - 2.0 * pull_S) / total_S
    return float(
        mass_S.sum()
        - half_log_determinant
        + 0.5 * np.log1p(precision_S * cavity_variance_S).sum()
        + 0.5 * pull_S @ mean_S
        + 0.5 * (known_S - pull_S**2 / total_S).sum()
    )
