"""One training on data that are there: what recipes without rounds share."""

from palate.policy.data import Loaded
from palate.policy.trainer import Objective, Scorer, train
from palate.recipes._job import Job, Outcome, Policy, merged, open_policy, tokens_of, write_policy

__all__ = ["train_given"]


def train_given(
    job: Job, data: Loaded, held: Loaded, objective: Objective, scorer: Scorer | None = None
) -> Outcome:
    """Train a job's policy once, and write it without adapter.

    Args:
        job: What is trained, and how.
        data: What it learns from, of the job's.
        held: What it is measured on, of the job's.
        objective: The loss.
        scorer: What the loss is of; log-probabilities beside those of the reference when left out.

    Raises:
        InputError: Nothing is left of the data.
    """
    policy = open_policy(job.model)
    groups, texts = tokens_of(data, job, policy.tokenizer)
    trained = train(
        policy.model,
        policy.tokenizer,
        groups,
        objective,
        job.options,
        folder=job.out / "run",
        scorer=scorer,
        evaluate=tokens_of(held, job, policy.tokenizer)[0] if held.groups else [],
        progress=job.told(),
    )
    folder = write_policy(Policy(merged(trained.model), policy.tokenizer), job.out / "model")
    return Outcome(
        folder,
        {**trained.metrics, **{f"held-out {name}": value for name, value in trained.evaluation.items()}},
        notes=(texts.describe(), *trained.notes),
    )
