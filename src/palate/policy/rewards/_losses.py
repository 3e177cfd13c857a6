r"""How a reward is learnt: a head on the last hidden state, under one of two losses.

    bradley_terry   -log sigmoid(r(x, y_w) - r(x, y_l))                          from pairs
    classify        mean over the group of -log sigmoid(c_i r(x, y_i))           c = +1 wanted, -1 unwanted

The first leaves r free up to a constant a prompt; ``centre`` ties it to zero with

    centre (r(x, y_w) + r(x, y_l))^2

The head begins at zero, so that every first loss is ln 2 and depends on no draw.

Sources: R. Bradley, M. Terry, 1952; H. Dong et al., "RLHF Workflow", arXiv:2405.07863 (a head with one
output); J. Eisenstein et al., "Helping or Herding?", arXiv:2312.09244 (centring); arXiv:2401.15043 (the
classifier of original and simplified texts).
"""

import math
from dataclasses import dataclass

from palate.errors import ConfigError
from palate.policy._torch import Tensor, in_full, torch
from palate.policy.objectives import Completions, ImplicitReward, Loss, RewardAware
from palate.policy.trainer import Scored, States

__all__ = ["Classify", "ScalarReward", "bradley_terry"]


def bradley_terry() -> RewardAware:
    """-log sigmoid(s_w - s_l) of scores, whatever made them; nothing is compared with a reference."""
    return RewardAware("bradley_terry", ImplicitReward(beta=1.0, reference=0.0))


@dataclass(frozen=True, slots=True)
class Classify:
    """Each completion alone is wanted or not; ``reward_GK`` above 0 says that it is.

    The scores are log-odds, so that sigmoid(r) is the probability of being wanted.
    """

    name: str = "classify"

    def __call__(self, completions: Completions) -> Loss:
        """Mean loss of the completions that count, G numbers.

        Raises:
            InputError: There are no rewards.
        """
        mask_GK = completions.mask_GK
        sign_GK = torch.where(completions.reward() > 0, 1.0, -1.0)
        score_GK = in_full(completions.policy_GK).masked_fill(~mask_GK, 0.0)
        each_GK = torch.nn.functional.softplus(-sign_GK * score_GK) * mask_GK
        count_G = mask_GK.sum(dim=1)
        return Loss(each_GK.sum(dim=1) / count_G.clamp(min=1), count_G > 0)


@dataclass(frozen=True, slots=True)
class ScalarReward:
    """r(x, y): one number from the hidden state of the answer's last token. A scorer of the trainer.

    Attributes:
        centre: Weight ≥ 0 of the squared sum of a group's rewards.

    Raises:
        ConfigError: ``centre`` is below 0.
    """

    centre: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.centre) and self.centre >= 0):
            raise ConfigError(f"centre must be 0 or more and finite, not {self.centre!r}; 0.01 is usual")

    @property
    def name(self) -> str:
        """Changes with what is computed."""
        return f"scalar reward, centre={self.centre!r}"

    @property
    def reference(self) -> bool:
        """Rewards are compared with each other alone."""
        return False

    @property
    def prior(self) -> bool:
        """No other model is needed."""
        return False

    def module(self, width: int) -> torch.nn.Module:
        """The head: one row of weights, all 0."""
        head = torch.nn.Linear(width, 1, bias=False)
        torch.nn.init.zeros_(head.weight)
        return head

    def __call__(self, states: States, module: torch.nn.Module | None) -> Scored:
        """Rewards of a batch, and how far they are from zero."""
        assert module is not None
        reward_C = in_full(module(states.last_CD().to(next(module.parameters()).dtype)))[:, 0]
        reward_GK = states.batch.grid(reward_C)
        metrics = {"reward_mean": reward_C.detach().mean()}
        if self.centre == 0:
            return Scored(reward_GK, None, metrics)
        penalty_G: Tensor = self.centre * reward_GK.sum(dim=1).square()
        return Scored(reward_GK, penalty_G, metrics)
