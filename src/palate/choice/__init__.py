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
from palate.choice._agreement import (
    Estimate,
    cohen_kappa,
    krippendorff_alpha,
    raw_agreement,
    share_interval,
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
from palate.choice._ratings import (
    ELO,
    Comparisons,
    Ranking,
    Ratings,
    bootstrap_scores,
    count_comparisons,
    fit_ratings,
    rank_ratings,
)
from palate.choice._verdicts import Joint, Said, Terms, TieKind, VerdictModel, Votes, gather_votes

__all__ = [
    "ELO",
    "Comparisons",
    "DuelCounts",
    "Estimate",
    "Gaussian",
    "Joint",
    "LaplaceFit",
    "Ranking",
    "Ratings",
    "Said",
    "Terms",
    "TieKind",
    "Utilities",
    "VerdictModel",
    "Votes",
    "WinRate",
    "best_probability",
    "bootstrap_scores",
    "bradley_terry",
    "cohen_kappa",
    "count_comparisons",
    "count_duels",
    "difference_variance",
    "eubo",
    "fit_differences",
    "fit_ratings",
    "fit_utilities",
    "gather_votes",
    "krippendorff_alpha",
    "log_sigmoid",
    "observe_pair",
    "outcome",
    "rank_ratings",
    "raw_agreement",
    "share_interval",
    "sigmoid",
    "square_root",
    "update_prior",
    "win_rate",
]
