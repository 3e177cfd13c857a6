"""K answers of a model to each of many prompts: what online training learns from.

Every answer is a request of its own with an index and a seed, so that answers that are there already are
never drawn twice, and a run that was stopped goes on with the same ones. Requests are sent as many at a time
as the model says that it takes; one that batches gathers them itself.

An answer is cut where the model begins to speak for somebody else (``turn``: a blank line and then a word
with a colon), as models do that were never taught to stop.

Source: for the cut, G. Mukobi et al., "SuperHF", arXiv:2310.16763, and its code.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from palate.errors import ConfigError, ModelError
from palate.policy.data import Prompt, prompt_key
from palate.types import Message, Model, Request

__all__ = ["TURN", "Rollout", "RolloutOptions", "Rollouts", "cut_turn", "sample"]

TURN: Final = r"\n\n\w+ ?:"
"""Where another speaker begins."""


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """How answers are drawn.

    Attributes:
        samples: K, answers to each prompt, ≥ 1.
        temperature: ≥ 0; with 0 all K are equal. 1 is the policy itself.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Most tokens an answer, ≥ 1.
        seed: Of the draws.
        turn: A regular expression where answers are cut; ``""`` cuts nowhere.
        keep_unfinished: Whether answers that reached ``max_tokens`` count.

    Raises:
        ConfigError: A value is out of its range.
    """

    samples: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 64
    seed: int = 0
    turn: str = TURN
    keep_unfinished: bool = True

    def __post_init__(self) -> None:
        if self.samples < 1 or self.max_tokens < 1:
            raise ConfigError(
                f"samples and max_tokens must be 1 or more, not {self.samples!r} and {self.max_tokens!r}"
            )
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature must be 0 or more, not {self.temperature!r}; 1 is usual")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must lie in (0, 1], not {self.top_p!r}")
        if self.samples > 1 and self.temperature == 0:
            raise ConfigError("at temperature 0 all answers to a prompt are equal; give 1, or samples=1")
        try:
            re.compile(self.turn)
        except re.error as error:
            raise ConfigError(f"turn {self.turn!r} is not a regular expression: {error}") from error


class Rollout(NamedTuple):
    """A prompt with the answers that were drawn: K of them, or fewer where some were left out."""

    prompt: Prompt
    answers: tuple[str, ...]


class Rollouts(NamedTuple):
    """Answers to many prompts, in their order.

    Attributes:
        each: One a prompt.
        dropped: Answers that were left out, by reason: ``empty``, ``unfinished``, ``failed``.
        tokens: Tokens of all answers, as the model counted them.
    """

    each: tuple[Rollout, ...]
    dropped: dict[str, int]
    tokens: int


async def sample(
    model: Model,
    prompts: Sequence[Prompt],
    options: RolloutOptions,
    *,
    tell: Callable[[int, int], None] | None = None,
) -> Rollouts:
    """Draw K answers to every prompt.

    Args:
        model: Who answers; wrap it in :class:`palate.models.MeteredModel` with a cache, and answers are kept.
        prompts: Conversations, or texts, which are sent as a user's turn.
        options: How.
        tell: Called with answers done and answers in all.

    Raises:
        ConfigError: The model cannot generate.
        ModelError: Every request failed, not all by an empty answer; the text is that of the first failure.
    """
    if not model.capabilities.generate:
        raise ConfigError(f"{model.name} does not generate text, so no answers can be drawn from it")
    dropped: dict[str, int] = {}
    answers: list[list[str | None]] = [[None] * options.samples for _ in prompts]
    failures: list[ModelError] = []
    total, done, tokens = len(prompts) * options.samples, 0, 0
    gate = asyncio.Semaphore(max(1, model.capabilities.max_concurrency))

    async def draw(p: int, k: int) -> None:
        nonlocal done, tokens
        async with gate:
            try:
                said = await model.generate(_request(prompts[p], options, k))
            except ModelError as error:
                failures.append(error)
                reason = "empty" if "empty" in str(error) else "failed"
                dropped[reason] = dropped.get(reason, 0) + 1
            else:
                tokens += said.usage.output_tokens
                text = cut_turn(said.text, options.turn)
                unfinished = said.finish == "length" and text == said.text
                if not text.strip() or (unfinished and not options.keep_unfinished):
                    reason = "empty" if not text.strip() else "unfinished"
                    dropped[reason] = dropped.get(reason, 0) + 1
                else:
                    answers[p][k] = text
        done += 1
        if tell is not None:
            tell(done, total)

    await _all(draw(p, k) for p in range(len(prompts)) for k in range(options.samples))
    if total and len(failures) == total and dropped.get("failed"):
        raise failures[0]
    each = tuple(
        Rollout(prompt, tuple(text for text in texts if text is not None))
        for prompt, texts in zip(prompts, answers, strict=True)
    )
    return Rollouts(each, dropped, tokens)


def cut_turn(text: str, turn: str) -> str:
    r"""A text up to where another speaker begins.

    Example:
        >>> cut_turn("It is blue.", TURN), cut_turn("Blue.\n\nHuman: And the sea?", TURN)
        ('It is blue.', 'Blue.')
    """
    found = re.search(turn, text) if turn else None
    return text if found is None else text[: found.start()].rstrip()


def _request(prompt: Prompt, options: RolloutOptions, k: int) -> Request:
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    # With one seed for all, answers to different prompts would share their luck, and so would their mean.
    hashed = hashlib.sha256(f"{options.seed}\n{prompt_key(prompt)}".encode("utf-8", "surrogatepass"))
    return Request(
        turns,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        top_p=options.top_p,
        seed=int.from_bytes(hashed.digest()[:4], "big") >> 1,
        sample=k,
    )


async def _all(calls: Any) -> None:  # noqa: ANN401 - an iterable of coroutines
    tasks: list[Coroutine[Any, Any, None]] = list(calls)
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(task)
