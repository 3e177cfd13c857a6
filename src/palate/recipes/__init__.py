"""Whole training methods, one readable script each, and what they share.

Importing this loads torch. ``palate train RECIPE`` runs one; a plug-in adds one by an entry point in the
group ``palate.recipes``: a function ``recipe(job, *, its own options) -> Outcome``.
"""

from palate.extras import require

require("torch", "train", "training")

from palate.recipes._answers import measure_policy  # noqa: E402 - after the check, which says what to install
from palate.recipes._dpo import dpo, train_pairs  # noqa: E402
from palate.recipes._duels import write_duels  # noqa: E402
from palate.recipes._exo import exo  # noqa: E402
from palate.recipes._job import Job, Outcome, Policy, open_policy, save_policy  # noqa: E402
from palate.recipes._judges import GradedRewards, reward_judge, reward_named  # noqa: E402
from palate.recipes._kto import kto  # noqa: E402
from palate.recipes._online import aipo, apo, online_dpo  # noqa: E402
from palate.recipes._orpo import orpo  # noqa: E402
from palate.recipes._reward import evaluate_reward, pair_gaps, reward  # noqa: E402
from palate.recipes._rounds import Rounds, run_rounds  # noqa: E402
from palate.recipes._sft import sft  # noqa: E402
from palate.recipes._superhf import best_answers, superhf  # noqa: E402

__all__ = [
    "GradedRewards",
    "Job",
    "Outcome",
    "Policy",
    "Rounds",
    "aipo",
    "apo",
    "best_answers",
    "dpo",
    "evaluate_reward",
    "exo",
    "kto",
    "measure_policy",
    "online_dpo",
    "open_policy",
    "orpo",
    "pair_gaps",
    "reward",
    "reward_judge",
    "reward_named",
    "run_rounds",
    "save_policy",
    "sft",
    "superhf",
    "train_pairs",
    "write_duels",
]
