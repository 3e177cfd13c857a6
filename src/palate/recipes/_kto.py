"""Kahneman–Tversky optimisation: answers that are wanted or not, one by one.

    wanted      w_D (1 - sigmoid(beta (D - z)))            D = log pi(y|x) - log pi_ref(y|x)
    unwanted    w_U (1 - sigmoid(beta (z - D)))
    z = max(0, mean over the batch of D(x_i, y_j)),        y_j the next answer of the batch to another prompt

z is taken anew in every batch of ``job.options.batch`` answers and carries no gradient. A pair is two
answers: the chosen one is wanted, the rejected one is not, each with the weight of the pair. The classes are
weighed so that w_D n_D / (w_U n_U) lies between 1 and 4/3.

Source: K. Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", arXiv:2402.01306,
section 4.
"""

from collections.abc import Iterator
from dataclasses import replace

from palate.errors import ConfigError, InputError
from palate.policy.data import Loaded, TextGroup
from palate.policy.objectives import Kto, kto_weights
from palate.policy.trainer import BesideOthers
from palate.recipes._given import train_given
from palate.recipes._job import Job, Outcome

__all__ = ["kto"]


def kto(
    job: Job,
    *,
    beta: float = 0.1,
    wanted_weight: float | None = None,
    unwanted_weight: float | None = None,
) -> Outcome:
    """Train on single answers with labels, or on both answers of pairs.

    Args:
        job: What is trained, on what; ``options.batch`` counts answers and must be 2 or more.
        beta: Weight of the divergence from the reference.
        wanted_weight: w_D; by the rule when both are left out, else 1.
        unwanted_weight: w_U; the same.

    Raises:
        ConfigError: An option is out of its range, or a batch has one answer.
        InputError: The data have neither labels nor pairs.
    """
    if job.options.batch < 2:
        raise ConfigError(
            "KTO compares every answer with those to the other prompts of its batch; give batch=2 or more"
        )
    data, held = _single(job.data), _single(job.held)
    wanted, unwanted = (
        sum(group.weight for group in data.groups if group.label is kind) for kind in (True, False)
    )
    if wanted_weight is None and unwanted_weight is None and data.groups:
        wanted_weight, unwanted_weight = kto_weights(wanted, unwanted)
    loss = Kto(
        beta,
        1.0 if wanted_weight is None else wanted_weight,
        1.0 if unwanted_weight is None else unwanted_weight,
    )
    done = train_given(job, data, held, loss, BesideOthers())
    told = (
        f"an answer that is wanted weighs {loss.wanted_weight:.3g} ({wanted:g} of them), "
        f"one that is not {loss.unwanted_weight:.3g} ({unwanted:g})"
    )
    return done._replace(notes=(told, *done.notes))


def _single(loaded: Loaded) -> Loaded:
    groups = tuple(one for group in loaded.groups for one in _answers(group))
    if loaded.groups and not groups:
        raise InputError(
            "KTO learns from answers that are wanted or not, but the data have none; give prompt, completion "
            "and label, or pairs of chosen and rejected answers"
        )
    return replace(loaded, groups=groups)


def _answers(group: TextGroup) -> Iterator[TextGroup]:
    """The labelled answers of a group; the reward says to the loss which are wanted."""
    labels = (True, False) if group.is_pair else (group.label,)
    for text, label in zip(group.completions, labels, strict=False):
        if label is not None:
            yield replace(group, completions=(text,), label=label, reward=(float(label),))
