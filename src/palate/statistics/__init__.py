"""What the votes say by themselves: ratings with intervals, side habits, the pull of style, agreement.

The belief that chooses the next duel is one reading of the votes. This is the other, which needs no strategy
and no embedding: :func:`study_statistics` counts and fits, and returns plain values.
"""

from palate.statistics._agree import Agreement, JudgePair, Repeats
from palate.statistics._groups import Groups, GroupTaste, TradeOff, groups_of, study_groups
from palate.statistics._promotion import Promotion, promotion
from palate.statistics._quality import Flag, RaterQuality, left_p_value, rater_quality
from palate.statistics._segments import Segment, SegmentColumn
from palate.statistics._study import RatedCandidate, SideBias, Statistics, study_statistics
from palate.statistics._style import StyleBook, StyleControl, StyleEffect, style_counts
from palate.statistics._trust import JudgeTrust, Oddity, Trust, study_trust
from palate.statistics._values import Figure, plain

__all__ = [
    "Agreement",
    "Figure",
    "Flag",
    "GroupTaste",
    "Groups",
    "JudgePair",
    "JudgeTrust",
    "Oddity",
    "Promotion",
    "RatedCandidate",
    "RaterQuality",
    "Repeats",
    "Segment",
    "SegmentColumn",
    "SideBias",
    "Statistics",
    "StyleBook",
    "StyleControl",
    "StyleEffect",
    "TradeOff",
    "Trust",
    "groups_of",
    "left_p_value",
    "plain",
    "promotion",
    "rater_quality",
    "study_groups",
    "study_statistics",
    "study_trust",
    "style_counts",
]
