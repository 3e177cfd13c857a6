"""Under which key an answer is kept, and how it is written down.

The key is the SHA-256 of the canonical JSON of everything that shaped the answer: operation, identity of
the model (endpoint included), messages, sampling parameters, seed and index of the sample. A row that cannot
be read back is a miss, never an error: the answer is then fetched again and the row replaced.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from palate.models._requests import request_json
from palate.types import Array, Completion, Json, Request, Usage, digest

__all__ = [
    "Operation",
    "completion_key",
    "completion_row",
    "embedding_key",
    "read_completion",
    "read_vector",
    "score_key",
    "vector_row",
]

Operation: TypeAlias = Literal["generate", "embed", "score"]

# Part of every key: raise it when the meaning of a stored row changes.
_VERSION = 1
_FINISHES = ("stop", "length", "refused")


def _key(operation: Operation, model: Json, content: Json) -> str:
    return digest({"version": _VERSION, "operation": operation, "model": model, "content": content})


def completion_key(model: Json, request: Request) -> str:
    """Key of an answer to a request."""
    return _key("generate", model, request_json(request))


def embedding_key(model: Json, text: str) -> str:
    """Key of the embedding of one text."""
    return _key("embed", model, text)


def score_key(model: Json, request: Request, continuation: str) -> str:
    """Key of the log-probabilities of a continuation; sampling parameters do not shape them."""
    turns: Json = [[turn.role, turn.content] for turn in request.messages]
    return _key(
        "score", model, {"messages": turns, "extra": dict(request.extra), "continuation": continuation}
    )


def completion_row(completion: Completion) -> dict[str, Json]:
    """Write a completion as JSON."""
    return {
        "text": completion.text,
        "model": completion.model,
        "finish": completion.finish,
        "usage": list(completion.usage),
        "cost": completion.cost,
        "seconds": completion.seconds,
        "retries": completion.retries,
    }


def read_completion(row: Mapping[str, Any] | None) -> Completion | None:
    """Read a completion back, marked as cached; ``None`` for a missing or damaged row."""
    if row is None:
        return None
    try:
        usage = Usage(*(_whole(number) for number in row["usage"]))
        cost = None if row["cost"] is None else float(row["cost"])
        text, model, finish = row["text"], row["model"], row["finish"]
        seconds, retries = float(row["seconds"]), _whole(row["retries"])
    except (KeyError, TypeError, ValueError):
        return None
    if not isinstance(text, str) or not isinstance(model, str) or finish not in _FINISHES:
        return None
    return Completion(text, model, finish, usage, cost, seconds, True, retries)


def _whole(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"not a whole number: {number!r}")
    return number


def vector_row(vector_D: Array) -> dict[str, Json]:
    """Write an embedding or a row of log-probabilities as JSON."""
    return {"vector": [float(number) for number in vector_D]}


def read_vector(row: Mapping[str, Any] | None) -> Array | None:
    """Read a vector back; ``None`` for a missing or damaged row."""
    try:
        vector = np.asarray(row["vector"] if row is not None else None, dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return vector if vector.ndim == 1 and np.isfinite(vector).all() else None
