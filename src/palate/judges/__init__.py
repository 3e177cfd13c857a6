"""Who decides: judges that need no person. A rater is asked by the page or the terminal."""

from palate.judges._metrics import METRICS, Metric, metric, normalise, task_metric
from palate.judges._simulated import Odds, Score, SimulatedJudge, simulated_judge

__all__ = [
    "METRICS",
    "Metric",
    "Odds",
    "Score",
    "SimulatedJudge",
    "metric",
    "normalise",
    "simulated_judge",
    "task_metric",
]
