"""Mathematics of choice on plain arrays: what votes say about utilities, and which question to ask next."""

from palate.choice._acquisition import (
    WinRate,
    best_probability,
    difference_variance,
    eubo,
    observe_pair,
    square_root,
    win_rate,
)
from palate.choice._bradley_terry import bradley_terry
from palate.choice._laplace import (
    DuelCounts,
    Gaussian,
    LaplaceFit,
    Utilities,
    count_duels,
    fit_differences,
    fit_utilities,
    update_prior,
)
from palate.choice._numeric import log_sigmoid, outcome, sigmoid

__all__ = [
    "DuelCounts",
    "Gaussian",
    "LaplaceFit",
    "Utilities",
    "WinRate",
    "best_probability",
    "bradley_terry",
    "count_duels",
    "difference_variance",
    "eubo",
    "fit_differences",
    "fit_utilities",
    "log_sigmoid",
    "observe_pair",
    "outcome",
    "sigmoid",
    "square_root",
    "update_prior",
    "win_rate",
]
