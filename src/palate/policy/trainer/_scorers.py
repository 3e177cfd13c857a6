"""What a loss is made of: scorers turn hidden states into one number a completion.

A scorer and an objective together are a training. :class:`LogProbabilities` gives the log-probability of each
completion, which the objectives of :mod:`palate.policy.objectives` read. A reward model is another scorer: a
head of its own on the last hidden state, under an objective without a reference, such as
``RewardAware("bradley_terry", ImplicitReward(beta=1, reference=0))``, which is - log sigmoid(s_w - s_l).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from palate.errors import ConfigError
from palate.policy._prior_kl import linear_prior_kl
from palate.policy._torch import Tensor, torch
from palate.policy.trainer._groups import Group, beside_others
from palate.policy.trainer._network import States

__all__ = ["Arranging", "BesideOthers", "LogProbabilities", "Scored", "Scorer"]


class Scored(NamedTuple):
    """What a scorer has computed.

    Attributes:
        score_GK: One number a completion, with gradient; it is the objective's ``policy_GK``.
        penalty_G: Added to the loss of each group that counts; ``None`` for nothing.
        metrics: Numbers to write down, means over the batch.
    """

    score_GK: Tensor
    penalty_G: Tensor | None = None
    metrics: Mapping[str, Tensor] = MappingProxyType({})


class Scorer(Protocol):
    """A way from hidden states to scores.

    Attributes:
        name: For messages and for the run's record; it changes when results would.
        reference: Whether the objective wants log-probabilities of the reference.
        prior: Whether the scorer wants the reference's hidden states in every batch.
    """

    @property
    def name(self) -> str: ...

    @property
    def reference(self) -> bool: ...

    @property
    def prior(self) -> bool: ...

    def module(self, width: int) -> torch.nn.Module | None:
        """Further weights that are trained and saved, such as a head.

        Called once before training, under the run's seed.

        Args:
            width: Of the hidden states.
        """
        ...

    def __call__(self, states: States, module: torch.nn.Module | None) -> Scored:
        """Score the completions of a batch."""
        ...


@runtime_checkable
class Arranging(Protocol):
    """A scorer that wants something done to the groups of a batch first.

    The reference is then computed in every batch, because the groups are known only there.
    """

    def arrange(self, groups: Sequence[Group], context: int) -> list[Group]:
        """What is computed instead of these groups.

        Args:
            groups: Of one batch.
            context: Most tokens of prompt and completion.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogProbabilities:
    """log pi(y|x), summed over the completion's tokens.

    Attributes:
        reference: Whether the objective compares with a reference.
        prior_kl: Weight ≥ 0 of KL(reference || policy) of the next token over the whole vocabulary, averaged
            over a group's completion tokens. It needs the reference in every batch: the base model below an
            adapter, or a second model.

    Raises:
        ConfigError: ``prior_kl`` is below 0.
    """

    reference: bool = True
    prior_kl: float = 0.0

    def __post_init__(self) -> None:
        if not self.prior_kl >= 0:
            raise ConfigError(f"prior_kl must be 0 or more, not {self.prior_kl!r}")

    @property
    def name(self) -> str:
        """Changes with what is computed."""
        return f"log-probabilities prior_kl={self.prior_kl!r}"

    @property
    def prior(self) -> bool:
        """Only for the divergence from it."""
        return self.prior_kl > 0

    def module(self, width: int) -> None:
        """No further weights."""
        return

    def __call__(self, states: States, module: torch.nn.Module | None) -> Scored:
        """Log-probabilities, and the divergence from the prior where it is wanted."""
        score_GK = states.log_probs()
        if self.prior_kl == 0 or states.prior_ND is None:
            return Scored(score_GK, None, {})
        place_M = states.batch.layout.predict_M
        prior_head = states.prior_head
        each_M = linear_prior_kl(
            states.hidden_ND[place_M],
            states.head.weight_VD,
            states.prior_ND[place_M],
            None if prior_head is None else prior_head.weight_VD,
            softcap=states.head.softcap,
        )
        kl_G = states.sums(each_M).sum(dim=1) / states.batch.length_GK.sum(dim=1).clamp(min=1)
        return Scored(score_GK, self.prior_kl * kl_G, {"prior_kl": kl_G.detach().mean()})


@dataclass(frozen=True, slots=True)
class BesideOthers:
    """log pi(y|x) of each answer and, beside it, of the batch's next answer to another prompt."""

    @property
    def name(self) -> str:
        """What is computed."""
        return "log-probabilities beside others"

    @property
    def reference(self) -> bool:
        """Of both."""
        return True

    @property
    def prior(self) -> bool:
        """No hidden states."""
        return False

    def module(self, width: int) -> None:
        """No further weights."""
        return

    def arrange(self, groups: Sequence[Group], context: int) -> list[Group]:
        """Put the other answers beside; see :func:`beside_others`."""
        return beside_others(groups, context)

    def __call__(self, states: States, module: torch.nn.Module | None) -> Scored:
        """Log-probabilities of both."""
        return Scored(states.log_probs())
