"""Any endpoint that speaks OpenAI's chat and embedding interface: OpenAI, vLLM, Ollama, llama.cpp, LiteLLM, most hosts.

The ``openai`` SDK does the transport; its retries are off, and so are redirects, which would carry the key to
another host. The key is named by its environment variable, read when a client is made, kept nowhere else, and
cleaned out of whatever an endpoint echoes. Log-probabilities of a given continuation are not part of the
interface, so ``score`` is not supported.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import numpy as np

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.models._answer_cache import Operation
from palate.models._answers import UnusableAnswerError, read_answer, read_body, read_embeddings, read_usage
from palate.models._embeddings import unit_rows
from palate.models._extras import require
from palate.models._limits import LimitPool
from palate.models._pricing import Price, PriceTable, read_prices
from palate.models._redaction import redact
from palate.models._requests import check_request, sample_seed
from palate.models._retry import Retried, Retrier, RetryPolicy, TransientError, is_transient, retry_after
from palate.types import Array, Capabilities, Completion, Json, Request, Usage

__all__ = ["OPENAI_URL", "OpenAIModel", "openai_model"]

OPENAI_URL = "https://api.openai.com/v1"
"""Where requests go unless ``base_url`` says otherwise."""

_LARGEST_BODY = 8_000_000
"""Bytes of a reply beyond which it is refused unread."""

_TEXTS_PER_CALL = 128
_SHOWN = 300


class _OversizeError(Exception):
    """A reply is larger than anything useful."""


class _Refusal(NamedTuple):
    """A final failure on its way out of the SDK's exception handlers."""

    text: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an OpenAI-style model is reached, and how it wants to be asked.

    Args:
        model: Name of the chat model at the endpoint.
        base_url: Address of the interface, without credentials in it.
        api_key_env: Name of the environment variable that holds the key; ``None`` sends no key.
        embedding_model: Name of the embedding model at the endpoint; ``None`` for an endpoint that only chats.
        extra: Further parameters of every chat request.
        omit: Standard parameters that this endpoint refuses, such as ``"temperature"`` for some reasoning models.
    """

    model: str
    base_url: str = OPENAI_URL
    api_key_env: str | None = None
    embedding_model: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    omit: tuple[str, ...] = ()

    def body(self, request: Request) -> dict[str, Json]:
        """The JSON body of a chat request."""
        own = self.base_url == OPENAI_URL
        body: dict[str, Json] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
            "temperature": request.temperature,
            # OpenAI has renamed the parameter and its newer models refuse the old name; the others know only that.
            "max_completion_tokens" if own else "max_tokens": request.max_tokens,
        }
        if request.top_p < 1:
            body["top_p"] = request.top_p
        if request.seed is not None:
            body["seed"] = sample_seed(request)
        if request.stop:
            body["stop"] = list(request.stop)
        body.update(self.extra)
        body.update(request.extra)
        return {key: value for key, value in body.items() if key not in self.omit}


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
        _key(endpoint)
        self._endpoint = endpoint
        self._prices = prices
        self._retrier = retrier or Retrier()
        self._limits = limits or LimitPool()
        self._clock = clock
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        """Say which model, where, and the name of the key's variable."""
        end = self._endpoint
        return f"OpenAIModel({end.model!r}, base_url={end.base_url!r}, api_key_env={end.api_key_env!r})"

    @property
    def name(self) -> str:
        """The model's name; with the address, unless that is OpenAI's own."""
        end = self._endpoint
        return end.model if end.base_url == OPENAI_URL else f"{end.model}@{end.base_url}"

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

    def price(self, operation: Operation) -> Price | None:
        """The price of the chat or embedding model, if it is known."""
        model = self._endpoint.embedding_model if operation == "embed" else self._endpoint.model
        return self._prices.price(model or "")

    async def generate(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            ModelError: The endpoint could not be reached in time, refused the request, or gave no usable answer.
        """
        check_request(request)
        started = monotonic()
        reply = await self._ask("/chat/completions", self._endpoint.model, self._endpoint.body(request))
        answer = self._read(lambda: read_answer(read_body(reply.value, self._who), self._who), "generate")
        model = answer.model or self._endpoint.model
        cost = self._cost("generate", answer.usage)
        return Completion(
            text=answer.text,
            model=model,
            finish=answer.finish,  # pyright: ignore[reportArgumentType]  # read_answer gives one of the three words
            usage=answer.usage,
            cost=cost,
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
        usage = Usage(0, 0)
        for start in range(0, len(texts), _TEXTS_PER_CALL):
            # An empty text is refused by most endpoints; a space embeds as nearly nothing.
            block = [text if text.strip() else " " for text in texts[start : start + _TEXTS_PER_CALL]]
            body: dict[str, Json] = {"model": model, "input": block, "encoding_format": "float"}
            reply = await self._ask("/embeddings", model, body)
            content = self._read(lambda: read_body(reply.value, self._who), "embed")  # noqa: B023 - called at once
            blocks.append(self._read(lambda: read_embeddings(content, len(block), self._who), "embed"))  # noqa: B023
            usage = Usage(usage.input_tokens + read_usage(content).input_tokens, 0)
        if len({block.shape[1] for block in blocks}) > 1:
            raise UnusableAnswerError(f"{self._who} answered with embeddings of different sizes", usage)
        return (unit_rows(np.concatenate(blocks)) if blocks else np.zeros((0, 0))), usage

    async def score(self, request: Request, continuation: str) -> Array:
        """Not part of the interface."""
        raise UnsupportedError(
            f"{self.name} cannot score: the OpenAI interface gives no log-probabilities of a given text; use a local "
            "model, such as kind = 'transformers'"
        )

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    @property
    def _who(self) -> str:
        return f"{self._endpoint.model!r} at {self._endpoint.base_url}"

    def _cost(self, operation: Operation, usage: Usage) -> float | None:
        price = self.price(operation)
        if price is None or usage == Usage(0, 0):
            # An endpoint that reports no tokens has not told what the call cost.
            return 0.0 if price is not None and price.input == price.output == 0 else None
        return price.of(usage)

    def _read(self, read: Callable[[], Any], operation: Operation) -> Any:
        """Read a reply; what is wrong with it leaves without the key and with its cost."""
        try:
            return read()
        except UnusableAnswerError as error:
            text, usage = redact(str(error), _key(self._endpoint)), error.usage
        raise UnusableAnswerError(text, usage, self._cost(operation, usage))

    async def _ask(self, path: str, model: str, body: Mapping[str, Json]) -> Retried[bytes]:
        """Post a body and return the reply's, with retries, under the endpoint's concurrency limit."""
        end = self._endpoint
        limit = self._limits.limit(end.base_url, model, end.api_key_env or "")
        async with limit.slot() as slot:

            async def attempt() -> bytes:
                try:
                    outcome = await self._post(path, body)
                except TransientError as error:
                    if error.throttled:
                        slot.throttled()
                    raise
                if isinstance(outcome, _Refusal):
                    raise ModelError(outcome.text)
                return outcome

            return await self._retrier.run(attempt, who=self._who)

    async def _post(self, path: str, body: Mapping[str, Json]) -> bytes | _Refusal:
        """One attempt. Failures are decided on inside the SDK's handlers and raised outside of them.

        An exception that is raised in a handler carries the SDK's own along, and with it the request and its headers.
        """
        openai = require("openai", "", "An OpenAI-style endpoint")
        client = self._connected(openai)
        response_type = _http(openai).Response
        try:
            response = await client.post(path, body=dict(body), cast_to=response_type)
            return response.content
        except openai.APIStatusError as error:
            outcome = self._failed(error.response)
        except openai.APIConnectionError as error:
            outcome = self._unreached(error)
        except _OversizeError as error:
            outcome = _Refusal(f"{self._who} {error}")
        except openai.OpenAIError as error:
            outcome = _Refusal(f"{self._who} failed: {self._clean(str(error))}")
        if isinstance(outcome, TransientError):
            raise outcome
        return outcome

    def _failed(self, response: Any) -> TransientError | _Refusal:
        """What a status other than success means."""
        status: int = response.status_code
        said = self._clean(_message(response))
        if is_transient(status):
            floor = retry_after(response.headers, self._clock())
            return TransientError(f"status {status}{said}", floor=floor, throttled=status == 429)
        if 300 <= status < 400:
            host = urlsplit(str(response.headers.get("location", ""))).netloc
            return _Refusal(
                f"{self._who} redirects to {self._clean(host) or 'another address'}, and a redirect is not followed because it "
                "would take the key along; give the final address as base_url"
            )
        return _Refusal(f"{self._who} refused the request with status {status}{said}{self._advice(status)}")

    def _advice(self, status: int) -> str:
        if status in (401, 403):
            variable = self._endpoint.api_key_env
            return (
                f"; check the key in the environment variable {variable}"
                if variable
                else "; no key was sent: name its environment variable as api_key_env"
            )
        return "; check base_url and the name of the model" if status == 404 else ""

    def _unreached(self, error: Exception) -> TransientError:
        cause = error.__cause__
        detail = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
        return TransientError(f"no connection{self._clean(detail)}")

    def _clean(self, text: str) -> str:
        return redact(text, _key(self._endpoint))[:_SHOWN]

    def _connected(self, openai: Any) -> Any:
        """The client of the running loop; its connections cannot be used from another."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = _client(openai, self._endpoint, self._retrier.policy), loop
        return self._client


def _key(endpoint: Endpoint) -> str:
    """The key itself, or ``""`` when none is sent."""
    variable = endpoint.api_key_env
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {variable} holds no key for {endpoint.base_url}; set it "
            f"(export {variable}=…), or name another variable as api_key_env"
        )
    return key


def _http(openai: Any) -> Any:
    """The HTTP library that this SDK is built on."""
    return require(openai.Timeout.__module__.partition(".")[0], "", "An OpenAI-style endpoint")


def _client(openai: Any, endpoint: Endpoint, policy: RetryPolicy) -> Any:
    http = _http(openai)

    class Capped(http.AsyncByteStream):
        """The body of a reply, which ends in an error when it grows too large."""

        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> Any:
            size = 0
            async for block in self._stream:
                size += len(block)
                if size > _LARGEST_BODY:
                    raise _OversizeError(f"answered with more than {_LARGEST_BODY} bytes, which is refused")
                yield block

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def cap(response: Any) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            # Compressed although that was declined: a small body could unfold without bound.
            raise _OversizeError("answered with a compressed body, which was declined")
        response.stream = Capped(response.stream)

    timeout = openai.Timeout(policy.attempt_timeout, connect=min(10.0, policy.attempt_timeout))
    session = openai.DefaultAsyncHttpxClient(
        follow_redirects=False, timeout=timeout, event_hooks={"response": [cap]}
    )
    key = _key(endpoint)
    headers: dict[str, Any] = {"Accept-Encoding": "identity"}
    if not key:
        headers["Authorization"] = openai.Omit()
    if endpoint.base_url != OPENAI_URL:
        # The SDK takes these from the environment; they are meant for OpenAI alone.
        headers |= {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
    return openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=timeout,
        default_headers=headers,
        http_client=session,
    )


def _message(response: Any) -> str:
    """What an error reply says, in one line that begins with a colon."""
    try:
        content = response.json()
        error = content.get("error", content)
        said = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        said = response.text
    line = " ".join(str(said).split())
    return f": {line}" if line else ""


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
        api_key_env: Name of the environment variable that holds the key. Left out, ``OPENAI_API_KEY`` is used at
            OpenAI's own address and no key is sent to any other, so that a key never goes where it was not meant to.
        embedding_model: Name of an embedding model at the same endpoint.
        prices: ``{"input": dollars, "output": dollars}`` per million tokens; or a table of such by model name; or
            the path of a price file. It goes on top of the table that ships with Palate.
        extra: Further parameters of every chat request.
        omit: Standard parameters that the endpoint refuses, such as ``["temperature"]``.
        retry: Any of :class:`RetryPolicy`'s fields.
        max_concurrency: Most calls under way at once.
        limits: The study's concurrency limits, when several models share an endpoint.

    Raises:
        ConfigError: An option is wrong, or the variable holds no key.
    """
    url = _checked_url(base_url or OPENAI_URL)
    if not model:
        raise ConfigError("model is empty; it must be the name of a model at the endpoint")
    variable = api_key_env or ("OPENAI_API_KEY" if url == OPENAI_URL else None)
    endpoint = Endpoint(model, url, variable, embedding_model, dict(extra or {}), tuple(omit))
    try:
        policy = RetryPolicy(**dict(retry or {}))  # pyright: ignore[reportArgumentType]  # checked by the policy
    except TypeError as error:
        raise ConfigError(f"retry allows attempts, base, cap, attempt_timeout, deadline: {error}") from None
    return OpenAIModel(
        endpoint,
        prices=_price_table(model, prices),
        retrier=Retrier(policy),
        limits=limits or LimitPool(most=max_concurrency),
    )


def _price_table(model: str, prices: Mapping[str, Any] | str | None) -> PriceTable:
    table = read_prices()
    if prices is None:
        return table
    if isinstance(prices, str):
        return table.updated(read_prices(prices).prices)
    return table.updated({model: prices} if "input" in prices else prices)


def _checked_url(base_url: str) -> str:
    url = base_url.rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        _wrong_url(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        _wrong_url(base_url)
    if parts.username or parts.password:
        raise ConfigError(
            "base_url holds a user name or password; put the key into an environment variable and name it as api_key_env"
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"base_url is {parts.scheme}://{parts.netloc}{parts.path}?…; it must end before the question mark"
        )
    return url


def _wrong_url(base_url: str) -> NoReturn:
    raise ConfigError(f"base_url is {base_url!r}; it must look like 'http://127.0.0.1:8000/v1'")
