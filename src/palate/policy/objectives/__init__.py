"""Losses that train a policy on preferences: pure functions of log-probabilities, lengths and rewards.

Importing this loads torch. Nothing here knows of models, tokens or trainers.
"""

from palate.policy.objectives._advantages import Baseline, advantages, policy_gradient
from palate.policy.objectives._completions import Completions, pairs
from palate.policy.objectives._family import ImplicitReward, RewardAware, Target
from palate.policy.objectives._kto import Kto, kto, kto_reference_point, kto_weights
from palate.policy.objectives._loss import Loss
from palate.policy.objectives._match import DISTANCES, Distance, group_distance, log_target, pair_distance
from palate.policy.objectives._nll import Average, nll
from palate.policy.objectives._orpo import Orpo, odds_ratio, orpo
from palate.policy.objectives._presets import (
    PRESETS,
    agreement_aware,
    cdpo,
    dpo,
    dpo_nll,
    exo_pref,
    exo_rw,
    hinge,
    ipo_mean,
    ipo_sum,
    preset,
    rebel,
    reinforce,
    reward_aware,
    reward_distillation,
    reward_softmax,
    rloo,
    simpo,
)

__all__ = [
    "DISTANCES",
    "PRESETS",
    "Average",
    "Baseline",
    "Completions",
    "Distance",
    "ImplicitReward",
    "Kto",
    "Loss",
    "Orpo",
    "RewardAware",
    "Target",
    "advantages",
    "agreement_aware",
    "cdpo",
    "dpo",
    "dpo_nll",
    "exo_pref",
    "exo_rw",
    "group_distance",
    "hinge",
    "ipo_mean",
    "ipo_sum",
    "kto",
    "kto_reference_point",
    "kto_weights",
    "log_target",
    "nll",
    "odds_ratio",
    "orpo",
    "pair_distance",
    "pairs",
    "policy_gradient",
    "preset",
    "rebel",
    "reinforce",
    "reward_aware",
    "reward_distillation",
    "reward_softmax",
    "rloo",
    "simpo",
]
