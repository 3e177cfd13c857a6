"""Numbers of a batch to write down: sums and counts, which add up over the batches of an update."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from palate.policy._torch import Tensor, torch
from palate.policy.objectives import Completions, Loss, RewardAware
from palate.policy.trainer._scorers import Scored

__all__ = ["Measured", "Numbers", "Sums", "add_up", "measure", "plain"]

Sums: TypeAlias = Mapping[str, tuple[Tensor, Tensor]]
"""Sum and count by name."""

Numbers: TypeAlias = Mapping[str, Sequence[float]]
"""The same away from the device."""


@runtime_checkable
class Measured(Protocol):
    """An objective that says itself what a batch shows: its groups are not what they are for others."""

    def numbers(self, completions: Completions) -> Sums:
        """Sums and counts of a batch."""
        ...


def measure(objective: object, completions: Completions, loss: Loss, scored: Scored) -> Sums:
    """What a batch shows: loss, log-probabilities, lengths, log-ratios, and margins where groups are pairs.

    Args:
        objective: A :class:`RewardAware` says what its implicit reward is; for others it is the log-ratio to
            the reference, or the score itself where there is none. One that is :class:`Measured` replaces
            all but the loss by what it says itself.
        completions: What the objective read.
        loss: What it returned.
        scored: What the scorer returned.
    """
    mask_GK = completions.mask_GK
    policy_GK = completions.policy_GK.detach()
    one = torch.ones((), device=policy_GK.device)
    found = {"loss": (loss.total.detach(), loss.count.to(loss.total.dtype))}
    found |= {name: (value.detach(), one) for name, value in scored.metrics.items()}
    if isinstance(objective, Measured):
        with torch.no_grad():
            return found | dict(objective.numbers(completions))
    columns = {"score": policy_GK}
    if completions.length_GK is not None:
        columns["length"] = completions.length_GK.to(policy_GK.dtype)
    if completions.reference_GK is not None:
        columns["log_ratio"] = policy_GK - completions.reference_GK
    if completions.policy_GK.shape[1] != 2:
        return found | {name: _sum(value, mask_GK) for name, value in columns.items()}
    with torch.no_grad():
        columns["reward"] = (
            objective.reward.scores(completions)
            if isinstance(objective, RewardAware)
            else columns.get("log_ratio", policy_GK)
        )
    for name, value in columns.items():
        for side, part in (("chosen", 0), ("rejected", 1)):
            found[f"{name}_{side}"] = _sum(value[:, part], mask_GK[:, part])
    both_G = mask_GK.all(dim=1)
    gap_G = columns["reward"][:, 0] - columns["reward"][:, 1]
    found["margin"] = _sum(gap_G, both_G)
    found["accuracy"] = _sum((gap_G > 0).to(gap_G.dtype) + 0.5 * (gap_G == 0), both_G)
    return found


def plain(parts: Sequence[Sums]) -> list[Numbers]:
    """Sums and counts of some batches as plain numbers, in one transfer from the device."""
    pairs = [
        torch.stack([value.double(), count.double()]) for part in parts for value, count in part.values()
    ]
    table = iter(torch.stack(pairs).tolist() if pairs else [])
    return [{name: next(table) for name in part} for part in parts]


def add_up(parts: Iterable[Numbers]) -> dict[str, float]:
    """Means over all batches; NaN where nothing was counted."""
    total: dict[str, list[float]] = {}
    for part in parts:
        for name, (value, count) in part.items():
            before = total.setdefault(name, [0.0, 0.0])
            before[0] += value
            before[1] += count
    return {name: value / count if count else math.nan for name, (value, count) in total.items()}


def _sum(value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(mask, value, 0.0).sum(), mask.sum()
