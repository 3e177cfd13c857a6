"""Any endpoint that speaks OpenAI's image interface: OpenAI, LocalAI, stable-diffusion.cpp, most gateways.

An answer's text is the file of the picture in base64, exactly as it came; whoever shows it has to decode
and check it first. Wrapped like every model, a picture is on disk before anybody sees it, so one that was
paid for is never paid for twice. A refusal for what the prompt asks for is an answer too, and kept like one.

Pictures at an address are fetched from the endpoint's own origin only: an address elsewhere could lead into
the user's network, and the host there would learn what is being looked at.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urljoin, urlsplit

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.models._answer_cache import Operation
from palate.models._answers import UnusableAnswerError, read_body
from palate.models._calls import Host
from palate.models._endpoint import OPENAI_URL, Endpoint, endpoint_at
from palate.models._ledger import Estimate
from palate.models._limits import AdaptiveLimit, LimitPool
from palate.models._pricing import FREE, Price, PriceTable, price_table
from palate.models._requests import check_request, request_tokens
from palate.models._retry import Retrier, retry_policy
from palate.models._transport import RefusedRequestError, Transport, limited
from palate.types import Array, Capabilities, Completion, Json, Request, Usage

__all__ = ["LARGEST_FILE", "ImagesModel", "images_model"]

LARGEST_FILE = 20_000_000
"""Bytes of a picture's file beyond which it is refused."""

# Base64 makes four bytes of three; the rest is room for the JSON around it.
_LARGEST_BODY = LARGEST_FILE * 4 // 3 + 200_000
_PATH = "/images/generations"
_POLICY_CODES = frozenset({"content_policy_violation", "moderation_blocked", "content_filter"})
_POLICY_WORDS = ("safety system", "content policy", "content moderation", "safety policy")


class _Drawn(NamedTuple):
    """What an endpoint answered: a file in base64 or the address of one, the tokens that it reports."""

    coded: str
    address: str
    usage: Usage


class ImagesModel:
    """An OpenAI-compatible images endpoint. Make it with :func:`images_model`.

    Args:
        endpoint: Where and what; its ``extra`` goes with every request.
        picture_price: US dollars for one picture; ``None`` for endpoints that bill tokens, or unknown.
        prices: What tokens cost.
        most_tokens: The most tokens that one picture takes, for endpoints that bill tokens.
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
        picture_price: float | None,
        prices: PriceTable,
        most_tokens: int = 16_000,
        retrier: Retrier | None = None,
        limits: LimitPool | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        endpoint.key()
        self._endpoint = endpoint
        self._picture_price = picture_price
        self._prices = prices
        self._most_tokens = most_tokens
        self._retrier = retrier or Retrier()
        self._limits = limits or LimitPool()
        timeout = self._retrier.policy.attempt_timeout
        self._transport = Transport(endpoint, timeout, clock, largest=_LARGEST_BODY)

    def __repr__(self) -> str:
        """Say which model, where, and the name of the key's variable."""
        end = self._endpoint
        return f"ImagesModel({end.model!r}, base_url={end.base_url!r}, api_key_env={end.api_key_env!r})"

    @property
    def name(self) -> str:
        """The model's name; with the address, unless that is OpenAI's own."""
        return self._endpoint.name

    @property
    def capabilities(self) -> Capabilities:
        """Draws, and does nothing else."""
        return Capabilities(draw=True, max_concurrency=self._limits.most)

    def identity(self, operation: Operation) -> Json:
        """Address, model, and the parameters that go with every request."""
        end = self._endpoint
        return {
            "interface": "images",
            "base_url": end.base_url,
            "model": end.model,
            "extra": dict(end.extra),
            "omit": sorted(end.omit),
        }

    def host(self, operation: Operation) -> Host:
        """Where it is reached."""
        del operation
        return self._endpoint.host(None)

    def price(self, operation: Operation) -> Price | None:
        """The price of tokens; nothing where pictures are billed."""
        return FREE if self._picture_price is not None else self._prices.price(self._endpoint.model)

    def estimate(self, request: Request) -> Estimate:
        """The most that one picture may use: its price, or the tokens of the largest picture."""
        if self._picture_price is not None:
            return Estimate(0, self._picture_price)
        usage = Usage(request_tokens(request), self._most_tokens)
        price = self.price("generate")
        return Estimate(sum(usage), None if price is None else price.of(usage))

    async def generate(self, request: Request) -> Completion:
        """Draw one picture.

        Args:
            request: Its messages together are the description; ``extra`` holds parameters of the endpoint,
                such as ``size``. What only matters to texts (temperature, ``max_tokens``) is not sent.

        Returns:
            The picture's file in base64; or, with ``finish="refused"``, what the endpoint said when it
            would not draw this.

        Raises:
            ModelError: The endpoint was not reached in time, refused the request for another reason, or
                gave no usable answer.
        """
        check_request(request)
        started = monotonic()
        end = self._endpoint
        try:
            reply = await self._retried(lambda: self._transport.post(_PATH, self._body(request)))
        except RefusedRequestError as error:
            if not _is_policy(error):
                raise
            # A request that was turned down is not billed.
            return Completion(str(error), end.model, "refused", cost=0.0, seconds=monotonic() - started)
        try:
            drawn = _read(reply.value, str(end))
            cost = self._cost(drawn.usage)
            coded = drawn.coded or await self._fetched(drawn)
        except UnusableAnswerError as error:
            said, usage = self._transport.clean(str(error)), error.usage
        else:
            seconds = monotonic() - started
            return Completion(
                coded, end.model, usage=drawn.usage, cost=cost, seconds=seconds, retries=reply.retries
            )
        raise UnusableAnswerError(said, usage, self._cost(usage))

    async def embed(self, texts: Sequence[str]) -> Array:
        """Not part of the interface."""
        raise UnsupportedError(f"{self.name} draws pictures and cannot embed; name another [embedding] kind")

    async def score(self, request: Request, continuation: str) -> Array:
        """Not part of the interface."""
        raise UnsupportedError(f"{self.name} draws pictures and cannot score texts")

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def _body(self, request: Request) -> dict[str, Json]:
        end = self._endpoint
        prompt = "\n\n".join(message.content for message in request.messages)
        body: dict[str, Json] = {"model": end.model, "prompt": prompt, "n": 1}
        if end.base_url != OPENAI_URL:
            # OpenAI always answers with the picture itself, and refuses to be asked for it.
            body["response_format"] = "b64_json"
        body.update(end.extra)
        body.update(request.extra)
        return {key: value for key, value in body.items() if key not in end.omit}

    def _limit(self) -> AdaptiveLimit:
        end = self._endpoint
        return self._limits.limit(end.base_url, end.model, end.api_key_env or "")

    async def _retried(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - of the transport's own types
        return await limited(call, limit=self._limit(), retrier=self._retrier, who=str(self._endpoint))

    async def _fetched(self, drawn: _Drawn) -> str:
        """The picture at an address of the endpoint's own, in base64; a failure never draws it again."""
        end = self._endpoint
        url = _joined(end.base_url, drawn.address)
        if not url or _origin(url) != _origin(end.base_url):
            raise UnusableAnswerError(
                f"{end} answered with a picture at {_host(url)}, which is not the endpoint itself and is not "
                'fetched; set extra = {response_format = "b64_json"}, or use one that sends pictures',
                drawn.usage,
            )
        try:
            reply = await self._retried(lambda: self._transport.get(url))
        except ModelError as error:
            said = str(error)
        else:
            return base64.b64encode(reply.value).decode("ascii")
        raise UnusableAnswerError(f"the picture was drawn but could not be fetched: {said}", drawn.usage)

    def _cost(self, usage: Usage) -> float | None:
        if self._picture_price is not None:
            return self._picture_price
        price = self.price("generate")
        # An endpoint that reports no tokens has not told what the picture cost.
        return None if price is None or (usage == Usage(0, 0) and price != FREE) else price.of(usage)


def _read(body: bytes, who: str) -> _Drawn:
    """Read a reply.

    Raises:
        UnusableAnswerError: No picture, or one that is not base64 or too large.
    """
    content = read_body(body, who)
    usage = _usage(content.get("usage"))
    data = content.get("data")
    entry = data[0] if isinstance(data, list) and data else None
    if not isinstance(entry, dict):
        raise UnusableAnswerError(f"{who} answered without a picture", usage)
    coded, address = entry.get("b64_json"), entry.get("url")
    if isinstance(coded, str) and coded:
        return _Drawn(_checked(coded, who, usage), "", usage)
    if isinstance(address, str) and address:
        if address.startswith("data:"):
            return _Drawn(_checked(address.partition(",")[2], who, usage), "", usage)
        return _Drawn("", address, usage)
    raise UnusableAnswerError(f"{who} answered with neither b64_json nor a url", usage)


def _checked(coded: str, who: str, usage: Usage) -> str:
    try:
        data = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise UnusableAnswerError(f"{who} answered with a picture that is not base64", usage) from None
    if len(data) > LARGEST_FILE:
        raise UnusableAnswerError(
            f"{who} answered with a picture of {len(data):,} bytes; at most {LARGEST_FILE:,} are read", usage
        )
    return coded


def _usage(found: object) -> Usage:
    """The tokens that an images endpoint reports, under its names for them; 0 for what it leaves out."""
    counts = found if isinstance(found, dict) else {}
    numbers = (counts.get("input_tokens"), counts.get("output_tokens"))
    given = [n if isinstance(n, int) and not isinstance(n, bool) and n >= 0 else 0 for n in numbers]
    return Usage(given[0], given[1])


def _is_policy(error: RefusedRequestError) -> bool:
    said = str(error).casefold()
    return error.code.casefold() in _POLICY_CODES or any(words in said for words in _POLICY_WORDS)


def _joined(base_url: str, address: str) -> str:
    """An address as the endpoint means it; ``""`` if it is none."""
    try:
        return urljoin(f"{base_url}/", address)
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").casefold(), port
    except ValueError:
        return "", "", None


def _host(url: str) -> str:
    _, host, port = _origin(url)
    return f"{host or 'an address that cannot be read'}{f':{port}' if port not in (None, 80, 443) else ''}"


def images_model(
    model: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    picture_price: float | None = None,
    prices: Mapping[str, Any] | str | None = None,
    extra: Mapping[str, Json] | None = None,
    omit: Sequence[str] = (),
    retry: Mapping[str, float] | None = None,
    max_concurrency: int = 16,
    limits: LimitPool | None = None,
) -> ImagesModel:
    """Make a model of any OpenAI-compatible images endpoint, as a study file names it.

    Args:
        model: Name of the model at the endpoint.
        base_url: Address of the interface (``http://127.0.0.1:8080/v1``); ``None`` for OpenAI's own.
        api_key_env: Name of the environment variable that holds the key. Left out, ``OPENAI_API_KEY`` is used
            at OpenAI's own address and no key is sent to any other, so that none goes astray.
        picture_price: US dollars for one picture, where pictures are billed.
        prices: Where tokens are billed: ``{"input": dollars, "output": dollars}`` per million; or a table of
            such by model name; or the path of a price file.
        extra: Further parameters of every request, such as ``{"quality": "low"}``.
        omit: Standard parameters that the endpoint refuses, such as ``["response_format"]``.
        retry: Any of :class:`RetryPolicy`'s fields.
        max_concurrency: Most pictures under way at once.
        limits: The study's concurrency limits, when several models share an endpoint.

    Raises:
        ConfigError: An option is wrong, or the variable holds no key.
    """
    endpoint = endpoint_at(model, base_url, api_key_env, extra=extra, omit=omit)
    if picture_price is not None:
        _check_price(picture_price, prices)
    return ImagesModel(
        endpoint,
        picture_price=None if picture_price is None else float(picture_price),
        prices=price_table(model, prices),
        retrier=Retrier(retry_policy(retry)),
        limits=limits or LimitPool(most=max_concurrency),
    )


def _check_price(price: object, prices: object) -> None:
    def wrong(text: str) -> NoReturn:
        raise ConfigError(text)

    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < float("inf"):
        wrong(f"picture_price is {price!r}; it must be US dollars for one picture, at least 0")
    if prices is not None:
        wrong("give picture_price where pictures are billed, or prices where tokens are, not both")
