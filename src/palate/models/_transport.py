"""One attempt at one request, through the ``openai`` SDK.

Its retries are off, redirects are not followed as they would take the key to another host, compressed and
oversized replies are refused, and nothing that leaves here carries the key: not the text of an error, and not
the exceptions that it might be chained to, which hold the request with its headers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from palate.errors import ModelError
from palate.extras import Foreign, require
from palate.models._endpoint import OPENAI_URL, Endpoint
from palate.models._limits import AdaptiveLimit
from palate.models._redaction import redact
from palate.models._retry import Retried, Retrier, TransientError, is_transient, retry_after
from palate.types import Json

__all__ = ["LARGEST_BODY", "RefusedRequestError", "Transport", "limited"]

LARGEST_BODY = 8_000_000
"""Bytes of a reply beyond which it is refused."""

_PURPOSE = "An OpenAI-style endpoint"
_CONNECT_SECONDS = 10.0
_SHOWN = 300


class _RefusedReplyError(Exception):
    """A reply that is not read to its end."""


class RefusedRequestError(ModelError):
    """An endpoint said no to a request.

    Args:
        message: What it said, and what to do.
        code: Its own name for the reason; ``""`` when it gave none.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


class _Refusal(NamedTuple):
    """A final failure on its way out of the SDK's exception handlers."""

    text: str
    code: str = ""


class Transport:
    """The connections to one endpoint.

    Args:
        endpoint: Where, and under which key.
        timeout: Seconds for one attempt.
        clock: The time of day, against which a ``Retry-After`` date is read.
        largest: Bytes of a reply beyond which it is refused.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        timeout: float,
        clock: Callable[[], datetime],
        *,
        largest: int = LARGEST_BODY,
    ) -> None:
        self._endpoint = endpoint
        self._largest = largest
        self._timeout = timeout
        self._clock = clock
        self._client: Foreign = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, path: str, body: Mapping[str, Json]) -> bytes:
        """Send one request and return the reply's body.

        Raises:
            TransientError: It failed in a way that may pass.
            ModelError: It failed for good; a :class:`RefusedRequestError` if the endpoint said no.
        """
        return _settled(await self._attempt(path, body))

    async def get(self, path: str) -> bytes:
        """Fetch what lies at a path or address, which must be the endpoint's own: the key goes along.

        Raises:
            TransientError: It failed in a way that may pass.
            ModelError: It failed for good.
        """
        return _settled(await self._attempt(path, None))

    async def close(self) -> None:
        """Close the connections, if they belong to the running loop."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    def clean(self, text: str) -> str:
        """Take the key out of a text, and cut it to a size that can be shown."""
        return redact(text, self._endpoint.key())[:_SHOWN]

    async def _attempt(self, path: str, body: Mapping[str, Json] | None) -> bytes | TransientError | _Refusal:
        openai = require("openai", "", _PURPOSE)
        client = self._connected(openai)
        method, sent = (client.get, {}) if body is None else (client.post, {"body": dict(body)})
        try:
            response = await method(
                path,
                cast_to=require("httpx2", "", _PURPOSE).Response,
                options={"headers": self._headers(openai)},
                **sent,
            )
            return response.content
        except openai.APIStatusError as error:
            return self._failed(error.response)
        except openai.APIConnectionError as error:
            cause = error.__cause__
            detail = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
            return TransientError(f"no connection{self.clean(detail)}")
        except _RefusedReplyError as error:
            return _Refusal(f"{self._endpoint} {error}")
        except openai.OpenAIError as error:
            return _Refusal(f"{self._endpoint} failed: {self.clean(str(error))}")

    def _failed(self, response: Foreign) -> TransientError | _Refusal:
        """What a status other than success means."""
        status: int = response.status_code
        said = self.clean(_message(response))
        if is_transient(status):
            floor = retry_after(response.headers, self._clock())
            return TransientError(f"status {status}{said}", floor=floor, throttled=status == 429)
        if 300 <= status < 400:
            host = urlsplit(str(response.headers.get("location", ""))).netloc
            return _Refusal(
                f"{self._endpoint} redirects to {self.clean(host) or 'another address'}; a redirect is not "
                "followed, as it would take the key along: give the final address as base_url"
            )
        advice = self._endpoint.advice(status)
        return _Refusal(
            f"{self._endpoint} refused the request with status {status}{said}{advice}",
            self.clean(_code(response)),
        )

    def _connected(self, openai: Foreign) -> Foreign:
        """The client of the running loop; its connections cannot be used from another."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._connect(openai), loop
        return self._client

    def _headers(self, openai: Foreign) -> dict[str, Foreign]:
        headers: dict[str, Foreign] = {"Accept-Encoding": "identity"}
        if self._endpoint.api_key_env is None:
            headers["Authorization"] = openai.Omit()
        if self._endpoint.base_url != OPENAI_URL:
            # The SDK takes these from the environment; they are meant for OpenAI alone.
            headers |= {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        return headers

    def _connect(self, openai: Foreign) -> Foreign:
        key = self._endpoint.key()
        timeout = openai.Timeout(self._timeout, connect=min(_CONNECT_SECONDS, self._timeout))
        session = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,
            timeout=timeout,
            event_hooks={"response": [_limiter(require("httpx2", "", _PURPOSE), self._largest)]},
        )
        return openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=self._endpoint.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=session,
        )


def _settled(outcome: bytes | TransientError | _Refusal) -> bytes:
    # Raised here, outside the SDK's handlers: no chain to objects that hold the request's headers.
    if isinstance(outcome, TransientError):
        raise outcome
    if isinstance(outcome, _Refusal):
        raise RefusedRequestError(outcome.text, outcome.code)
    return outcome


async def limited(
    call: Callable[[], Awaitable[bytes]], *, limit: AdaptiveLimit, retrier: Retrier, who: str
) -> Retried[bytes]:
    """Make a call with retries, under an endpoint's concurrency limit.

    Args:
        call: One attempt.
        limit: Told when the endpoint says that it is asked too often.
        retrier: The retry loop.
        who: What is called, for the error text.

    Raises:
        ModelError: The call failed for good, or attempts or time ran out.
    """
    async with limit.slot() as slot:

        async def attempt() -> bytes:
            try:
                return await call()
            except TransientError as error:
                if error.throttled:
                    slot.throttled()
                raise

        return await retrier.run(attempt, who=who)


def _limiter(http: Foreign, largest: int) -> Foreign:
    """A hook that makes a reply end in an error when it grows too large."""

    class Limited(http.AsyncByteStream):
        """A reply's body as it arrives."""

        def __init__(self, stream: Foreign) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for block in self._stream:
                size += len(block)
                if size > largest:
                    raise _RefusedReplyError(f"answered with over {largest} bytes, which is refused")
                yield block

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def limit(response: Foreign) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            # Compressed although that was declined: a small body could unfold without bound.
            raise _RefusedReplyError("answered with a compressed body, which is refused")
        response.stream = Limited(response.stream)

    return limit


def _code(response: Foreign) -> str:
    """The endpoint's own name for what is wrong."""
    try:
        error = response.json().get("error")
        found = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
    except (ValueError, AttributeError, RecursionError):
        return ""
    return found[:80] if isinstance(found, str) else ""


def _message(response: Foreign) -> str:
    """What an error reply says, in one line that begins with a colon."""
    try:
        content = response.json()
        error = content.get("error", content)
        said = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        said = response.text
    line = " ".join(str(said).split())
    return f": {line}" if line else ""
