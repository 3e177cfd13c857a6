"""The trainer: groups of completions, a scorer, an objective, one loop.

    groups    one prompt and K completions as tokens (:class:`Group`, :func:`encode_group`)
    scorer    hidden states -> one number a completion (:class:`LogProbabilities`, or a :class:`Scorer`)
    objective numbers -> loss (:mod:`palate.policy.objectives`)
    options   plain values (:class:`TrainOptions`, :class:`Lora`, :class:`Speed`, :class:`Watch`)
    train     all of it, resumable from its folder

Supervised fine-tuning is ``train(model, tokenizer, groups_of_one, nll, options, folder=…,
scorer=LogProbabilities(reference=False))``; a pair loss is ``train(…, pairs, dpo(beta=0.1), …)``; a reward
model is a scorer of its own under ``RewardAware("bradley_terry", ImplicitReward(1.0, 0.0))``.

Importing this loads torch; transformers and PEFT are loaded on use.
"""

from palate.policy.trainer._checkpoint import (
    MARKER,
    damage,
    newest_checkpoint,
    refuse_missing,
    refuse_pickles,
    write_folder,
)
from palate.policy.trainer._groups import Group, Kept, beside_others, encode_group, keep_usable
from palate.policy.trainer._layout import Batch, Layout, make_batch
from palate.policy.trainer._load import load_policy, read_model
from palate.policy.trainer._network import Head, Network, States, adapt
from palate.policy.trainer._options import Lora, Speed, TrainOptions, Watch
from palate.policy.trainer._processes import Processes, join, leave, own_device
from palate.policy.trainer._reference import Reference
from palate.policy.trainer._run import Objective, Progress, Run, Task
from palate.policy.trainer._scorers import Arranging, BesideOthers, LogProbabilities, Scored, Scorer
from palate.policy.trainer._train import Trained, train

__all__ = [
    "MARKER",
    "Arranging",
    "Batch",
    "BesideOthers",
    "Group",
    "Head",
    "Kept",
    "Layout",
    "LogProbabilities",
    "Lora",
    "Network",
    "Objective",
    "Processes",
    "Progress",
    "Reference",
    "Run",
    "Scored",
    "Scorer",
    "Speed",
    "States",
    "Task",
    "TrainOptions",
    "Trained",
    "Watch",
    "adapt",
    "beside_others",
    "damage",
    "encode_group",
    "join",
    "keep_usable",
    "leave",
    "load_policy",
    "make_batch",
    "newest_checkpoint",
    "own_device",
    "read_model",
    "refuse_missing",
    "refuse_pickles",
    "train",
    "write_folder",
]
