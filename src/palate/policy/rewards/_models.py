r"""Reward and preference models that are used: loaded from a folder, asked in batches.

    scalar     r(x, y)             a head of one output on the hidden state of the last token
    pairwise   P(y_1 beats y_2) = (sigmoid(d_12 / T) + 1 - sigmoid(d_21 / T)) / 2
               d_ij = log p("A" | x, A = y_i, B = y_j) - log p("B" | x, A = y_i, B = y_j)

The pairwise model is asked in both orders, so that which answer stands first cannot decide. Its preferences
need not be transitive; as rewards of K answers, the mean probability of beating the others is taken, and
:func:`knock_out` finds a winner with K - 1 comparisons.

A folder is one that transformers loads: a sequence classifier with one output, or a causal language model.
``palate_reward.json`` beside it says which and how texts are written; without it, as in reward models
of others, the folder is taken for a scalar model, and texts are whole conversations in the chat template.
Weights are safetensors; pickles are refused, and no code from a folder is run.

Source: H. Dong et al., "RLHF Workflow", arXiv:2405.07863 (both kinds, both orders, knock-out).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from palate.choice import sigmoid
from palate.errors import ConfigError, InputError, ModelError
from palate.extras import Foreign, require
from palate.policy._torch import torch
from palate.policy.data import Prompt, TemplateKind, TextGroup, encode_texts, plain_prompt
from palate.policy.rewards._ngrams import NgramReward, load_ngrams
from palate.policy.trainer import (
    Group,
    Network,
    Speed,
    damage,
    make_batch,
    own_device,
    read_model,
    refuse_missing,
    refuse_pickles,
)
from palate.types import Array, Message

__all__ = [
    "RECORD",
    "PairwiseReward",
    "Rewards",
    "ScalarModel",
    "Written",
    "knock_out",
    "load_reward",
    "pairwise_prompt",
]

RECORD = "palate_reward.json"
_ROWS_AT_ONCE = 16


@runtime_checkable
class Rewards(Protocol):
    """Anything that gives answers a number; higher is better."""

    @property
    def name(self) -> str:
        """For records; another name for other numbers."""
        ...

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Array:
        """Rewards of N answers to N prompts; NaN where an answer cannot be scored."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """How texts become tokens, and what a gap of rewards is worth.

    Attributes:
        kind: ``scalar``; ``classifier``, whose reward is the log-odds of being wanted and which is shown no
            prompt; ``pairwise``; or ``conversation``, a scalar model of somebody else.
        template: How conversations are written.
        temperature: T of a preference, > 0.
    """

    kind: Literal["scalar", "classifier", "pairwise", "conversation"] = "conversation"
    template: TemplateKind = "auto"
    temperature: float = 1.0

    def write(self, folder: Path) -> None:
        """Write it beside a model."""
        (folder / RECORD).write_text(json.dumps(asdict(self)), encoding="utf-8")


class ScalarModel:
    """A sequence classifier with one output.

    Args:
        model: Of transformers.
        tokenizer: Its tokeniser.
        written: How texts are written.
        name: For records.
    """

    def __init__(self, model: Foreign, tokenizer: Foreign, written: Written, name: str) -> None:
        self.name = name
        self.written = written
        self._model, self._tokenizer = model.eval(), tokenizer
        # A decoder is read at its last token here, wherever the padding stands and whatever pads: where the
        # end token pads as well, the model's own search for the last token stops one too early.
        self._decoder = getattr(model, model.base_model_prefix) if hasattr(model, "score") else None
        self._context = int(getattr(model.config, "max_position_embeddings", None) or 2**31)

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Array:
        """Rewards of N answers; NaN for those that do not fit into the context."""
        ids = [self.tokens(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        reward_N = np.full(len(ids), np.nan)
        fits = [n for n in range(len(ids)) if 0 < len(ids[n]) <= self._context]
        fits.sort(key=lambda n: len(ids[n]))
        for start in range(0, len(fits), _ROWS_AT_ONCE):
            part = fits[start : start + _ROWS_AT_ONCE]
            reward_N[part] = self._forward([ids[n] for n in part])
        return reward_N

    def prefer(self, prompts: Sequence[Prompt], first: Sequence[str], second: Sequence[str]) -> Array:
        """P(first beats second) of N pairs."""
        gap_N = self.score(prompts, first) - self.score(prompts, second)
        return sigmoid(gap_N / self.written.temperature)

    def tokens(self, prompt: Prompt, answer: str) -> list[int]:
        """The tokens of a prompt and its answer."""
        if self.written.kind == "conversation":
            turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
            said = [*turns, Message("assistant", answer)]
            if not getattr(self._tokenizer, "chat_template", None):
                return self._tokenizer.encode(f"{plain_prompt(turns)} {answer}")
            messages = [{"role": turn.role, "content": turn.content} for turn in said]
            text = self._tokenizer.apply_chat_template(messages, tokenize=False)
            return self._tokenizer.encode(text, add_special_tokens=False)
        if self.written.kind == "classifier":
            prompt = CLASSIFIED
        group = encode_texts(TextGroup(prompt, (answer,)), self._tokenizer, template=self.written.template)
        return [*group.prompt, *group.completions[0]]

    def _forward(self, rows: Sequence[Sequence[int]]) -> Array:
        width = max(map(len, rows))
        device = self._model.device
        ids_BT = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
        mask_BT = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        with torch.inference_mode():
            if self._decoder is None:
                return _numbers(self._model(input_ids=ids_BT, attention_mask=mask_BT).logits[:, 0])
            hidden_BTD = self._decoder(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
            last_BD = hidden_BTD[torch.arange(len(rows), device=device), mask_BT.sum(dim=1) - 1]
            return _numbers(self._model.score(last_BD)[:, 0])


class PairwiseReward:
    """A causal language model that says which of two answers is better.

    Args:
        model: Of transformers.
        tokenizer: Its tokeniser.
        written: How texts are written.
        name: For records.
    """

    def __init__(self, model: Foreign, tokenizer: Foreign, written: Written, name: str) -> None:
        self.name = name
        self.written = written
        self._tokenizer = tokenizer
        self._network = Network(model.eval(), "fp32", Speed())

    def prefer(self, prompts: Sequence[Prompt], first: Sequence[str], second: Sequence[str]) -> Array:
        """P(first beats second) of N pairs, from both orders; NaN for those that do not fit."""
        straight_N = self.log_odds(prompts, first, second) / self.written.temperature
        turned_N = self.log_odds(prompts, second, first) / self.written.temperature
        return (sigmoid(straight_N) + 1 - sigmoid(turned_N)) / 2

    def log_odds(self, prompts: Sequence[Prompt], first: Sequence[str], second: Sequence[str]) -> Array:
        """Log-odds of "A" against "B" of N pairs, the first as A, in this order only; NaN if too long."""
        groups = [
            self._group(prompt, one, other) for prompt, one, other in zip(prompts, first, second, strict=True)
        ]
        context = self._network.context or 2**31
        odds_N = np.full(len(groups), np.nan)
        fits = [n for n, group in enumerate(groups) if len(group.prompt) + 8 <= context]
        fits.sort(key=lambda n: len(groups[n].prompt))
        for start in range(0, len(fits), _ROWS_AT_ONCE):
            part = fits[start : start + _ROWS_AT_ONCE]
            batch = make_batch([groups[n] for n in part], self._network.speed, self._network.device)
            with torch.no_grad(), self._network.computing():
                logp_GK = self._network.states(batch).log_probs()
            odds_N[part] = _numbers(logp_GK[:, 0] - logp_GK[:, 1])
        return odds_N

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Array:
        """Mean probability of beating the other answers to the same prompt; 1/2 for one that has no other.

        Those to one prompt must stand together; equal prompts side by side are one prompt.
        """
        reward_N = np.full(len(answers), 0.5)
        start = 0
        while start < len(answers):
            stop = start + 1
            while stop < len(answers) and prompts[stop] == prompts[start]:
                stop += 1
            pairs = [(i, j) for i in range(start, stop) for j in range(i + 1, stop)]
            if pairs:
                prob_M = self.prefer(
                    [prompts[i] for i, _ in pairs],
                    [answers[i] for i, _ in pairs],
                    [answers[j] for _, j in pairs],
                )
                wins = np.zeros(stop - start)
                for (i, j), p in zip(pairs, prob_M, strict=True):
                    wins[i - start] += p
                    wins[j - start] += 1 - p
                reward_N[start:stop] = wins / (stop - start - 1)
            start = stop
        return reward_N

    def _group(self, prompt: Prompt, first: str, second: str) -> Group:
        text = TextGroup(pairwise_prompt(prompt, first, second), ("A", "B"))
        return encode_texts(text, self._tokenizer, template=self.written.template, end=False)


CLASSIFIED = (Message("user", "Write this so that everybody understands it."),)
"""What stands before a text that is classified: the same before every one."""


def pairwise_prompt(prompt: Prompt, first: str, second: str) -> tuple[Message, ...]:
    """The question that a pairwise model answers with a letter."""
    asked = prompt if isinstance(prompt, str) else plain_prompt(prompt).removesuffix("\n\nAssistant:")
    return (
        Message(
            "user",
            f"{asked}\n\n[Answer A]\n{first}\n\n[Answer B]\n{second}\n\n"
            "[Question]\nWhich answer is better? Say A or B.",
        ),
    )


def knock_out(model: PairwiseReward, prompt: Prompt, answers: Sequence[str]) -> int:
    """Index of the winner of K - 1 comparisons, each with the winner so far.

    Raises:
        InputError: There is no answer.
    """
    if not answers:
        raise InputError("a knock-out needs one or more answers")
    best = 0
    for rival in range(1, len(answers)):
        if model.prefer([prompt], [answers[best]], [answers[rival]])[0] < 0.5:
            best = rival
    return best


def load_reward(folder: str | Path, *, device: str = "auto") -> "ScalarModel | PairwiseReward | NgramReward":
    """Load a reward or preference model from a folder.

    Args:
        folder: Made by ``palate train reward``, by another trainer, or with an n-gram reward.
        device: ``auto`` takes the accelerator where there is one.

    Raises:
        InputError: There is no such folder, its weights are pickles, or it is damaged.
        ModelError: It is not a model of one output.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"there is no folder {place}; give the folder of a reward model")
    if (place / "ngrams.json").is_file():
        return load_ngrams(place)
    refuse_pickles(place)
    if (place / "complete.json").is_file() and (wrong := damage(place)):
        raise InputError(f"{place} is damaged: {wrong}; copy it again, or train again")
    written = _read_record(place)
    transformers = require("transformers", "train", "A reward model")
    where = own_device() if device == "auto" else torch.device(device)
    pairwise = written.kind == "pairwise"
    kind = transformers.AutoModelForCausalLM if pairwise else transformers.AutoModelForSequenceClassification
    tokenizer, model, told = read_model(place, kind, "a reward model")
    if not pairwise and (model.config.num_labels != 1 or any("score" in key for key in told["missing_keys"])):
        raise ModelError(
            f"{place} is not a reward model: it needs a trained head of one output, and has "
            f"{model.config.num_labels} outputs and lacks {sorted(told['missing_keys'])[:3]}"
        )
    refuse_missing(told, place)
    made = PairwiseReward if pairwise else ScalarModel
    return made(model.to(where), tokenizer, written, f"reward:{place.name}")


def _read_record(place: Path) -> Written:
    file = place / RECORD
    if not file.is_file():
        return Written()
    try:
        made = Written(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if made.kind not in ("scalar", "classifier", "pairwise", "conversation") or not made.temperature > 0:
        raise ConfigError(f"{file} has kind {made.kind!r} and temperature {made.temperature!r}")
    return made


def _numbers(value_B: Any) -> Array:  # noqa: ANN401
    return value_B.double().cpu().numpy()
