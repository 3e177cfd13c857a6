"""Supervised fine-tuning: the wanted answers become likelier.

L = -log pi(y|x), a mean over the tokens of the batch, of each answer, or a sum
"""

from dataclasses import replace
from functools import partial
from typing import Literal

from palate.errors import InputError
from palate.policy.data import Loaded, TextGroup
from palate.policy.objectives import nll
from palate.policy.trainer import LogProbabilities
from palate.recipes._given import train_given
from palate.recipes._job import Job, Outcome

__all__ = ["sft"]


def sft(job: Job, *, average: Literal["sum", "mean", "tokens"] = "tokens") -> Outcome:
    """Train on answers that are wanted: demonstrations, or the chosen ones of pairs.

    Args:
        job: What is trained, on what.
        average: What the likelihood is averaged over; see :func:`palate.policy.objectives.nll`.

    Raises:
        InputError: No group has a wanted answer.
    """
    loss = partial(nll, average=average)
    return train_given(job, _wanted(job.data), _wanted(job.held), loss, LogProbabilities(reference=False))


def _wanted(loaded: Loaded) -> Loaded:
    kept: list[TextGroup] = []
    for group in loaded.groups:
        if group.completions and group.label is not False:
            best = 0
            if group.reward is not None:
                best = max(range(len(group.reward)), key=lambda k: (group.reward or ())[k])
            kept.append(replace(group, completions=(group.completions[best],), reward=None))
    if loaded.groups and not kept:
        raise InputError("fine-tuning needs answers, and the data have prompts or unwanted answers only")
    return replace(loaded, groups=tuple(kept))
