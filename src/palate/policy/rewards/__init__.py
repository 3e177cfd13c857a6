"""Rewards from preferences: models of them, how good they are, and how far they can be trusted.

Reports and n-grams need no torch; the names that do load it when they are first used.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from palate.policy.rewards._ngrams import (
    NgramOptions,
    NgramReward,
    fit_classes,
    fit_pairs,
    load_ngrams,
)
from palate.policy.rewards._report import (
    Accuracy,
    Bin,
    Calibration,
    LengthBias,
    accuracy,
    accuracy_by_subset,
    calibrate,
    length_bias,
)

if TYPE_CHECKING:
    from palate.policy.rewards._losses import Classify, ScalarReward, bradley_terry
    from palate.policy.rewards._models import (
        PairwiseReward,
        Rewards,
        ScalarModel,
        Written,
        knock_out,
        load_reward,
    )
    from palate.policy.rewards._train import class_groups, pairwise_groups, save_pairwise, save_scalar

__all__ = [
    "Accuracy",
    "Bin",
    "Calibration",
    "Classify",
    "LengthBias",
    "NgramOptions",
    "NgramReward",
    "PairwiseReward",
    "Rewards",
    "ScalarModel",
    "ScalarReward",
    "Written",
    "accuracy",
    "accuracy_by_subset",
    "bradley_terry",
    "calibrate",
    "class_groups",
    "fit_classes",
    "fit_pairs",
    "knock_out",
    "length_bias",
    "load_ngrams",
    "load_reward",
    "pairwise_groups",
    "save_pairwise",
    "save_scalar",
]

_HOMES: Mapping[str, str] = MappingProxyType(
    {
        "Classify": "_losses",
        "PairwiseReward": "_models",
        "Rewards": "_models",
        "ScalarModel": "_models",
        "ScalarReward": "_losses",
        "Written": "_models",
        "bradley_terry": "_losses",
        "class_groups": "_train",
        "knock_out": "_models",
        "load_reward": "_models",
        "pairwise_groups": "_train",
        "save_pairwise": "_train",
        "save_scalar": "_train",
    }
)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'palate.policy.rewards' has no attribute {name!r}")
    return getattr(import_module(f"palate.policy.rewards.{_HOMES[name]}"), name)
