"""Completions, derivatives by differences, and tabular policies for the tests of training."""

from collections.abc import Callable

import torch
from torch import Tensor

from palate.policy.objectives import PRESETS, Completions, Loss, RewardAware

OPTIONS: dict[str, dict[str, float | str]] = {
    "agreement_aware": {"alpha": 0.3, "nll_weight": 0.2, "gamma": 0.5},
    "reward_aware": {"distance": "target_policy"},
}
"""What presets without a default for everything are given here."""


def every_preset() -> dict[str, RewardAware]:
    """One of each, reward-aware in its three distances."""
    made = {name: maker(**OPTIONS.get(name, {})) for name, maker in PRESETS.items()}
    for distance in ("policy_target", "squared"):
        made[f"reward_aware_{distance}"] = PRESETS["reward_aware"](distance=distance)
    return made


def random_completions(seed: int, groups: int = 5, size: int = 2, *, masked: bool = False) -> Completions:
    """Plausible numbers in 64 bits; ``masked`` takes out the last completion of the first group."""
    draw = torch.Generator().manual_seed(seed)
    length = torch.randint(2, 9, (groups, size), generator=draw)
    policy = -length * torch.rand(groups, size, generator=draw, dtype=torch.float64) - 0.3
    reference = policy + torch.randn(groups, size, generator=draw, dtype=torch.float64)
    valid = torch.ones(groups, size, dtype=torch.bool)
    if masked:
        valid[0, -1] = False
    return Completions(
        policy.requires_grad_(),
        reference.clamp(max=-0.1),
        length,
        torch.randn(groups, size, generator=draw, dtype=torch.float64),
        valid,
    )


def with_policy(completions: Completions, policy_GK: Tensor) -> Completions:
    """The same completions under another policy."""
    return Completions(
        policy_GK,
        completions.reference_GK,
        completions.length_GK,
        completions.reward_GK,
        completions.valid_GK,
    )


def by_differences(function: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-6) -> Tensor:
    """Gradient of a scalar function by central differences, one coordinate at a time."""
    result = torch.zeros_like(at)
    for place in range(at.numel()):
        move = torch.zeros_like(at)
        move.view(-1)[place] = step
        result.view(-1)[place] = (function(at + move) - function(at - move)) / (2 * step)
    return result


def minimise(loss: Callable[[Tensor], Loss | Tensor], start: Tensor, steps: int = 400) -> Tensor:
    """Where a smooth function of a few logits is smallest, to about 1e-7."""
    logits = start.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [logits], max_iter=steps, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(logits)
        value = value.mean if isinstance(value, Loss) else value
        value.backward()
        return value.detach()

    search.step(closure)  # pyright: ignore[reportArgumentType]
    return logits.detach()
