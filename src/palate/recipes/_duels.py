"""The end of a training: answers of the model before and after, as a study that people vote on."""

import json
from pathlib import Path

from palate.errors import InputError
from palate.policy.data import Prompt
from palate.policy.rollouts import RolloutOptions
from palate.recipes._answers import answers_of
from palate.recipes._job import Job, Policy, answerable, open_policy, prompts_of, write_lines

__all__ = ["write_duels"]

_STUDY = """\
# Is the model after training better than the one before? Vote with: palate run {name}
[study]
name = "Before and after {recipe}"
guidelines = "Two answers to the same question. Which one is better?"

[target]
kind = "recorded"
columns = ["before", "after"]

[inputs]
path = "answers.jsonl"
column = "input"

[proposers]
use = []
"""


def write_duels(
    job: Job, before: Policy, after: Path, recipe: str, *, most: int = 30, max_tokens: int = 128
) -> Path:
    """Answer held-out prompts (or the first prompts of the data) with both models, and write the study.

    Both answer at temperature 0.7 with the same seed. Prompts that both answer alike, or one with nothing,
    make no duel.

    Args:
        job: The training.
        before: The model that it began with.
        after: Folder of the trained one.
        recipe: Its name, for the study's.
        most: Most prompts.
        max_tokens: Most tokens an answer.

    Returns:
        The study file.

    Raises:
        InputError: The models never differ, or no prompt leaves room for an answer.
    """
    folder = job.out / "before-after"
    folder.mkdir(parents=True, exist_ok=True)
    job, _ = answerable(job, before, max_tokens)
    prompts = (prompts_of(job.held) or prompts_of(job.data))[:most]
    options = RolloutOptions(samples=1, temperature=0.7, max_tokens=max_tokens, seed=job.options.seed)
    kept = folder / "drawn.jsonl"
    old = answers_of(job, before, prompts, options, kept, "before ")
    new = answers_of(job, open_policy(after), prompts, options, kept, "after ")
    rows = [
        _row(prompt) | {"before": one.answers[0], "after": other.answers[0]}
        for prompt, one, other in zip(prompts, old.each, new.each, strict=True)
        if one.answers and other.answers and one.answers[0].strip() != other.answers[0].strip()
    ]
    if not rows:
        raise InputError(
            f"both models answer all of {len(prompts)} prompts alike, so there is nothing to vote on; train "
            "longer (epochs) or with a larger learning_rate; few pairs want both"
        )
    write_lines(folder / "answers.jsonl", list({prompt_row(row): row for row in rows}.values()))
    study = folder / "study.toml"
    study.write_text(_STUDY.format(name=study, recipe=recipe), encoding="utf-8")
    return study


def prompt_row(row: dict[str, str]) -> str:
    """What tells two questions apart."""
    return json.dumps([row["input"], row.get("messages", "")])


def _row(prompt: Prompt) -> dict[str, str]:
    """The last turn as the input, and what was said before it as the column that pages show above it."""
    if isinstance(prompt, str):
        return {"input": prompt}
    *earlier, last = (turn for turn in prompt if turn.role != "system")
    if not earlier:
        return {"input": last.content}
    return {
        "input": last.content,
        "messages": json.dumps([{"role": t.role, "content": t.content} for t in earlier], ensure_ascii=False),
    }
