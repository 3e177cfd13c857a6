"""A step beyond the newest parameters, along the way they came: new + alpha (new - old).

The sum is taken in 32 bits (64 for parameters of 64). Stored again in 16, small steps vanish in the rounding;
:class:`Extrapolated` says how much of the step was lost, and ``dtype`` keeps more.

An adapter of low rank stands for the matrix scale U D, and that product is what must be extrapolated: doing
it to U and D apart adds terms in alpha^2 and mixes old with new. The extrapolated product has twice the rank
and is written down exactly as a concatenation,

    (1 + alpha) s' U' D' - alpha s U D = [(1 + alpha) s' U' | -alpha s U] [D' ; D]

and cut back to a wanted rank by its singular values, which is the closest such matrix.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, in_full, torch

__all__ = ["Extrapolated", "LowRank", "Parameters", "extrapolate", "extrapolate_low_rank"]

Parameters: TypeAlias = Mapping[str, Tensor]
"""Weights of a model by name, or the logits of a tabular policy."""


class Extrapolated(NamedTuple):
    """Parameters beyond the newest.

    Attributes:
        parameters: new + alpha (new - old).
        step: Euclidean length of alpha (new - old).
        lost: Share of that step that rounding to the stored type distorted, ≥ 0; 0 without a step.
    """

    parameters: Parameters
    step: float
    lost: float


class LowRank(NamedTuple):
    """An adapter: the change scale * up @ down of one matrix.

    Attributes:
        up_OR: Output width by rank (LoRA's B).
        down_RI: Rank by input width (LoRA's A).
        scale: Factor of the product (LoRA's alpha over rank).
    """

    up_OR: Tensor
    down_RI: Tensor
    scale: float = 1.0

    @property
    def product_OI(self) -> Tensor:
        """The change of the matrix, in 32 bits at least."""
        return self.scale * (in_full(self.up_OR) @ in_full(self.down_RI))


def extrapolate(
    new: Parameters, old: Parameters, momentum: float, *, dtype: torch.dtype | None = None
) -> Extrapolated:
    """Extrapolate dense parameters. Those that are no floating-point numbers are taken from the new ones.

    Args:
        new: The newest parameters.
        old: Those one iteration before, with the same names and shapes.
        momentum: alpha; 0 returns the new ones.
        dtype: Of the result; that of the new parameters when left out.

    Raises:
        ConfigError: ``momentum`` is not finite.
        InputError: Names or shapes differ.

    Example:
        >>> import torch
        >>> old, new = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> extrapolate(new, old, 0.5).parameters["w"].item()
        2.5
    """
    _check(new, old, momentum)
    result: dict[str, Tensor] = {}
    step = lost = 0.0
    for name, new_value in new.items():
        if not new_value.is_floating_point():
            result[name] = new_value.clone()
            continue
        new_wide, old_wide = in_full(new_value.detach()), in_full(old[name].detach())
        move = momentum * (new_wide - old_wide)
        exact = new_wide + move
        result[name] = exact.to(dtype or new_value.dtype, copy=True)
        step += float(move.double().square().sum())
        lost += float((result[name].double() - exact.double()).square().sum())
    return Extrapolated(result, math.sqrt(step), math.sqrt(lost / step) if step > 0 else 0.0)


def extrapolate_low_rank(
    new: LowRank, old: LowRank, momentum: float, *, rank: int | None = None
) -> tuple[LowRank, float]:
    """Extrapolate what two adapters of one matrix stand for.

    Args:
        new: The newest adapter.
        old: The one before; its rank may differ.
        momentum: alpha; 0 returns the new one's product.
        rank: Of the result, ≥ 1; the sum of both ranks, which is exact, when left out.

    Returns:
        The adapter, in the new one's types and with its scale, and the relative error of its product: the
        Frobenius norm of what the smaller rank cut off over that of the whole; 0 when nothing was cut.

    Raises:
        ConfigError: ``momentum`` is not finite or ``rank`` is below 1.
        InputError: The adapters are of different matrices, or a scale is 0.
    """
    if not math.isfinite(momentum):
        raise ConfigError(f"momentum must be finite, not {momentum!r}")
    if rank is not None and rank < 1:
        raise ConfigError(f"rank must be 1 or more, not {rank!r}")
    if new.up_OR.shape[0] != old.up_OR.shape[0] or new.down_RI.shape[1] != old.down_RI.shape[1]:
        raise InputError(
            "both adapters must be of one matrix, not of widths "
            f"{(new.up_OR.shape[0], new.down_RI.shape[1])} and {(old.up_OR.shape[0], old.down_RI.shape[1])}"
        )
    if new.scale == 0:
        raise InputError("the new adapter has a scale of 0, so no factor of it can hold the result")
    up_OR = torch.cat(
        [
            (1 + momentum) * in_full(new.up_OR.detach()),
            -momentum * old.scale / new.scale * in_full(old.up_OR.detach()),
        ],
        dim=1,
    )
    down_RI = torch.cat([in_full(new.down_RI.detach()), in_full(old.down_RI.detach())])
    error = 0.0
    if rank is not None and rank < up_OR.shape[1]:
        up_OR, down_RI, error = _cut(up_OR, down_RI, rank)
    return LowRank(up_OR.to(new.up_OR.dtype), down_RI.to(new.down_RI.dtype), new.scale), error


def _cut(up_OR: Tensor, down_RI: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    # The thin factors first, so that the decomposition is of a matrix of rank by rank, never of the full one.
    left_OR, upper_RR = torch.linalg.qr(up_OR)
    right_IR, lower_RR = torch.linalg.qr(down_RI.T)
    u_RR, size_R, v_RR = torch.linalg.svd(upper_RR @ lower_RR.T)
    root_R = size_R[:rank].sqrt()
    total = float(size_R.square().sum())
    error = math.sqrt(float(size_R[rank:].square().sum()) / total) if total > 0 else 0.0
    return left_OR @ u_RR[:, :rank] * root_R, root_R[:, None] * v_RR[:rank] @ right_IR.T, error


def _check(new: Parameters, old: Parameters, momentum: float) -> None:
    if not math.isfinite(momentum):
        raise ConfigError(f"momentum must be finite, not {momentum!r}")
    missing = sorted(set(new) ^ set(old))
    if missing:
        raise InputError(
            f"only one of both has the parameters {', '.join(missing[:5])}; both must be one model"
        )
    for name, value in new.items():
        if value.shape != old[name].shape:
            raise InputError(
                f"parameter {name!r} has the shapes {tuple(value.shape)} and {tuple(old[name].shape)}"
            )
