"""Efficient exact optimisation: the reverse divergence to the target, from pairs or from K rewards.

    exo_pref    KL(P || (1 - e, e)) of a pair
    exo_rw      KL(softmax s || softmax(r / reward_beta)) of K answers, drawn from the reference

The answers of ``exo_rw`` must come from the policy that it is compared with, so they are drawn from it here,
unless the data bring groups with rewards, which are then taken for such.

Source: H. Ji et al., "Towards Efficient Exact Optimization of Language Model Alignment", arXiv:2402.00856.
"""

from typing import Literal

from palate.errors import ConfigError
from palate.policy.objectives import exo_pref, exo_rw
from palate.policy.rollouts import RolloutOptions
from palate.policy.updates import offline
from palate.recipes._dpo import train_pairs
from palate.recipes._job import Job, Outcome
from palate.recipes._rounds import Rounds, run_rounds

__all__ = ["exo"]


def exo(
    job: Job,
    *,
    learns_from: Literal["pairs", "rewards"] = "pairs",
    beta: float = 0.1,
    reward_beta: float = 0.1,
    smoothing: float = 1e-3,
    samples: int = 4,
    max_tokens: int = 64,
    temperature: float = 1.0,
) -> Outcome:
    """Train by efficient exact optimisation.

    Args:
        job: What is trained, on what.
        learns_from: ``pairs`` of the data, or ``rewards``: those of the data, or else of the judge, given to
            the policy's own answers.
        beta: Weight of the divergence from the reference.
        reward_beta: Temperature of the rewards, for ``rewards``.
        smoothing: Probability that a label is wrong, > 0, for ``pairs``.
        samples: K, where answers are drawn.
        max_tokens: Most tokens an answer that is drawn.
        temperature: At which they are drawn; only 1 draws from the reference itself.

    Raises:
        ConfigError: An option is out of its range, or a reward is needed and missing.
        InputError: The data have no pairs.
    """
    if learns_from == "pairs":
        return train_pairs(job, exo_pref(beta, smoothing))
    if learns_from != "rewards":
        raise ConfigError(f"learns_from must be 'pairs' or 'rewards', not {learns_from!r}")
    loss = exo_rw(beta, reward_beta)
    if all(group.reward is not None for group in job.data.groups):
        return train_pairs(job, loss)
    drawing = RolloutOptions(samples, temperature, max_tokens=max_tokens, seed=job.options.seed)
    return run_rounds(job, Rounds(offline(), loss, drawing, count=1))
