"""Each call of a model, told and traced by its figures: who was asked, for how much, how it ended.

Names and values follow OpenTelemetry's semantic conventions for generative AI (open-telemetry/
semantic-conventions-genai, "Semantic conventions for generative client AI spans", in development). Messages,
answers, stop sequences and what an endpoint calls itself are left out, as they are content or may echo it.
"""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol, runtime_checkable

from palate.models._answer_cache import Operation
from palate.models._answers import UnusableAnswerError
from palate.operations import ModelCalled, kind_of, span, tell
from palate.types import Completion, Model, Request, Usage

__all__ = ["Call", "Host", "Hosted", "calling"]

_NAMES: Mapping[Operation, str] = {"generate": "chat", "embed": "embeddings", "score": "score"}


class Host(NamedTuple):
    """Where a model runs that does not run in this process.

    Args:
        provider: Whose interface it speaks.
        model: Its name there.
        address: Name of the host.
        port: At the host.
    """

    provider: str
    model: str
    address: str
    port: int


@runtime_checkable
class Hosted(Protocol):
    """A model in another process."""

    def host(self, operation: Operation) -> Host:
        """Where it is."""
        ...


class Call:
    """One call; what it brought is set once it is known."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.cost: float | None = None
        self.answer: Completion | None = None

    def brought(self, usage: Usage, cost: float | None, answer: Completion | None = None) -> None:
        """What the call used and cost, and the answer if it is a text."""
        self.usage, self.cost, self.answer = usage, cost, answer


@contextmanager
def calling(model: Model, operation: Operation, request: Request | None = None) -> Generator[Call]:
    """Watch a call.

    Args:
        model: Who is asked.
        operation: For what.
        request: How; its messages are not looked at.
    """
    began = time.perf_counter()
    call = Call()
    host = model.host(operation) if isinstance(model, Hosted) else None
    name = model.name if host is None else host.model
    kind = "generate_content" if operation == "generate" and model.capabilities.draw else _NAMES[operation]
    asked = {
        "gen_ai.operation.name": kind,
        "gen_ai.provider.name": "palate" if host is None else host.provider,
        "gen_ai.request.model": name,
        "server.address": None if host is None else host.address,
        "server.port": None if host is None else host.port,
        **({} if request is None else _asked(request)),
    }
    failure: BaseException | None = None
    try:
        with span(f"{kind} {name}", asked, leaves=host is not None) as opened:
            try:
                yield call
            finally:
                opened.set(_brought(call))
    except BaseException as error:
        failure = error
        if isinstance(error, UnusableAnswerError):
            call.brought(error.usage, error.cost)
        raise
    finally:
        tell(_told(model.name, kind, call, 1e3 * (time.perf_counter() - began), kind_of(failure)))


def _asked(request: Request) -> dict[str, int | float | None]:
    return {
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": float(request.temperature),
        "gen_ai.request.top_p": float(request.top_p),
        "gen_ai.request.seed": request.seed,
    }


def _brought(call: Call) -> dict[str, int | float | list[str] | None]:
    usage, answer = call.usage, call.answer
    return {
        "gen_ai.usage.input_tokens": None if usage is None else usage.input_tokens,
        "gen_ai.usage.output_tokens": None if usage is None else usage.output_tokens,
        "gen_ai.response.finish_reasons": None if answer is None else [answer.finish],
        "palate.cost_dollars": call.cost,
        "palate.retries": None if answer is None else answer.retries,
    }


def _told(model: str, kind: str, call: Call, milliseconds: float, error: str | None) -> ModelCalled:
    usage, answer = call.usage, call.answer
    return ModelCalled(
        operation=kind,
        model=model,
        milliseconds=round(milliseconds, 3),
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        cost=call.cost,
        retries=None if answer is None else answer.retries,
        finish=None if answer is None else answer.finish,
        error=error,
    )
