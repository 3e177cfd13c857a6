"""Spans of OpenTelemetry around what takes time, with figures and names and never a text.

Spans are made only where OpenTelemetry has been set up, by ``palate run`` on request or by the program that
uses Palate. Until then its packages are not even imported: a process in which nobody imported them cannot
have a provider of spans. Errors are told by their class; exceptions are not attached, since their messages
may quote what somebody wrote.

Names of attributes follow OpenTelemetry's semantic conventions where those have one, and begin with
``palate.`` otherwise.
"""

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from palate._version import __version__
from palate.extras import Foreign

__all__ = ["Attribute", "Span", "past_span", "span", "traced"]

Attribute: TypeAlias = str | int | float | bool | Sequence[str]


def _api() -> Foreign:
    """OpenTelemetry's tracing, if anybody has imported it."""
    return sys.modules.get("opentelemetry.trace")


def traced() -> bool:
    """Whether spans may be recorded, so that what is costly to find out can be left out."""
    return _api() is not None


class Span:
    """A span that is open; without OpenTelemetry everything that is set is forgotten.

    Args:
        real: OpenTelemetry's own, or ``None``.
    """

    def __init__(self, real: Foreign) -> None:
        self._real = real

    def set(self, attributes: Mapping[str, Attribute | None]) -> None:
        """Add attributes; those that are ``None`` are unknown and left out."""
        if self._real is not None:
            self._real.set_attributes(
                {name: value for name, value in attributes.items() if value is not None}
            )

    def fail(self, error: str) -> None:
        """Mark what was done as failed, with the class of the error."""
        if self._real is not None:
            api = _api()
            self._real.set_attribute("error.type", error)
            self._real.set_status(api.Status(api.StatusCode.ERROR))


@contextmanager
def span(
    name: str, attributes: Mapping[str, Attribute | None] | None = None, *, leaves: bool = False
) -> Generator[Span]:
    """Open a span around a piece of work; one that raises is marked with the class of the error.

    Args:
        name: What is done, without anything that differs from call to call.
        attributes: What is known at its beginning.
        leaves: Whether another process does the work.
    """
    api = _api()
    if api is None:
        yield Span(None)
        return
    kind = api.SpanKind.CLIENT if leaves else api.SpanKind.INTERNAL
    tracer = api.get_tracer("palate", __version__)
    with tracer.start_as_current_span(
        name, kind=kind, record_exception=False, set_status_on_exception=False
    ) as real:
        opened = Span(real)
        opened.set(attributes or {})
        try:
            yield opened
        except BaseException as error:
            opened.fail(type(error).__name__)
            raise


def past_span(
    name: str, seconds: float, attributes: Mapping[str, Attribute | None], *, error: str | None = None
) -> None:
    """Record work that has just ended.

    Args:
        name: What was done.
        seconds: How long it took, until now.
        attributes: What is known of it.
        error: The class of the error that ended it.
    """
    api = _api()
    if api is None:
        return
    now = time.time_ns()
    tracer = api.get_tracer("palate", __version__)
    real = tracer.start_span(name, start_time=now - round(seconds * 1e9), record_exception=False)
    done = Span(real)
    done.set(attributes)
    if error is not None:
        done.fail(error)
    real.end(now)
