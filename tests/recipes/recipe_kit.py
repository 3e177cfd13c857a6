"""A tiny policy, jobs on it, and a reward that it can learn to earn."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from palate.policy.data import Loaded, Prompt, TextGroup
from palate.policy.trainer import TrainOptions, Watch
from palate.recipes import Job, open_policy
from palate.types import Array, Message

VOWELS = "aeiou"


class Small:
    """Share of small letters, 26 of 96 characters: what a tiny policy can learn to write more of."""

    name = "small letters"

    def score(self, prompts: Any, answers: Any) -> Array:
        return np.array([sum(letter.islower() for letter in answer) / len(answer) for answer in answers])


def prompts(count: int) -> list[Prompt]:
    return [(Message("user", f"say {n}"),) for n in range(count)]


def pairs(count: int, seed: int = 0) -> Loaded:
    draw = random.Random(seed)
    groups = []
    for prompt in prompts(count):
        good, bad = ("".join(draw.choices(letters, k=5)) for letters in (VOWELS, "bcdfg"))
        groups.append(TextGroup(prompt, (good, bad), place="row"))
    return Loaded(tuple(groups))


def asked(count: int) -> Loaded:
    return Loaded(tuple(TextGroup(prompt) for prompt in prompts(count)))


def job(model: Path, out: Path, data: Loaded, **options: Any) -> Job:
    usual = {
        "batch": 8,
        "learning_rate": 5e-3,
        "schedule": "constant",
        "lora": None,
        "watch": Watch(prompts=0),
    }
    return Job(model, out, data, options=TrainOptions(**(usual | options)), judge=Small())


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(first: Path, second: Path) -> bool:
    both = [open_policy(folder).model.state_dict() for folder in (first, second)]
    return all(bool((both[0][name] == both[1][name]).all()) for name in both[0])
