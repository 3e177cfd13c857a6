"""Training on given pairs, with any member of the reward-aware family."""

from palate.policy.objectives import RewardAware, preset
from palate.recipes._given import train_given
from palate.recipes._job import Job, Outcome, pairs_of

__all__ = ["dpo", "train_pairs"]


def dpo(job: Job, *, objective: str = "dpo", **options: float | str) -> Outcome:
    """Train on pairs with one of the objectives by name.

    Args:
        job: What is trained, on what pairs.
        objective: One of :data:`palate.policy.objectives.PRESETS`; those that learn from rewards take them
            from the data.
        **options: That objective's parameters, such as ``beta``.

    Raises:
        InputError: The data have no pairs.
        NotFoundError: No such objective.
    """
    return train_pairs(job, preset(objective, **options))


def train_pairs(job: Job, objective: RewardAware) -> Outcome:
    """Train on the pairs of a job, or on its groups with rewards where the objective learns from those."""
    if objective.target.kind == "reward":
        return train_given(job, job.data, job.held, objective)
    return train_given(job, pairs_of(job.data), pairs_of(job.held), objective)
