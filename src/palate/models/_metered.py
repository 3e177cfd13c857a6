"""A model that remembers its answers, counts what they cost, and stops at the budget.

Order of events for one answer: look in the cache; join an identical call that is under way; reserve the
estimate; send; settle; write the answer down durably; return it. So an answer that was paid for is never paid
for twice, and a failed call leaves nothing behind but its count.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from palate.errors import ConfigError, UnsupportedError
from palate.models._answer_cache import (
    Operation,
    completion_key,
    completion_row,
    embedding_key,
    read_completion,
    read_vector,
    score_key,
    vector_row,
)
from palate.models._answers import UnusableAnswerError
from palate.models._calls import calling
from palate.models._ledger import Estimate, Ledger, Reservation, unknown_price_text
from palate.models._pricing import Price
from palate.models._requests import check_request, estimate_tokens, request_tokens
from palate.types import Array, Capabilities, Completion, CompletionCache, Json, Model, Request, Usage

__all__ = ["Accountable", "MeteredModel"]

T = TypeVar("T")


@runtime_checkable
class Accountable(Protocol):
    """A model that says what shapes its answers and what they cost.

    Without it a model is known by its name alone, and its price is unknown until an answer states its cost.
    """

    def identity(self, operation: Operation) -> Json:
        """Everything about the model that shapes an answer: endpoint, name, revision, fixed parameters."""
        ...

    def price(self, operation: Operation) -> Price | None:
        """US dollars per million tokens, or ``None``."""
        ...


@runtime_checkable
class CountsEmbeddings(Protocol):
    """A model whose endpoint reports how many tokens it embedded."""

    async def embed_counted(self, texts: Sequence[str]) -> tuple[Array, Usage]:
        """Like ``embed``, with the tokens that were billed."""
        ...


@dataclass(slots=True)
class _Flight:
    task: "asyncio.Task[Any]"
    waiters: int = 0


@runtime_checkable
class Estimates(Protocol):
    """A model that knows what a request may use at most better than its ``max_tokens`` tells."""

    def estimate(self, request: Request) -> Estimate:
        """The most that answering may use and cost."""
        ...


class MeteredModel:
    """Wrap a model with a cache and a ledger.

    Args:
        model: Who answers.
        cache: Where answers are kept; ``None`` switches it off.
        ledger: The budget of the study; several models may share one.

    Raises:
        ConfigError: There is a cost budget and the price of the model is unknown.
    """

    def __init__(self, model: Model, *, cache: CompletionCache | None, ledger: Ledger) -> None:
        self._model = model
        self._cache = cache
        self._ledger = ledger
        self._flights: dict[str, _Flight] = {}
        if ledger.budget.cost is not None:
            able = model.capabilities
            if able.generate or able.draw:
                self._known_price("generate")
            if able.embed:
                self._known_price("embed")

    def __repr__(self) -> str:
        """Name the wrapped model."""
        return f"MeteredModel({self._model!r})"

    @property
    def name(self) -> str:
        """Name of the wrapped model."""
        return self._model.name

    @property
    def capabilities(self) -> Capabilities:
        """What the wrapped model can do."""
        return self._model.capabilities

    @property
    def ledger(self) -> Ledger:
        """The ledger that counts this model's calls."""
        return self._ledger

    def identity(self, operation: Operation) -> Json:
        """What the wrapped model's answers are kept under."""
        model = self._model
        return model.identity(operation) if isinstance(model, Accountable) else model.name

    def price(self, operation: Operation) -> Price | None:
        """The wrapped model's price."""
        return self._model.price(operation) if isinstance(self._model, Accountable) else None

    async def generate(self, request: Request) -> Completion:
        """Answer from the cache, or once.

        Raises:
            BudgetError: The call could exceed the budget; it was not sent.
            ModelError: The model failed; nothing was kept.
        """
        check_request(request)
        key = completion_key(self.identity("generate"), request)
        kept = None if self._cache is None else read_completion(self._cache.get_completion(key))
        if kept is None:
            answer, joined = await self._once(key, lambda: self._generate(key, request))
            if not joined:
                return answer
            kept = replace(answer, cached=True)
        self._ledger.hit(kept.cost)
        return kept

    async def embed(self, texts: Sequence[str]) -> Array:
        """Embed the texts that are not in the cache, in one call, and each text once."""
        if not self.capabilities.embed:
            raise UnsupportedError(
                f"{self.name} cannot embed; choose another [embedding] kind, such as 'wordllama'"
            )
        keys = [embedding_key(self.identity("embed"), text) for text in texts]
        vectors = {key: self._vector(key) for key in keys}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if vectors[key] is None}
        if missing:
            flight = "|".join(missing)
            fresh_ND, _ = await self._once(flight, lambda: self._embed(missing))
            vectors.update(zip(missing, fresh_ND, strict=True))
        elif keys:
            self._ledger.hit(self._estimate("embed", Usage(sum(map(estimate_tokens, texts)), 0)).cost)
        found = [vectors[key] for key in keys]
        return np.array(found, dtype=np.float64) if found else np.zeros((0, self.capabilities.dimension or 0))

    async def score(self, request: Request, continuation: str) -> Array:
        """Score a continuation from the cache, or once."""
        check_request(request)
        if not self.capabilities.score:
            raise UnsupportedError(
                f"{self.name} cannot score; use a local model, such as kind = 'transformers'"
            )
        key = score_key(self.identity("score"), request, continuation)
        kept = self._vector(key)
        if kept is None:
            kept, joined = await self._once(key, lambda: self._score(key, request, continuation))
            if not joined:
                return kept
        self._ledger.hit(None)
        return kept

    async def close(self) -> None:
        """Close the wrapped model."""
        await self._model.close()

    async def _generate(self, key: str, request: Request) -> Completion:
        if isinstance(self._model, Estimates):
            estimate = self._model.estimate(request)
        else:
            estimate = self._estimate("generate", Usage(request_tokens(request), request.max_tokens))
        reservation = await self._ledger.reserve(estimate)
        with calling(self._model, "generate", request) as call:
            completion = await _settled_on_failure(reservation, self._model.generate(request))
            call.brought(completion.usage, completion.cost, completion)
        reservation.settle(completion.usage, completion.cost)
        await self._keep({key: completion_row(completion)})
        return completion

    async def _embed(self, missing: dict[str, str]) -> Array:
        texts = list(missing.values())
        usage = Usage(sum(map(estimate_tokens, texts)), 0)
        reservation = await self._ledger.reserve(self._estimate("embed", usage))
        with calling(self._model, "embed") as call:
            if isinstance(self._model, CountsEmbeddings):
                rows_ND, usage = await _settled_on_failure(reservation, self._model.embed_counted(texts))
            else:
                rows_ND = await _settled_on_failure(reservation, self._model.embed(texts))
            cost = self._estimate("embed", usage).cost
            call.brought(usage, cost)
        reservation.settle(usage, cost)
        await self._keep({key: vector_row(row_D) for key, row_D in zip(missing, rows_ND, strict=True)})
        return rows_ND

    async def _score(self, key: str, request: Request, continuation: str) -> Array:
        usage = Usage(request_tokens(request) + estimate_tokens(continuation), 0)
        estimate = self._estimate("score", usage)
        reservation = await self._ledger.reserve(estimate)
        with calling(self._model, "score", request) as call:
            score_T = await _settled_on_failure(reservation, self._model.score(request, continuation))
            call.brought(usage, estimate.cost)
        reservation.settle(usage, estimate.cost)
        await self._keep({key: vector_row(score_T)})
        return score_T

    def _estimate(self, operation: Operation, usage: Usage) -> Estimate:
        price = self.price(operation)
        return Estimate(usage.input_tokens + usage.output_tokens, None if price is None else price.of(usage))

    def _known_price(self, operation: Operation) -> None:
        if self.price(operation) is None:
            raise ConfigError(unknown_price_text(self.name))

    def _vector(self, key: str) -> Array | None:
        return None if self._cache is None else read_vector(self._cache.get_completion(key))

    async def _keep(self, rows: dict[str, dict[str, Json]]) -> None:
        cache = self._cache
        if cache is None:
            return

        def write() -> None:
            for key, row in rows.items():
                cache.put_completion(key, row)

        # In a thread because a durable write waits for the disk. It is handed over before this coroutine
        # first gives way, so cancelling the caller cannot lose an answer that was paid for.
        await asyncio.to_thread(write)

    async def _once(self, key: str, call: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Run a call, or join the identical one that is under way; says whether it joined.

        The call ends when nobody waits for it any more: cancelling one of several callers leaves the others
        their answer, cancelling all of them cancels the call.
        """
        flight = self._flights.get(key)
        joined = flight is not None and flight.task.get_loop() is asyncio.get_running_loop()
        if flight is None or not joined:
            flight = _Flight(asyncio.ensure_future(_run(call)))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task), joined
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                flight.task.cancel()

    def _landed(self, key: str, task: "asyncio.Task[Any]") -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            # Marks the error as seen, for the case that every caller was cancelled first.
            task.exception()


async def _run(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


async def _settled_on_failure(reservation: Reservation, call: Awaitable[T]) -> T:
    """Await a call that was paid for by a reservation, and close the reservation if the call fails."""
    try:
        return await call
    except UnusableAnswerError as error:
        reservation.settle(error.usage, error.cost)
        raise
    except Exception:
        reservation.fail()
        raise
    except BaseException:
        reservation.forfeit()
        raise
