"""Training on given pairs, with any member of the reward-aware family."""

from palate.policy.objectives import RewardAware, preset
from palate.policy.trainer import train
from palate.recipes._job import (
    Job,
    Outcome,
    Policy,
    merged,
    open_policy,
    pairs_of,
    save_policy,
    tokens_of,
)

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
    policy = open_policy(job.model)
    rewarded = objective.target.kind == "reward"
    data, held_out = (job.data, job.held) if rewarded else (pairs_of(job.data), pairs_of(job.held))
    groups, texts = tokens_of(data, job, policy.tokenizer)
    held = tokens_of(held_out, job, policy.tokenizer)[0] if held_out.groups else []
    trained = train(
        policy.model,
        policy.tokenizer,
        groups,
        objective,
        job.options,
        folder=job.out / "run",
        evaluate=held,
        progress=job.told(),
    )
    done = Policy(merged(trained.model), policy.tokenizer)
    return Outcome(
        save_policy(done, job.out / "model"),
        {**trained.metrics, **{f"held-out {name}": value for name, value in trained.evaluation.items()}},
        notes=(texts.describe(), *trained.notes),
    )
