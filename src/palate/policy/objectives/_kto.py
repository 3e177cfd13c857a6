"""Kahneman–Tversky optimisation: single answers that are wanted or not, no pairs.

    wanted      w_D (1 - sigmoid(beta (D - z)))            D = log pi(y|x) - log pi_ref(y|x), sums over tokens
    unwanted    w_U (1 - sigmoid(beta (z - D)))
    z = max(0, mean of D over prompts with somebody else's answer), without gradient

z estimates the KL divergence between policy and reference; a batch of one prompt has no somebody else.

    1 <= w_D n_D / (w_U n_U) <= 4/3                        for n_D wanted and n_U unwanted answers

Source: K. Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", arXiv:2402.01306,
equations 7 and 8, and section 4.2 for the estimate of z and the weights.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, in_full, torch
from palate.policy.objectives._completions import Completions
from palate.policy.objectives._loss import Loss

__all__ = ["Kto", "kto", "kto_reference_point", "kto_weights"]

_LEAST, _MOST = 1.0, 4 / 3  # of w_D n_D / (w_U n_U)


@dataclass(frozen=True, slots=True)
class Kto:
    """The loss of a batch of single answers, with the reference point of that batch.

    Attributes:
        beta: Weight of the KL divergence, > 0.
        wanted_weight: w_D > 0; :func:`kto_weights` says which.
        unwanted_weight: w_U > 0.

    Raises:
        ConfigError: A value is out of its range.
    """

    beta: float = 0.1
    wanted_weight: float = 1.0
    unwanted_weight: float = 1.0

    def __post_init__(self) -> None:
        _positive(beta=self.beta, wanted_weight=self.wanted_weight, unwanted_weight=self.unwanted_weight)

    def __call__(self, completions: Completions) -> Loss:
        """Losses of G answers.

        Args:
            completions: The answer, with the reward 1 if it is wanted and 0 if not; and, where there is one,
                a second completion, which is somebody else's answer: it is learnt from in no way, and stands
                in the mean that z is.

        Raises:
            InputError: A reference or rewards are missing.
        """
        return kto(
            completions.policy(mean=False)[:, 0],
            completions.reference(mean=False)[:, 0],
            completions.reward()[:, 0] > 0.5,
            self.reference_point(completions),
            beta=self.beta,
            wanted_weight=self.wanted_weight,
            unwanted_weight=self.unwanted_weight,
            valid_M=completions.mask_GK[:, 0],
        )

    def reference_point(self, completions: Completions) -> Tensor:
        """Z in nats; 0 where no answer of somebody else stands beside one."""
        ratio_GK = completions.policy(mean=False) - completions.reference(mean=False)  # 0 where masked
        count = completions.mask_GK[:, 1:].sum().clamp(min=1)
        return (ratio_GK[:, 1:].detach().sum() / count).clamp(min=0)

    def numbers(self, completions: Completions) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Sums and counts of what a batch shows: beta D of wanted and of unwanted answers, and z.

        Raises:
            InputError: A reference or rewards are missing.
        """
        mask_G = completions.mask_GK[:, 0]
        ratio_GK = completions.policy(mean=False) - completions.reference(mean=False)
        reward_G = self.beta * ratio_GK[:, 0].detach()
        wanted_G = completions.reward()[:, 0] > 0.5
        found = {
            f"reward_{name}": (torch.where(which_G, reward_G, 0.0).sum(), which_G.sum())
            for name, which_G in (("wanted", mask_G & wanted_G), ("unwanted", mask_G & ~wanted_G))
        }
        point = self.reference_point(completions)
        return found | {"reference_point": (point, torch.ones_like(point))}


def kto_weights(wanted: float, unwanted: float) -> tuple[float, float]:
    """w_D and w_U for unequal numbers: the rarer side is raised as little as the authors' rule allows.

    Args:
        wanted: n_D ≥ 0, answers that are wanted.
        unwanted: n_U ≥ 0.

    Returns:
        Both weights, of which one is 1; both where a side is empty, since there is nothing to balance.

    Raises:
        InputError: There are no answers at all, or a number is below 0.

    Example:
        >>> kto_weights(6, 5), kto_weights(1, 10), kto_weights(8, 3)
        ((1.0, 1.0), (10.0, 1.0), (1.0, 2.0))
    """
    if not (wanted >= 0 and unwanted >= 0 and wanted + unwanted > 0):
        raise InputError(f"weights need one or more answers, not {wanted!r} wanted and {unwanted!r} unwanted")
    if wanted == 0 or unwanted == 0:
        return 1.0, 1.0
    ratio = wanted / unwanted
    if ratio < _LEAST:
        return _LEAST / ratio, 1.0
    return 1.0, max(1.0, ratio / _MOST)


def kto_reference_point(policy_M: Tensor, reference_M: Tensor) -> Tensor:
    """z: the mean log-ratio on mismatched pairs, at least 0, without gradient.

    Args:
        policy_M: log pi(y_j|x_i), j other than i, summed over tokens.
        reference_M: The same under the reference.

    Returns:
        One number in nats.

    Raises:
        InputError: There are none, or the shapes differ.
    """
    if policy_M.shape != reference_M.shape or policy_M.numel() == 0:
        raise InputError(
            "the reference point needs one or more log-probabilities under both policies, not the shapes "
            f"{tuple(policy_M.shape)} and {tuple(reference_M.shape)}"
        )
    return (policy_M - reference_M).detach().mean().clamp(min=0)


def kto(
    policy_M: Tensor,
    reference_M: Tensor,
    wanted_M: Tensor,
    reference_point: Tensor | float = 0.0,
    *,
    beta: float = 0.1,
    wanted_weight: float = 1.0,
    unwanted_weight: float = 1.0,
    valid_M: Tensor | None = None,
) -> Loss:
    """Losses of M single answers.

    Args:
        policy_M: log pi(y|x), summed over tokens, with gradient.
        reference_M: The same under the reference, without.
        wanted_M: Whether each answer is wanted, as booleans.
        reference_point: z ≥ 0 in nats, from :func:`kto_reference_point`; 0 leaves it out, as TRL's
            ``apo_zero_unpaired`` (anchored preference optimisation) does.
        beta: Weight of the KL divergence, > 0.
        wanted_weight: w_D > 0; with unequal numbers the authors keep w_D n_D / (w_U n_U) within 1 to 4/3.
        unwanted_weight: w_U > 0.
        valid_M: Which answers count; all when left out.

    Returns:
        M losses between 0 and their weight.

    Raises:
        ConfigError: ``beta`` or a weight is out of its range.
        InputError: The shapes differ.

    Example:
        >>> import torch
        >>> start = torch.tensor([-7.0, -9.0])
        >>> kto(start, start, torch.tensor([True, False])).each_G.tolist()
        [0.5, 0.5]
    """
    _positive(beta=beta, wanted_weight=wanted_weight, unwanted_weight=unwanted_weight)
    if not policy_M.shape == reference_M.shape == wanted_M.shape:
        raise InputError(
            "policy, reference and wanted must have one shape, not "
            f"{tuple(policy_M.shape)}, {tuple(reference_M.shape)} and {tuple(wanted_M.shape)}"
        )
    counted_M = torch.ones_like(wanted_M, dtype=torch.bool) if valid_M is None else valid_M.bool()
    ratio_M = torch.where(counted_M, in_full(policy_M) - in_full(reference_M), 0.0)
    wanted_M = wanted_M.bool()
    sign_M = torch.where(wanted_M, 1.0, -1.0).to(ratio_M.dtype)
    weight_M = torch.where(wanted_M, wanted_weight, unwanted_weight).to(ratio_M.dtype)
    each_M = weight_M * torch.sigmoid(-beta * sign_M * (ratio_M - reference_point))
    return Loss(torch.where(counted_M, each_M, 0.0), counted_M)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be above 0 and finite, not {value!r}")
