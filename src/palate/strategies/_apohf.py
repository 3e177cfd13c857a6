"""APOHF: a neural duelling bandit, "Prompt optimization with human feedback" (arXiv 2405.17346, section 3).

    h(x)      score network, refitted from the same initial weights after every vote     (see _network.py)
    g(x)      gradient of h(x) for the weights, at the present weights, in R^P
    phi_s     = g(x_s1) - g(x_s2)                     for each vote s
    V         = lambda I + sum_s phi_s phi_s^T
    first     = argmax_x h(x)
    second    = argmax_{x != first} h(x) + nu |g(x) - g(first)|_{V^-1}
    report    = argmax_x h(x)

The paper's V is a P x P matrix. It is never formed: with Phi the rows phi_s, Woodbury's identity gives

    |psi|^2_{V^-1} = (|psi|^2 - psi Phi^T (lambda I + Phi Phi^T)^-1 Phi psi^T) / lambda

which needs only inner products of gradients, and those are sums over layers of products of two small Gram
matrices, (A A^T + 1) * (D D^T), because each layer's gradient is an outer product. The released code differs
in four things, which ``variance="diagonal"`` and ``report="shown"`` reproduce (:func:`apohf_released`): only
the diagonal of V is used; nu stands inside the root; the reported candidate is one that was shown; and it is
chosen by the model before the latest vote. There too V stays unformed: its diagonal, and the bonus, are
products of matrices of one layer's size.

The initial weights, lambda, nu, steps and warm start are those of the released scripts. Uncertainty from this
linearisation is not calibrated: it does not know how noisy the answers are, and nu is a free constant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palate.choice import Gaussian, centred
from palate.errors import ConfigError
from palate.strategies._arms import best_shown, challenger, free_pairs, leader, warm_pair
from palate.strategies._checks import check_number, check_whole, check_widths
from palate.strategies._network import Tangent, initial_weights, layers, tangent, train
from palate.strategies._protocol import History, Pair, Pool
from palate.types import Array

__all__ = ["Apohf", "apohf", "bonus_diagonal", "bonus_full", "tangent_kernel"]


def tangent_kernel(gradients: Tangent) -> Array:
    """Inner products of all candidates' gradients, ``(N, N)``, without the gradients."""
    kernel_NN = np.zeros((len(gradients.score_N),) * 2)
    for inward_NK, outward_NH in zip(gradients.inward, gradients.outward, strict=True):
        kernel_NN += (inward_NK @ inward_NK.T + 1.0) * (outward_NH @ outward_NH.T)
    return kernel_NN


def covariance_full(kernel_NN: Array, pairs: Sequence[Pair], decay: float) -> Array:
    """``G V^-1 G^T``, ``(N, N)``, by Woodbury's identity."""
    if not pairs:
        return kernel_NN / decay
    first_M, second_M = np.array(pairs).T
    rows_MN = kernel_NN[first_M] - kernel_NN[second_M]
    system_MM = rows_MN[:, first_M] - rows_MN[:, second_M] + decay * np.eye(len(pairs))
    half_MN = np.linalg.solve(np.linalg.cholesky(system_MM), rows_MN)
    return (kernel_NN - half_MN.T @ half_MN) / decay


def bonus_full(gradients: Tangent, pairs: Sequence[Pair], first: int, decay: float) -> Array:
    """``|g(x) - g(first)|`` in the norm of ``V^-1`` for every candidate, ``(N,)``."""
    covariance_NN = covariance_full(tangent_kernel(gradients), pairs, decay)
    square_N = np.diag(covariance_NN) - 2.0 * covariance_NN[first] + covariance_NN[first, first]
    return np.sqrt(np.maximum(square_N, 0.0))


def bonus_diagonal(gradients: Tangent, pairs: Sequence[Pair], first: int, decay: float) -> Array:
    """The same norm with only the diagonal of V, ``(N,)``.

    Squares of differences of outer products are expanded, ``(da - eb)^2 = d^2 a^2 - 2 (de)(ab) + e^2 b^2``,
    so that every sum over votes or weights is a matrix product.
    """
    i_M, j_M = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    square_N = np.zeros(len(gradients.score_N))
    for inward_NK, out in zip(gradients.inward, gradients.outward, strict=True):
        # A bias is a weight on an input that is always one.
        into = np.concatenate([inward_NK, np.ones((len(inward_NK), 1))], axis=1)
        v_HK = (out[i_M] ** 2).T @ into[i_M] ** 2 + (out[j_M] ** 2).T @ into[j_M] ** 2
        v_HK -= 2.0 * (out[i_M] * out[j_M]).T @ (into[i_M] * into[j_M])
        inverse_HK = 1.0 / (np.maximum(v_HK, 0.0) + decay)
        own_N = ((out**2 @ inverse_HK) * into**2).sum(axis=1)
        mixed_N = (((out * out[first]) @ inverse_HK) * (into * into[first])).sum(axis=1)
        square_N += own_N - 2.0 * mixed_N + own_N[first]
    return np.sqrt(np.maximum(square_N, 0.0))


@dataclass(frozen=True)
class _Fitted:
    gradients: Tangent
    belief: Gaussian


@dataclass(frozen=True)
class Apohf:
    """Options of the strategy; see :func:`apohf`."""

    decay: float
    nu: float
    steps: int
    warm_start: int
    hidden: tuple[int, ...]
    variance: Literal["full", "diagonal"]
    reported: Literal["pool", "shown"]
    network_seed: int

    @property
    def calibrated(self) -> bool:
        """The linearisation does not know how noisy the answers are."""
        return False

    def prepare(self, feature_ND: Array) -> tuple[Array, Array]:
        """The features and the initial weights, which every refit starts from."""
        return feature_ND, initial_weights(feature_ND.shape[1], self.hidden, self.network_seed)

    def fit(self, prepared: tuple[Array, Array], history: History) -> _Fitted:
        """Train from the initial weights on all votes."""
        feature_ND, start_P = prepared
        theta_P = train(
            start_P,
            feature_ND,
            history,
            hidden=self.hidden,
            steps=self.steps,
            decay=self.decay / (len(history) + 50),
        )
        gradients = tangent(layers(theta_P, feature_ND.shape[1], self.hidden), feature_ND)
        covariance_NN = self.nu**2 * covariance_full(tangent_kernel(gradients), history.pairs, self.decay)
        return _Fitted(gradients, centred(gradients.score_N, covariance_NN))

    def choose(self, fitted: _Fitted, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """The winner of the model, and its most promising opponent; random distinct pairs at the start.

        Open pairs count as votes: V does not depend on what the answers will be.
        """
        warm = warm_pair(history, pool, self.warm_start, rng)
        if warm is not None:
            return warm
        free_NN = free_pairs(pool)
        first = leader(fitted.gradients.score_N, free_NN)
        bonus_N = self._bonus(fitted.gradients, [*history.pairs, *pool.open_pairs], first)
        return first, challenger(fitted.gradients.score_N + bonus_N, free_NN, first)

    def _bonus(self, gradients: Tangent, pairs: Sequence[Pair], first: int) -> Array:
        if self.variance == "full":
            return self.nu * bonus_full(gradients, pairs, first, self.decay)
        return np.sqrt(self.nu) * bonus_diagonal(gradients, pairs, first, self.decay)

    def report(self, history: History, fitted: Callable[[History], _Fitted], pool: Pool) -> int:
        """The largest score; of the whole pool now, or of those shown by the model before the latest vote."""
        if self.reported == "pool" or len(history) == 0:
            return pool.best(fitted(history).gradients.score_N)
        score_N = fitted(history.until(len(history) - 1)).gradients.score_N
        return best_shown(score_N, history, pool)

    def belief(self, fitted: _Fitted) -> Gaussian:
        """The linearised model's Gaussian, with nu as its scale and the full V; not calibrated."""
        return fitted.belief


def apohf(
    *,
    decay: float = 0.1,
    nu: float = 1.0,
    steps: int = 1000,
    warm_start: int = 5,
    hidden: Sequence[int] = (32, 32),
    variance: str = "full",
    report: str = "pool",
    network_seed: int = 0,
) -> Apohf:
    """Make APOHF as the paper describes it.

    Args:
        decay: The paper's lambda, > 0: regulariser of V, and weight decay lambda / (votes + 50).
        nu: Weight of the bonus, ≥ 0; in the diagonal form its square root, as in the released code.
        steps: Adam steps a refit, ≥ 1.
        warm_start: Random distinct pairs before the model chooses, ≥ 0.
        hidden: Widths of the hidden layers, each ≥ 1.
        variance: ``full`` (paper) or ``diagonal`` (released code).
        report: ``pool`` (all, by the present model) or ``shown`` (those shown, model before the last vote).
        network_seed: Draws the initial weights; the same for all studies, as published.

    Returns:
        The strategy. A refit at 200 candidates, 384 dimensions and 150 votes takes under a second; it happens
        when something is asked after a vote, not when the vote is told.

    Raises:
        ConfigError: An option is out of its range.

    Example:
        >>> import numpy as np
        >>> from palate.strategies import duel_bandit
        >>> bandit = duel_bandit("apohf", np.eye(3), seed=0, steps=50)
        >>> i, j = bandit.ask()
        >>> i != j
        True
    """
    if variance not in ("full", "diagonal"):
        raise ConfigError(f"variance must be 'full' or 'diagonal', not {variance!r}")
    if report not in ("pool", "shown"):
        raise ConfigError(f"report must be 'pool' or 'shown', not {report!r}")
    return Apohf(
        check_number("decay", decay, 0, above=True),
        check_number("nu", nu, 0),
        check_whole("steps", steps, 1),
        check_whole("warm_start", warm_start, 0),
        check_widths("hidden", hidden),
        variance,
        report,
        check_whole("network_seed", network_seed, 0),
    )
