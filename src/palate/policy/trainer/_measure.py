"""Numbers of a batch to write down: sums and counts, which add up over the batches of an update."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from palate.policy._torch import Tensor, torch
from palate.policy.objectives import Completions, Loss, RewardAware
from palate.policy.trainer._scorers import Scored

__all__ = ["Sums", "add_up", "measure"]

Sums: TypeAlias = Mapping[str, tuple[Tensor, Tensor]]
"""Sum and count by name."""


def measure(objective: object, completions: Completions, loss: Loss, scored: Scored) -> Sums:
    """What a batch shows: loss, log-probabilities, lengths, log-ratios, and margins where groups are pairs.

    Args:
        objective: A :class:`RewardAware` says what its implicit reward is; for others it is the log-ratio to
            the reference, or the score itself where there is none.
        completions: What the objective read.
        loss: What it returned.
        scored: What the scorer returned.
    """
    mask_GK = completions.mask_GK
    policy_GK = completions.policy_GK.detach()
    one = torch.ones((), device=policy_GK.device)
    found = {"loss": (loss.total.detach(), loss.count.to(loss.total.dtype))}
    found |= {name: (value.detach(), one) for name, value in scored.metrics.items()}
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


def add_up(parts: Iterable[Sums]) -> dict[str, float]:
    """Means over all batches, in one transfer from the device; NaN where nothing was counted."""
    total: dict[str, Tensor] = {}
    for part in parts:
        for name, (value, count) in part.items():
            pair = torch.stack([value.double(), count.double()])
            total[name] = total[name] + pair if name in total else pair
    if not total:
        return {}
    table = torch.stack(list(total.values())).cpu()
    means = (table[:, 0] / table[:, 1]).tolist()
    return dict(zip(total, means, strict=True))


def _sum(value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(mask, value, 0.0).sum(), mask.sum()
