"""The optimiser: AdamW (I. Loshchilov, F. Hutter, arXiv:1711.05101), a schedule, and its state as tensors.

lr_s = lr min(1, s / warmup)                                                  s = 0, 1, ... during warm-up
cosine after it: lr (1 + cos(pi (s - warmup) / (S - warmup))) / 2             S updates in all
"""

import math
from collections.abc import Iterable, Mapping

from palate.errors import InputError
from palate.policy._torch import Tensor, torch
from palate.policy.trainer._options import TrainOptions

__all__ = ["clip", "learning_rate", "make_optimiser", "optimiser_state", "restore_optimiser"]

_FUSED = ("cpu", "cuda")


def learning_rate(options: TrainOptions, step: int, total: int) -> float:
    """Learning rate of update ``step``, counted from 0, of ``total``."""
    if step < options.warmup:
        return options.learning_rate * step / options.warmup
    if options.schedule == "constant":
        return options.learning_rate
    share = (step - options.warmup) / max(1, total - options.warmup)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def make_optimiser(weights: Mapping[str, Tensor], options: TrainOptions) -> torch.optim.AdamW:
    """AdamW over named weights: matrices decay, vectors do not."""
    matrices = [weight for weight in weights.values() if weight.dim() > 1]
    vectors = [weight for weight in weights.values() if weight.dim() <= 1]
    fused = all(weight.device.type in _FUSED for weight in weights.values())
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": options.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=options.learning_rate,
        fused=fused,
    )


def clip(weights: Iterable[Tensor], longest: float, divisor: float) -> Tensor:
    """Divide gradients by the number of groups, cut them to a length, and return their length before that."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients) / divisor
    factor = (longest / (norm + 1e-6)).clamp(max=1.0) / divisor
    for gradient in gradients:
        gradient.mul_(factor)
    return norm


def optimiser_state(optimiser: torch.optim.Optimizer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its moments and counters, by the weights' names."""
    return {
        f"{name}|{part}": value
        for name, weight in weights.items()
        for part, value in optimiser.state.get(weight, {}).items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, weights: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Put moments and counters back.

    Raises:
        InputError: They are of other weights.
    """
    for entry, value in state.items():
        name, _, part = entry.rpartition("|")
        if name not in weights:
            raise InputError(
                f"the checkpoint has the optimiser's state of {name!r}, which is not trained here"
            )
        weight = weights[name]
        # The fused optimiser counts its steps where the weights are, the plain one on the processor.
        near = value.dim() > 0 or optimiser.defaults["fused"]
        optimiser.state[weight][part] = value.to(weight.device if near else "cpu")
