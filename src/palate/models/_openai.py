"""Any endpoint that speaks OpenAI's chat and embedding interface: OpenAI, vLLM, Ollama, most hosts.

The key is named by its environment variable and kept nowhere else. Log-probabilities of a given text are not
part of the interface, so ``score`` is not supported.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from palate.errors import UnsupportedError
from palate.models._answer_cache import Operation
from palate.models._answers import (
    Answered,
    UnusableAnswerError,
    read_answer,
    read_body,
    read_embeddings,
    read_usage,
)
from palate.models._calls import Host
from palate.models._embeddings import unit_rows
from palate.models._endpoint import Endpoint, endpoint_at
from palate.models._limits import LimitPool
from palate.models._pricing import Price, PriceTable, price_table
from palate.models._requests import check_request
from palate.models._retry import Retried, Retrier, retry_policy
from palate.models._transport import Transport, limited
from palate.types import Array, Capabilities, Completion, Json, Request, Usage

__all__ = ["OpenAIModel", "openai_model"]

T = TypeVar("T")

_TEXTS_PER_CALL = 128


class OpenAIModel:
    """An OpenAI-compatible endpoint. Make it with :func:`openai_model`.

    Args:
        endpoint: Where and what.
        prices: What tokens cost.
        retrier: The retry loop.
        limits: The study's concurrency limits; ``None`` for limits of its own.
        clock: The time of day, against which a ``Retry-After`` date is read.

    Raises:
        ConfigError: The named environment variable holds no key.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        prices: PriceTable,
        retrier: Retrier | None = None,
        limits: LimitPool | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        endpoint.key()
        self._endpoint = endpoint
        self._prices = prices
        self._retrier = retrier or Retrier()
        self._limits = limits or LimitPool()
        self._transport = Transport(endpoint, self._retrier.policy.attempt_timeout, clock)

    def __repr__(self) -> str:
        """Say which model, where, and the name of the key's variable."""
        end = self._endpoint
        return f"OpenAIModel({end.model!r}, base_url={end.base_url!r}, api_key_env={end.api_key_env!r})"

    @property
    def name(self) -> str:
        """The model's name; with the address, unless that is OpenAI's own."""
        return self._endpoint.name

    @property
    def capabilities(self) -> Capabilities:
        """Chats; embeds when an embedding model was named; never scores."""
        embeds = self._endpoint.embedding_model is not None
        return Capabilities(generate=True, embed=embeds, seed=True, max_concurrency=self._limits.most)

    def identity(self, operation: Operation) -> Json:
        """Address, model, and the parameters that go with every request."""
        end = self._endpoint
        if operation == "embed":
            return {"base_url": end.base_url, "model": end.embedding_model}
        return {
            "base_url": end.base_url,
            "model": end.model,
            "extra": dict(end.extra),
            "omit": sorted(end.omit),
        }

    def host(self, operation: Operation) -> Host:
        """Where the chat or embedding model is reached."""
        return self._endpoint.host(self._endpoint.embedding_model if operation == "embed" else None)

    def price(self, operation: Operation) -> Price | None:
        """The price of the chat or embedding model, if it is known."""
        model = self._endpoint.embedding_model if operation == "embed" else self._endpoint.model
        return self._prices.price(model or "")

    async def generate(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            ModelError: The endpoint was not reached in time, refused the request, or gave no usable answer.
        """
        check_request(request)
        started = monotonic()
        reply = await self._ask("/chat/completions", self._endpoint.model, self._endpoint.body(request))
        answer = self._read("generate", self._answer, reply.value)
        return Completion(
            text=answer.text,
            model=self._transport.clean(answer.model) or self._endpoint.model,
            finish=answer.finish,
            usage=answer.usage,
            cost=self._cost("generate", answer.usage),
            seconds=monotonic() - started,
            retries=reply.retries,
        )

    async def embed(self, texts: Sequence[str]) -> Array:
        """Embed texts as unit rows, ``(N, D)``."""
        rows_ND, _ = await self.embed_counted(texts)
        return rows_ND

    async def embed_counted(self, texts: Sequence[str]) -> tuple[Array, Usage]:
        """Embed texts, and report the tokens that were billed.

        Raises:
            UnsupportedError: No embedding model was named.
            ModelError: The endpoint failed or did not answer with one vector for each text.
        """
        model = self._endpoint.embedding_model
        if model is None:
            raise UnsupportedError(f"{self.name} was made without embedding_model and cannot embed; name one")
        blocks: list[Array] = []
        tokens = 0
        for start in range(0, len(texts), _TEXTS_PER_CALL):
            # An empty text is refused by most endpoints; a space embeds as nearly nothing.
            block = [text if text.strip() else " " for text in texts[start : start + _TEXTS_PER_CALL]]
            body: dict[str, Json] = {"model": model, "input": block, "encoding_format": "float"}
            reply = await self._ask("/embeddings", model, body)
            rows_ND, usage = self._read("embed", self._rows, reply.value)
            tokens += usage.input_tokens
            if len(rows_ND) != len(block) or (blocks and rows_ND.shape[1] != blocks[0].shape[1]):
                raise UnusableAnswerError(f"{self._endpoint} did not embed every text alike", usage)
            blocks.append(rows_ND)
        return (unit_rows(np.concatenate(blocks)) if blocks else np.zeros((0, 0))), Usage(tokens, 0)

    async def score(self, request: Request, continuation: str) -> Array:
        """Not part of the interface."""
        raise UnsupportedError(
            f"{self.name} cannot score: the OpenAI interface gives no log-probabilities of a given text; use "
            "a local model, such as kind = 'transformers'"
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def _answer(self, body: bytes) -> Answered:
        who = str(self._endpoint)
        return read_answer(read_body(body, who), who)

    def _rows(self, body: bytes) -> tuple[Array, Usage]:
        who = str(self._endpoint)
        content = read_body(body, who)
        return read_embeddings(content, who), read_usage(content)

    def _cost(self, operation: Operation, usage: Usage) -> float | None:
        price = self.price(operation)
        if price is None or (usage == Usage(0, 0) and price != Price(0.0, 0.0)):
            # An endpoint that reports no tokens has not told what the call cost.
            return None
        return price.of(usage)

    def _read(self, operation: Operation, read: Callable[[bytes], T], body: bytes) -> T:
        """Read a reply; what is wrong with it is told without the key and with its cost."""
        try:
            return read(body)
        except UnusableAnswerError as error:
            text, usage = self._transport.clean(str(error)), error.usage
        raise UnusableAnswerError(text, usage, self._cost(operation, usage))

    async def _ask(self, path: str, model: str, body: Mapping[str, Json]) -> Retried[bytes]:
        """Post a body and return the reply's, with retries, under the endpoint's concurrency limit."""
        end = self._endpoint
        return await limited(
            lambda: self._transport.post(path, body),
            limit=self._limits.limit(end.base_url, model, end.api_key_env or ""),
            retrier=self._retrier,
            who=str(end),
        )


def openai_model(
    model: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    embedding_model: str | None = None,
    prices: Mapping[str, Any] | str | None = None,
    extra: Mapping[str, Json] | None = None,
    omit: Sequence[str] = (),
    retry: Mapping[str, float] | None = None,
    max_concurrency: int = 64,
    limits: LimitPool | None = None,
) -> OpenAIModel:
    """Make a model of any OpenAI-compatible endpoint, as a study file names it.

    Args:
        model: Name of the model at the endpoint.
        base_url: Address of the interface (``http://127.0.0.1:8000/v1``); ``None`` for OpenAI's own.
        api_key_env: Name of the environment variable that holds the key. Left out, ``OPENAI_API_KEY`` is used
            at OpenAI's own address and no key is sent to any other, so that none goes astray.
        embedding_model: Name of an embedding model at the same endpoint.
        prices: ``{"input": dollars, "output": dollars}`` per million tokens; or a table of such by model
            name; or the path of a price file. It goes on top of the table that ships with Palate.
        extra: Further parameters of every chat request.
        omit: Standard parameters that the endpoint refuses, such as ``["temperature"]``.
        retry: Any of :class:`RetryPolicy`'s fields.
        max_concurrency: Most calls under way at once.
        limits: The study's concurrency limits, when several models share an endpoint.

    Raises:
        ConfigError: An option is wrong, or the variable holds no key.
    """
    return OpenAIModel(
        endpoint_at(model, base_url, api_key_env, embedding_model=embedding_model, extra=extra, omit=omit),
        prices=price_table(model, prices),
        retrier=Retrier(retry_policy(retry)),
        limits=limits or LimitPool(most=max_concurrency),
    )
