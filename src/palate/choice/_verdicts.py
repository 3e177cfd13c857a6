"""What one vote says about a difference of utilities: log-likelihood, slope and curvature.

With d = u_left - u_right + side, m = (u_left + u_right) / 2, and s = +1 where left won, -1 where right won:

    Bradley-Terry, ties half a win   (y - 1/2) d - ln(e^(d/2) + e^(-d/2)),           y = 1, 1/2, 0
    Davidson                         left : right : tie = e^(d/2) : e^(-d/2) : nu,   nu >= 0
    Rao and Kupper                   P(left) = sigmoid(d - c), P(right) = sigmoid(-d - c),  theta = e^c >= 1
    strength                         P(at least clearly | who won) = sigmoid(s d - c_1)
                                     P(much | at least clearly)    = sigmoid(s d - c_2)
    both bad                         P(both bad) = sigmoid(2 (b - m))
    lapse                            (1 - e) P + e / 2  for left and for right

Sources: R. R. Davidson, "On extending the Bradley-Terry model to accommodate ties in paired comparison
experiments", 1970; P. V. Rao and L. L. Kupper, "Ties in paired-comparison experiments", 1967; G. Tutz,
"Sequential item response models with an ordered response", 1990.

Choices of ours. Strength is a sequential (continuation-ratio) model, not a cumulative one: its factors sum to
one over the strengths at every d, so that a vote without strength has the plain model's likelihood, and their
product with any log-concave model of who won is log-concave, which the cumulative model's product with
Davidson's is not; the cut points need no order. Both bad is logistic in the sum of the two utilities, because
the logarithms of it and of its complement are both concave, which does not hold for the complement of the
product of "each one is bad"; in the upper tail the two agree. It is asked before who won. A lapse tosses a
coin: it is never a tie and never both bad, and says one of three strengths with equal chance. Davidson's
model without the constant ln nu is half a win at nu = 0. Everything is jointly log-concave in (d, ln nu or c,
c_1, c_2) except under a lapse.

Differences of utilities do not know a zero; the level m does. It is the zero of the prior: the mean of the
pool for a centred kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from palate.choice._numeric import log_sigmoid, outcome, sigmoid
from palate.errors import ConfigError, InputError
from palate.types import Array, Verdict

__all__ = ["Joint", "Said", "Terms", "TieKind", "VerdictModel", "Votes", "gather_votes", "repeat_votes"]

TieKind = Literal["davidson", "rao-kupper"]
Rows = NDArray[np.int64]
_DIFFERENCE, _TIE, _CUT_1, _CUT_2 = range(4)
_STRENGTHS = 3


class Said(Protocol):
    """What votes said: the part of :class:`Votes`, and of a strategy's history, that a likelihood reads."""

    @property
    def outcome_M(self) -> Array:
        """1 where left won, 0 where right won, one half for ties and both bad."""
        ...

    @property
    def bad_M(self) -> NDArray[np.bool_]:
        """Where a half means that both were bad."""
        ...

    @property
    def strength_M(self) -> Rows:
        """0 not said, 1 slightly, 2 clearly, 3 much."""
        ...


@dataclass(frozen=True)
class Votes:
    """Votes as arrays, in the order in which they came.

    Args:
        first_M: Row numbers of the candidates shown on the left.
        second_M: Row numbers of those on the right.
        outcome_M: 1 where left won, 0 where right won, one half for ties and both bad.
        bad_M: Where a half means that both were bad; nowhere when left out.
        strength_M: 0 not said, 1 slightly, 2 clearly, 3 much; never said of a half. Not said when left out.
        judge_M: Who voted, as numbers from 0; one and the same when left out.
        time_M: When, in any unit; the place in the order when left out.
        weight_M: How much each counts, ≥ 0; one when left out.

    Raises:
        InputError: Unequal lengths, or entries out of range.
    """

    first_M: Rows
    second_M: Rows
    outcome_M: Array
    bad_M: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    strength_M: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    judge_M: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    time_M: Array = field(default_factory=lambda: np.zeros(0))
    weight_M: Array = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        size = len(self.outcome_M)
        unsaid = {
            "bad_M": np.zeros(size, dtype=np.bool_),
            "time_M": np.arange(size),
            "weight_M": np.ones(size),
        }
        for name, kind in _COLUMNS.items():
            column_M = np.asarray(getattr(self, name), dtype=kind)
            if column_M.shape == (0,) and name not in _REQUIRED:
                column_M = unsaid.get(name, np.zeros(size)).astype(kind)
            if column_M.shape != (size,):
                raise InputError(f"{name} must have one entry for each of {size} votes, not {column_M.shape}")
            object.__setattr__(self, name, column_M)
        self._check()

    def __len__(self) -> int:
        return len(self.outcome_M)

    def _check(self) -> None:
        decided_M = self.outcome_M != 0.5
        if not np.isin(self.outcome_M, (0.0, 0.5, 1.0)).all():
            raise InputError("outcomes must be 1 (left won), 0 (right won) or 0.5 (tie); leave skips out")
        if (self.first_M == self.second_M).any() or min(_least(self.first_M), _least(self.second_M)) < 0:
            raise InputError("each vote must compare two different candidates, numbered from 0")
        if (self.bad_M & decided_M).any():
            raise InputError("both bad goes with the outcome 0.5; a vote that names a winner is not both bad")
        strength_M = self.strength_M
        if not np.isin(strength_M, range(_STRENGTHS + 1)).all() or (strength_M[~decided_M] > 0).any():
            raise InputError("strength must be 0 (not said), 1, 2 or 3, and 0 where nobody won")
        if _least(self.judge_M) < 0 or not np.isfinite(self.time_M).all():
            raise InputError("judges must be numbered from 0, and times must be finite")
        if not (np.isfinite(self.weight_M) & (self.weight_M >= 0)).all():
            raise InputError("weights must be finite and not negative")


_REQUIRED = ("first_M", "second_M", "outcome_M")
_COLUMNS: dict[str, type] = {
    "first_M": np.int64,
    "second_M": np.int64,
    "outcome_M": np.float64,
    "bad_M": np.bool_,
    "strength_M": np.int64,
    "judge_M": np.int64,
    "time_M": np.float64,
    "weight_M": np.float64,
}


def _least(number_M: Rows) -> int:
    return int(number_M.min(initial=0))


def gather_votes(
    first: Sequence[int],
    second: Sequence[int],
    verdict: Sequence[Verdict | str],
    *,
    strength: Sequence[int] | None = None,
    judge: Sequence[int] | None = None,
    time: Sequence[float] | None = None,
) -> Votes:
    """Turn verdicts into votes; ``skip`` and ``failed`` are left out, for they never teach.

    Args:
        first: Row numbers of the candidates on the left.
        second: Row numbers of those on the right.
        verdict: What was said, as seen on the screen.
        strength: 0 not said, 1 slightly, 2 clearly, 3 much.
        judge: Who said it, numbered from 0.
        time: When; the place in the order, skips counted, when left out.

    Raises:
        InputError: Unequal lengths, not a verdict, or entries out of range.

    Example:
        >>> votes = gather_votes([0, 1, 0], [1, 2, 2], ["left", "skip", "both_bad"])
        >>> votes.first_M.tolist(), votes.outcome_M.tolist(), votes.bad_M.tolist()
        ([0, 0], [1.0, 0.5], [False, True])
    """
    size = len(verdict)
    columns = [
        np.asarray(c if c is not None else default)
        for c, default in (
            (first, ()),
            (second, ()),
            (strength, np.zeros(size)),
            (judge, np.zeros(size)),
            (time, np.arange(size)),
        )
    ]
    if any(c.shape != (size,) for c in columns):
        raise InputError(f"each column must have one entry for each of {size} verdicts")
    try:
        said = [Verdict(v) for v in verdict]
    except ValueError as error:
        raise InputError(f"{error}; say one of {', '.join(Verdict)}") from None
    kept = [place for place, v in enumerate(said) if v.teaches]
    outcome_M = np.array([outcome(said[place]) for place in kept], dtype=np.float64)
    bad_M = np.array([said[place] is Verdict.BOTH_BAD for place in kept], dtype=np.bool_)
    first_M, second_M, strength_M, judge_M, time_M = (c[kept] for c in columns)
    return Votes(first_M, second_M, outcome_M, bad_M, strength_M, judge_M, time_M)


class _Repeated(NamedTuple):
    outcome_M: Array
    bad_M: NDArray[np.bool_]
    strength_M: Rows


def repeat_votes(votes: Said, rows_K: Rows, times: int) -> Said:
    """Some votes, each so many times in a row: for asking what they say at many differences.

    Args:
        votes: What was said.
        rows_K: Which of them.
        times: How often each is repeated.
    """
    return _Repeated(
        np.repeat(votes.outcome_M[rows_K], times),
        np.repeat(votes.bad_M[rows_K], times),
        np.repeat(votes.strength_M[rows_K], times),
    )


class Terms(NamedTuple):
    """Of each vote: the log-likelihood in nats, its derivative, and minus its second derivative, ≥ 0."""

    log_likelihood_M: Array
    slope_M: Array
    curvature_M: Array


class Joint(NamedTuple):
    """Of each vote: the log-likelihood, its gradient, and minus its Hessian.

    The four directions are the difference, ``ln nu`` (Davidson) or ``c = ln theta`` (Rao-Kupper), and the two
    cut points of strength; those that a model does without are zero.
    """

    log_likelihood_M: Array
    gradient_MQ: Array
    curvature_MQQ: Array


@dataclass(frozen=True)
class VerdictModel:
    """How a judge turns a difference of utilities into a verdict.

    Args:
        side: Log-odds by which the left side is preferred to an equal right one.
        tie: ``None``: a tie, and both bad without a threshold, is half a win for each. Otherwise Davidson's
            nu ≥ 0, with P(tie) = nu / (2 + nu) between equals, or Rao and Kupper's theta ≥ 1, with
            P(tie) = (theta - 1) / (theta + 1).
        tie_kind: Which of the two ``tie`` means.
        cuts: Cut points of strength, in log-odds; without them strength is not listened to.
        bad: Utility below which a pair's mean makes both bad likelier than not; without it, that is a tie.
        lapse: Chance, in [0, 1), that a vote is a coin toss.

    Raises:
        ConfigError: A value is out of its range.

    Example:
        >>> import numpy as np
        >>> votes = Votes(np.array([0]), np.array([1]), np.array([1.0]))
        >>> value_M, slope_M, curvature_M = VerdictModel(tie=2.0).terms(np.zeros(1), votes)
        >>> round(float(np.exp(value_M[0])), 6), float(slope_M[0]), float(curvature_M[0])
        (0.25, 0.5, 0.125)
    """

    side: float = 0.0
    tie: float | None = None
    tie_kind: TieKind = "davidson"
    cuts: tuple[float, float] | None = None
    bad: float | None = None
    lapse: float = 0.0

    def __post_init__(self) -> None:
        if self.tie_kind not in ("davidson", "rao-kupper"):
            raise ConfigError(f"tie_kind must be 'davidson' or 'rao-kupper', not {self.tie_kind!r}")
        least = 0.0 if self.tie_kind == "davidson" else 1.0
        if self.tie is not None and not (np.isfinite(self.tie) and self.tie >= least):
            raise ConfigError(
                f"tie must be finite and at least {least} for {self.tie_kind}, not {self.tie!r}"
            )
        if not 0.0 <= self.lapse < 1.0:
            raise ConfigError(f"lapse must be a chance in [0, 1), not {self.lapse!r}; 0.02 is usual")
        if not np.isfinite([self.side, self.bad or 0.0, *(self.cuts or ())]).all():
            raise ConfigError("side, bad and cuts must be finite log-odds")
        if self.cuts is not None and len(self.cuts) != 2:
            raise ConfigError(f"cuts must be two log-odds, below clearly and below much, not {self.cuts!r}")

    def terms(self, difference_M: Array, votes: Said) -> Terms:
        """What votes say of differences.

        Args:
            difference_M: ``u_left - u_right``, finite, in log-odds; the side offset is added here.
            votes: What was said, ``M`` votes.

        Returns:
            Log-likelihood, slope in the difference, and curvature ≥ 0. Under a lapse the log-likelihood is
            not concave everywhere, and a negative curvature is given as 0: steps stay uphill, and modes stay
            where they are.

        Raises:
            InputError: There are ties, but ``tie`` rules them out.
        """
        value_M, gradient_MQ, curvature_MQQ = self._joint(difference_M, votes, 1)
        return Terms(value_M, gradient_MQ[:, 0], np.maximum(curvature_MQQ[:, 0, 0], 0.0))

    def log_likelihood(self, difference_MQ: Array, votes: Said) -> Array:
        """The log-likelihood of each vote at many differences; as :meth:`terms` says, without derivatives.

        Args:
            difference_MQ: Q values of ``u_left - u_right`` a vote, in log-odds, the side offset left out.
            votes: What was said, ``M`` votes.

        Returns:
            ``(M, Q)`` in nats.

        Raises:
            InputError: There are ties, but ``tie`` rules them out.
        """
        size, width = difference_MQ.shape
        if self.tie_kind != "davidson" or self.cuts is not None or self.lapse > 0.0 or self.bad is not None:
            repeated = repeat_votes(votes, np.arange(size), width)
            return self.terms(difference_MQ.ravel(), repeated).log_likelihood_M.reshape(size, width)
        value_MQ = difference_MQ + self.side
        small_MQ = np.abs(value_MQ)
        small_MQ *= -0.5
        value_MQ *= votes.outcome_M[:, None] - 0.5
        value_MQ += small_MQ
        np.exp(small_MQ, out=small_MQ)
        small_MQ *= small_MQ + (self.tie or 0.0)
        value_MQ -= np.log1p(small_MQ, out=small_MQ)
        if self.tie is not None:
            value_MQ[_tied(votes, self)] += np.log(self.tie) if self.tie else 0.0
        return value_MQ

    def level_terms(self, level_M: Array, votes: Said) -> Terms:
        """What votes say of the mean utility of the two answers; nothing without a threshold.

        Args:
            level_M: ``(u_left + u_right) / 2`` in log-odds.
            votes: What was said.

        Returns:
            Log-likelihood, slope in the level (minus it is the slope in the threshold), and curvature ≥ 0.
        """
        if self.bad is None:
            zero_M = np.zeros(len(level_M))
            return Terms(zero_M, zero_M, zero_M)
        sign_M = np.where(votes.bad_M, -2.0, 2.0)
        x_M = sign_M * (level_M - self.bad)
        against_M = sigmoid(-x_M)
        return Terms(log_sigmoid(x_M), sign_M * against_M, 4.0 * against_M * (1.0 - against_M))

    def probabilities(self, difference_M: Array) -> Array:
        """Chances of left, right and tie, ``(M, 3)``, rows summing to one, given that not both are bad.

        Args:
            difference_M: ``u_left - u_right`` in log-odds; the side offset is added here.
        """
        d_M = difference_M + self.side
        if self.tie_kind == "rao-kupper" and self.tie is not None:
            cut = float(np.log(self.tie))
            decided_M2 = np.stack([sigmoid(d_M - cut), sigmoid(-d_M - cut)], axis=1)
            tie_M = sigmoid(d_M + cut) * sigmoid(cut - d_M) * -np.expm1(-2.0 * cut)
        else:
            left_M, right_M, tie_M, _ = _davidson_parts(d_M, self.tie or 0.0)
            decided_M2 = np.stack([left_M, right_M], axis=1)
        sober = 1.0 - self.lapse
        return np.concatenate([sober * decided_M2 + 0.5 * self.lapse, sober * tie_M[:, None]], axis=1)

    def joint(self, difference_M: Array, votes: Said) -> Joint:
        """As :meth:`terms`, with the derivatives in the tie parameter and the cut points; nothing is clipped.

        Args:
            difference_M: ``u_left - u_right`` in log-odds; the side offset is added here.
            votes: What was said.

        Raises:
            InputError: There are ties, but ``tie`` rules them out.
        """
        return self._joint(difference_M, votes, 4)

    def _joint(self, difference_M: Array, votes: Said, directions: int) -> Joint:
        """In the first of the four directions only, or in all; one alone costs a quarter of the time."""
        d_M = np.asarray(difference_M, dtype=np.float64) + self.side
        who = _rao_kupper if self.tie_kind == "rao-kupper" and self.tie is not None else _davidson
        joint = _blank(len(d_M), directions)
        who(joint, d_M, votes, self)
        if self.cuts is not None:
            _add_strength(joint, d_M, votes, self.cuts)
        if self.lapse > 0.0:
            joint = _with_lapse(joint, votes, self)
        if self.bad is None:
            return joint
        for part in joint:
            part[votes.bad_M] = 0.0
        return joint


def _blank(size: int, directions: int) -> Joint:
    return Joint(np.zeros(size), np.zeros((size, directions)), np.zeros((size, directions, directions)))


def _tied(votes: Said, model: VerdictModel) -> NDArray[np.bool_]:
    """Which votes are ties under the model; refuses ties that it rules out."""
    tied_M = votes.outcome_M == 0.5
    if model.bad is not None:
        tied_M = tied_M & ~votes.bad_M
    impossible = 0.0 if model.tie_kind == "davidson" else 1.0
    if model.tie == impossible and tied_M.any():
        raise InputError(f"there are ties, which tie = {model.tie!r} rules out; None makes them half a win")
    return tied_M


def _davidson_parts(d_M: Array, nu: float) -> tuple[Array, Array, Array, Array]:
    """Chances of left, right and tie, and ln of their normaliser."""
    small_M = np.exp(-0.5 * np.abs(d_M))
    rest_M = small_M * (small_M + nu)
    total_M = 1.0 + rest_M
    stronger_M, weaker_M = 1.0 / total_M, small_M**2 / total_M
    left_M = np.where(d_M >= 0, stronger_M, weaker_M)
    right_M = np.where(d_M >= 0, weaker_M, stronger_M)
    return left_M, right_M, nu * small_M / total_M, 0.5 * np.abs(d_M) + np.log1p(rest_M)


def _davidson(joint: Joint, d_M: Array, votes: Said, model: VerdictModel) -> None:
    """Davidson's model, and half a win at ``tie = None``."""
    y_M = votes.outcome_M
    left_M, right_M, tie_M, log_total_M = _davidson_parts(d_M, model.tie or 0.0)
    value_M, gradient_MQ, curvature_MQQ = joint
    value_M += (y_M - 0.5) * d_M - log_total_M
    # Written without differences of nearly equal chances, so that far tails keep their digits.
    gradient_MQ[:, _DIFFERENCE] = y_M * right_M - (1.0 - y_M) * left_M + (y_M - 0.5) * tie_M
    curvature_MQQ[:, _DIFFERENCE, _DIFFERENCE] = left_M * right_M + 0.25 * (left_M + right_M) * tie_M
    if model.tie is None:
        return
    tied_M = _tied(votes, model)
    if tied_M.any():
        value_M[tied_M] += np.log(model.tie)
    if gradient_MQ.shape[1] == 1:
        return
    gradient_MQ[:, _TIE] = tied_M - tie_M
    curvature_MQQ[:, _TIE, _TIE] = tie_M * (left_M + right_M)
    curvature_MQQ[:, _DIFFERENCE, _TIE] = 0.5 * (right_M - left_M) * tie_M
    curvature_MQQ[:, _TIE, _DIFFERENCE] = curvature_MQQ[:, _DIFFERENCE, _TIE]


def _rao_kupper(joint: Joint, d_M: Array, votes: Said, model: VerdictModel) -> None:
    """Rao and Kupper's: a tie is an interval of the logistic distribution, a product of two of its tails."""
    assert model.tie is not None  # the caller's choice of this function
    cut = float(np.log(model.tie))
    tied_M = _tied(votes, model)
    one_M = np.ones(len(d_M))
    side_M = np.where(tied_M, 1.0, 2.0 * votes.outcome_M - 1.0)
    _add_sigmoid(joint, d_M, cut, (side_M, np.where(tied_M, 1.0, -1.0)), _TIE, one_M)
    if not tied_M.any():
        return
    _add_sigmoid(joint, d_M, cut, (-one_M, one_M), _TIE, tied_M.astype(np.float64))
    joint.log_likelihood_M[tied_M] += np.log(-np.expm1(-2.0 * cut))
    if joint.gradient_MQ.shape[1] > 1:
        joint.gradient_MQ[tied_M, _TIE] += 2.0 / np.expm1(2.0 * cut)
        joint.curvature_MQQ[tied_M, _TIE, _TIE] += 1.0 / np.sinh(cut) ** 2


def _add_sigmoid(
    joint: Joint, d_M: Array, cut: float, slope: tuple[Array, Array], column: int, counts_M: Array
) -> None:
    """Add ``counts · ln sigmoid(slope_0 d + slope_1 cut)`` and its derivatives."""
    x_M = slope[0] * d_M + slope[1] * cut
    against_M = counts_M * sigmoid(-x_M)
    weight_M = against_M * sigmoid(x_M)
    value_M, gradient_MQ, curvature_MQQ = joint
    value_M += counts_M * log_sigmoid(x_M)
    along = [(_DIFFERENCE, slope[0]), (column, slope[1])][: gradient_MQ.shape[1]]
    for place, along_M in along:
        gradient_MQ[:, place] += along_M * against_M
        for other, across_M in along:
            curvature_MQQ[:, place, other] += along_M * across_M * weight_M


def _add_strength(joint: Joint, d_M: Array, votes: Said, cuts: tuple[float, float]) -> None:
    strength_M = votes.strength_M
    if not strength_M.any():
        return
    won_M = 2.0 * votes.outcome_M - 1.0
    for place, (column, cut) in enumerate(zip((_CUT_1, _CUT_2), cuts, strict=True), start=1):
        passed_M = np.where(strength_M > place, 1.0, -1.0)
        asked_M = (strength_M >= place).astype(np.float64)
        _add_sigmoid(joint, d_M, cut, (passed_M * won_M, -passed_M), column, asked_M)


def _with_lapse(joint: Joint, votes: Said, model: VerdictModel) -> Joint:
    """Mix with a coin toss; ``kept`` is the chance that the vote was meant, given what it says."""
    decided_M = votes.outcome_M != 0.5
    value_M = joint.log_likelihood_M + np.log1p(-model.lapse)
    heard_M = (votes.strength_M > 0) & (model.cuts is not None)
    tossed_M = np.log(0.5 * model.lapse) - np.where(heard_M, np.log(_STRENGTHS), 0.0)
    mixed_M = np.where(decided_M, np.logaddexp(value_M, tossed_M), value_M)
    kept_M = np.exp(value_M - mixed_M)
    spread_M = kept_M * (1.0 - kept_M)
    gradient_MQ = joint.gradient_MQ
    outer_MQQ = gradient_MQ[:, :, None] * gradient_MQ[:, None, :]
    curvature_MQQ = kept_M[:, None, None] * joint.curvature_MQQ - spread_M[:, None, None] * outer_MQQ
    return Joint(mixed_M, kept_M[:, None] * gradient_MQ, curvature_MQQ)
