"""Negative log-likelihood of preferred completions: supervised fine-tuning, or an anchor beside another loss.

    sum     -l_i                                    longer answers pull harder
    mean    -l_i / |y_i|                            every answer pulls alike (AIPO; the SFT term of CODPO)
    tokens  -l_i G / sum_j |y_j|                    every token pulls alike: its average over G groups is the
                                                    token mean of the batch (TRL's loss type ``sft``, ORPO's)

A falling log-probability of chosen answers is normal for DPO, which only widens gaps; this term holds it up.
"""

from typing import Literal, TypeAlias, get_args

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, torch
from palate.policy.objectives._completions import Completions
from palate.policy.objectives._loss import Loss

__all__ = ["Average", "check_average", "nll"]

Average: TypeAlias = Literal["sum", "mean", "tokens"]
"""What a negative log-likelihood is averaged over; see the head of the module."""


def nll(completions: Completions, which_G: Tensor | int = 0, *, average: Average = "mean") -> Loss:
    """Negative log-likelihood of one completion a group.

    Args:
        completions: Log-probabilities under the policy; lengths unless ``average`` is ``sum``.
        which_G: Index of the completion in each group, or one index for all.
        average: Over what.

    Returns:
        G losses in nats, or nats a token; groups whose completion does not count are left out.

    Raises:
        ConfigError: ``average`` is unknown.
        InputError: Lengths are needed and missing.

    Example:
        >>> import torch
        >>> four = Completions(torch.tensor([[-6.0], [-4.0]]), length_GK=torch.tensor([[3], [1]]))
        >>> [nll(four, average=kind).mean.item() for kind in ("sum", "mean", "tokens")]
        [5.0, 3.0, 2.5]
    """
    check_average(average)
    if isinstance(which_G, int):
        which_G = torch.full_like(completions.policy_GK[:, 0], which_G, dtype=torch.long)
    counted_G = _pick(completions.mask_GK, which_G)
    each_G = -_pick(completions.policy(mean=average == "mean"), which_G)
    if average == "tokens":
        if completions.length_GK is None:
            raise InputError("the mean over tokens needs the numbers of completion tokens as length_GK")
        token_G = _pick(completions.length_GK, which_G) * counted_G
        each_G = each_G * counted_G.sum() / token_G.sum().clamp(min=1)
    return Loss(torch.where(counted_G, each_G, 0.0), counted_G)


def check_average(average: str) -> None:
    """Refuse what is no average.

    Raises:
        ConfigError: The name is unknown.
    """
    if average not in get_args(Average):
        raise ConfigError(f"average must be one of {', '.join(get_args(Average))}, not {average!r}")


def _pick(value_GK: Tensor, which_G: Tensor) -> Tensor:
    return value_GK.gather(1, which_G[:, None])[:, 0]
