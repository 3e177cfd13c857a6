"""Rewards from preferences: models of them, how good they are, and how far they can be trusted.

Importing this loads no torch; the names that need it load it when they are first used.
"""

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

__all__ = [
    "Accuracy",
    "Bin",
    "Calibration",
    "LengthBias",
    "NgramOptions",
    "NgramReward",
    "accuracy",
    "accuracy_by_subset",
    "calibrate",
    "fit_classes",
    "fit_pairs",
    "length_bias",
    "load_ngrams",
]
