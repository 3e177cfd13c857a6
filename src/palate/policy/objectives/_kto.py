"""Kahneman–Tversky optimisation: single answers that are wanted or not, no pairs.

    wanted      w_D (1 - sigmoid(beta (D - z)))            D = log pi(y|x) - log pi_ref(y|x), sums over tokens
    unwanted    w_U (1 - sigmoid(beta (z - D)))
    z = max(0, mean of D over prompts with somebody else's answer), without gradient

z estimates the KL divergence between policy and reference; a batch of one prompt has no somebody else.

Source: K. Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", arXiv:2402.01306,
equations 7 and 8.
"""

import math

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, in_full, torch
from palate.policy.objectives._loss import Loss

__all__ = ["kto", "kto_reference_point"]


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
    for name, value in (
        ("beta", beta),
        ("wanted_weight", wanted_weight),
        ("unwanted_weight", unwanted_weight),
    ):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be above 0 and finite, not {value!r}")
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
