"""HTTP from connections that may be hostile: slow, large, or many.

uvicorn limits how long a connection idles between requests and how many there are. It waits without end for
a first request, for the rest of a head or of a body, and for a head without an end; those are limited here,
and so is the share of connections that one address may take.
"""

import asyncio
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from palate.web._limits import LIMITS, Limits
from palate.web._replies import WHOLE

__all__ = ["bounded"]

# What reads the body answers first, with a reason; this is for bodies that nobody reads.
GRACE = 2.0
_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 22\r\nconnection: close\r\n\r\nthe head is too large\n"
)
_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 5\r\n"
    b"content-length: 36\r\nconnection: close\r\n\r\ntoo many connections from one place\n"
)


class _LargeHeadError(Exception):
    """More head than is read."""


class _Joined:
    """Keeps the head of a reply back until its body comes, so that both go out, and arrive, in one piece."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if not self._head and data.startswith(b"HTTP/") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()


class _Bounded(HttpToolsProtocol):
    """One connection of a listener."""

    shared: ClassVar[bool]
    limits: ClassVar[Limits]
    held: ClassVar[Counter[str]]

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - what uvicorn passes
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._fields = 0  # bytes of the head's fields that are whole
        self._pieces = 0  # bytes of a head that came in several pieces
        self._in_head = self._in_body = False
        self._place = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn has it
        super().connection_made(transport)
        self._place = self.client[0] if self.client else ""
        self.held[self._place] += 1
        if not self.shared and self.held[self._place] > self.limits.connections_each:
            transport.write(_MANY)
            transport.close()
        else:
            self._close_in(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self.held[self._place] -= 1
        if self.held[self._place] <= 0:
            del self.held[self._place]
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._pieces += len(data)
            if self._pieces > self.limits.head_bytes:
                self._refuse_head()
                return
        super().data_received(data)
        if (self._in_head or self._in_body) and self._deadline is None and not self.transport.is_closing():
            seconds = self.limits.head_seconds if self._in_head else self.limits.body_seconds + GRACE
            self._close_in(seconds)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._fields = self._pieces = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._in_time()
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":
            self.cycle.transport = _Joined(self.transport)  # pyright: ignore[reportAttributeAccessIssue]

    def on_message_complete(self) -> None:
        self._in_body = False
        self._in_time()
        self.scope[WHOLE] = True  # pyright: ignore[reportGeneralTypeIssues] - one of our own
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._fields > self.limits.head_bytes:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._fields += size
        if self._fields > self.limits.head_bytes:
            raise _LargeHeadError

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_LARGE)
            self.transport.close()

    def _close_in(self, seconds: float) -> None:
        self._in_time()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded(*, shared: bool, limits: Limits = LIMITS) -> type[asyncio.Protocol]:
    """A protocol for one listener.

    Args:
        shared: Whether many people come from one address, as through a proxy or on one computer, so that
            connections are not counted by address.
        limits: How much of what.
    """
    own = {"shared": shared, "limits": limits, "held": Counter[str]()}
    return type("Bounded", (_Bounded,), own)
