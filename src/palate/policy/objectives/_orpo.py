"""Odds-ratio preference optimisation: supervised fine-tuning that also widens the odds, without a reference.

    L = -m_w + weight (-log sigmoid(log odds_w - log odds_l)),    log odds = m - log(1 - exp m),   m = l / |y|

m is the mean log-probability a token, so exp m is the geometric mean of the tokens' probabilities.

Source: J. Hong, N. Lee, J. Thorne, "ORPO: Monolithic Preference Optimization without Reference Model",
arXiv:2403.07691, equations 4, 6 and 7. TRL takes the likelihood of prompt and answer together and over the
tokens of the batch; here it is the answer's, and :func:`palate.policy.objectives.nll` says over what.
"""

import math
from dataclasses import dataclass

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, torch
from palate.policy.objectives._completions import Completions
from palate.policy.objectives._loss import Loss
from palate.policy.objectives._nll import Average, check_average, nll

__all__ = ["Orpo", "odds_ratio", "orpo"]


@dataclass(frozen=True, slots=True)
class Orpo:
    """The likelihood of the chosen answer and, weighted, the odds ratio; :func:`orpo` as a value.

    Attributes:
        weight: Of the odds ratio, ≥ 0; the paper's lambda, TRL's ``beta``.
        average: What the likelihood is averaged over.

    Raises:
        ConfigError: ``weight`` is out of its range, or ``average`` is unknown.
    """

    weight: float = 0.1
    average: Average = "mean"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ConfigError(f"weight must be 0 or more and finite, not {self.weight!r}; 0.1 is usual")
        check_average(self.average)

    def __call__(self, completions: Completions) -> Loss:
        """Losses of G pairs, the chosen completion first.

        Raises:
            InputError: The groups are not pairs, or there are no lengths.
        """
        ratio = odds_ratio(completions)
        likelihood = nll(completions, average=self.average)
        counted_G = ratio.counted_G
        return Loss(torch.where(counted_G, likelihood.each_G, 0.0), counted_G).plus(ratio, self.weight)


def odds_ratio(completions: Completions) -> Loss:
    """-log sigmoid of the log odds ratio of the first completion to the second.

    Args:
        completions: Pairs, the chosen one first, with lengths.

    Returns:
        G losses in nats; pairs without two completions that count are left out.

    Raises:
        InputError: The groups are not pairs, or there are no lengths.
    """
    if completions.policy_GK.shape[1] != 2:
        raise InputError(f"odds are compared in pairs, not in groups of {completions.policy_GK.shape[1]}")
    counted_G = completions.mask_GK.all(dim=1)
    mean_GK = torch.where(counted_G[:, None], completions.policy(mean=True), -1.0)
    odds_GK = _log_odds(mean_GK)
    each_G = -torch.nn.functional.logsigmoid(odds_GK[:, 0] - odds_GK[:, 1])
    return Loss(torch.where(counted_G, each_G, 0.0), counted_G)


def orpo(completions: Completions, *, weight: float = 0.1, average: Average = "mean") -> Loss:
    """The likelihood of the chosen answer and, weighted, the odds ratio.

    Args:
        completions: Pairs, the chosen one first, with lengths.
        weight: Of the odds ratio, ≥ 0; the paper's lambda, TRL's ``beta``.
        average: What the likelihood is averaged over.

    Raises:
        ConfigError: ``weight`` is out of its range.
        InputError: The groups are not pairs, or there are no lengths.
    """
    return Orpo(weight, average)(completions)


def _log_odds(mean: Tensor) -> Tensor:
    # A certain answer has infinite odds and a gradient of NaN; one rounding step below 1 has neither.
    mean = mean.clamp(max=-torch.finfo(mean.dtype).eps)
    return mean - torch.log(-torch.expm1(mean))
