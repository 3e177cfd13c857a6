"""What every recipe is given, and what it hands back."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch

from palate.errors import ConfigError, InputError, UnsupportedError
from palate.extras import Foreign
from palate.policy.data import Loaded, Prompt, TemplateKind, TextGroup, encode_texts, prompt_key, tokenise
from palate.policy.rewards import Rewards
from palate.policy.trainer import Group, Progress, TrainOptions, join, load_policy, write_folder
from palate.types import Message

__all__ = [
    "Job",
    "Outcome",
    "Policy",
    "answerable",
    "encoder",
    "open_policy",
    "pairs_of",
    "prompts_of",
    "save_policy",
    "write_policy",
]


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


@dataclass(frozen=True, slots=True)
class Job:
    """One training.

    Attributes:
        model: Folder of the policy that is trained.
        out: Folder of the run; called again with the same job, a recipe goes on from what is there.
        data: What is learnt from; for online recipes the prompts.
        held: Data that are held out; no recipe trains on them.
        options: Of the trainer.
        template: How conversations are written.
        judge: Gives rewards, for recipes that judge what the policy answers.
        engine: What the policy's answers are drawn with: ``transformers``, in the process that trains, or
            ``vllm``, in an engine that is started on the weights of each round.
        engine_memory: Share of the graphics processor's memory that vLLM may take, beside the training.
        tell: Called with a stage, what is done of it and what there is in all.

    Raises:
        ConfigError: ``engine`` is unknown, or ``engine_memory`` is out of its range.
    """

    model: Path
    out: Path
    data: Loaded
    held: Loaded = field(default_factory=lambda: Loaded(()))
    options: TrainOptions = field(default_factory=TrainOptions)
    template: TemplateKind = "auto"
    judge: Rewards | None = None
    engine: Literal["transformers", "vllm"] = "transformers"
    engine_memory: float = 0.4
    tell: Callable[[str, int, int], None] = _silent

    def __post_init__(self) -> None:
        if self.engine not in ("transformers", "vllm"):
            raise ConfigError(f"engine must be 'transformers' or 'vllm', not {self.engine!r}")
        if not 0 < self.engine_memory <= 1:
            raise ConfigError(f"engine_memory must lie in (0, 1], not {self.engine_memory!r}; 0.4 is usual")

    def told(self, stage: str = "") -> Callable[[Progress], None]:
        """The trainer's progress under the name of a stage."""
        return lambda progress: self.tell(f"{stage}{progress.stage}", progress.done, progress.total)

    def alone(self, recipe: str) -> None:
        """See to it that a recipe that trains in one process has one.

        Raises:
            UnsupportedError: There are several.
        """
        if join().count > 1:
            raise UnsupportedError(f"{recipe} trains in one process; start it without torchrun")

    def rewards(self) -> Rewards:
        """The judge, of a recipe that cannot do without.

        Raises:
            ConfigError: There is none.
        """
        if self.judge is None:
            raise ConfigError(
                "this recipe judges the policy's own answers, so it needs a reward: give --reward "
                "reading-level, --reward rules:FILE or --reward FOLDER of a reward model"
            )
        return self.judge


class Outcome(NamedTuple):
    """What a recipe ends with.

    Attributes:
        model: Folder of the trained model, without adapter; ``None`` where a reward was trained.
        numbers: What was measured, by name, the newest.
        rounds: The same of each round of an online recipe.
        notes: Lines for people.
    """

    model: Path | None
    numbers: Mapping[str, float] = MappingProxyType({})
    rounds: tuple[Mapping[str, float], ...] = ()
    notes: tuple[str, ...] = ()


class Policy(NamedTuple):
    """A model in memory and its tokeniser."""

    model: Foreign
    tokenizer: Foreign

    def digest(self) -> str:
        """A hash of every weight, so that answers are kept under the weights that gave them."""
        hasher = hashlib.sha256()
        for name, weight in sorted(self.model.state_dict().items()):
            hasher.update(name.encode())
            hasher.update(weight.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes())
        return hasher.hexdigest()[:16]


def open_policy(folder: Path) -> Policy:
    """Load the policy of a job.

    Raises:
        InputError: The weights are pickles, damaged, or an adapter.
        ModelError: The files are not a causal language model.
    """
    return Policy(*load_policy(folder))


def save_policy(policy: Policy, folder: Path) -> Path:
    """Write a whole model with its tokeniser; the folder appears whole or not at all."""

    def fill(work: Path) -> None:
        policy.model.save_pretrained(work)
        policy.tokenizer.save_pretrained(work)

    write_folder(folder, fill)
    return folder


def write_policy(policy: Policy, folder: Path) -> Path:
    """Write what a training ended with: the first of several processes does, and the others wait for it."""
    processes = join()
    if processes.first:
        save_policy(policy, folder)
    processes.wait()
    return folder


def merged(model: Foreign) -> Foreign:
    """A model without its adapter, whose weights are those of both."""
    return model.merge_and_unload() if hasattr(model, "peft_config") else model


def pairs_of(loaded: Loaded) -> Loaded:
    """The pairs among some groups, or an error that says what there is instead.

    Raises:
        InputError: There is none.
    """
    kept = tuple(group for group in loaded.groups if group.is_pair)
    if loaded.groups and not kept:
        raise InputError(
            "this recipe learns from pairs, but the data have none; give chosen and rejected answers"
        )
    return replace(loaded, groups=kept)


def prompts_of(loaded: Loaded) -> list[Prompt]:
    """The prompts of some groups, each once, in their order."""
    found = {prompt_key(group.prompt): group.prompt for group in loaded.groups}
    return list(found.values())


def encoder(
    prompts: Sequence[Prompt], tokenizer: Foreign, template: TemplateKind
) -> Callable[[Sequence[Message]], list[int]]:
    """How a model that samples reads the turns of a request: the very tokens that it is trained on.

    Raises:
        InputError: Some prompts are texts and others conversations.
    """
    plain = [isinstance(prompt, str) for prompt in prompts]
    if any(plain) and not all(plain):
        raise InputError("some prompts are texts and some are conversations; give data of one kind")

    def encode(turns: Sequence[Message]) -> list[int]:
        prompt: Prompt = turns[0].content if any(plain) else tuple(turns)
        # A group needs an answer; what it is does not change the prompt's tokens.
        return list(encode_texts(TextGroup(prompt, (".",)), tokenizer, template=template).prompt)

    return encode


def answerable(job: Job, policy: Policy, most_tokens: int) -> tuple[Job, list[str]]:
    """A job without the prompts that the policy cannot answer, and a line on those.

    Left out are prompts that leave no room for an answer in the model's context, and those that spell one of
    the tokeniser's special tokens.

    Args:
        job: Whose data and held-out data are looked at.
        policy: Who is to answer.
        most_tokens: Of an answer.

    Raises:
        InputError: Nothing is left of the data.
    """
    context = getattr(policy.model.config, "max_position_embeddings", None) or math.inf

    def kept(loaded: Loaded) -> Loaded:
        asked = Loaded(tuple(TextGroup(prompt, (".",)) for prompt in prompts_of(loaded)))
        tokens, texts = tokenise(asked, policy.tokenizer, template=job.template)
        fit = {
            prompt_key(text.prompt)
            for text, group in zip(texts.groups, tokens, strict=True)
            if len(group.prompt) + most_tokens <= context
        }
        return replace(loaded, groups=tuple(g for g in loaded.groups if prompt_key(g.prompt) in fit))

    data, held = kept(job.data), kept(job.held)
    gone = len(job.data.groups) + len(job.held.groups) - len(data.groups) - len(held.groups)
    why = f"no room for {most_tokens} tokens of an answer in the model's {context}, or a special token"
    if job.data.groups and not data.groups:
        raise InputError(f"no prompt can be answered ({why}); give shorter prompts or a smaller max_tokens")
    return replace(job, data=data, held=held), [f"{gone} prompts left out: {why}"] if gone else []


def tokens_of(loaded: Loaded, job: Job, tokenizer: Foreign) -> tuple[list[Group], Loaded]:
    """Tokens of a job's data, or an error that says why nothing is left.

    Raises:
        InputError: Nothing is left.
    """
    groups, texts = tokenise(loaded, tokenizer, template=job.template)
    texts.require("the data")
    return groups, texts


def write_lines(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as JSON lines; the file appears whole or not at all."""
    part = file.with_name(f".part-{file.name}")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    part.write_text(text, encoding="utf-8", errors="replace")
    part.replace(file)
