"""Asking a chat model once, with every way in which that can go wrong told as a failed response."""

from time import perf_counter

from palate.errors import BudgetError, ConfigError, StoreError
from palate.types import Completion, Model, Request, Response

__all__ = ["LONGEST_ANSWER", "ask", "check_sampling", "one_line", "oversized"]

LONGEST_ANSWER = 200_000
"""Bytes of UTF-8 above which an answer is a failure: no person reads it and no page should carry it."""


async def ask(model: Model, request: Request) -> Response:
    """Send one request.

    Returns:
        The answer as text. Whatever goes wrong with it (the model fails or refuses, the answer is empty or
        longer than :data:`LONGEST_ANSWER`) is a response with ``failed`` set.

    Raises:
        BudgetError: The call was not sent because it could exceed the budget.
        StoreError: The answer could not be kept: no fault of the candidate's, so none of its failures.
    """
    started = perf_counter()
    try:
        completion = await model.generate(request)
    except (BudgetError, StoreError):
        raise
    except Exception as error:  # a plug-in's model may raise anything; the study goes on
        return Response("text", "", seconds=perf_counter() - started, failed=one_line(error))
    content = completion.text.encode("utf-8", "replace").decode("utf-8")
    fault = _fault(completion, content)
    return Response(
        "text",
        content="" if fault else content,
        seconds=completion.seconds or perf_counter() - started,
        cost=completion.cost,
        failed=fault,
    )


def check_sampling(temperature: float, max_tokens: int) -> None:
    """Refuse options of sampling that cannot work.

    Raises:
        ConfigError: The temperature is not in [0, 2], or there is no room for a token.
    """
    if not 0.0 <= temperature <= 2.0:
        raise ConfigError(f"temperature is {temperature!r}; it lies between 0 and 2")
    if max_tokens < 1:
        raise ConfigError(f"max_tokens is {max_tokens!r}; it is at least 1")


def oversized(text: str, who: str) -> str | None:
    """Say that a text is longer than what may be shown; ``None`` when it is not."""
    size = len(text.encode("utf-8", "replace"))
    if size > LONGEST_ANSWER:
        return f"{who} answered with {size:,} bytes; at most {LONGEST_ANSWER:,} are shown"
    return None


def one_line(error: Exception) -> str:
    """An error as one line of at most 500 characters."""
    text = " ".join(str(error).split())
    return text[:500] or type(error).__name__


def _fault(completion: Completion, content: str) -> str | None:
    if completion.finish == "refused":
        return f"{completion.model} refused to answer"
    if not content.strip():
        return f"{completion.model} answered with empty text"
    return oversized(content, completion.model)
