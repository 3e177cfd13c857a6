"""What an objective returns: one number a group, and which groups count.

Whoever trains chooses the average. ``mean`` is over the groups of this call; with gradient accumulation,
``total`` divided by the number of groups of the whole step gives every group the same weight. A group that
cannot teach (fewer than two valid completions) adds neither to the sum nor to the count: were its scores set
to zero and averaged in, it would add ln 2 to the loss of a batch and shrink everybody else's gradient.
"""

from dataclasses import dataclass

from palate.policy._torch import Tensor

__all__ = ["Loss"]


@dataclass(frozen=True, slots=True)
class Loss:
    """Losses of G groups, in nats or squared nats as the objective says.

    Attributes:
        each_G: The loss of each group; 0, without gradient, where it is not counted.
        counted_G: Which groups teach, as booleans.
    """

    each_G: Tensor
    counted_G: Tensor

    @property
    def total(self) -> Tensor:
        """Sum over the groups that count."""
        return self.each_G.sum()

    @property
    def count(self) -> Tensor:
        """Number of groups that count."""
        return self.counted_G.sum()

    @property
    def mean(self) -> Tensor:
        """Average over the groups that count; 0 when there is none."""
        return self.total / self.count.clamp(min=1)

    def plus(self, other: "Loss", weight: float = 1.0) -> "Loss":
        """This loss and a weighted other one of the same groups; a group counts if it does here."""
        extra_G = other.each_G * self.counted_G.to(other.each_G.dtype)
        return Loss(self.each_G + weight * extra_G, self.counted_G)
