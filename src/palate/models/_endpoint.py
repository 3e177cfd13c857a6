"""Where an OpenAI-style model is reached, under which key, and how a request to it is written."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlsplit

from palate.errors import ConfigError
from palate.models._calls import Host
from palate.models._requests import sample_seed
from palate.types import Json, Request

__all__ = ["OPENAI_URL", "Endpoint", "checked_url", "endpoint_at"]

OPENAI_URL = "https://api.openai.com/v1"
"""Where requests go unless ``base_url`` says otherwise."""

KEY_HOSTS: Mapping[str, str] = {
    "DEEPSEEK_API_KEY": "api.deepseek.com",
    "FIREWORKS_API_KEY": "api.fireworks.ai",
    "GEMINI_API_KEY": "generativelanguage.googleapis.com",
    "GROQ_API_KEY": "api.groq.com",
    "MISTRAL_API_KEY": "api.mistral.ai",
    "OPENAI_API_KEY": "api.openai.com",
    "OPENROUTER_API_KEY": "openrouter.ai",
    "TOGETHER_API_KEY": "api.together.xyz",
    "XAI_API_KEY": "api.x.ai",
}
"""The hosts that keys in variables of these names are for; ``NAME_HOST`` says so of any other."""

_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address, the models behind it, and how it wants to be asked.

    Args:
        model: Name of the chat model at the endpoint.
        base_url: Address of the interface, without credentials in it.
        api_key_env: Name of the environment variable that holds the key; ``None`` sends no key.
        embedding_model: Name of the embedding model at the endpoint; ``None`` for one that only chats.
        extra: Further parameters of every chat request.
        omit: Standard parameters that the endpoint refuses, as ``"temperature"`` is by some models.
    """

    model: str
    base_url: str = OPENAI_URL
    api_key_env: str | None = None
    embedding_model: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    omit: tuple[str, ...] = ()

    def __str__(self) -> str:
        """How errors name it."""
        return f"{self.model!r} at {self.base_url}"

    @property
    def name(self) -> str:
        """The model's name; with the address, unless that is OpenAI's own."""
        return self.model if self.base_url == OPENAI_URL else f"{self.model}@{self.base_url}"

    def host(self, model: str | None) -> Host:
        """Where one of its models is reached."""
        parts = urlsplit(self.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        # OpenAI's interface, whoever answers there; the address tells them apart.
        return Host("openai", model or self.model, parts.hostname or "", port)

    def key(self) -> str:
        """Read the key; ``""`` when none is sent.

        Raises:
            ConfigError: The named environment variable is not set, or is empty, or its key is not for the
                host: a study file from somebody else could name any variable and any address.
        """
        variable = self.api_key_env
        if variable is None:
            return ""
        host = urlsplit(self.base_url).hostname or ""
        bound = os.environ.get(f"{variable}_HOST", "").strip().lower()
        known = {bound} if bound else {*_LOOPBACK, KEY_HOSTS.get(variable, "")}
        if host not in known:
            raise ConfigError(
                f"the key in {variable} is not sent to {host}: nothing says that it belongs there; if it "
                f"does, say so where the key is (export {variable}_HOST={host})"
            )
        key = os.environ.get(variable, "").strip()
        if not key:
            raise ConfigError(
                f"the environment variable {variable} holds no key for {self.base_url}; set it "
                f"(export {variable}=…), or name another variable as api_key_env"
            )
        return key

    def body(self, request: Request) -> dict[str, Json]:
        """Write a chat request as JSON."""
        # OpenAI renamed the limit and its newer models refuse the old name; other endpoints know only that.
        limit = "max_completion_tokens" if self.base_url == OPENAI_URL else "max_tokens"
        body: dict[str, Json] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
            "temperature": request.temperature,
            limit: request.max_tokens,
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

    def advice(self, status: int) -> str:
        """What to do about a refusal, as the end of an error text."""
        if status in (401, 403):
            if self.api_key_env:
                return f"; check the key in the environment variable {self.api_key_env}"
            return "; no key was sent: name its environment variable as api_key_env"
        return "; check base_url and the name of the model" if status == 404 else ""


def endpoint_at(
    model: str,
    base_url: str | None,
    api_key_env: str | None,
    *,
    embedding_model: str | None = None,
    extra: Mapping[str, Json] | None = None,
    omit: Sequence[str] = (),
) -> Endpoint:
    """Make an endpoint of what a study file says of it; see :class:`Endpoint` for the rest.

    Args:
        model: Name of the model at the endpoint.
        base_url: Its address; ``None`` for OpenAI's own.
        api_key_env: Left out, ``OPENAI_API_KEY`` is used at OpenAI's own address, and no key elsewhere.
        embedding_model: As in :class:`Endpoint`.
        extra: As in :class:`Endpoint`.
        omit: As in :class:`Endpoint`.

    Raises:
        ConfigError: The address is wrong, or the model's name is empty.
    """
    url = checked_url(base_url or OPENAI_URL)
    if not model:
        raise ConfigError("model is empty; it must be the name of a model at the endpoint")
    variable = api_key_env or ("OPENAI_API_KEY" if url == OPENAI_URL else None)
    return Endpoint(model, url, variable, embedding_model, dict(extra or {}), tuple(omit))


def checked_url(base_url: str) -> str:
    """Check the address of an endpoint, and drop a slash at its end.

    Raises:
        ConfigError: It is not an http(s) address, or holds credentials or a query.
    """
    url = base_url.rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        _wrong_url(base_url)
    if parts.username or parts.password:
        raise ConfigError(
            "base_url holds a user name or password; put the key into an environment variable and name that "
            "as api_key_env"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        _wrong_url(base_url)
    if parts.query or parts.fragment:
        where = f"{parts.scheme}://{parts.netloc}{parts.path}"
        raise ConfigError(f"base_url goes on after {where}; it must end there")
    return url


def _wrong_url(base_url: str) -> NoReturn:
    raise ConfigError(f"base_url is {base_url!r}; it must look like 'http://127.0.0.1:8000/v1'")
