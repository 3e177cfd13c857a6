"""Who decides: judges that need no person. A rater is asked by the page or the terminal."""

from palate.judges._canaries import ATTACKS, Canary, canaries
from palate.judges._executed import ExecutedCheck, ExecutedJudge, executed_judge
from palate.judges._graded import GradedJudge, verdict_of
from palate.judges._instructions import INSTRUCTIONS, Instruction
from palate.judges._language_model import Examination, LanguageModelJudge, language_model_judge
from palate.judges._metrics import METRICS, Metric, metric, normalise, task_metric
from palate.judges._mixture import Calibrated, Mixture
from palate.judges._panel import Cascade, Majority
from palate.judges._reward import Comparing, PreferenceJudge, RewardGrader, Scoring
from palate.judges._rules import (
    JsonSchema,
    Language,
    Length,
    Pattern,
    ReadingLevel,
    reading_ease,
    reading_grade,
)
from palate.judges._rules_file import RULES, rules_judge
from palate.judges._simulated import Odds, Score, SimulatedJudge, simulated_judge

__all__ = [
    "ATTACKS",
    "INSTRUCTIONS",
    "METRICS",
    "RULES",
    "Calibrated",
    "Canary",
    "Cascade",
    "Comparing",
    "Examination",
    "ExecutedCheck",
    "ExecutedJudge",
    "GradedJudge",
    "Instruction",
    "JsonSchema",
    "Language",
    "LanguageModelJudge",
    "Length",
    "Majority",
    "Metric",
    "Mixture",
    "Odds",
    "Pattern",
    "PreferenceJudge",
    "ReadingLevel",
    "RewardGrader",
    "Score",
    "Scoring",
    "SimulatedJudge",
    "canaries",
    "executed_judge",
    "language_model_judge",
    "metric",
    "normalise",
    "reading_ease",
    "reading_grade",
    "rules_judge",
    "simulated_judge",
    "task_metric",
    "verdict_of",
]
