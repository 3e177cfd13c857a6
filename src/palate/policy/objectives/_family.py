"""The reward-aware family: one loss, made of an implicit reward, a target and a distance.

    s_i = beta (norm(l_i) - c norm(l_ref,i)),     l = log pi(y|x);  norm is the sum over tokens, or the mean
    b_i = what the judge says: the first is best, by a constant gap, or eta times a reward
    L   = scale D(s - margin e_1, b) + lambda NLL(preferred completion)

D is one of :data:`palate.policy.objectives.DISTANCES`. With c = 1, DPO's implicit reward; c = 0 forgets the
reference (SimPO); c = 1 + alpha asks for a larger gap where the reference agrees (AIPO). The margin is
taken from the first completion's score before the comparison: it has to be ahead by that much, in nats.

beta is the weight of the KL divergence to the reference: at the optimum of D with b = r, the policy is
proportional to pi_ref exp(r / beta). Only eta / beta moves that optimum; eta and beta apart change the size
of the loss and its curvature. A reward model of another scale is another eta, so standardise its rewards or
choose eta: with rewards in [0, 1] and eta = 1 the divergences see probabilities between 0.27 and 0.73, a
weak signal, and the squares explode with rewards in the tens.

Sources: S. Sun et al., arXiv:2502.00203, section 3, for the family; each preset names its own.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, full_dtype, torch
from palate.policy.objectives._completions import Completions
from palate.policy.objectives._loss import Loss
from palate.policy.objectives._match import Distance, check_distance, group_distance, log_target
from palate.policy.objectives._nll import Average, nll

__all__ = ["ImplicitReward", "RewardAware", "Target"]


@dataclass(frozen=True, slots=True)
class ImplicitReward:
    """First choice of the family: how the policy's log-probabilities become scores.

    Attributes:
        beta: Weight of the KL divergence, > 0; nats of score a nat of log-probability.
        reference: c, the share of the reference's log-probability that is taken away, ≥ 0.
        mean: Whether log-probabilities are means over tokens, not sums. The same beta then acts weaker by
            the number of tokens.
    """

    beta: float = 0.1
    reference: float = 1.0
    mean: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ConfigError(f"beta must be above 0 and finite, not {self.beta!r}; 0.1 is usual")
        if not (math.isfinite(self.reference) and self.reference >= 0):
            raise ConfigError(f"reference must be 0 or more and finite, not {self.reference!r}; 1 is usual")

    def scores(self, completions: Completions) -> Tensor:
        """s_GK in nats; 0 where masked.

        Raises:
            InputError: A reference or lengths are needed and missing.
        """
        policy_GK = completions.policy(mean=self.mean)
        if self.reference == 0:
            return self.beta * policy_GK
        return self.beta * (policy_GK - self.reference * completions.reference(mean=self.mean))


@dataclass(frozen=True, slots=True)
class Target:
    """Second choice of the family: what the scores should be.

    Attributes:
        kind: ``best``: the first completion is the best one, with probability 1 - ``smoothing``, and the
            others share the rest; ``gap``: the first is ahead of each other one by ``gap``; ``reward``:
            ``eta`` times the rewards.
        smoothing: Probability that the label is wrong, in [0, 1/2); for ``best`` only.
        gap: In nats; for ``gap`` only.
        eta: Nats of score a unit of reward, > 0; for ``reward`` only.
        margin: Nats by which the first completion has to be ahead before the comparison; not for ``reward``.
    """

    kind: Literal["best", "gap", "reward"] = "best"
    smoothing: float = 0.0
    gap: float = 0.0
    eta: float = 1.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("best", "gap", "reward"):
            raise ConfigError(f"kind must be 'best', 'gap' or 'reward', not {self.kind!r}")
        if not 0 <= self.smoothing < 0.5:
            raise ConfigError(f"smoothing must lie in [0, 0.5), not {self.smoothing!r}; 0.1 is usual")
        if not (math.isfinite(self.eta) and self.eta > 0):
            raise ConfigError(f"eta must be above 0 and finite, not {self.eta!r}")
        if not (math.isfinite(self.gap) and math.isfinite(self.margin)):
            raise ConfigError(f"gap and margin must be finite, not {self.gap!r} and {self.margin!r}")
        meant = {"best": {"smoothing", "margin"}, "gap": {"gap", "margin"}, "reward": {"eta"}}[self.kind]
        idle = {"smoothing": 0.0, "gap": 0.0, "eta": 1.0, "margin": 0.0}
        for name in sorted(set(idle) - meant):
            if getattr(self, name) != idle[name]:
                raise ConfigError(f"{name} has no meaning for a target of the kind {self.kind!r}")

    def scores(self, completions: Completions) -> Tensor:
        """b_GK in nats, for targets that are finite."""
        if self.kind == "reward":
            return self.eta * completions.reward()
        return self.gap * _first(completions.policy_GK).to(full_dtype(completions.policy_GK))

    def log_probabilities(self, completions: Completions) -> Tensor:
        """Log-probabilities log T_GK over the completions that count; 0 where masked."""
        mask_GK = completions.mask_GK
        if self.kind != "best":
            return log_target(self.scores(completions), mask_GK)
        others_GK = mask_GK.sum(dim=1, keepdim=True).sub(1).clamp(min=1).to(full_dtype(completions.policy_GK))
        rest_GK = torch.log(self.smoothing / others_GK).expand(mask_GK.shape)
        best = math.log1p(-self.smoothing)
        return torch.where(_first(rest_GK), best, rest_GK).masked_fill(~mask_GK, 0.0)

    def preferred(self, completions: Completions) -> Tensor:
        """Index of the completion of each group that the target likes best, G integers."""
        if self.kind == "reward":
            return completions.reward().masked_fill(~completions.mask_GK, -math.inf).argmax(dim=1)
        return torch.zeros_like(completions.policy_GK[:, 0], dtype=torch.long)


@dataclass(frozen=True, slots=True)
class RewardAware:
    """A member of the family: a pure function from completions to a loss.

    Attributes:
        name: As in :data:`palate.policy.objectives.PRESETS`, or your own.
        reward: How log-probabilities become scores.
        target: What the scores should be.
        distance: How far they are from it.
        scale: Factor of the distance, > 0; it makes published losses that differ by a constant equal.
        nll_weight: lambda ≥ 0 of the negative log-likelihood of the preferred completion.
        nll_average: What that likelihood is averaged over.

    Raises:
        ConfigError: The choices do not go together; the text says why.
    """

    name: str
    reward: ImplicitReward = field(default_factory=ImplicitReward)
    target: Target = field(default_factory=Target)
    distance: Distance = "cross_entropy"
    scale: float = 1.0
    nll_weight: float = 0.0
    nll_average: Average = "mean"

    def __post_init__(self) -> None:
        check_distance(self.distance)
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ConfigError(f"scale must be above 0 and finite, not {self.scale!r}")
        if not (math.isfinite(self.nll_weight) and self.nll_weight >= 0):
            raise ConfigError(f"nll_weight must be 0 or more and finite, not {self.nll_weight!r}")
        best = self.target.kind == "best"
        if best and self.distance in ("squared", "centred"):
            raise ConfigError(
                f"{self.distance!r} needs a finite target, but 'best' wants an infinite gap; "
                "use a target of the kind 'gap' or 'reward'"
            )
        if best and self.distance == "policy_target" and self.target.smoothing == 0:
            raise ConfigError(
                "KL(policy || target) is infinite for a certain target; give smoothing above 0, such as 0.001"
            )
        if self.distance == "hinge" and (not best or self.target.smoothing > 0):
            raise ConfigError(
                "'hinge' knows only that the first is the best; use the target 'best' without smoothing"
            )

    def __call__(self, completions: Completions) -> Loss:
        """Losses of G groups; those with fewer than two completions that count are left out.

        Raises:
            InputError: A reference, lengths or rewards are needed and missing, or there is one completion a
            group.
        """
        if completions.policy_GK.shape[1] < 2:
            raise InputError("this objective compares completions of one prompt; give two or more a group")
        mask_GK = completions.mask_GK
        counted_G = mask_GK.sum(dim=1) > 1
        if self.target.kind != "reward":
            counted_G = counted_G & mask_GK[:, 0]
        score_GK = self.reward.scores(completions)
        if self.target.margin != 0:
            score_GK = score_GK - self.target.margin * _first(score_GK).to(score_GK.dtype)
        if self.distance in ("squared", "centred"):
            target_GK = self.target.scores(completions)
        else:
            target_GK = self.target.log_probabilities(completions)
        target_GK = target_GK.to(score_GK.dtype)
        each_G = self.scale * group_distance(score_GK, target_GK, mask_GK, self.distance)
        loss = Loss(torch.where(counted_G, each_G, 0.0), counted_G)
        if self.nll_weight == 0:
            return loss
        likelihood = nll(completions, self.target.preferred(completions), average=self.nll_average)
        return loss.plus(likelihood, self.nll_weight)


def _first(like_GK: Tensor) -> Tensor:
    first_GK = torch.zeros_like(like_GK, dtype=torch.bool)
    first_GK[:, 0] = True
    return first_GK
