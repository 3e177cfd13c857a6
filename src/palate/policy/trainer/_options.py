"""How to train: plain values, checked when they are made, written into the folder of the run."""

import math
from dataclasses import dataclass, field
from typing import Literal

from palate.errors import ConfigError

__all__ = ["Lora", "Speed", "TrainOptions", "Watch"]


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter of low rank; everything else stays as it is.

    Attributes:
        r: Rank, ≥ 1.
        alpha: The adapter's product is multiplied by alpha / r, > 0.
        dropout: Share of the adapter's inputs that is dropped in training, in [0, 1).
        targets: Names of the linear layers that get one; ``all-linear`` for all but the head.

    Raises:
        ConfigError: A value is out of its range.
    """

    r: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)

    def __post_init__(self) -> None:
        _at_least(1, r=self.r)
        _positive(alpha=self.alpha)
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must lie in [0, 1), not {self.dropout!r}; 0 is usual for preferences")
        if not self.targets:
            raise ConfigError("targets is empty; name linear layers, or leave it out for all of them")


@dataclass(frozen=True, slots=True)
class Speed:
    """What is not computed twice. Every switch changes time and memory alone: results agree up to rounding.

    Attributes:
        shared_prompt: A prompt goes through the network once for all its completions.
        packed: Rows are joined without padding.
        chunked_head: The head runs in slices of tokens, so that tokens times vocabulary is never held.
        cached_reference: The reference's log-probabilities are computed once a data set and kept on disk.
    """

    shared_prompt: bool = True
    packed: bool = True
    chunked_head: bool = True
    cached_reference: bool = True


@dataclass(frozen=True, slots=True)
class Watch:
    """Answers drawn from the policy at every evaluation, for its KL divergence and its similarity.

    Attributes:
        prompts: How many held-out prompts are answered (the first training prompts where none are held
            out); 0 turns it off.
        max_tokens: Most tokens an answer, ≥ 1.
    """

    prompts: int = 16
    max_tokens: int = 48

    def __post_init__(self) -> None:
        _at_least(0, prompts=self.prompts)
        _at_least(1, max_tokens=self.max_tokens)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """One training.

    Attributes:
        steps: Updates, ≥ 1; ``epochs`` decides when left out.
        epochs: Passes over the data, ≥ 1, where ``steps`` is left out.
        batch: Groups (pairs, for a pair loss) that go through the network together, ≥ 1.
        accumulate: Batches an update, ≥ 1; every group of an update weighs the same.
        learning_rate: Largest step of AdamW, > 0.
        schedule: ``cosine`` falls to 0 at the last update; ``constant`` stays.
        warmup: Updates of linear rise from 0 before that, ≥ 0.
        weight_decay: Of matrices; vectors have none. ≥ 0.
        max_grad_norm: Longer gradients are cut to this length, > 0; infinity turns it off.
        dtype: ``fp32``, or ``bf16``: the network computes in bfloat16, frozen weights are kept in it, and
            trained weights and the optimiser stay in 32 bits.
        gradient_checkpointing: Compute activations again in the backward pass instead of keeping them.
        seed: Of the order of the data, of dropout and of the answers that are watched.
        evaluate_every: Updates between evaluations, ≥ 1; 0 for the end only.
        patience: Evaluations without a smaller held-out loss after which training stops and the best weights
            are taken, ≥ 1; 0 never stops early.
        save_every: Updates between checkpoints, ≥ 1; 0 for the end only.
        max_length: Most tokens of prompt and completion; the model's context when left out. Longer ones are
            left out and counted, never cut.
        tensorboard: Whether metrics go to TensorBoard as well as to ``metrics.jsonl``.
        lora: The adapter; ``None`` trains all weights.
        speed: See :class:`Speed`.
        watch: See :class:`Watch`.

    Raises:
        ConfigError: A value is out of its range.
    """

    steps: int | None = None
    epochs: int = 1
    batch: int = 4
    accumulate: int = 1
    learning_rate: float = 1e-5
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    dtype: Literal["bf16", "fp32"] = "fp32"
    gradient_checkpointing: bool = False
    seed: int = 0
    evaluate_every: int = 0
    patience: int = 0
    save_every: int = 0
    max_length: int | None = None
    tensorboard: bool = False
    lora: Lora | None = field(default_factory=Lora)
    speed: Speed = field(default_factory=Speed)
    watch: Watch = field(default_factory=Watch)

    def __post_init__(self) -> None:
        _at_least(1, epochs=self.epochs, batch=self.batch, accumulate=self.accumulate)
        if self.steps is not None:
            _at_least(1, steps=self.steps)
        if self.max_length is not None:
            _at_least(2, max_length=self.max_length)
        _at_least(
            0,
            warmup=self.warmup,
            seed=self.seed,
            evaluate_every=self.evaluate_every,
            patience=self.patience,
            save_every=self.save_every,
        )
        _positive(learning_rate=self.learning_rate)
        if not self.max_grad_norm > 0:
            raise ConfigError(f"max_grad_norm must be above 0, not {self.max_grad_norm!r}; 1 is usual")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ConfigError(f"weight_decay must be 0 or more and finite, not {self.weight_decay!r}")
        if self.schedule not in ("cosine", "constant"):
            raise ConfigError(f"schedule must be 'cosine' or 'constant', not {self.schedule!r}")
        if self.dtype not in ("bf16", "fp32"):
            raise ConfigError(f"dtype must be 'bf16' or 'fp32', not {self.dtype!r}")
        if self.patience > 0 and self.evaluate_every == 0:
            raise ConfigError("patience counts evaluations, so it needs evaluate_every above 0")

    def updates(self, groups: int) -> int:
        """Updates of a training on a number of groups; the last one of an epoch may be smaller."""
        if self.steps is not None:
            return self.steps
        return self.epochs * math.ceil(groups / (self.batch * self.accumulate))


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ConfigError(f"{name} must be {least} or more, not {value!r}")


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be above 0 and finite, not {value!r}")
