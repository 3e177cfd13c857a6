"""Utilities and the habits of the people who judge, from one fit.

    maximise over u and h   sum_m w_m ln P(vote_m | u, h)  -  u^T K^-1 u / 2  +  ln p(h)

The habits h are the offset of the left side, the tie parameter (``ln nu``, or ``c = ln theta``), two cut
points of strength, and the threshold of "both bad". All of these enter :class:`VerdictModel` so that the
objective is jointly concave in (u, h): its mode is unique, one Newton iteration finds it, and the Gaussian
with the curvature at the mode is the belief about utilities and habits together. The belief about utilities
therefore carries what is not known of the habits, and the evidence has the habits integrated out (Laplace's
method; Rasmussen and Williams, "Gaussian Processes for Machine Learning", section 3.4, with h as further
latent variables).

Weak proper priors keep everything finite with no votes, one vote, or nothing but ties:

    side     N(0, 0.5^2) log-odds         ln nu   N(-0.7, 1.5^2): 2 to 80 % of ties between equals
    c        Gamma(1.5, scale 0.8)        c_1, c_2   N(0.5, 1.5^2), N(1, 1.5^2)        threshold  N(-1, 1)

A lapse makes the likelihood neither concave nor its curvature positive: it is given, or chosen on a grid by
evidence under the prior exp(-e / 0.05), and negative curvature of single votes counts as none.

The work is done in the eigenvectors of the kernel among the candidates that votes touch: at most twice the
number of votes, at most N, and no more than the kernel's rank.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._laplace import Gaussian
from palate.choice._verdicts import Joint, Terms, TieKind, VerdictModel, Votes
from palate.errors import ConfigError, InputError
from palate.types import Array

__all__ = ["Parameter", "PeopleFit", "PeopleOptions", "fit_people", "fit_verdicts"]

STEP_TOLERANCE = 1e-9  # in prior standard deviations of the latent variables
_ROUGH = 1e-3  # Newton's error, and the evidence's, are then about its square
_HOPELESS = 10.0  # nats; what lies further below the best has no share in the answer
_STEPS = 200
_RANK = 1e-11  # eigenvalues below this share of the largest are rounding
_GAMMA_SHAPE, _GAMMA_SCALE = 1.5, 0.8
_LAPSES = np.array([0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4])
_LAPSE_SCALE = 0.05


class Parameter(NamedTuple):
    """An estimate and its standard error."""

    value: float
    std: float


@dataclass(frozen=True)
class PeopleOptions:
    """Which habits to learn.

    Args:
        ties: ``half``: ties are half a win; or the model that gives them a chance of their own.
        side: Whether to learn an offset of the left side.
        strength: Whether to listen to strength, and learn its cut points.
        bad: Whether both bad speaks of the level, with a threshold to learn; otherwise it is a tie.
        lapse: Chance that a vote is a coin toss, in [0, 1); ``None`` learns it.

    Raises:
        ConfigError: An option is out of its range.
    """

    ties: Literal["half", "davidson", "rao-kupper"] = "davidson"
    side: bool = True
    strength: bool = True
    bad: bool = False
    lapse: float | None = 0.0

    def __post_init__(self) -> None:
        if self.ties not in ("half", "davidson", "rao-kupper"):
            raise ConfigError(f"ties must be 'half', 'davidson' or 'rao-kupper', not {self.ties!r}")
        if self.lapse is not None and not 0.0 <= self.lapse < 1.0:
            raise ConfigError(f"lapse must be a chance in [0, 1), or None to learn it, not {self.lapse!r}")


class PeopleFit(NamedTuple):
    """Belief about utilities, and habits.

    Args:
        belief: About utilities, in log-odds, the habits' uncertainty included.
        model: The likelihood with the habits at their estimates.
        side: Offset of the left side in log-odds; ``None`` when it was not learnt, as with the others.
        tie: ``ln nu``, or ``ln theta``.
        cuts: Cut points of strength.
        bad: Threshold of both bad.
        lapse: Value of highest evidence, and the spread around it over the grid.
        log_evidence: Approximate log marginal likelihood in nats. That of ``half`` is of a cross entropy and
            cannot be compared with the others where there are ties.
    """

    belief: Gaussian
    model: VerdictModel
    side: Parameter | None
    tie: Parameter | None
    cuts: tuple[Parameter, Parameter] | None
    bad: Parameter | None
    lapse: Parameter | None
    log_evidence: float


class Latent(NamedTuple):
    """Utilities as ``u = F z + rest``, z ~ N(0, I), where the rest is independent of every vote."""

    factor_NR: Array
    touched_SR: Array
    left_M: NDArray[np.intp]
    right_M: NDArray[np.intp]

    def differences(self, z_R: Array) -> tuple[Array, Array]:
        """``u_left - u_right`` and ``(u_left + u_right) / 2`` of every vote."""
        utility_S = self.touched_SR @ z_R
        left_M, right_M = utility_S[self.left_M], utility_S[self.right_M]
        return left_M - right_M, 0.5 * (left_M + right_M)

    def pull_back(self, difference_M: Array, level_M: Array) -> Array:
        """Gradient in z of what has these slopes in the differences and in the levels."""
        size = len(self.touched_SR)
        slope_S = np.bincount(self.left_M, difference_M + 0.5 * level_M, size)
        slope_S += np.bincount(self.right_M, 0.5 * level_M - difference_M, size)
        return self.touched_SR.T @ slope_S

    def curvature(self, difference_M: Array, level_M: Array) -> Array:
        """Curvature in z of what has these curvatures in the differences and in the levels."""
        size = len(self.touched_SR)
        own_M, cross_M = difference_M + 0.25 * level_M, 0.25 * level_M - difference_M
        table_SS = np.bincount(self.left_M * size + self.right_M, cross_M, size * size).reshape(size, size)
        table_SS = table_SS + table_SS.T
        place_S = np.arange(size)
        table_SS[place_S, place_S] += np.bincount(self.left_M, own_M, size)
        table_SS[place_S, place_S] += np.bincount(self.right_M, own_M, size)
        return self.touched_SR.T @ (table_SS @ self.touched_SR)

    def belief(self, kernel_NN: Array, z_R: Array, covariance_RR: Array) -> Gaussian:
        """What a Gaussian belief about z says of the utilities."""
        gain_RR = np.eye(len(z_R)) - covariance_RR
        covariance_NN = kernel_NN - self.factor_NR @ gain_RR @ self.factor_NR.T
        return Gaussian(self.factor_NR @ z_R, 0.5 * (covariance_NN + covariance_NN.T))


def make_latent(kernel_NN: Array, votes: Votes) -> Latent:
    """Find the directions of the prior that votes can speak of.

    Raises:
        InputError: The kernel is no covariance, or votes name candidates that it lacks.
    """
    if kernel_NN.ndim != 2 or kernel_NN.shape[0] != kernel_NN.shape[1] or not np.isfinite(kernel_NN).all():
        raise InputError(f"the prior must be a square table of finite covariances, not {kernel_NN.shape}")
    ends_2M = np.concatenate([votes.first_M, votes.second_M])
    if ends_2M.max(initial=-1) >= len(kernel_NN):
        raise InputError(f"a vote names candidate {ends_2M.max()}; the prior has 0 … {len(kernel_NN) - 1}")
    touched_S, place_2M = np.unique(ends_2M, return_inverse=True)
    value_S, vector_SS = np.linalg.eigh(kernel_NN[np.ix_(touched_S, touched_S)])
    largest = float(value_S.max(initial=0.0))
    if value_S.min(initial=0.0) < -1e-6 * max(largest, 1e-300):
        raise InputError("the prior is not a covariance: it has a negative eigenvalue")
    kept_R = value_S > _RANK * largest
    root_R = np.sqrt(value_S[kept_R])
    vector_SR = vector_SS[:, kept_R]
    factor_NR = kernel_NN[:, touched_S] @ (vector_SR / root_R)
    left_M, right_M = place_2M.reshape(2, -1)
    return Latent(factor_NR, vector_SR * root_R, left_M, right_M)


class Place(NamedTuple):
    """Height of an objective, its gradient, and minus its Hessian (positive definite)."""

    height: float
    gradient_X: Array
    curvature_XX: Array


def climb(
    objective: Callable[[Array], Place], start_X: Array, tolerance: float = STEP_TOLERANCE
) -> tuple[Array, Place]:
    """Newton's method; each step is halved until it does not go down.

    Args:
        objective: What to maximise; a height of minus infinity marks what is not allowed.
        start_X: An allowed place.
        tolerance: A step with no entry larger than this is the last one.
    """
    at_X, here = start_X, objective(start_X)
    for _ in range(_STEPS if len(start_X) else 0):
        step_X = np.asarray(np.linalg.solve(here.curvature_XX, here.gradient_X), dtype=np.float64)
        length = 1.0
        there = objective(at_X + step_X)
        # At the top the objective is flat to the last digit; rounding must not refuse the last step.
        while not there.height >= here.height - 1e-12 * (1.0 + abs(here.height)) and length > 1e-9:
            length *= 0.5
            there = objective(at_X + length * step_X)
        if length <= 1e-9:
            break
        at_X, here = at_X + length * step_X, there
        if length * np.abs(step_X).max() < tolerance:
            break
    return at_X, here


def log_evidence(place: Place) -> float:
    """Laplace's approximation: half a log-determinant below the height at the mode."""
    return place.height - float(np.log(np.diag(np.linalg.cholesky(place.curvature_XX))).sum())


VoteTerms = Callable[[Array, Array], tuple[Terms, Terms]]


class VerdictFit(NamedTuple):
    """Mode and curvature in z, the belief about utilities, and the log evidence in nats."""

    z_R: Array
    covariance_RR: Array
    belief: Gaussian
    log_evidence: float


def fit_terms(
    kernel_NN: Array, latent: Latent, terms: VoteTerms, weight_M: Array, start_R: Array | None = None
) -> VerdictFit:
    """Learn utilities under any likelihood.

    Args:
        kernel_NN: Prior covariance of the utilities.
        latent: From :func:`make_latent` on it and the votes.
        terms: What votes say of differences and of levels.
        weight_M: How much each vote counts.
        start_R: Where to start; the prior's mean when left out.
    """

    def objective(z_R: Array) -> Place:
        difference_M, level_M = latent.differences(z_R)
        along, across = terms(difference_M, level_M)
        height = float(weight_M @ (along.log_likelihood_M + across.log_likelihood_M)) - 0.5 * float(z_R @ z_R)
        gradient_R = latent.pull_back(weight_M * along.slope_M, weight_M * across.slope_M) - z_R
        curvature_RR = latent.curvature(weight_M * along.curvature_M, weight_M * across.curvature_M)
        return Place(height, gradient_R, np.eye(len(z_R)) + curvature_RR)

    rank = latent.touched_SR.shape[1]
    z_R, place = climb(objective, np.zeros(rank) if start_R is None else start_R)
    covariance_RR = np.asarray(np.linalg.inv(place.curvature_XX), dtype=np.float64)
    return VerdictFit(z_R, covariance_RR, latent.belief(kernel_NN, z_R, covariance_RR), log_evidence(place))


def fit_verdicts(kernel_NN: Array, votes: Votes, model: VerdictModel) -> tuple[Gaussian, float]:
    """Learn utilities from votes of judges whose habits are known.

    Args:
        kernel_NN: Prior covariance of the utilities, in log-odds squared; centred, its belief has mean zero.
        votes: What was said, with weights.
        model: The habits.

    Returns:
        The belief, and the log evidence in nats.

    Raises:
        InputError: The kernel is no covariance, votes name candidates that it lacks, or there are ties that
            the model rules out.

    Example:
        >>> import numpy as np
        >>> votes = Votes(np.array([0]), np.array([1]), np.array([1.0]))
        >>> belief, _ = fit_verdicts(np.eye(2), votes, VerdictModel(tie=0.5))
        >>> bool(belief.mean_N[0] > 0 > belief.mean_N[1])
        True
    """
    latent = make_latent(kernel_NN, votes)

    def terms(difference_M: Array, level_M: Array) -> tuple[Terms, Terms]:
        return model.terms(difference_M, votes), model.level_terms(level_M, votes)

    fit = fit_terms(kernel_NN, latent, terms, votes.weight_M)
    return fit.belief, fit.log_evidence


@dataclass(frozen=True)
class _Habit:
    """One thing to learn: its column in :class:`Joint` (``None``: the level's threshold), and its prior."""

    name: str
    column: int | None
    centre: float
    std: float = 0.0  # zero marks the Gamma prior, the one on a positive number

    def log_prior(self, x: float) -> tuple[float, float, float]:
        """Value, slope and minus the curvature of the log-density, minus infinity where it is not allowed.

        Half of ln 2 pi is added, which Laplace's method needs for each habit.
        """
        if self.std > 0.0:
            gap = (x - self.centre) / self.std
            return -0.5 * gap * gap - float(np.log(self.std)), -gap / self.std, 1.0 / self.std**2
        if x <= 0.0:
            return -np.inf, 0.0, 1.0
        power = _GAMMA_SHAPE - 1.0
        constant = 0.5 * np.log(2.0 * np.pi) - _LOG_GAMMA - _GAMMA_SHAPE * np.log(_GAMMA_SCALE)
        value = power * np.log(x) - x / _GAMMA_SCALE + constant
        return float(value), power / x - 1.0 / _GAMMA_SCALE, power / x**2


_LOG_GAMMA = float(np.log(np.sqrt(np.pi) / 2.0))  # ln Gamma(3/2)


def _habits(options: PeopleOptions) -> list[_Habit]:
    found: list[_Habit] = []
    if options.side:
        found.append(_Habit("side", 0, 0.0, 0.5))
    if options.ties == "davidson":
        found.append(_Habit("tie", 1, -0.7, 1.5))
    elif options.ties == "rao-kupper":
        found.append(_Habit("tie", 1, (_GAMMA_SHAPE - 1.0) * _GAMMA_SCALE))
    if options.strength:
        found += [_Habit("clearly", 2, 0.5, 1.5), _Habit("much", 3, 1.0, 1.5)]
    if options.bad:
        found.append(_Habit("bad", None, -1.0, 1.0))
    return found


def _model(options: PeopleOptions, habits: list[_Habit], value_P: Array, lapse: float) -> VerdictModel:
    at = {habit.name: float(x) for habit, x in zip(habits, value_P, strict=True)}
    kind: TieKind = "rao-kupper" if options.ties == "rao-kupper" else "davidson"
    return VerdictModel(
        side=at.get("side", 0.0),
        tie=float(np.exp(at["tie"])) if "tie" in at else None,
        tie_kind=kind,
        cuts=(at["clearly"], at["much"]) if "clearly" in at else None,
        bad=at.get("bad"),
        lapse=lapse,
    )


@dataclass(frozen=True)
class _Task:
    """The objective in (z, h)."""

    votes: Votes
    latent: Latent
    options: PeopleOptions
    habits: list[_Habit]
    lapse: float

    def __call__(self, at_X: Array) -> Place:
        rank = self.latent.touched_SR.shape[1]
        z_R, habit_P = at_X[:rank], at_X[rank:]
        prior_P3 = np.array([h.log_prior(x) for h, x in zip(self.habits, habit_P, strict=True)]).reshape(
            -1, 3
        )
        if (
            not np.isfinite(prior_P3).all() or np.abs(habit_P).max(initial=0.0) > 300.0
        ):  # exp must not overflow
            return Place(-np.inf, at_X, np.eye(len(at_X)))
        model = _model(self.options, self.habits, habit_P, self.lapse)
        difference_M, level_M = self.latent.differences(z_R)
        joint = _weighted(model.joint(difference_M, self.votes), self.votes.weight_M, clip=self.lapse > 0.0)
        level = Terms(*(self.votes.weight_M * part for part in model.level_terms(level_M, self.votes)))
        height = float(joint.log_likelihood_M.sum() + level.log_likelihood_M.sum())
        height += float(prior_P3[:, 0].sum()) - 0.5 * float(z_R @ z_R)
        gradient_X, curvature_XX = self._derivatives(joint, level)
        gradient_X -= np.concatenate([z_R, -prior_P3[:, 1]])
        curvature_XX += np.diag(np.concatenate([np.ones(rank), prior_P3[:, 2]]))
        return Place(height, gradient_X, curvature_XX)

    def _derivatives(self, joint: Joint, level: Terms) -> tuple[Array, Array]:
        """Of the log-likelihood, in z and then in the habits."""
        latent, gradient_MQ, curvature_MQQ = self.latent, joint.gradient_MQ, joint.curvature_MQQ
        zero_M = np.zeros(len(gradient_MQ))
        columns = [h.column for h in self.habits]
        slope_P = [-level.slope_M.sum() if q is None else gradient_MQ[:, q].sum() for q in columns]
        own_RR = latent.curvature(curvature_MQQ[:, 0, 0], level.curvature_M)
        cross = [
            latent.pull_back(zero_M, -level.curvature_M)
            if q is None
            else latent.pull_back(curvature_MQQ[:, 0, q], zero_M)
            for q in columns
        ]
        cross_RP = np.array(cross).reshape(len(columns), len(own_RR)).T
        total_QQ = curvature_MQQ.sum(axis=0)
        habit_PP = np.zeros((len(columns), len(columns)))
        for p, q in np.ndindex(habit_PP.shape):
            row, column = columns[p], columns[q]
            if row is not None and column is not None:
                habit_PP[p, q] = total_QQ[row, column]
            elif row is column:
                habit_PP[p, q] = level.curvature_M.sum()
        gradient_X = np.concatenate([latent.pull_back(gradient_MQ[:, 0], level.slope_M), slope_P])
        return gradient_X, np.block([[own_RR, cross_RP], [cross_RP.T, habit_PP]])


def _weighted(joint: Joint, weight_M: Array, *, clip: bool) -> Joint:
    curvature_MQQ = joint.curvature_MQQ
    if clip:
        value_MQ, vector_MQQ = np.linalg.eigh(curvature_MQQ)
        curvature_MQQ = (vector_MQQ * np.maximum(value_MQ, 0.0)[:, None, :]) @ vector_MQQ.swapaxes(1, 2)
    return Joint(
        weight_M * joint.log_likelihood_M,
        weight_M[:, None] * joint.gradient_MQ,
        weight_M[:, None, None] * curvature_MQQ,
    )


def fit_people(kernel_NN: Array, votes: Votes, options: PeopleOptions | None = None) -> PeopleFit:
    """Learn utilities and the judges' habits together.

    Args:
        kernel_NN: Prior covariance of the utilities, ``(N, N)``, in log-odds squared; ``F @ F.T`` of a
            factor. Centre it over the candidates to get utilities of mean zero.
        votes: What was said; a weight counts a vote as that many.
        options: Which habits to learn.

    Returns:
        Belief, habits with standard errors, and the evidence.

    Raises:
        InputError: The kernel is no covariance, or votes name candidates that it lacks.

    Example:
        >>> import numpy as np
        >>> votes = Votes(np.zeros(8, int), np.ones(8, int), np.array([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0]))
        >>> fit = fit_people(np.eye(2), votes)
        >>> bool(fit.belief.mean_N[0] > 0), bool(fit.model.tie > 1)  # as many ties as decisions: nu near 2
        (True, True)
    """
    options = PeopleOptions() if options is None else options
    kernel_NN = np.asarray(kernel_NN, dtype=np.float64)
    latent = make_latent(kernel_NN, votes)
    habits = _habits(options)
    start_X = np.concatenate([np.zeros(latent.touched_SR.shape[1]), [h.centre for h in habits]])
    task = _Task(votes, latent, options, habits, options.lapse or 0.0)
    lapse = None
    if options.lapse is None:
        task, lapse, start_X = _choose_lapse(task, start_X)
    at_X, place = climb(task, start_X)
    return _result(kernel_NN, task, at_X, place, lapse)


def _choose_lapse(task: _Task, start_X: Array) -> tuple[_Task, Parameter, Array]:
    """The lapse of highest evidence, its spread over the grid, and the mode there."""
    log_weights: list[float] = []
    modes: list[Array] = []
    for lapse in _LAPSES.tolist():
        start_X, place = climb(replace(task, lapse=lapse), start_X, _ROUGH)
        log_weights.append(log_evidence(place) - lapse / _LAPSE_SCALE)
        modes.append(start_X)
        if log_weights[-1] < max(log_weights) - _HOPELESS:
            break
    log_weight_G = np.array(log_weights)
    lapse_G = _LAPSES[: len(log_weight_G)]
    best = int(log_weight_G.argmax())
    weight_G = np.exp(log_weight_G - log_weight_G[best]) * np.gradient(lapse_G)
    spread = float(np.sqrt(weight_G @ (lapse_G - lapse_G[best]) ** 2 / weight_G.sum()))
    chosen = float(lapse_G[best])
    return replace(task, lapse=chosen), Parameter(chosen, spread), modes[best]


def _result(kernel_NN: Array, task: _Task, at_X: Array, place: Place, lapse: Parameter | None) -> PeopleFit:
    rank = task.latent.touched_SR.shape[1]
    covariance_XX = np.asarray(np.linalg.inv(place.curvature_XX), dtype=np.float64)
    std_P = np.sqrt(np.maximum(np.diag(covariance_XX)[rank:], 0.0))
    found = {
        habit.name: Parameter(float(value), float(std))
        for habit, value, std in zip(task.habits, at_X[rank:], std_P, strict=True)
    }
    return PeopleFit(
        task.latent.belief(kernel_NN, at_X[:rank], covariance_XX[:rank, :rank]),
        _model(task.options, task.habits, at_X[rank:], task.lapse),
        found.get("side"),
        found.get("tie"),
        (found["clearly"], found["much"]) if "clearly" in found else None,
        found.get("bad"),
        lapse,
        log_evidence(place),
    )
