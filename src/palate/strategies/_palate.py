"""Palate's own strategy, the default: a Gaussian process over the candidates, believed by moments, and EUBO.

    u = s f,  f ~ GP(0, k)                               k: linear + stationary + own part, see _prior.py
    a vote of judge r is about a_r (u_left - u_right) + side,  side ~ N(0, 1/4)           see _habits.py
    beside people, a machine's is about v_r = rho_r u + sqrt(1 - rho_r^2) t_r in place of u    see _tastes.py
    p(ln s) = N(ln 2.5, 0.7^2) on a grid, weighed by the evidence; the fit is at its mean
    next pair = argmax E[max(u_i, u_j)] over the most promising candidates, deviations taken 2.4 times as wide
    report    = argmax E[u_i] over all

Source: Chu and Ghahramani 2005 (the model); Minka 2001 (expectation propagation); Lin et al. 2022 and
Astudillo et al. 2023 (EUBO). EUBO looks one vote ahead and takes its answer for certain; wider deviations in
the choice, not in the belief, make up for the votes that follow (measured, see docs/lab-log.md).

Moments, not the mode: with a consistent judge Laplace's approximation breaks down where it is needed most,
see docs/lab-log.md. Scale and habits are learnt anew after each of the first ten votes and then whenever the
votes have grown by a quarter; in between, a vote is taken in by one exact rank-one step (assumed-density
filtering), which costs the votes times the candidates and no more. Learning anew costs the cube of the votes
or of the utilities that they touch, whichever are fewer; from 32 votes on a thread does it, and it counts
when an eighth more votes have come (_beside.py). Responses that became known, which give the votes a prior of
their own (_answers.py), are taken in at the same checkpoints. The belief is nevertheless a function of what
was told alone: fitting from nothing starts at the last such checkpoint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.choice import (
    DirectPrior,
    Gaussian,
    LatentPrior,
    SitePrior,
    Sites,
    eubo,
    observe_pair,
    propagate,
    root_of,
    site_of,
    tilted_moments,
    variance_removed,
)
from palate.errors import ConfigError
from palate.strategies._answers import AnsweredPrior, Answers, answered_prior
from palate.strategies._beside import Beside
from palate.strategies._checks import check_number
from palate.strategies._habits import (
    SIDE_VARIANCE,
    Directions,
    Habits,
    capped,
    directions,
    improve,
    likelihood,
)
from palate.strategies._prior import Mixture, Prior, make_prior
from palate.strategies._protocol import History, Pair, Pool
from palate.strategies._stopping import HeldOut, held_out_loss
from palate.strategies._tastes import FIRST_ALIGNMENT, JudgedPrior, improve_alignments, machines_of
from palate.types import Array

__all__ = ["Palate", "palate", "palate_checkpoint"]

_AnyPrior: TypeAlias = Prior | AnsweredPrior | JudgedPrior

_EARLY = 10
_GROWTH = 1.25
_AT_ONCE = 32  # below so many votes, learning anew takes a few milliseconds
_DELAY = 8  # above, it counts after one more vote for each so many
_SHORTLIST = 96
_OPTIMISM = 2.0
_CHUNK = 1024  # columns of a large pool that are worked out at a time
_ROUNDS = 3
_ROUGH = 0.03
_GONE = 7.0  # nats below the best scale: less than a thousandth of its weight


def palate_checkpoint(votes: int) -> int:
    """The last number of votes after which everything was learnt anew and that counts after ``votes``."""
    last = min(votes, _EARLY)
    while last >= _EARLY and (further := _after(last)) + _delay(further) <= votes:
        last = further
    return last


def _after(checkpoint: int) -> int:
    """The next one."""
    return checkpoint + 1 if checkpoint < _EARLY else int(np.ceil(checkpoint * _GROWTH))


def _delay(checkpoint: int) -> int:
    """How many votes later what is learnt at a checkpoint counts."""
    return 0 if checkpoint < _AT_ONCE else checkpoint // _DELAY


class _Halves:
    """Rows h with ``posterior covariance = prior - h^T h``; fits that grow share the storage."""

    def __init__(self, room_RE: Array, used: int) -> None:
        self.array, self.used = room_RE, used

    def extended(self, used: int, row_E: Array) -> "_Halves":
        """With one more row after the first ``used``; in place if those are all there are."""
        kept = self
        if used != self.used or used == len(self.array):
            room_RE = np.empty((used + used // 2 + 16, len(row_E)))
            room_RE[:used] = self.array[:used]
            kept = _Halves(room_RE, used)
        kept.array[used] = row_E
        kept.used = used + 1
        return kept


@dataclass(frozen=True)
class Believed:
    """What one history says: a Gaussian over N utilities and the side offset.

    Args:
        history: The votes it rests on.
        prior: Of the utilities, for a scale of one.
        scale: Standard deviation of the utilities, in log-odds.
        habits: Of the judges.
        mean_E: Means of the utilities, of what votes on known responses are about, and of the side offset.
        variance_E: Their variances.
        halves: Rows that say what the votes tell; shared with the fits of more votes.
        known: How many of them there are.
        learnt: After how many of the votes everything was learnt anew.
        held_out: How well the votes up to that checkpoint are foretold by the others.
    """

    history: History = field(repr=False)
    prior: _AnyPrior = field(repr=False)
    scale: float
    habits: Habits
    mean_E: Array = field(repr=False)
    variance_E: Array = field(repr=False)
    halves: _Halves = field(repr=False)
    known: int = 0
    learnt: int = 0
    held_out: HeldOut | None = None

    @property
    def half_KE(self) -> Array:
        """The covariance is the prior's minus the Gram matrix of these rows."""
        return self.halves.array[: self.known]

    @property
    def mean_N(self) -> Array:
        """Means in log-odds, zero on average over the candidates."""
        mean_N = self.mean_E[: self.prior.candidates]
        return mean_N - mean_N.mean()

    @property
    def variance_N(self) -> Array:
        """Variance of each utility."""
        return self.variance_E[: self.prior.candidates]

    @property
    def side(self) -> tuple[float, float]:
        """Mean and standard deviation of the side offset, in log-odds; above 0 the left is favoured."""
        return float(self.mean_E[-1]), float(np.sqrt(self.variance_E[-1]))

    def among(self, rows_S: NDArray[np.int64]) -> Gaussian:
        """The joint belief about some of them."""
        return Gaussian(self.mean_N[rows_S], self._covariance(rows_S))

    def told_by(self, i: int, j: int, answer_2X: NDArray[np.int64]) -> Array:
        """How much a vote between two known responses is expected to tell about their candidates.

        Args:
            i: One candidate.
            j: The other.
            answer_2X: Places of their responses to X inputs, -1 where unknown.

        Returns:
            ``(X,)`` expected fall of the variance of ``u_i - u_j``; NaN where a response is unknown.
        """
        value_X = np.full(answer_2X.shape[1], np.nan)
        place_2X = np.stack([self.prior.places(np.full_like(a, -1), a) for a in answer_2X])
        known_X = (place_2X >= 0).all(axis=0)
        rows_S = np.concatenate([np.array([i, j]), place_2X[:, known_X].ravel()])
        covariance_SS = self._covariance(rows_S)
        contrast_SS = covariance_SS[0] - covariance_SS[1]
        first_K, second_K = np.arange(2, len(rows_S)).reshape(2, -1)
        with_K = contrast_SS[first_K] - contrast_SS[second_K]
        variance_K = np.diag(covariance_SS)[first_K] + np.diag(covariance_SS)[second_K]
        variance_K = np.maximum(variance_K - 2.0 * covariance_SS[first_K, second_K], 1e-12)
        mean_K = self.mean_E[rows_S[first_K]] - self.mean_E[rows_S[second_K]]
        removed_K = [variance_removed(m, v) for m, v in zip(mean_K, variance_K, strict=True)]
        value_X[known_X] = np.array(removed_K) * (with_K / variance_K) ** 2
        return value_X

    def _covariance(self, rows_S: NDArray[np.int64]) -> Array:
        half_KS = self.half_KE[:, rows_S]
        return self.scale**2 * self.prior.between(rows_S, rows_S) - half_KS.T @ half_KS


@dataclass(frozen=True)
class _Prepared:
    prior: _AnyPrior
    kept: dict[int, Believed] = field(default_factory=dict[int, Believed])
    beside: Beside[Believed] = field(default_factory=Beside[Believed])


@dataclass(frozen=True)
class Palate:
    """Options of the strategy; see :func:`palate`."""

    mixture: Mixture
    scales: tuple[float, ...]
    centre: float
    spread: float
    curiosity: float

    @property
    def calibrated(self) -> bool:
        """A Bayesian posterior."""
        return True

    def prepare(self, feature_ND: Array) -> _Prepared:
        """The prior, and room to remember the newest fits, which spares work and changes nothing."""
        return _Prepared(make_prior(feature_ND, self.mixture))

    def prepare_answers(self, feature_ND: Array, answers: Answers) -> _Prepared:
        """The same with what is known of the candidates' responses."""
        return _Prepared(answered_prior(make_prior(feature_ND, self.mixture), answers))

    def answers_since(self, votes: int) -> int:
        """The number of votes after which known responses were last taken in."""
        return palate_checkpoint(votes)

    def fit(self, prepared: _Prepared, history: History) -> Believed:
        """Go on from the newest fit of the same votes since the last checkpoint, or start there."""
        votes, checkpoint = len(history), palate_checkpoint(len(history))
        kept, beside = prepared.kept, prepared.beside

        def learn(past: History) -> Believed:
            return self._learn(prepared.prior, past)

        known = [
            k for k, fit in kept.items()
            if fit.learnt == checkpoint and k <= votes and fit.history.same_as(history.until(k))
        ]  # fmt: skip
        now = kept[max(known)] if known else beside.claim(checkpoint, history)
        now = _go_on(now or learn(history.until(checkpoint)), history)
        kept[votes] = now
        for old in sorted(kept)[:-2]:
            del kept[old]
        if _after(checkpoint) <= votes:
            beside.follow(_after(checkpoint), history, learn, _go_on)
        return now

    def _learn(self, prior: _AnyPrior, history: History) -> Believed:
        """Scale, habits and machines' tastes from the votes, and the belief under them."""
        habits = Habits()
        if _learns_habits(history):
            habits = capped(history, habits)
            machine_J = machines_of(history)
            if machine_J.max() >= 0 and not isinstance(prior, JudgedPrior):
                prior = JudgedPrior(prior, machine_J, np.full(machine_J.max() + 1, FIRST_ALIGNMENT))
        scale, sites = self._scale(prior, history, habits)
        if len(history) and _learns_habits(history):
            for _ in range(_ROUNDS):
                habits = _improved(prior, scale, history, habits, sites)
                if isinstance(prior, JudgedPrior):
                    prior = _aligned(prior, scale, history, habits, sites)
            scale, sites = self._scale(prior, history, habits)
        return _believe(prior, scale, history, habits, sites)

    def _scale(self, prior: _AnyPrior, history: History, habits: Habits) -> tuple[float, Sites | None]:
        """The scale's posterior mean, in logarithms, and sites near those of its fit.

        Scales are tried upwards and downwards from the prior's centre until they have become impossible.
        """
        if not len(history):
            return self.centre, None
        about = _about(prior, history, habits)
        said = likelihood(history, habits)
        log_T = np.log(np.array(self.scales))
        away_T = (log_T - np.log(self.centre)) / self.spread
        value_T = np.full(len(log_T), -np.inf)
        middle = int(np.abs(away_T).argmin())
        found: dict[int, Sites] = {}
        for step in (1, -1):
            sites, place = found.get(middle), middle + (step if found else 0)
            while 0 <= place < len(log_T) and (
                place == middle or value_T[place - step] > value_T.max() - _GONE
            ):
                fit = propagate(about.prior(self.scales[place]), said, sites, tolerance=_ROUGH)
                found[place] = sites = fit.sites
                value_T[place] = fit.log_evidence - 0.5 * away_T[place] ** 2
                place += step
        weight_T = np.exp(value_T - value_T.max())
        return float(np.exp(weight_T @ log_T / weight_T.sum())), found[int(value_T.argmax())]

    def told_by(self, fitted: Believed, i: int, j: int, answer_2X: NDArray[np.int64]) -> Array:
        """See :meth:`Believed.told_by`."""
        return fitted.told_by(i, j, answer_2X)

    def choose(self, fitted: Believed, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """The promising pair of largest EUBO once open questions are answered; the likelier winner first."""
        rows_S = _promising(fitted, pool)
        place = {int(row): k for k, row in enumerate(rows_S)}
        mean_S, covariance_SS = fitted.among(rows_S)
        open_pairs = [(place[i], place[j]) for i, j in pool.open_pairs if i in place and j in place]
        for i, j in open_pairs:
            covariance_SS = observe_pair(mean_S, covariance_SS, i, j)
        free_SS = np.triu(pool.live_N[rows_S][:, None] & pool.live_N[rows_S][None, :], k=1)
        everything_SS = free_SS.copy()
        for i, j in open_pairs:
            free_SS[min(i, j), max(i, j)] = False
        free_SS = free_SS if free_SS.any() else everything_SS
        value_SS = np.where(free_SS, eubo(mean_S, self.curiosity * covariance_SS), -np.inf)
        i, j = divmod(int(value_SS.argmax()), len(rows_S))
        i, j = (i, j) if mean_S[i] >= mean_S[j] else (j, i)
        return int(rows_S[i]), int(rows_S[j])

    def report(self, history: History, fitted: Callable[[History], Believed], pool: Pool) -> int:
        """The largest posterior mean of the whole pool, shown or not."""
        return pool.best(fitted(history).mean_N)

    def belief(self, fitted: Believed) -> Believed:
        """The posterior's moments."""
        return fitted


def _improved(
    prior: _AnyPrior, scale: float, history: History, habits: Habits, start: Sites | None
) -> Habits:
    about = _about(prior, history, habits)
    fit = propagate(about.prior(scale), likelihood(history, habits), start, tolerance=_ROUGH)
    offset = SIDE_VARIANCE * float(about.site.side_S @ fit.dual_S)
    return improve(history, habits, fit, offset)


def _aligned(
    prior: JudgedPrior, scale: float, history: History, habits: Habits, start: Sites | None
) -> JudgedPrior:
    def evidence(trial: JudgedPrior) -> float:
        own = _about(trial, history, habits).prior(scale)
        return propagate(own, likelihood(history, habits), start, tolerance=_ROUGH).log_evidence

    return improve_alignments(prior, evidence)


def _learns_habits(history: History) -> bool:
    return bool(
        (history.outcome_M == 0.5).any() or history.strength_M.any() or history.judge_M.max(initial=0) > 0
    )


def _promising(fitted: Believed, pool: Pool) -> NDArray[np.int64]:
    """Live candidates of the highest means plus two standard deviations, and those in open pairs."""
    if len(pool) <= _SHORTLIST:
        return np.arange(len(pool))
    upper_N = fitted.mean_N + _OPTIMISM * np.sqrt(fitted.variance_N)
    upper_N = np.where(pool.live_N, upper_N, -np.inf)
    chosen_N = np.zeros(len(pool), dtype=np.bool_)
    chosen_N[np.argpartition(-upper_N, _SHORTLIST)[:_SHORTLIST]] = True
    chosen_N[[row for pair in pool.open_pairs for row in pair]] = True
    return np.flatnonzero(chosen_N)


def _cross(prior: _AnyPrior, scale: float, site: Directions, columns: slice) -> Array:
    """Prior covariance of the sites with some of all utilities and the side offset, which is the last."""
    chosen_C = np.arange(len(prior) + 1)[columns]
    utility_C = chosen_C[chosen_C < len(prior)]
    cross_SC = np.empty((len(site.first_S), len(chosen_C)))
    cross_SU = cross_SC[:, : len(utility_C)]
    np.multiply((scale**2 * site.left_S)[:, None], prior.between(site.first_S, utility_C), out=cross_SU)
    cross_SU += (scale**2 * site.right_S)[:, None] * prior.between(site.second_S, utility_C)
    cross_SC[:, len(utility_C) :] = SIDE_VARIANCE * site.side_S[:, None]
    return cross_SC


def _placed(prior: _AnyPrior, history: History) -> History:
    """The votes with what each is about, a response or a candidate, in place of the candidates."""
    first_M = prior.places(history.first_M, history.first_answer_M)
    second_M = prior.places(history.second_M, history.second_answer_M)
    if isinstance(prior, JudgedPrior):
        first_M, second_M = (prior.valued_by(place_M, history.judge_M) for place_M in (first_M, second_M))
    return replace(history, first_M=first_M, second_M=second_M)


def _among_sites(cross_SE: Array, site: Directions) -> Array:
    """Columns of ``cross`` combined as the sites combine the utilities and the offset: ``(S, T)``."""
    return (
        cross_SE[:, site.first_S] * site.left_S
        + cross_SE[:, site.second_S] * site.right_S
        + cross_SE[:, -1:] * site.side_S
    )


@dataclass(frozen=True)
class _About:
    """What votes are about: the directions of their sites among the utilities that they touch and the offset.

    Args:
        site: Of each vote, in rows of the prior.
        seen_U: Those rows.
        place_2S: Where each site's two are among them.
        table_UU: Their covariance for a scale of one.
    """

    site: Directions
    seen_U: NDArray[np.int64]
    place_2S: NDArray[np.int64]
    table_UU: Array

    @cached_property
    def _root_LR(self) -> Array:
        """A square root of that and, in its last row, of the offset's variance."""
        root_UR = root_of(self.table_UU)
        size, rank = root_UR.shape
        root_LR = np.zeros((size + 1, rank + 1))
        root_LR[:size, :rank] = root_UR
        root_LR[size, rank] = np.sqrt(SIDE_VARIANCE)
        return root_LR

    @property
    def latent(self) -> bool:
        """Whether there are fewer utilities than votes."""
        return len(self.seen_U) + 1 < len(self.site.first_S)

    def prior(self, scale: float) -> SitePrior:
        """Of the sites' values."""
        return self._latent(scale) if self.latent else DirectPrior(self._direct(scale))

    def cross(self, prior: _AnyPrior, scale: float, columns: slice) -> Array:
        """Prior covariance of what :meth:`prior` has a row for with some of all utilities and the offset."""
        if not self.latent:
            return _cross(prior, scale, self.site, columns)
        one_U, none_U = np.ones(len(self.seen_U)), np.zeros(len(self.seen_U))
        alone = Directions(self.seen_U, self.seen_U, one_U, none_U, none_U)
        offset_E = np.append(np.zeros(len(prior)), SIDE_VARIANCE)
        return np.concatenate([_cross(prior, scale, alone, columns), offset_E[None, columns]])

    def _latent(self, scale: float) -> LatentPrior:
        size, site = len(self.seen_U), self.site
        kernel_LL = np.zeros((size + 1, size + 1))
        kernel_LL[:size, :size] = scale**2 * self.table_UU
        kernel_LL[size, size] = SIDE_VARIANCE
        place_S3 = np.stack([*self.place_2S, np.full(len(site.first_S), size)], axis=1)
        root_LR = self._root_LR.copy()
        root_LR[:size] *= scale
        weight_S3 = np.stack([site.left_S, site.right_S, site.side_S], axis=1)
        return LatentPrior(place_S3, weight_S3, kernel_LL, root_LR)

    def _direct(self, scale: float) -> Array:
        site, table_UU = self.site, scale**2 * self.table_UU
        first_S, second_S = self.place_2S
        row_SU = site.left_S[:, None] * table_UU[first_S] + site.right_S[:, None] * table_UU[second_S]
        kernel_SS = row_SU[:, first_S] * site.left_S + row_SU[:, second_S] * site.right_S
        return kernel_SS + SIDE_VARIANCE * site.side_S[:, None] * site.side_S[None, :]


def _about(prior: _AnyPrior, history: History, habits: Habits) -> _About:
    site = directions(_placed(prior, history), habits)
    seen_U, place_2S = np.unique(np.stack([site.first_S, site.second_S]), return_inverse=True)
    return _About(site, seen_U, place_2S.reshape(2, -1), prior.between(seen_U, seen_U))


def _believe(
    prior: _AnyPrior, scale: float, history: History, habits: Habits, start: Sites | None
) -> Believed:
    about = _about(prior, history, habits)
    own = about.prior(scale)
    fit = propagate(own, likelihood(history, habits), start)
    pushed_X, halves, size = own.pushed(fit.dual_S), own.halving(fit.sites), len(prior) + 1
    mean_E, room_RE, known = np.empty(size), np.empty((0, size)), 0
    for left in range(0, size, _CHUNK):
        columns = slice(left, left + _CHUNK)
        cross_XC = about.cross(prior, scale, columns)
        mean_E[columns] = pushed_X @ cross_XC
        half_KC = halves(cross_XC)
        if left == 0:
            known = len(half_KC)
            room_RE = np.empty((known + known // 2 + 16, size))
        room_RE[:known, columns] = half_KC
    half_KE = room_RE[:known]
    variance_E = np.append(scale**2 * prior.variance_N, SIDE_VARIANCE)
    variance_E = np.maximum(variance_E - np.einsum("ke,ke->e", half_KE, half_KE), 0.0)
    loss_S = -fit.log_predictive_S[history.outcome_M != 0.5]
    held_out = held_out_loss(loss_S) if len(loss_S) else None
    rows = _Halves(room_RE, known)
    return Believed(history, prior, scale, habits, mean_E, variance_E, rows, known, len(history), held_out)


def _go_on(now: Believed, history: History) -> Believed:
    """The votes that are not in it yet, one after the other."""
    for votes in range(len(now.history), len(history)):
        now = _take_in(now, history.until(votes + 1))
    return now


def _take_in(now: Believed, history: History) -> Believed:
    """One more vote, by the moments that it gives to its own site."""
    last = history.part(slice(-1, None))
    site = directions(_placed(now.prior, last), now.habits)
    half_KE, along_1E = now.half_KE, _cross(now.prior, now.scale, site, slice(None))
    along_E = along_1E[0] - _among_sites(half_KE, site)[:, 0] @ half_KE
    variance_1 = np.maximum(_among_sites(along_E[None, :], site)[:, 0], 1e-12)
    mean_1 = _among_sites(now.mean_E[None, :], site)[:, 0]
    moments = tilted_moments(mean_1, variance_1, likelihood(last, now.habits))
    precision = float(site_of(mean_1, variance_1, moments).precision_S[0])
    gain = float((moments.mean_S[0] - mean_1[0]) / variance_1[0])
    row_E = along_E * np.sqrt(precision / (1.0 + precision * float(variance_1[0])))
    return replace(
        now,
        history=history,
        mean_E=now.mean_E + gain * along_E,
        variance_E=np.maximum(now.variance_E - row_E**2, 0.0),
        halves=now.halves.extended(now.known, row_E),
        known=now.known + 1,
    )


def palate(
    *,
    linear: float = 0.25,
    smooth: float = 0.6,
    own: float = 0.15,
    length: float = 0.7,
    scales: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    centre: float = 2.5,
    spread: float = 0.7,
    curiosity: float = 6.0,
) -> Palate:
    """Make the default strategy. None of its constants needs turning; they are arguments for experiments.

    Args:
        linear: Share of the prior variance that is linear in the features, ≥ 0.
        smooth: Share that is a smooth function of the features, ≥ 0.
        own: Share that each candidate has for itself, > 0.
        length: Length scale of the smooth part in median distances of the pool, > 0.
        scales: Standard deviations of the utilities to weigh, in log-odds, > 0, ascending.
        centre: Prior centre of that scale, in log-odds, > 0.
        spread: Prior standard deviation of its logarithm, > 0.
        curiosity: Factor on the variances in the choice of the next pair, > 0; 1 is plain EUBO.

    Returns:
        The strategy.

    Raises:
        ConfigError: An option is out of its range.

    Example:
        >>> import numpy as np
        >>> from palate.strategies import duel_bandit
        >>> bandit = duel_bandit("palate", np.eye(3), seed=0)
        >>> i, j = bandit.ask()
        >>> bandit.tell(i, j, "left")
        >>> bandit.best() == i
        True
    """
    if not scales or not all(np.isfinite(s) and s > 0 for s in scales):
        raise ConfigError(f"scales must be positive numbers, not {scales!r}; try (0.5, 1, 2, 4, 8, 16)")
    if not (np.isfinite(linear + smooth) and min(linear, smooth) >= 0):
        raise ConfigError(f"linear and smooth must be at least 0, not {linear!r} and {smooth!r}")
    return Palate(
        Mixture(
            float(linear),
            float(smooth),
            check_number("own", own, 0, above=True),
            check_number("length", length, 0, above=True),
        ),
        tuple(float(s) for s in scales),
        check_number("centre", centre, 0, above=True),
        check_number("spread", spread, 0, above=True),
        check_number("curiosity", curiosity, 0, above=True),
    )
