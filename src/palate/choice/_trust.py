"""One model of everybody who votes: people who are mostly alike, and machines whose word has to be earned.

    u ~ N(0, s^2 K)                                       what people like
    v_r = rho_r u + sqrt(1 - rho_r^2) t_r,  t_r ~ N(0, s^2 K)     what judge r likes
    log-odds of r's vote for the left = a_r (v_left - v_right) + side_r + bias_r · x

The prior of (a_r, rho_r) is that of ``_hypotheses.py``: people are centred at one and alike, and so fix what
u means and its scale; a machine may be sharper or duller, and has a taste of its own. However many votes it
casts, they tell v_r, and of u no more than rho_r lets through: a thousand votes of a machine cannot outvote
people where it disagrees systematically. A tie is half a win for each, and so is both bad.

Fitted judge by judge. Given the belief N(m, S) about u without r's votes, each hypothesis h = (a, rho) has

    p(votes_r | h)  by Laplace's method over (a v_r, side_r, bias_r), of prior mean a rho m and covariance
                    a^2 (rho^2 S + (1 - rho^2) s^2 K)
    message_h(u)    exp(pull_h · u - u^T precision_h u / 2), t_r, side_r and bias_r integrated out

and r's message is the average of the natural parameters under p(h | votes_r), which is the mean-field update
of u and proper whatever the weights. People come first, machines after them, until nobody's weight moves.
``s`` follows from the belief by EM, under an inverse-gamma prior of five observations of 1.5.

Sources: the mixture over sorts of rater is that of MACE (Hovy et al. 2013) and of Dawid and Skene 1979, on
comparisons as in crowd-BT (Chen et al. 2013); the judge as a rater with bias towards people's votes, arXiv
2411.04424; Rasmussen and Williams, "Gaussian Processes for Machine Learning", section 3.4.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._hypotheses import COIN, CONTRARY, OWN_AIM, Hypotheses, hypotheses_of
from palate.choice._influence import Concert, capped_weights, concert_weights, concerted
from palate.choice._laplace import Gaussian
from palate.choice._numeric import log_sigmoid, sigmoid
from palate.choice._verdicts import Votes
from palate.choice._worth import Duels, Message, Worth, unknown_worth, worth_of
from palate.errors import InputError
from palate.types import Array

__all__ = ["JudgeFit", "TrustFit", "fit_trust"]

Rows = NDArray[np.int64]

_SCALE, _SCALE_VOTES = 1.5, 5.0
_BIAS_STD = 0.5  # log-odds for a usual difference of a feature
_SWEEPS = 25
_ROUNDS = 3  # of finding who votes in concert
_TOLERANCE = 0.005  # of the hypotheses' probabilities
_STEPS, _HALVINGS = 40, 30
_STEP = 1e-3  # log-odds; Newton's error is then about its square


@dataclass(frozen=True)
class JudgeFit:
    """What is believed of one judge.

    Args:
        votes: How many it cast.
        counted: What they count after the cap on one rater's influence.
        slope: Mean and 95 % interval of a.
        alignment: Mean and 95 % interval of rho; 0 where it tosses a coin.
        side: Mean and standard deviation of the left side's offset, in log-odds.
        bias_F: Means of the features' coefficients, in log-odds.
        bias_std_F: Their standard deviations.
        coin: Probability that it says nothing: a coin, or one and the same side.
        other: Probability that it votes for something else than the others.
        contrary: Probability that it means the opposite.
        influence: Share of all information about people's utilities that comes from it, in [0, 1].
        winner_without: Row of the candidate that leads without its votes.
        worth: How many human votes one vote of it is worth.
    """

    votes: int
    counted: float
    slope: tuple[float, float, float]
    alignment: tuple[float, float, float]
    side: tuple[float, float]
    bias_F: Array
    bias_std_F: Array
    coin: float
    other: float
    contrary: float
    influence: float
    winner_without: int
    worth: Worth


class TrustFit(NamedTuple):
    """What people like, and every judge in the order of its number.

    Args:
        belief: About people's utilities, in log-odds.
        scale: Their prior standard deviation.
        judges: Everybody.
        sweeps: Over the judges.
        without_JN: Mean utilities without each judge's votes.
        precision_JNN: What each judge's votes say of the utilities, in natural parameters.
        pull_JN: Likewise.
        concerts: People who vote in concert.
    """

    belief: Gaussian
    scale: float
    judges: tuple[JudgeFit, ...]
    sweeps: int
    without_JN: Array
    precision_JNN: Array
    pull_JN: Array
    concerts: tuple[Concert, ...]

    @property
    def winner(self) -> int:
        """Row of the candidate of the highest mean."""
        return int(self.belief.mean_N.argmax())


class _Judge(NamedTuple):
    """One judge's votes as a regression on its latent variables: utilities touched, side, features.

    Equal questions are one row: ``won_M`` and ``lost_M`` say what the left and the right one got there.
    """

    votes: int
    touched_T: Rows
    design_MP: Array
    won_M: Array
    lost_M: Array
    sorts: Hypotheses

    @property
    def weight_M(self) -> Array:
        """What the votes on each row count."""
        return self.won_M + self.lost_M


class _Modes(NamedTuple):
    """Of each hypothesis: the mode, its natural parameters, the prior's covariance, and the log evidence."""

    at_HP: Array
    precision_HPP: Array
    pull_HP: Array
    prior_HPP: Array
    log_evidence_H: Array

    @property
    def variance_HP(self) -> Array:
        """The posterior's; few who ask for the mode want to know."""
        system_HPP = np.eye(self.at_HP.shape[1]) + self.precision_HPP @ self.prior_HPP
        return np.einsum("hpq,hqp->hp", self.prior_HPP, np.linalg.inv(system_HPP))


def fit_trust(
    kernel_NN: Array,
    votes: Votes,
    machine_J: NDArray[np.bool_],
    *,
    feature_MF: Array | None = None,
    cap: bool = True,
) -> TrustFit:
    """Learn what people like, and how far each judge can be taken at its word.

    Args:
        kernel_NN: Prior covariance of the utilities up to its scale, which is learnt; about one on the
            diagonal. Without features of the candidates, the identity.
        votes: What was said, and by whom; strengths are not listened to.
        machine_J: Which judges are machines; one entry for each number in ``votes.judge_M``.
        feature_MF: What differs between left and right besides the candidates, length for instance, on a
            scale on which 1 is a usual difference.
        cap: Whether to clip one rater's total weight, see :func:`palate.choice.capped_weights`, and to let
            people who vote in concert count together as one.

    Returns:
        The belief and the judges. No worth is claimed without votes of people.

    Raises:
        InputError: Shapes that do not fit, or candidates that the kernel lacks.

    Example:
        >>> import numpy as np
        >>> left, right = np.zeros(40, int), np.ones(40, int)
        >>> said = np.array([1.0] * 20 + [1.0, 0.0] * 10)  # a person is sure, a machine tosses a coin
        >>> votes = Votes(left, right, said, judge_M=np.repeat([0, 1], 20))
        >>> fit = fit_trust(np.eye(2), votes, np.array([False, True]))
        >>> bool(fit.judges[1].worth.value < fit.judges[0].worth.value)
        True
    """
    kernel_NN = np.asarray(kernel_NN, dtype=np.float64)
    machine_J = np.asarray(machine_J, dtype=np.bool_)
    extra_MF = np.zeros((len(votes), 0)) if feature_MF is None else np.asarray(feature_MF, dtype=np.float64)
    _check(kernel_NN, votes, machine_J, extra_MF)
    factor_J = capped_weights(votes.judge_M, ~machine_J) if cap else np.ones(len(machine_J))
    concerts: tuple[Concert, ...] = ()
    rounds = 0
    while True:
        rounds += 1
        weight_J = np.minimum(factor_J, concert_weights(votes.judge_M, ~machine_J, concerts) if cap else 1.0)
        judges = [_judge(votes, j, extra_MF, weight_J[j], bool(machine_J[j])) for j in range(len(machine_J))]
        state = _settled(kernel_NN, judges, machine_J)
        # What the others leave unexplained is only known once those in concert no longer have a say in it.
        found = _concerts(votes, state, kernel_NN, machine_J)
        if [group.raters for group in found] == [group.raters for group in concerts] or rounds == _ROUNDS:
            break
        concerts = found
    return _result(state, kernel_NN, judges, machine_J, concerts)


class _State(NamedTuple):
    """Messages and hypotheses' probabilities by judge, once nobody's weight moves any more."""

    scale: float
    message_J: dict[int, tuple[Array, Array]]
    share_J: dict[int, Array]
    modes_J: dict[int, _Modes]
    sweeps: int


def _settled(kernel_NN: Array, judges: list[_Judge], machine_J: NDArray[np.bool_]) -> _State:
    """Go over the judges, people first, until nobody's weight moves."""
    order = [int(j) for j in np.argsort(machine_J, kind="stable") if judges[j].votes]
    inverse_NN, rank = _pseudo_inverse(kernel_NN)
    size = len(kernel_NN)
    message_J = {j: (np.zeros((size, size)), np.zeros(size)) for j in order}
    share_J: dict[int, Array] = {}
    modes_J: dict[int, _Modes] = {}
    scale, sweeps, moved = _SCALE, 0, np.inf
    while sweeps < _SWEEPS and moved > _TOLERANCE:
        sweeps, moved = sweeps + 1, 0.0
        prior_NN = scale**2 * kernel_NN
        total = _sum(message_J, size)
        for j in order:
            without = (total[0] - message_J[j][0], total[1] - message_J[j][1])
            judge = judges[j]
            modes = modes_J[j] = _modes(judge, _belief(prior_NN, *without), prior_NN, modes_J.get(j))
            # Nobody is judged by those who happen to come first: all are heard once before.
            heard_H = modes.log_evidence_H if sweeps > 1 else np.zeros(len(judge.sorts))
            share_H = _shares(heard_H + judge.sorts.log_prior_H)
            message_J[j] = _spread(judge, _messages(judge, modes, prior_NN), share_H, size)
            moved = max(moved, float(np.abs(share_H - share_J.get(j, np.zeros(1))).max()))
            share_J[j] = share_H
            total = (without[0] + message_J[j][0], without[1] + message_J[j][1])
        belief = _belief(prior_NN, *total)
        second = float((inverse_NN * (belief.covariance_NN + np.outer(belief.mean_N, belief.mean_N))).sum())
        updated = float(np.sqrt((_SCALE_VOTES * _SCALE**2 + second) / (_SCALE_VOTES + rank)))
        moved = max(moved, abs(np.log(updated / scale)) if sweeps < _SWEEPS else 0.0)
        scale = updated
    return _State(scale, message_J, share_J, modes_J, sweeps)


def _concerts(
    votes: Votes, state: _State, kernel_NN: Array, machine_J: NDArray[np.bool_]
) -> tuple[Concert, ...]:
    """People who vote in concert, as far as the belief without each of them tells."""
    if len(machine_J) < 2:
        return ()
    covariance_NN = _belief(state.scale**2 * kernel_NN, *_sum(state.message_J, len(kernel_NN))).covariance_NN
    found = concerted(votes, _without(state, kernel_NN, len(machine_J)), covariance_NN)
    return tuple(group for group in found if not machine_J[list(group.raters)].any())


def _without(state: _State, kernel_NN: Array, judges: int) -> Array:
    """Mean utilities without each judge's votes; with all votes for judges that cast none."""
    prior_NN, total = state.scale**2 * kernel_NN, _sum(state.message_J, len(kernel_NN))
    mean_JN = np.tile(_belief(prior_NN, *total).mean_N, (judges, 1))
    for j, (precision_NN, pull_N) in state.message_J.items():
        mean_JN[j] = _belief(prior_NN, total[0] - precision_NN, total[1] - pull_N).mean_N
    return mean_JN


def _check(kernel_NN: Array, votes: Votes, machine_J: NDArray[np.bool_], extra_MF: Array) -> None:
    if kernel_NN.ndim != 2 or kernel_NN.shape[0] != kernel_NN.shape[1] or not np.isfinite(kernel_NN).all():
        raise InputError(f"the prior must be a square table of finite covariances, not {kernel_NN.shape}")
    highest = int(max(votes.first_M.max(initial=-1), votes.second_M.max(initial=-1)))
    if highest >= len(kernel_NN):
        raise InputError(f"a vote names candidate {highest}; the prior has 0 … {len(kernel_NN) - 1}")
    if int(votes.judge_M.max(initial=-1)) >= len(machine_J):
        raise InputError(
            f"votes name judge {int(votes.judge_M.max())}, and machine_J has one entry for each of "
            f"{len(machine_J)} judges, numbered from 0"
        )
    if extra_MF.ndim != 2 or len(extra_MF) != len(votes) or not np.isfinite(extra_MF).all():
        raise InputError(
            f"features must be one finite row for each of {len(votes)} votes, not {extra_MF.shape}"
        )


def _judge(votes: Votes, j: int, extra_MF: Array, factor: float, machine: bool) -> _Judge:
    mine = votes.judge_M == j
    ends_2M = np.stack([votes.first_M[mine], votes.second_M[mine]])
    touched_T, place_2M = np.unique(ends_2M, return_inverse=True)
    asked_MX = np.concatenate([place_2M.reshape(2, -1).T, extra_MF[mine]], axis=1)
    question_UX, row_M = np.unique(asked_MX, axis=0, return_inverse=True)
    first_U, second_U = question_UX[:, :2].T.astype(np.int64)
    rows = np.arange(len(question_UX))
    design_UP = np.zeros((len(rows), len(touched_T) + 1 + extra_MF.shape[1]))
    design_UP[rows, first_U] = 1.0
    design_UP[rows, second_U] = -1.0
    design_UP[:, len(touched_T)] = 1.0
    design_UP[:, len(touched_T) + 1 :] = question_UX[:, 2:]
    weight_M, outcome_M = factor * votes.weight_M[mine], votes.outcome_M[mine]
    won_U = np.bincount(row_M.reshape(-1), weight_M * outcome_M, len(rows)).astype(np.float64)
    lost_U = np.bincount(row_M.reshape(-1), weight_M * (1.0 - outcome_M), len(rows)).astype(np.float64)
    return _Judge(int(mine.sum()), touched_T, design_UP, won_U, lost_U, hypotheses_of(machine))


def _pseudo_inverse(kernel_NN: Array) -> tuple[Array, int]:
    value_N, vector_NN = np.linalg.eigh(kernel_NN)
    if value_N.min(initial=0.0) < -1e-6 * max(float(value_N.max(initial=0.0)), 1e-300):
        raise InputError("the prior is not a covariance: it has a negative eigenvalue")
    kept_N = value_N > 1e-9 * value_N.max(initial=0.0)
    vector_NR = vector_NN[:, kept_N]
    return (vector_NR / value_N[kept_N]) @ vector_NR.T, int(kept_N.sum())


def _sum(message_J: dict[int, tuple[Array, Array]], size: int) -> tuple[Array, Array]:
    precision_NN, pull_N = np.zeros((size, size)), np.zeros(size)
    for precision, pull in message_J.values():
        precision_NN = precision_NN + precision
        pull_N = pull_N + pull
    return precision_NN, pull_N


def _belief(prior_NN: Array, precision_NN: Array, pull_N: Array) -> Gaussian:
    """The prior times a message, in a form that a singular prior does not break."""
    covariance_NN = np.linalg.solve(np.eye(len(pull_N)) + prior_NN @ precision_NN, prior_NN)
    covariance_NN = 0.5 * (covariance_NN + covariance_NN.T)
    return Gaussian(covariance_NN @ pull_N, covariance_NN)


def _prior(judge: _Judge, prior_TT: Array, extra_HTT: Array) -> Array:
    """``(H, P, P)``: that of the utilities (``extra`` as it stands), of the side, and of the features."""
    sorts, size = judge.sorts, len(prior_TT)
    wide_HPP = np.zeros((len(sorts), judge.design_MP.shape[1], judge.design_MP.shape[1]))
    wide_HPP[:, :size, :size] = extra_HTT
    wide_HPP[:, size, size] = sorts.side_std_H**2
    for place in range(size + 1, wide_HPP.shape[1]):
        wide_HPP[:, place, place] = _BIAS_STD**2
    return wide_HPP


def _own(judge: _Judge, prior_NN: Array) -> Array:
    """Covariance of what a judge brings in itself: its own taste, its side and its features' pull."""
    sorts = judge.sorts
    prior_TT = prior_NN[np.ix_(judge.touched_T, judge.touched_T)]
    share_H = sorts.slope_H**2 * (1.0 - sorts.alignment_H**2)
    return _prior(judge, prior_TT, share_H[:, None, None] * prior_TT)


def _modes(judge: _Judge, without: Gaussian, prior_NN: Array, near: _Modes | None = None) -> _Modes:
    """Laplace's approximation under every hypothesis at once, by damped Newton steps.

    ``near`` are the modes under a belief that was much the same; the first step starts there.
    """
    sorts, touched_T = judge.sorts, judge.touched_T
    known = without.among(touched_T)
    covariance_HPP = _own(judge, prior_NN)
    through_H = sorts.slope_H * sorts.alignment_H
    covariance_HPP[:, : len(touched_T), : len(touched_T)] += (
        through_H[:, None, None] ** 2 * known.covariance_NN
    )
    mean_HP = np.zeros(covariance_HPP.shape[:2])
    mean_HP[:, : len(touched_T)] = through_H[:, None] * known.mean_N
    dual_HP, at_HP = np.zeros_like(mean_HP), mean_HP
    if near is not None:
        dual_HP = _dual(near.precision_HPP, near.pull_HP, covariance_HPP, mean_HP)
        at_HP = mean_HP + np.einsum("hpq,hq->hp", covariance_HPP, dual_HP)
    height_H = _height(judge, at_HP, dual_HP, mean_HP)
    for _ in range(_STEPS):
        towards_HP = _dual(*_linearised(judge, at_HP), covariance_HPP, mean_HP) - dual_HP
        shift_HP = np.einsum("hpq,hq->hp", covariance_HPP, towards_HP)
        length_H, height_H = _length(judge, (at_HP, dual_HP), (shift_HP, towards_HP), mean_HP, height_H)
        at_HP = at_HP + length_H[:, None] * shift_HP
        dual_HP = dual_HP + length_H[:, None] * towards_HP
        if np.abs(shift_HP).max(initial=0.0) < _STEP:
            break
    precision_HPP, pull_HP = _linearised(judge, at_HP)
    system_HPP = np.eye(judge.design_MP.shape[1]) + precision_HPP @ covariance_HPP
    log_evidence_H = height_H - 0.5 * np.linalg.slogdet(system_HPP).logabsdet
    return _Modes(at_HP, precision_HPP, pull_HP, covariance_HPP, log_evidence_H)


def _dual(precision_HPP: Array, pull_HP: Array, covariance_HPP: Array, mean_HP: Array) -> Array:
    """Prior precision times the way from the prior's mean to the mode, for a likelihood that is Gaussian."""
    against_HP = pull_HP - np.einsum("hpq,hq->hp", precision_HPP, mean_HP)
    system_HPP = np.eye(mean_HP.shape[1]) + precision_HPP @ covariance_HPP
    return np.linalg.solve(system_HPP, against_HP[:, :, None])[:, :, 0]


def _length(
    judge: _Judge, here: tuple[Array, Array], way: tuple[Array, Array], mean_HP: Array, height_H: Array
) -> tuple[Array, Array]:
    """Of 1, 1/2, 1/4, … the longest part of each step that does not go down, and how high it leads."""
    lowest_H = height_H - 1e-9 * (1.0 + np.abs(height_H))
    length_H = np.ones(len(height_H))
    for _ in range(_HALVINGS):
        place, dual = (at + length_H[:, None] * along for at, along in zip(here, way, strict=True))
        height_H = _height(judge, place, dual, mean_HP)
        worse_H = height_H < lowest_H
        if not worse_H.any():
            break
        length_H = np.where(worse_H, 0.5 * length_H, length_H)
    return length_H, height_H


def _height(judge: _Judge, at_HP: Array, dual_HP: Array, mean_HP: Array) -> Array:
    """Log-likelihood less half the prior's quadratic form, which is the dual times the way from the mean."""
    site_HM = at_HP @ judge.design_MP.T
    said_H = log_sigmoid(site_HM) @ judge.won_M + log_sigmoid(-site_HM) @ judge.lost_M
    return said_H - 0.5 * (dual_HP * (at_HP - mean_HP)).sum(axis=1)


def _linearised(judge: _Judge, at_HP: Array) -> tuple[Array, Array]:
    """Natural parameters of the Gaussian that has the likelihood's slope and curvature at a place."""
    design_MP = judge.design_MP
    site_HM = at_HP @ design_MP.T
    prob_HM = sigmoid(site_HM)
    curve_HM = judge.weight_M * prob_HM * (1.0 - prob_HM)
    slope_HM = judge.won_M - judge.weight_M * prob_HM
    precision_HPP = np.matmul(design_MP.T, curve_HM[:, :, None] * design_MP)
    return precision_HPP, (slope_HM + curve_HM * site_HM) @ design_MP


def _messages(judge: _Judge, modes: _Modes, prior_NN: Array) -> Message:
    """What the votes say of people's utilities under every hypothesis, all else integrated out."""
    own_HPP, size = _own(judge, prior_NN), len(judge.touched_T)
    system_HPP = np.eye(own_HPP.shape[1]) + modes.precision_HPP @ own_HPP
    joined_HPQ = np.concatenate([modes.precision_HPP, modes.pull_HP[:, :, None]], axis=2)
    solved_HPQ = np.linalg.solve(system_HPP, joined_HPQ)
    through_H = judge.sorts.slope_H * judge.sorts.alignment_H
    precision_HTT = through_H[:, None, None] ** 2 * solved_HPQ[:, :size, :size]
    precision_HTT = 0.5 * (precision_HTT + precision_HTT.swapaxes(1, 2))
    return Message(judge.touched_T, precision_HTT, through_H[:, None] * solved_HPQ[:, :size, -1])


def _shares(log_H: Array) -> Array:
    share_H = np.exp(log_H - log_H.max())
    return share_H / share_H.sum()


def _spread(judge: _Judge, message: Message, share_H: Array, size: int) -> tuple[Array, Array]:
    """The average message, as tables over all candidates."""
    precision_NN, pull_N = np.zeros((size, size)), np.zeros(size)
    precision_NN[np.ix_(judge.touched_T, judge.touched_T)] = np.tensordot(share_H, message.precision_HTT, 1)
    pull_N[judge.touched_T] = share_H @ message.pull_HT
    return precision_NN, pull_N


def _result(
    state: _State,
    kernel_NN: Array,
    judges: list[_Judge],
    machine_J: NDArray[np.bool_],
    concerts: tuple[Concert, ...],
) -> TrustFit:
    scale, message_J, share_J, modes_J, sweeps = state
    prior_NN, size = scale**2 * kernel_NN, len(kernel_NN)
    total = _sum(message_J, size)
    belief = _belief(prior_NN, *total)
    told_J = {j: max(float((message_J[j][0] * belief.covariance_NN).sum()), 0.0) for j in message_J}
    everything = sum(told_J.values()) or 1.0
    people = any(not machine_J[j] for j in message_J)
    found: list[JudgeFit] = []
    without_JN = np.tile(belief.mean_N, (len(judges), 1))
    precision_JNN, pull_JN = np.zeros((len(judges), size, size)), np.zeros((len(judges), size))
    for j, judge in enumerate(judges):
        if j not in message_J:
            found.append(_silent(judge, int(belief.mean_N.argmax())))
            continue
        precision_JNN[j], pull_JN[j] = message_J[j]
        without = _belief(prior_NN, total[0] - precision_JNN[j], total[1] - pull_JN[j])
        without_JN[j] = without.mean_N
        modes = _modes(judge, without, prior_NN, modes_J[j])
        fit = _described(judge, modes, share_J[j], without, told_J[j] / everything)
        if people and len(message_J) > 1:
            message = _messages(judge, modes, prior_NN)
            duels = Duels(judge.design_MP[:, : len(judge.touched_T)], judge.weight_M)
            worth = worth_of(message, duels, (judge.sorts, share_J[j]), (without, belief), prior_NN)
            fit = replace(fit, worth=worth)
        found.append(fit)
    return TrustFit(belief, scale, tuple(found), sweeps, without_JN, precision_JNN, pull_JN, concerts)


def _silent(judge: _Judge, winner: int) -> JudgeFit:
    """A judge without votes has the prior."""
    share_H, sorts = np.exp(judge.sorts.log_prior_H), judge.sorts
    none_F = np.zeros(judge.design_MP.shape[1] - 1)
    coin, other, contrary = (float(share_H[sorts.kind_H == kind].sum()) for kind in (COIN, OWN_AIM, CONTRARY))
    slope, alignment = _interval(sorts.slope_H, share_H), _interval(sorts.alignment_H, share_H)
    side = (0.0, float(np.sqrt(share_H @ sorts.side_std_H**2)))
    return JudgeFit(
        0, 0.0, slope, alignment, side, none_F, none_F + _BIAS_STD, coin, other, contrary, 0.0, winner,
        unknown_worth(),
    )  # fmt: skip


def _described(judge: _Judge, modes: _Modes, share_H: Array, without: Gaussian, influence: float) -> JudgeFit:
    sorts, size = judge.sorts, len(judge.touched_T)
    mean_P = share_H @ modes.at_HP
    std_P = np.sqrt(np.maximum(share_H @ (modes.variance_HP + (modes.at_HP - mean_P) ** 2), 0.0))
    coin, other, contrary = (float(share_H[sorts.kind_H == kind].sum()) for kind in (COIN, OWN_AIM, CONTRARY))
    return JudgeFit(
        votes=judge.votes,
        counted=float(judge.weight_M.sum()),
        slope=_interval(sorts.slope_H, share_H),
        alignment=_interval(sorts.alignment_H, share_H),
        side=(float(mean_P[size]), float(std_P[size])),
        bias_F=mean_P[size + 1 :],
        bias_std_F=std_P[size + 1 :],
        coin=coin,
        other=other,
        contrary=contrary,
        influence=influence,
        winner_without=int(without.mean_N.argmax()),
        worth=unknown_worth(),
    )


def _interval(value_H: Array, share_H: Array) -> tuple[float, float, float]:
    """Mean, and the 2.5 and 97.5 % points of a distribution over few places."""
    order_H = np.argsort(value_H, kind="stable")
    cumulative_H = np.cumsum(share_H[order_H]) - 0.5 * share_H[order_H]
    low, high = np.interp([0.025, 0.975], cumulative_H, value_H[order_H])
    return float(share_H @ value_H), float(low), float(high)
