"""Policy gradients in groups: an advantage for each completion, and the surrogate whose gradient it weighs.

    leave_one_out   A_i = R_i - mean_{j != i} R_j                 unbiased
    group_mean      A_i = R_i - mean_j R_j                        the same times (K - 1) / K
    standardised    group_mean / (standard deviation of the group + 1e-4)
    surrogate       L = - sum_i A_i log pi(y_i|x) / K             A without gradient; y sampled from pi

Groups of different prompts have different baselines: one mean over a minibatch is biased where prompts
differ in difficulty.

Sources: A. Ahmadian et al., "Back to Basics", arXiv:2402.14740 (leave one out); Z. Shao et al.,
"DeepSeekMath", arXiv:2402.03300 (standardised). Several steps on one sample need ratios of probabilities,
which are not here.
"""

from typing import Literal, TypeAlias, get_args

from palate.errors import ConfigError
from palate.policy._torch import Tensor, torch
from palate.policy.objectives._completions import Completions
from palate.policy.objectives._loss import Loss

__all__ = ["Baseline", "advantages", "policy_gradient"]

Baseline: TypeAlias = Literal["leave_one_out", "group_mean", "standardised"]
"""What a reward is compared with; see the head of the module."""

_SPREAD_FLOOR = 1e-4


def advantages(reward_GK: Tensor, mask_GK: Tensor, baseline: Baseline = "leave_one_out") -> Tensor:
    """Advantages of the completions of G groups.

    Args:
        reward_GK: Rewards; may hold anything where masked.
        mask_GK: Which completions count.
        baseline: What each is compared with.

    Returns:
        A_GK; 0 where masked, and in groups with fewer than two completions that count.

    Raises:
        ConfigError: ``baseline`` is unknown.

    Example:
        >>> import torch
        >>> advantages(torch.tensor([[1.0, 2.0, 6.0]]), torch.ones(1, 3, dtype=torch.bool)).tolist()
        [[-3.0, -1.5, 4.5]]
    """
    if baseline not in get_args(Baseline):
        raise ConfigError(f"baseline must be one of {', '.join(get_args(Baseline))}, not {baseline!r}")
    weight_GK = mask_GK.to(reward_GK.dtype)
    reward_GK = torch.where(mask_GK, reward_GK, 0.0)
    count_G1 = weight_GK.sum(dim=1, keepdim=True)
    centred_GK = (reward_GK - reward_GK.sum(dim=1, keepdim=True) / count_G1.clamp(min=1)) * weight_GK
    enough_G1 = count_G1 > 1
    if baseline == "leave_one_out":
        result_GK = centred_GK * count_G1 / (count_G1 - 1).clamp(min=1)
    elif baseline == "group_mean":
        result_GK = centred_GK
    else:
        variance_G1 = (centred_GK**2).sum(dim=1, keepdim=True) / (count_G1 - 1).clamp(min=1)
        result_GK = centred_GK / (variance_G1.sqrt() + _SPREAD_FLOOR)
    return torch.where(enough_G1, result_GK, 0.0)


def policy_gradient(completions: Completions, advantage_GK: Tensor, *, mean: bool = False) -> Loss:
    """A loss whose gradient is the policy gradient for given advantages.

    Args:
        completions: Log-probabilities of completions sampled from the present policy.
        advantage_GK: Weights; their gradient is cut.
        mean: Whether log-probabilities are means over tokens, which is a different estimator: it favours
            long answers that are wrong.

    Returns:
        G losses; groups without a completion that counts are left out.
    """
    weight_GK = completions.mask_GK.to(advantage_GK.dtype)
    each_GK = -advantage_GK.detach() * weight_GK * completions.policy(mean=mean)
    counted_G = completions.mask_GK.any(dim=1)
    return Loss(each_GK.sum(dim=1) / weight_GK.sum(dim=1).clamp(min=1), counted_G)
