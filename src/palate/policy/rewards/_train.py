"""What a reward model is trained on, and the folder that it ends in."""

import copy
import random
from dataclasses import replace
from pathlib import Path

from palate.errors import InputError
from palate.extras import Foreign, require
from palate.policy._torch import torch
from palate.policy.data import Loaded, TemplateKind, TextGroup, tokenise
from palate.policy.rewards._models import CLASSIFIED, Written, pairwise_prompt
from palate.policy.trainer import Group

__all__ = ["class_groups", "pairwise_groups", "save_pairwise", "save_scalar"]


def pairwise_groups(
    loaded: Loaded, tokenizer: Foreign, *, seed: int = 0, template: TemplateKind = "auto"
) -> tuple[list[Group], Loaded]:
    """Pairs as questions with a letter for an answer: the right letter first, the other one second.

    Which answer stands as A is drawn for each pair, from the seed and its texts.

    Args:
        loaded: Pairs.
        tokenizer: Of transformers.
        seed: Of the draw.
        template: How conversations are written.
    """
    asked: list[TextGroup] = []
    for group in loaded.groups:
        chosen, rejected = group.completions
        first = random.Random(f"{seed}\n{chosen}\n{rejected}").random() < 0.5
        prompt = pairwise_prompt(group.prompt, *((chosen, rejected) if first else (rejected, chosen)))
        letters = ("A", "B") if first else ("B", "A")
        asked.append(replace(group, prompt=prompt, completions=letters))
    return tokenise(replace(loaded, groups=tuple(asked)), tokenizer, template=template, end=False)


def class_groups(
    loaded: Loaded, tokenizer: Foreign, *, template: TemplateKind = "auto"
) -> tuple[list[Group], Loaded]:
    """Texts as wanted and unwanted ones, without their prompts.

    Args:
        loaded: Pairs (the first completion is wanted, the second is not), or single completions with labels.
        tokenizer: Of transformers.
        template: How conversations are written.

    Raises:
        InputError: A group is neither.
    """
    groups: list[TextGroup] = []
    for group in loaded.groups:
        if group.is_pair:
            sign = (1.0, -1.0)
        elif group.label is not None:
            sign = (1.0 if group.label else -1.0,)
        else:
            raise InputError(
                f"{group.place}: a classifier learns from pairs or from completions with a label"
            )
        groups.append(replace(group, prompt=CLASSIFIED, reward=sign))
    return tokenise(replace(loaded, groups=tuple(groups)), tokenizer, template=template)


def save_scalar(
    model: Foreign, head: torch.nn.Module, tokenizer: Foreign, written: Written, folder: Path
) -> None:
    """Write a reward model as a sequence classifier of transformers, which others can load too.

    Args:
        model: The trained network, with its adapter merged.
        head: One row of weights.
        tokenizer: Its tokeniser.
        written: How texts are written.
        folder: Where to.
    """
    transformers = require("transformers", "train", "A reward model")
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    pad = tokenizer.pad_token_id
    config.pad_token_id = None if pad == tokenizer.eos_token_id else pad
    config.architectures = None
    classifier = transformers.AutoModelForSequenceClassification.from_config(config)
    body = getattr(classifier, classifier.base_model_prefix)
    body.load_state_dict(getattr(model, model.base_model_prefix).state_dict())
    with torch.no_grad():
        classifier.score.weight.copy_(next(head.parameters()))
    classifier.to(next(model.parameters()).dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    written.write(folder)


def save_pairwise(model: Foreign, tokenizer: Foreign, written: Written, folder: Path) -> None:
    """Write a pairwise model: a causal language model with a record beside it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    written.write(folder)
