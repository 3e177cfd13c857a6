"""What happens between one round of training and the next: the reference, the data window, the step.

Importing this loads torch.
"""

from palate.policy.updates._extrapolate import (
    Extrapolated,
    LowRank,
    Parameters,
    extrapolate,
    extrapolate_low_rank,
)
from palate.policy.updates._pairing import Pairing, Rival, best_and_worst, pair_up, usable_pairs
from palate.policy.updates._reference import ReferenceKey, ReferenceScores
from palate.policy.updates._rules import (
    RULES,
    Iterates,
    UpdateRule,
    accelerated_preference,
    advance,
    agreement_aware,
    begin,
    choose_momentum,
    iterative_fixed,
    iterative_moving,
    moving_average,
    offline,
    rule,
    training_window,
)

__all__ = [
    "RULES",
    "Extrapolated",
    "Iterates",
    "LowRank",
    "Pairing",
    "Parameters",
    "ReferenceKey",
    "ReferenceScores",
    "Rival",
    "UpdateRule",
    "accelerated_preference",
    "advance",
    "agreement_aware",
    "begin",
    "best_and_worst",
    "choose_momentum",
    "extrapolate",
    "extrapolate_low_rank",
    "iterative_fixed",
    "iterative_moving",
    "moving_average",
    "offline",
    "pair_up",
    "rule",
    "training_window",
    "usable_pairs",
]
