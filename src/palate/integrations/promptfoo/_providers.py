"""Providers of a promptfoo configuration, as models of Palate: those that speak OpenAI's chat interface.

Addresses and names of key variables are those that promptfoo itself uses. A key that is written into a
configuration is never copied.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from palate.errors import InputError
from palate.integrations.promptfoo._files import Folder
from palate.types import Json

__all__ = ["Provider", "read_providers"]

DEFAULT_TOKENS = 1024
"""What promptfoo allows an answer unless it is told otherwise; its default temperature is 0."""

# Family: address, variable of the key. OpenAI's own address is Palate's default.
_FAMILIES: Mapping[str, tuple[str, str]] = {
    "openai": ("", "OPENAI_API_KEY"),
    "ollama": ("http://127.0.0.1:11434/v1", ""),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "togetherai": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
}
_CHAT = ("chat", "responses")
_NO_CHAT = frozenset(
    [
        "completion",
        "embedding",
        "embeddings",
        "moderation",
        "realtime",
        "image",
        "video",
        "assistant",
        "transcription",
        "codex",
        "codex-sdk",
        "agents",
        "chatkit",
    ]
)
_NO_TEMPERATURE = re.compile(r"(?:o[134]|gpt-5)(?:-|$)(?!chat)")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_EXTRA = ("top_p", "frequency_penalty", "presence_penalty", "reasoning_effort", "stop", "seed")
_READ = frozenset(
    ("temperature", "max_tokens", "max_completion_tokens", "num_predict", "apiBaseUrl", "apiHost", "apiKey")
) | {"apiKeyEnvar", "organization", "showThinking", *_EXTRA}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that Palate can ask.

    Args:
        id: What the configuration calls it.
        model: The name of the model at the endpoint.
        base_url: The endpoint; empty for OpenAI's.
        api_key_env: The variable that holds its key; empty for none.
        temperature: Sampling temperature, in [0, 2].
        max_tokens: Longest answer.
        extra: Parameters that go with every request.
        omit: Standard parameters that the model refuses.
    """

    id: str
    model: str
    base_url: str
    api_key_env: str
    temperature: float = 0.0
    max_tokens: int = DEFAULT_TOKENS
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    omit: tuple[str, ...] = ()


def read_providers(given: Json, folder: Folder, told: list[str]) -> list[Provider]:
    """Read the providers of a configuration.

    Args:
        given: The value of ``providers`` (or ``targets``).
        folder: Where its files lie.
        told: Gets a line for each provider, or setting of one, that is left out.

    Returns:
        Those that Palate can ask, in their order.
    """
    found: list[Provider] = []
    for identifier, settings in _entries(given, folder, told):
        try:
            found.append(_provider(identifier, settings, told))
        except InputError as error:
            told.append(f"provider {identifier!r} is left out: {error}")
    return found


def _entries(given: Json, folder: Folder, told: list[str]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    listed = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for entry in listed:
        if isinstance(entry, str) and entry.startswith("file://"):
            yield from _in_file(entry, folder, told)
        elif isinstance(entry, str):
            yield entry, {}
        elif isinstance(entry, Mapping):
            yield _named(entry)
        elif entry is not None:
            told.append(f"a provider is left out: {entry!r} is not a name")


def _named(entry: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
    identifier, inner = entry.get("id"), entry
    if not isinstance(identifier, str) and len(entry) == 1:  # the form {"openai:…": {config: …}}
        [(identifier, held)] = entry.items()
        inner = held if isinstance(held, Mapping) else {}
    settings = inner.get("config")
    return str(identifier), settings if isinstance(settings, Mapping) else {}


def _in_file(reference: str, folder: Folder, told: list[str]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    try:
        for path in folder.paths(reference):
            held = folder.structure(path)
            listed = held if isinstance(held, Sequence) and not isinstance(held, str) else [held]
            for entry in listed:
                yield _named(entry) if isinstance(entry, Mapping) else (str(entry), {})
    except InputError as error:
        told.append(f"provider {reference!r} is left out: {error}")


def _provider(identifier: str, settings: Mapping[str, Json], told: list[str]) -> Provider:
    family, _, rest = identifier.partition(":")
    if family not in _FAMILIES:
        known = ", ".join(f"{name}:" for name in _FAMILIES)
        raise InputError(
            f"it does not speak OpenAI's chat interface, or is not known to; those that are: {known}. "
            "Put a gateway such as LiteLLM before it and name that as base_url"
        )
    kind, _, name = rest.partition(":")
    if kind in _NO_CHAT and not (family == "ollama" and kind == "completion"):
        raise InputError(f"{kind!r} is not a chat model")
    model = name if kind in _CHAT or (family == "ollama" and kind == "completion") else rest
    if not model or "{{" in model:
        raise InputError("it does not name its model; write the name out")
    base_url, api_key_env = _endpoint(identifier, family, settings, told)
    left = sorted(set(settings) - _READ)
    if left:
        told.append(f"settings of provider {identifier!r} are left out: {', '.join(left)}")
    return Provider(
        identifier,
        model,
        base_url,
        api_key_env,
        temperature=_number(settings, ("temperature",), 0.0, 0.0, 2.0, identifier, told),
        max_tokens=int(
            _number(
                settings,
                ("max_completion_tokens", "max_tokens", "num_predict"),
                DEFAULT_TOKENS,
                1,
                1e6,
                identifier,
                told,
            )
        ),
        extra={key: settings[key] for key in _EXTRA if _plain(settings.get(key))},
        omit=("temperature",) if _NO_TEMPERATURE.match(model) else (),
    )


def _endpoint(identifier: str, family: str, settings: Mapping[str, Json], told: list[str]) -> tuple[str, str]:
    base_url, api_key_env = _FAMILIES[family]
    host = settings.get("apiHost")
    given = settings.get("apiBaseUrl") or (f"https://{host}/v1" if isinstance(host, str) else None)
    if given is not None:
        base_url, api_key_env = _address(str(given)), ""  # a key is for the address that it was named for
    if settings.get("apiKey") is not None:
        told.append(
            f"provider {identifier!r} has a key written into it, which was not copied; "
            "put it into an environment variable and name that as api_key_env"
        )
    named = settings.get("apiKeyEnvar")
    if isinstance(named, str) and _VARIABLE.fullmatch(named):
        api_key_env = named
    return base_url, api_key_env


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "{{" not in url
        _ = parts.port
    except ValueError:
        good, parts = False, urlsplit("")
    if good and (parts.username or parts.password):
        raise InputError("its address holds a user name or password; take them out")
    if not good or parts.query or parts.fragment:
        raise InputError(
            f"its address {url!r} cannot be used; write it out, such as 'http://127.0.0.1:8000/v1'"
        )
    return url.rstrip("/")


def _number(
    settings: Mapping[str, Json],
    keys: Sequence[str],
    default: float,
    least: float,
    most: float,
    identifier: str,
    told: list[str],
) -> float:
    for key in keys:
        value = settings.get(key)
        if value is None:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
            return value
        told.append(f"{key} of provider {identifier!r} is {value!r}; {default:g} is taken instead")
    return default


def _plain(value: Json) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return bool(value) and all(isinstance(entry, str) for entry in value)
    return isinstance(value, str | int | float) and not isinstance(value, bool)
