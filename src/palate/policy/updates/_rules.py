"""Rules over iterations: what the next round is compared with, trained on, and started from.

    t = 0, 1, ...    reference_t = rule(pi_0, pi_t, history)            compared with
                     data_t      = the last rounds' pairs, or all       trained on
                     trained     = training from pi_t against reference_t on data_t
                     pi_{t+1}    = trained + alpha (trained - trained before)

Which reference, and which data, are two choices that published recipes and their code make differently; here
both are written down. A fixed reference keeps one anchor: the policies stay within reach of pi_0. A moving
one lets it go: in the tabular case with exact steps, log pi_t = log pi_0 + t r / beta, and KL(pi_t || pi_0)
grows without a bound that beta sets. Extrapolation needs a moving reference: it is Nesterov's acceleration
of proximal-point steps, and with a fixed reference there are none.

Accelerated preference optimisation in the tabular case, with exact steps and alpha < 1, has the closed form

    log trained_T = log pi_0 + r / (beta (1 - alpha)) (T - alpha (1 - alpha^T) / (1 - alpha)) + constant

that is, the path of plain steps with beta (1 - alpha), a little behind. It saves tuning that beta and bounds
the change of one training; a comparison has to tune beta of the plain rule as well.

Sources: J. He, H. Yuan, Q. Gu, "Accelerated Preference Optimization for Large Language Model Alignment",
arXiv:2410.06293, algorithm 1; H. Dong et al., "RLHF Workflow", arXiv:2405.07863 (fixed reference and all data
in the paper; previous iterate and newest data in its script); Y. Shen et al., arXiv:2409.08845 (AIPO: moving
reference, newest data); A. Gorbatovski et al., "Learn Your Reference Model for Real Good Alignment",
arXiv:2404.09656 (reference every few steps, or as a moving average).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeVar

from palate.errors import ConfigError, NotFoundError, nearest
from palate.policy._torch import torch
from palate.policy.updates._extrapolate import Parameters, extrapolate

__all__ = [
    "RULES",
    "Iterates",
    "UpdateRule",
    "accelerated_preference",
    "advance",
    "agreement_aware",
    "begin",
    "choose_momentum",
    "iterative_fixed",
    "iterative_moving",
    "moving_average",
    "offline",
    "rule",
    "training_window",
]

Round = TypeVar("Round")


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """What changes from one iteration to the next.

    Attributes:
        name: As in :data:`RULES`, or your own.
        reference: ``initial``: pi_0 for ever; ``previous``: pi_t as it was when the iteration began;
            ``average``: an exponential moving average of the iterates.
        every: Iterations between two changes of a ``previous`` reference, ≥ 1.
        keep: Share of the average that stays when an iterate enters it, in [0, 1).
        window: Rounds of data that are trained on, the newest ones, ≥ 1; all when ``None``.
        start: Where training starts: from the ``previous`` iterate, or again from the ``initial`` policy.
        momentum: alpha of the extrapolation, in [0, 1); 0 is none.

    Raises:
        ConfigError: A value is out of its range, or the choices do not go together.
    """

    name: str
    reference: Literal["initial", "previous", "average"] = "initial"
    every: int = 1
    keep: float = 0.0
    window: int | None = None
    start: Literal["previous", "initial"] = "previous"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if self.reference not in ("initial", "previous", "average"):
            raise ConfigError(f"reference must be 'initial', 'previous' or 'average', not {self.reference!r}")
        if self.start not in ("previous", "initial"):
            raise ConfigError(f"start must be 'previous' or 'initial', not {self.start!r}")
        if self.every < 1 or (self.every > 1 and self.reference != "previous"):
            raise ConfigError(
                f"every must be 1 or more, and above 1 for the reference 'previous' only, not {self.every!r}"
            )
        if not 0 <= self.keep < 1 or (self.keep > 0 and self.reference != "average"):
            raise ConfigError(
                f"keep must lie in [0, 1), and above 0 for the reference 'average' only, not {self.keep!r}"
            )
        if self.window is not None and self.window < 1:
            raise ConfigError(
                f"window must be 1 or more rounds, or None for all of them, not {self.window!r}"
            )
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum must lie in [0, 1), not {self.momentum!r}; 0 is none")
        if self.momentum > 0 and (self.reference, self.every, self.start) != ("previous", 1, "previous"):
            raise ConfigError(
                "momentum accelerates steps from each iterate to the next, so it needs the reference "
                "'previous' in every iteration and the start 'previous'"
            )

    @property
    def moves(self) -> bool:
        """Whether the reference changes, so that its log-probabilities have to be computed again."""
        return self.reference != "initial"


class Iterates(NamedTuple):
    """Where a run stands before an iteration: all that a rule needs, as parameters or as anything like them.

    Attributes:
        iteration: t, from 0.
        initial: pi_0.
        current: pi_t: what samples.
        trained: What the last training ended with, before extrapolation; pi_0 at first.
        reference: What this iteration's training is compared with.
        start: Where it starts.
        lost: Share of the last extrapolation that rounding removed; see :class:`Extrapolated`.
    """

    iteration: int
    initial: Parameters
    current: Parameters
    trained: Parameters
    reference: Parameters
    start: Parameters
    lost: float = 0.0


def begin(initial: Parameters) -> Iterates:
    """Iterates before the first iteration: everything is the initial policy."""
    return Iterates(0, initial, initial, initial, initial, initial)


def advance(
    rule: UpdateRule, iterates: Iterates, trained: Parameters, *, dtype: torch.dtype | None = None
) -> Iterates:
    """Iterates of the next iteration.

    Args:
        rule: What changes.
        iterates: Of the iteration that ends.
        trained: What its training ended with.
        dtype: Of extrapolated parameters and averages; that of ``trained`` when left out. Keep 32 bits where
            memory allows: steps are small beside weights.

    Raises:
        InputError: Names or shapes of the parameters changed.
    """
    current, lost = trained, 0.0
    if rule.momentum > 0:
        beyond = extrapolate(trained, iterates.trained, rule.momentum, dtype=dtype)
        current, lost = beyond.parameters, beyond.lost
    iteration = iterates.iteration + 1
    reference = iterates.reference
    if rule.reference == "previous" and iteration % rule.every == 0:
        reference = current
    elif rule.reference == "average":
        # average + (1 - keep) (current - average) is the same line, walked from the average.
        reference = extrapolate(current, reference, -rule.keep, dtype=dtype).parameters
    start = current if rule.start == "previous" else iterates.initial
    return Iterates(iteration, iterates.initial, current, trained, reference, start, lost)


def training_window(rule: UpdateRule, rounds: Sequence[Round]) -> Sequence[Round]:
    """The rounds of data that the newest iteration trains on, oldest first."""
    return rounds if rule.window is None else rounds[-rule.window :]


def choose_momentum(
    rule: UpdateRule,
    iterates: Iterates,
    trained: Parameters,
    candidates: Sequence[float],
    score: Callable[[Parameters], float],
) -> UpdateRule:
    """The same rule with the momentum whose extrapolated policy scores best; the smallest of equals.

    Args:
        rule: A rule whose reference moves.
        iterates: Of the iteration that ends.
        trained: What its training ended with.
        candidates: Values of alpha to try, each in [0, 1).
        score: Of a policy, higher is better, on data that are not trained on; NaN never wins.

    Raises:
        ConfigError: There are no candidates, one is out of range, or none has a score.
    """
    scored = [
        (score(advance(tried, iterates, trained).current), -tried.momentum, tried)
        for tried in (replace(rule, momentum=value) for value in candidates)
    ]
    scored = [entry for entry in scored if not math.isnan(entry[0])]
    if not scored:
        raise ConfigError(f"none of the momenta {list(candidates)} has a score; give one or more to try")
    return max(scored, key=lambda entry: entry[:2])[2]


def offline() -> UpdateRule:
    """One training on given data, or several from the same start: nothing moves."""
    return UpdateRule("offline", start="initial")


def iterative_fixed(window: int | None = None) -> UpdateRule:
    """Iterative DPO as in the paper of RLHF Workflow: reference pi_0, warm start, all data so far."""
    return UpdateRule("iterative_fixed", window=window)


def iterative_moving(window: int | None = 1) -> UpdateRule:
    """Iterative DPO as in its script: compared with the iterate before, on the newest data."""
    return UpdateRule("iterative_moving", "previous", window=window)


def moving_average(keep: float = 0.9, window: int | None = None) -> UpdateRule:
    """The reference follows the iterates at a distance."""
    return UpdateRule("moving_average", "average", keep=keep, window=window)


def agreement_aware() -> UpdateRule:
    """AIPO's iterations: the reference is the iterate at the beginning of each, the data are the newest."""
    return UpdateRule("agreement_aware", "previous", window=1)


def accelerated_preference(momentum: float = 0.3, window: int | None = 1) -> UpdateRule:
    """Accelerated preference optimisation: a moving reference and an extrapolated iterate."""
    return UpdateRule("accelerated_preference", "previous", window=window, momentum=momentum)


RULES: Mapping[str, Callable[..., UpdateRule]] = MappingProxyType(
    {
        "accelerated_preference": accelerated_preference,
        "agreement_aware": agreement_aware,
        "iterative_fixed": iterative_fixed,
        "iterative_moving": iterative_moving,
        "moving_average": moving_average,
        "offline": offline,
    }
)
"""Every rule by its name."""


def rule(name: str, **options: float | int | None) -> UpdateRule:
    """A rule by its name.

    Args:
        name: One of :data:`RULES`.
        **options: That rule's parameters.

    Raises:
        NotFoundError: The name is unknown; ``apo`` means two other things as well and is refused.
        ConfigError: An option is unknown or out of range.

    Example:
        >>> rule("accelerated_preference", momentum=0.5).reference
        'previous'
    """
    if name == "apo":
        raise NotFoundError(
            "update rule 'apo' is short for several things; 'accelerated_preference' is the one that "
            "extrapolates between iterates"
        )
    if name not in RULES:
        raise NotFoundError(f"update rule {name!r} is not known; {nearest(name, RULES)}")
    try:
        return RULES[name](**options)
    except TypeError as error:
        raise ConfigError(f"update rule {name!r}: {error}") from error
