"""What objectives read: log-probabilities, lengths and rewards of G groups of K completions of one prompt.

A pair is a group of two, the chosen one first. All log-probabilities are sums over the completion's tokens,
in nats, at temperature 1; means are taken here, with ``length_GK``, so that no caller has to say which it
passed.
"""

from dataclasses import dataclass

from palate.errors import InputError
from palate.policy._torch import Tensor, in_full, torch

__all__ = ["Completions", "pairs"]


@dataclass(frozen=True, slots=True)
class Completions:
    """G prompts with K completions each.

    Attributes:
        policy_GK: log pi(y|x), summed over tokens, ≤ 0, with gradient.
        reference_GK: The same under the reference policy, without gradient; ``None`` where there is none.
        length_GK: Completion tokens, ≥ 0; 0 marks an empty completion, which does not count.
        reward_GK: Rewards; higher is better.
        valid_GK: Which completions count; all with a token when left out. Others may hold anything, NaN too.

    Raises:
        InputError: Shapes differ, or the reference would be trained as well.
    """

    policy_GK: Tensor
    reference_GK: Tensor | None = None
    length_GK: Tensor | None = None
    reward_GK: Tensor | None = None
    valid_GK: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.policy_GK.shape)
        if len(shape) != 2 or shape[1] < 1:
            raise InputError(
                f"policy_GK must be groups by completions, such as (8, 2) for eight pairs, not {shape}"
            )
        for name in ("reference_GK", "length_GK", "reward_GK", "valid_GK"):
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise InputError(f"{name} has the shape {tuple(value.shape)}, but policy_GK has {shape}")
        if self.reference_GK is not None and self.reference_GK.requires_grad:
            raise InputError(
                "reference_GK carries a gradient, so the reference would be trained as well; "
                "compute it under torch.no_grad() or detach() it"
            )

    @property
    def mask_GK(self) -> Tensor:
        """Which completions count, as booleans."""
        mask_GK = torch.ones_like(self.policy_GK, dtype=torch.bool)
        if self.valid_GK is not None:
            mask_GK = self.valid_GK.bool()
        if self.length_GK is not None:
            mask_GK = mask_GK & (self.length_GK > 0)
        return mask_GK

    def policy(self, *, mean: bool) -> Tensor:
        """Log-probabilities of the policy, as sums or as means over tokens; 0 where masked."""
        return self._normalised(self.policy_GK, mean=mean)

    def reference(self, *, mean: bool) -> Tensor:
        """Log-probabilities of the reference, as sums or as means over tokens; 0 where masked.

        Raises:
            InputError: There are none.
        """
        if self.reference_GK is None:
            raise InputError(
                "this objective compares with a reference policy; give its log-probabilities as reference_GK"
            )
        return self._normalised(self.reference_GK, mean=mean)

    def reward(self) -> Tensor:
        """Rewards; 0 where masked.

        Raises:
            InputError: There are none.
        """
        if self.reward_GK is None:
            raise InputError("this objective learns from rewards; give one a completion as reward_GK")
        return in_full(self.reward_GK).masked_fill(~self.mask_GK, 0.0)

    def check(self) -> None:
        """Look at the values, which waits for the device: call it on new data, not in every step.

        Raises:
            InputError: A completion that counts has a log-probability or reward that is NaN or infinite, or
                a log-probability above 0.
        """
        mask_GK = self.mask_GK
        for name in ("policy_GK", "reference_GK", "reward_GK"):
            value = getattr(self, name)
            if value is None:
                continue
            bad = int((~torch.isfinite(value) & mask_GK).sum())
            if bad:
                raise InputError(
                    f"{bad} of {int(mask_GK.sum())} values of {name} are NaN or infinite; "
                    "leave those completions out with valid_GK"
                )
            if name != "reward_GK" and bool(((value > 0) & mask_GK).any()):
                raise InputError(
                    f"{name} has values above 0, but a log-probability is at most 0; were logits passed?"
                )

    def _normalised(self, logp_GK: Tensor, *, mean: bool) -> Tensor:
        # Masked cells are replaced before the arithmetic: NaN times a gradient of 0 would still be NaN.
        logp_GK = in_full(logp_GK).masked_fill(~self.mask_GK, 0.0)
        if not mean:
            return logp_GK
        if self.length_GK is None:
            raise InputError(
                "this objective takes means over tokens; give the numbers of completion tokens as length_GK"
            )
        return logp_GK / self.length_GK.clamp(min=1)


def pairs(
    chosen_G: Tensor,
    rejected_G: Tensor,
    *,
    reference: tuple[Tensor, Tensor] | None = None,
    length: tuple[Tensor, Tensor] | None = None,
    reward: tuple[Tensor, Tensor] | None = None,
    valid_G: Tensor | None = None,
) -> Completions:
    """Groups of two from two columns, the chosen one first.

    Args:
        chosen_G: log pi of the chosen completions, summed over tokens.
        rejected_G: The same of the rejected ones.
        reference: The same two columns under the reference policy.
        length: Completion tokens of both.
        reward: Rewards of both.
        valid_G: Which pairs count.

    Raises:
        InputError: The columns differ in length, or the reference carries a gradient.

    Example:
        >>> import torch
        >>> length = (torch.tensor([3]), torch.tensor([4]))
        >>> two = pairs(torch.tensor([-3.0]), torch.tensor([-5.0]), length=length)
        >>> two.policy(mean=True).tolist()
        [[-1.0, -1.25]]
    """

    def both(columns: tuple[Tensor, Tensor] | None) -> Tensor | None:
        if columns is None:
            return None
        if columns[0].shape != columns[1].shape:
            raise InputError(
                f"chosen and rejected differ: shapes {tuple(columns[0].shape)} and {tuple(columns[1].shape)}"
            )
        return torch.stack(columns, dim=-1)

    policy_GK = both((chosen_G, rejected_G))
    assert policy_GK is not None
    return Completions(
        policy_GK,
        both(reference),
        both(length),
        both(reward),
        both((valid_G, valid_G) if valid_G is not None else None),
    )
