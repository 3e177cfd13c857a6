"""A model that answers from a script: for tests, demonstrations, and for trying a study without paying."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.models._answer_cache import Operation
from palate.models._pricing import FREE, Price
from palate.models._requests import check_request, estimate_tokens, request_tokens
from palate.types import Array, Capabilities, Completion, Json, Request, Usage

__all__ = ["Answer", "Call", "ScriptedModel", "scripted_model"]

Answer: TypeAlias = "str | Completion | Exception"


class Call(NamedTuple):
    """One call that a scripted model received."""

    operation: Operation
    request: Request | None
    texts: tuple[str, ...]


@dataclass(slots=True)
class ScriptedModel:
    """Answers from a list or a function, and remembers what it was asked.

    Args:
        answers: One text for every request; or a list that is used up in order; or a function of the request.
            An entry may be a text, a whole :class:`~palate.types.Completion`, or an exception to raise.
        repeat: Begin the list again at its end; otherwise the request after the last entry fails.
        delay: Seconds before each answer: a number, a list that is used up (its last entry stays), or a
            function.
        dimension: Size of the embeddings, which are pseudo-random unit vectors drawn from each text's hash;
            ``None`` for a model that cannot embed.
        scores: A function of request and continuation that returns log-probabilities; ``None`` for a model
            that cannot score.
        name: Its name.
        cost: US dollars per million tokens; ``None`` for a model of unknown price.
        sleep: Waits; tests replace it.

    Attributes:
        calls: Everything that was asked, in order.
        active: Calls under way.
        most_active: The most calls that were ever under way at once.

    Example:
        >>> import asyncio
        >>> from palate.types import Message, Request
        >>> model = ScriptedModel(["Hello.", "Good-bye."])
        >>> request = Request((Message("user", "Hi"),))
        >>> asyncio.run(model.generate(request)).text
        'Hello.'
        >>> len(model.calls)
        1
    """

    answers: Sequence[Answer] | Callable[[Request], Answer] = "OK."
    repeat: bool = False
    delay: float | Sequence[float] | Callable[[Request], float] = 0.0
    dimension: int | None = 16
    scores: Callable[[Request, str], Any] | None = None
    name: str = "scripted"
    cost: Price | None = FREE
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)
    calls: list[Call] = field(default_factory=list[Call], init=False, repr=False)
    active: int = field(default=0, init=False, repr=False)
    most_active: int = field(default=0, init=False, repr=False)
    _generated: int = field(default=0, init=False, repr=False)

    @property
    def capabilities(self) -> Capabilities:
        """Generates always; embeds and scores as it was made."""
        return Capabilities(
            generate=True,
            embed=self.dimension is not None,
            score=self.scores is not None,
            seed=True,
            max_concurrency=1024,
            dimension=self.dimension,
        )

    def identity(self, operation: Operation) -> Json:
        """Its name."""
        return self.name

    def price(self, operation: Operation) -> Price | None:
        """The price that it was made with."""
        return self.cost

    async def generate(self, request: Request) -> Completion:
        """Give the next answer of the script.

        Raises:
            ConfigError: No model could answer the request.
            ModelError: The script is used up, or an entry says so.
        """
        check_request(request)
        self.calls.append(Call("generate", request, ()))
        turn, self._generated = self._generated, self._generated + 1
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        try:
            seconds = self._seconds(request, turn)
            await self.sleep(seconds)
            answer = self._answer(request, turn)
        finally:
            self.active -= 1
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completion):
            return answer
        usage = Usage(request_tokens(request), estimate_tokens(answer))
        cost = None if self.cost is None else self.cost.of(usage)
        return Completion(answer, self.name, usage=usage, cost=cost, seconds=seconds)

    async def embed(self, texts: Sequence[str]) -> Array:
        """Embed each text as the unit vector that its hash draws; ``(N, D)``."""
        if self.dimension is None:
            raise UnsupportedError(f"{self.name} was made with dimension=None and cannot embed")
        self.calls.append(Call("embed", None, tuple(texts)))
        rows = [_hashed_direction(text, self.dimension) for text in texts]
        return np.array(rows, dtype=np.float64).reshape(len(texts), self.dimension)

    async def score(self, request: Request, continuation: str) -> Array:
        """Score with the function that it was made with; ``(T,)`` nats."""
        if self.scores is None:
            raise UnsupportedError(f"{self.name} was made without scores and cannot score")
        self.calls.append(Call("score", request, (continuation,)))
        return np.asarray(self.scores(request, continuation), dtype=np.float64)

    async def close(self) -> None:
        """Nothing to release."""

    def _answer(self, request: Request, turn: int) -> Answer:
        answers = self.answers
        if isinstance(answers, str):
            return answers
        if callable(answers):
            return answers(request)
        if not answers or (turn >= len(answers) and not self.repeat):
            return ModelError(
                f"the script of {self.name!r} has {len(answers)} answers and this is request {turn + 1}"
            )
        return answers[turn % len(answers)]

    def _seconds(self, request: Request, turn: int) -> float:
        if isinstance(self.delay, int | float):
            return float(self.delay)
        if callable(self.delay):
            return float(self.delay(request))
        return float(self.delay[min(turn, len(self.delay) - 1)]) if self.delay else 0.0


def _hashed_direction(text: str, dimension: int) -> Array:
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    vector_D = np.random.default_rng(seed).standard_normal(dimension)
    return vector_D / np.linalg.norm(vector_D)


def scripted_model(
    answers: Sequence[Answer] | Callable[[Request], Answer] = "OK.",
    *,
    repeat: bool = True,
    delay: float | Sequence[float] | Callable[[Request], float] = 0.0,
    dimension: int | None = 16,
    scores: Callable[[Request, str], Any] | None = None,
    name: str = "scripted",
) -> ScriptedModel:
    """Make a scripted model, as a study file may name it; see :class:`ScriptedModel`.

    Raises:
        ConfigError: ``answers`` is neither a text, a list nor a function, or ``dimension`` is below 1.
    """
    if not callable(answers) and not isinstance(answers, str | list | tuple):
        raise ConfigError(f"answers is {answers!r}; it must be a text or a list of texts")
    if dimension is not None and dimension < 1:
        raise ConfigError(f"dimension is {dimension!r}; it must be at least 1, or absent")
    return ScriptedModel(answers, repeat, delay, dimension, scores, name)
