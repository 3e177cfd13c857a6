"""Reading what a chat or embedding endpoint sent back, trusting nothing in it."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from palate.errors import ModelError
from palate.types import Array, Usage

__all__ = ["LONGEST_ANSWER", "Answered", "UnusableAnswerError", "read_answer", "read_body", "read_embeddings"]

LONGEST_ANSWER = 100_000
"""Characters after which an answer is cut, with ``finish="length"``: nobody compares longer ones by eye."""

_SHOWN = 200


class UnusableAnswerError(ModelError):
    """The endpoint answered, and billed, something that cannot be used.

    Args:
        message: What was wrong.
        usage: Tokens that it reported.
        cost: US dollars, or ``None`` when unknown.
    """

    def __init__(self, message: str, usage: Usage = Usage(0, 0), cost: float | None = None) -> None:  # noqa: B008 - a tuple
        super().__init__(message, usage, cost)
        self.usage = usage
        self.cost = cost

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


class Answered(NamedTuple):
    """What a chat endpoint said: the text, why it ended, the tokens and the model that it reports."""

    text: str
    finish: Literal["stop", "length", "refused"]
    usage: Usage
    model: str


def read_body(body: bytes, who: str) -> Mapping[str, Any]:
    """Read a body that must be a JSON object.

    Raises:
        UnusableAnswerError: It is a web page, or not JSON, or not an object.
    """
    start = body[:_SHOWN].decode("utf-8", "replace").strip()
    if start[:1] == "<":
        raise UnusableAnswerError(
            f"{who} answered with a web page ({start[:60]!r}…); base_url must be the address of the API, "
            "which often ends in /v1"
        )
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise UnusableAnswerError(f"{who} answered with something that is not JSON: {start!r}") from None
    if not isinstance(content, dict):
        raise UnusableAnswerError(f"{who} answered with JSON that is not an object: {start!r}")
    return content


def read_usage(content: Mapping[str, Any]) -> Usage:
    """Read the tokens that an endpoint reports; 0 for what it leaves out."""
    usage = content.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Usage(_count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _count(number: object) -> int:
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else 0


def read_answer(content: Mapping[str, Any], who: str) -> Answered:
    """Read a chat completion.

    Returns:
        The answer; ``finish`` is ``"refused"`` for a refusal or a content filter, and ``"length"`` for an
        answer that was cut at ``max_tokens`` or at :data:`LONGEST_ANSWER`.

    Raises:
        UnusableAnswerError: No choices, no text, or text of the wrong type.
    """
    usage = read_usage(content)
    choices = content.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnusableAnswerError(f"{who} answered without choices{_reported(content)}", usage)
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UnusableAnswerError(f"{who} answered with a choice that holds no message", usage)
    text, reason, refusal = message.get("content"), choice.get("finish_reason"), message.get("refusal")
    if not isinstance(text, str | None):
        raise UnusableAnswerError(
            f"{who} answered with content that is not text but {type(text).__name__}", usage
        )
    model = str(content.get("model") or "")
    if isinstance(refusal, str) and refusal.strip():
        return Answered(refusal[:LONGEST_ANSWER], "refused", usage, model)
    text = text or ""
    if reason == "content_filter":
        return Answered(text[:LONGEST_ANSWER], "refused", usage, model)
    if not text.strip():
        raise UnusableAnswerError(_empty(who, reason), usage)
    cut = reason == "length" or len(text) > LONGEST_ANSWER
    return Answered(text[:LONGEST_ANSWER], "length" if cut else "stop", usage, model)


def _empty(who: str, reason: object) -> str:
    if reason == "length":
        return f"{who} used up max_tokens without any text, perhaps by thinking; raise max_tokens"
    return f"{who} answered with empty text"


def _reported(content: Mapping[str, Any]) -> str:
    """What an error object inside a successful reply says, if there is one."""
    error = content.get("error")
    said = error.get("message") if isinstance(error, dict) else error
    return f": {str(said)[:_SHOWN]}" if said else ""


def read_embeddings(content: Mapping[str, Any], who: str) -> Array:
    """Read embeddings into the order in which the texts were sent; ``(N, D)``.

    Raises:
        UnusableAnswerError: Not vectors of finite numbers, all of one size, each with its place.
    """
    problem = UnusableAnswerError(f"{who} did not answer with embeddings of one size", read_usage(content))
    data = content.get("data")
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise problem
    vectors = {entry.get("index", place): entry.get("embedding") for place, entry in enumerate(data)}
    try:
        rows_ND = np.array([vectors[place] for place in range(len(data))], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        raise problem from None
    if rows_ND.ndim != 2 or not rows_ND.size or not np.isfinite(rows_ND).all():
        raise problem
    return rows_ND
