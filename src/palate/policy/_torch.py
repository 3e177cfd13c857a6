"""torch, or the command that installs it: every tensor file of this folder takes torch from here."""

from palate.extras import require

require("torch", "train", "training")

import torch  # noqa: E402 - after the check, which says how to install it
from torch import Tensor  # noqa: E402

__all__ = ["Tensor", "full_dtype", "in_full", "torch"]


def full_dtype(like: Tensor) -> torch.dtype:
    """Type of at least 32 bits for arithmetic: differences of two long sums do not survive 16."""
    return torch.promote_types(like.dtype, torch.float32)


def in_full(value: Tensor) -> Tensor:
    """The same numbers in at least 32 bits."""
    return value.to(full_dtype(value))
