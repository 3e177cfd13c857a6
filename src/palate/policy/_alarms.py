"""Numbers to watch while a policy is trained: how far it went, what it gained, what it does to length.

All are pure functions of what a step has computed anyway; none is differentiated. The similarity of
completions, which tells a collapsed policy, is in :mod:`palate.policy._meteor`.

    k1 = -log r        k2 = (log r)^2 / 2        k3 = r - 1 - log r        r = pi_ref(y) / pi(y),  y ~ pi

k1 is an unbiased estimate of KL(pi || pi_ref) that may be negative; k3 is unbiased and never negative, but
its variance explodes once the policies are far apart, where r is rarely and hugely above 1; k2 is biased
and steady. Samples must come from pi, at temperature 1.

Source: J. Schulman, "Approximating KL divergence", 2020.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, torch

__all__ = [
    "KLEstimate",
    "Margin",
    "distinct_n",
    "effective_samples",
    "estimate_kl",
    "exact_kl",
    "length_correlation",
    "reward_margin",
]


class KLEstimate(NamedTuple):
    """Mean and standard error, in nats; the error is NaN for a single sample."""

    mean: float
    error: float


class Margin(NamedTuple):
    """Scores of pairs, averaged over those that count.

    Attributes:
        margin: Score of the chosen minus that of the rejected, in nats.
        accuracy: Share of pairs whose chosen one scores higher; an equal score is half.
        chosen: Mean score of the chosen.
        rejected: Mean score of the rejected. When both fall together, the policy leaves its answers, chosen
            ones too, for others that nobody has seen.
        pairs: How many count.
    """

    margin: float
    accuracy: float
    chosen: float
    rejected: float
    pairs: int


def estimate_kl(policy_N: Tensor, reference_N: Tensor, kind: Literal["k1", "k2", "k3"] = "k1") -> KLEstimate:
    """Estimate KL(policy || reference) from samples of the policy.

    Args:
        policy_N: log pi of N samples: whole completions (sums over tokens), or single tokens.
        reference_N: The same under the reference.
        kind: Which estimator; see the head of the module.

    Raises:
        ConfigError: ``kind`` is unknown.
        InputError: There are no samples, or the shapes differ.

    Example:
        >>> import torch
        >>> estimate_kl(torch.tensor([-1.0, -2.0]), torch.tensor([-2.0, -2.0])).mean
        0.5
    """
    if policy_N.shape != reference_N.shape or policy_N.numel() == 0:
        raise InputError(
            "give one or more log-probabilities under both policies, not the shapes "
            f"{tuple(policy_N.shape)} and {tuple(reference_N.shape)}"
        )
    if kind not in ("k1", "k2", "k3"):
        raise ConfigError(f"kind must be 'k1', 'k2' or 'k3', not {kind!r}")
    log_ratio_N = (reference_N - policy_N).detach().double().flatten()
    match kind:
        case "k1":
            each_N = -log_ratio_N
        case "k2":
            each_N = log_ratio_N**2 / 2
        case "k3":
            each_N = torch.expm1(log_ratio_N) - log_ratio_N
    count = each_N.numel()
    error = float(each_N.std()) / math.sqrt(count) if count > 1 else math.nan
    return KLEstimate(float(each_N.mean()), error)


def exact_kl(log_first_NV: Tensor, log_second_NV: Tensor) -> Tensor:
    """KL(first || second) of whole distributions, with gradient: sum_v p (log p - log q).

    Args:
        log_first_NV: Normalised log-probabilities; -infinity where there is no mass.
        log_second_NV: The same; infinite divergence where it has no mass and the first has.

    Returns:
        N divergences in nats.
    """
    mass_NV = log_first_NV.exp()
    each_NV = torch.where(mass_NV > 0, mass_NV * (log_first_NV - log_second_NV), 0.0)
    return each_NV.sum(dim=-1)


def reward_margin(score_GK: Tensor, mask_GK: Tensor | None = None) -> Margin:
    """Margin and accuracy of pairs, from implicit rewards or from a reward model's scores.

    Args:
        score_GK: Scores of the chosen one, first, and the rejected one.
        mask_GK: Which completions count; all when left out.

    Raises:
        InputError: The groups are not pairs.
    """
    if score_GK.dim() != 2 or score_GK.shape[1] != 2:
        raise InputError(f"scores must be pairs, not of the shape {tuple(score_GK.shape)}")
    score_GK = score_GK.detach().double()
    if mask_GK is not None:
        score_GK = score_GK[mask_GK.bool().all(dim=1)]
    count = len(score_GK)
    if count == 0:
        return Margin(math.nan, math.nan, math.nan, math.nan, 0)
    gap_G = score_GK[:, 0] - score_GK[:, 1]
    accuracy = float(((gap_G > 0).double() + 0.5 * (gap_G == 0).double()).mean())
    chosen, rejected = score_GK.mean(dim=0).tolist()
    return Margin(float(gap_G.mean()), accuracy, chosen, rejected, count)


def effective_samples(target_GK: Tensor, mask_GK: Tensor | None = None) -> Tensor:
    """Completions of each group that a target of softmax(b) really listens to: 1 / sum_i T_i^2.

    Args:
        target_GK: Target scores b in nats.
        mask_GK: Which completions count; all when left out.

    Returns:
        G numbers from 1 (one takes all) to K (all alike).
    """
    if mask_GK is not None:
        target_GK = target_GK.masked_fill(~mask_GK.bool(), -math.inf)
    return 1 / torch.softmax(target_GK.detach().double(), dim=1).square().sum(dim=1)


def length_correlation(reward_N: Tensor, length_N: Tensor) -> float:
    """Pearson's correlation of rewards and lengths, in [-1, 1]; NaN when either is constant.

    Raises:
        InputError: There are fewer than two, or the shapes differ.
    """
    if reward_N.shape != length_N.shape or reward_N.numel() < 2:
        raise InputError(
            f"give two or more rewards and lengths, not {tuple(reward_N.shape)} and {tuple(length_N.shape)}"
        )
    both_2N = torch.stack([reward_N.detach().double().flatten(), length_N.detach().double().flatten()])
    both_2N = both_2N - both_2N.mean(dim=1, keepdim=True)
    spread = both_2N.square().sum(dim=1)
    if bool((spread == 0).any()):
        return math.nan
    return float((both_2N[0] * both_2N[1]).sum() / spread.prod().sqrt())


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Share of distinct sequences of n words among all of them; NaN when no text has n words.

    Args:
        texts: Completions; words are what white space divides.
        n: Words a sequence, ≥ 1.

    Raises:
        ConfigError: ``n`` is below 1.

    Example:
        >>> distinct_n(["as a model I", "as a model you"], n=3)
        0.75
    """
    if n < 1:
        raise ConfigError(f"n must be 1 or more words, not {n!r}")
    grams = [
        tuple(words[i : i + n])
        for words in (text.split() for text in texts)
        for i in range(len(words) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else math.nan
