"""Odds-ratio preference optimisation: fine-tuning on chosen answers that also widens their odds.

    L = -m_w + weight (-log sigmoid(log odds_w - log odds_l)),    log odds = m - log(1 - exp m),   m = l / |y|

There is no reference, so a step is one pass of one model.

Source: J. Hong, N. Lee, J. Thorne, "ORPO: Monolithic Preference Optimization without Reference Model",
arXiv:2403.07691, equations 4, 6 and 7.
"""

from palate.policy.objectives import Average, Orpo
from palate.policy.trainer import LogProbabilities
from palate.recipes._given import train_given
from palate.recipes._job import Job, Outcome, pairs_of

__all__ = ["orpo"]


def orpo(job: Job, *, weight: float = 0.1, average: Average = "mean") -> Outcome:
    """Train on pairs without a reference.

    Args:
        job: What is trained, on what pairs.
        weight: Of the odds ratio beside the likelihood; the paper's lambda, 0.1 to 0.25 there.
        average: What the likelihood is averaged over; see :func:`palate.policy.objectives.nll`.

    Raises:
        ConfigError: An option is out of its range.
        InputError: The data have no pairs.
    """
    loss = Orpo(weight, average)
    scorer = LogProbabilities(reference=False)
    return train_given(job, pairs_of(job.data), pairs_of(job.held), loss, scorer)
