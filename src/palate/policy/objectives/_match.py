"""How far the policy's scores are from their targets: the distances of the reward-aware family.

Scores s and targets b of the K completions of a prompt are compared up to a constant a prompt. With
P = softmax(s) and T = softmax(b):

    target_policy   KL(T || P) = sum_i T_i (log T_i - log P_i)    T may be one-hot; covers all that T covers
    policy_target   KL(P || T) = sum_i P_i (log P_i - log T_i)    every T_i > 0; keeps to what T likes best
    cross_entropy   - sum_i T_i log P_i = KL(T || P) + H(T)       the same gradient as target_policy
    squared         mean over i < j of ((s_i - s_j) - (b_i - b_j))^2 = 2 / (K - 1) sum_i (d_i - mean d)^2
    centred         1 / (2 K) sum_i (d_i - mean d)^2,  d = s - b    half the variance within the group
    hinge           mean over j > 1 of max(0, 1 - (s_1 - s_j))      the first is the best; no target

For K = 2 these are functions of the gaps a = s_1 - s_2 and b = b_1 - b_2 alone: with p = sigmoid(b) and q =
sigmoid(a) the first two are the Bernoulli divergences KL(p || q) and KL(q || p), and the square is (a -
b)^2. NVIDIA's code calls KL(p || q) backward and KL(q || p) forward, others the reverse; the names here say
which comes first. The identity between all pairs and the centred sum turns K^2 terms into K.

The gradient of the two squares is the policy gradient with a group baseline. With the shaped reward
R_i = b_i - s_i and A_i = R_i - mean of the others' R (leave one out),

    d squared / d s_i = - 4 / K A_i          d centred / d s_i = - 1 / K (R_i - mean R) = - (K - 1) / K^2 A_i

Sources: S. Sun et al., "Reward-aware Preference Optimization: A Unified Mathematical Framework for Model
Alignment", arXiv:2502.00203, section 3; H. Ji et al., "Towards Efficient Exact Optimization of Language Model
Alignment", arXiv:2402.00856, section 3 (the softmax over K completions). The paper's own notation for more
than two responses was not followed: the forms here are those that give its pair losses at K = 2.
"""

from typing import Literal, TypeAlias, get_args

from palate.errors import ConfigError, InputError, nearest
from palate.policy._torch import Tensor, torch

__all__ = ["DISTANCES", "Distance", "check_distance", "group_distance", "log_target", "pair_distance"]

Distance: TypeAlias = Literal[
    "target_policy", "policy_target", "cross_entropy", "squared", "centred", "hinge"
]
"""Which distance between scores and targets; see the head of the module."""

DISTANCES: tuple[str, ...] = get_args(Distance)


def check_distance(distance: str) -> None:
    """Refuse what is no distance.

    Raises:
        ConfigError: The name is unknown.
    """
    if distance not in DISTANCES:
        raise ConfigError(f"distance {distance!r} is not known; {nearest(distance, DISTANCES)}")


def pair_distance(gap_M: Tensor, target_M: Tensor, distance: Distance) -> Tensor:
    """Distance of the gaps of M pairs from their target gaps.

    Args:
        gap_M: s_chosen - s_rejected, in nats.
        target_M: The wanted gap in nats; infinity, for ``target_policy`` and ``cross_entropy``, says that the
            first is certainly better, and makes the loss -log sigmoid(gap).
        distance: Which one.

    Returns:
        M losses, in nats, or squared nats for the squares.

    Raises:
        ConfigError: The distance is unknown.

    Example:
        >>> import torch
        >>> gap, certain = torch.tensor([0.0]), torch.tensor([torch.inf])
        >>> round(pair_distance(gap, certain, "target_policy").item(), 4)  # DPO at the start: ln 2
        0.6931
    """
    check_distance(distance)
    zero_M = torch.zeros_like(gap_M)
    score_MK = torch.stack([gap_M, zero_M], dim=1)
    mask_MK = torch.ones_like(score_MK, dtype=torch.bool)
    if distance in ("squared", "centred", "hinge"):
        return group_distance(score_MK, torch.stack([target_M, zero_M], dim=1), mask_MK, distance)
    both_MK = torch.stack([target_M, -target_M], dim=1)
    return group_distance(score_MK, torch.nn.functional.logsigmoid(both_MK), mask_MK, distance)


def log_target(target_GK: Tensor, mask_GK: Tensor) -> Tensor:
    """Log-softmax of target scores over the completions that count; 0 where masked."""
    floor = torch.finfo(target_GK.dtype).min
    return torch.log_softmax(target_GK.masked_fill(~mask_GK, floor), dim=1).masked_fill(~mask_GK, 0.0)


def group_distance(score_GK: Tensor, target_GK: Tensor, mask_GK: Tensor, distance: Distance) -> Tensor:
    """Distance of the scores of G groups of K completions from their targets.

    Args:
        score_GK: Scores of the policy, in nats; finite, also where masked.
        target_GK: For the squares the target scores b; for the divergences log T, normalised over the
            completions that count, where -infinity is a mass of 0; ignored by ``hinge``.
        mask_GK: Which completions count; every group needs two, and ``hinge`` the first.
        distance: Which one.

    Returns:
        G losses, in nats, or squared nats for the squares. Groups with fewer than two completions that
        count get a number without meaning; leave them out.

    Raises:
        ConfigError: The distance is unknown.
        InputError: The shapes differ.
    """
    check_distance(distance)
    if not score_GK.shape == target_GK.shape == mask_GK.shape:
        raise InputError(
            "scores, targets and mask must have one shape, not "
            f"{tuple(score_GK.shape)}, {tuple(target_GK.shape)} and {tuple(mask_GK.shape)}"
        )
    match distance:
        case "squared" | "centred":
            return _square(score_GK - target_GK, mask_GK, unbiased=distance == "squared")
        case "hinge":
            return _hinge(score_GK, mask_GK)
        case _:
            return _divergence(log_target(score_GK, mask_GK), target_GK, mask_GK, distance)


def _square(difference_GK: Tensor, mask_GK: Tensor, *, unbiased: bool) -> Tensor:
    weight_GK = mask_GK.to(difference_GK.dtype)
    count_G = weight_GK.sum(dim=1)
    mean_G = (difference_GK * weight_GK).sum(dim=1) / count_G.clamp(min=1)
    square_G = (weight_GK * (difference_GK - mean_G[:, None]) ** 2).sum(dim=1)
    return 2 * square_G / (count_G - 1).clamp(min=1) if unbiased else square_G / (2 * count_G.clamp(min=1))


def _hinge(score_GK: Tensor, mask_GK: Tensor) -> Tensor:
    weight_GK = mask_GK[:, 1:].to(score_GK.dtype)
    short_GK = torch.relu(1 - (score_GK[:, :1] - score_GK[:, 1:]))
    return (weight_GK * short_GK).sum(dim=1) / weight_GK.sum(dim=1).clamp(min=1)


def _divergence(log_policy_GK: Tensor, log_target_GK: Tensor, mask_GK: Tensor, distance: Distance) -> Tensor:
    if distance == "policy_target":
        each_GK = log_policy_GK.exp() * (log_policy_GK - log_target_GK)
    else:
        target_GK = log_target_GK.exp()
        each_GK = -target_GK * log_policy_GK
        if distance == "target_policy":
            each_GK = each_GK + torch.special.xlogy(target_GK, target_GK)
    return torch.where(mask_GK, each_GK, 0.0).sum(dim=1)
