"""Whole replies with every protective header, and the types of the server's channel."""

import base64
import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

__all__ = [
    "COLD_HEADERS",
    "COLD_STYLE",
    "HEADERS",
    "WHOLE",
    "Handler",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "protected",
    "send_data",
    "send_reply",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# In a request's scope, set by the connection once the whole body is there.
WHOLE = "palate.whole"

# The one page shown to browsers that were not let in, and so may not fetch the style sheet.
COLD_STYLE = (
    ":root{color-scheme:light dark}body{font:1.05rem/1.6 system-ui,sans-serif;max-width:34rem;"
    "margin:18vh auto;padding:0 1.5rem}h1{font:600 1.6rem/1.3 Georgia,serif}a{color:inherit}"
    "button{margin-top:1rem;padding:.7rem 1.6rem;border:0;border-radius:10px;background:#8a3357;color:#fff;"
    "font:600 1.05rem system-ui,sans-serif;cursor:pointer}button:focus-visible{outline:3px solid;"
    "outline-offset:3px}"
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'; trusted-types palate"
)


def _cold_policy() -> bytes:
    style = base64.b64encode(hashlib.sha256(COLD_STYLE.encode()).digest()).decode()
    return _POLICY.replace("style-src 'self'", f"style-src 'sha256-{style}'").encode()


HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"x-dns-prefetch-control", b"off"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
)
_DATA_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"application/json"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
COLD_HEADERS = ((b"content-security-policy", _cold_policy()), *HEADERS[1:])


async def send_reply(
    send: Send,
    status: int,
    body: bytes,
    kind: bytes = b"application/json",
    extra: tuple[tuple[bytes, bytes], ...] = (),
    *,
    cold: bool = False,
) -> None:
    """Send one whole reply with every protective header.

    Args:
        send: The ASGI channel.
        status: HTTP status.
        body: The whole body.
        kind: Its content type.
        extra: Further headers.
        cold: Whether the page carries its own style, being shown to a browser that was not let in.
    """
    length = (b"content-length", b"%d" % len(body))
    headers = [(b"content-type", kind), length, *(COLD_HEADERS if cold else HEADERS), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_data(send: Send, body: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send a successful JSON reply of a hot route, without the headers that only documents need.

    The server checks every header again, which at thousands of replies a second is worth sparing.
    """
    headers = [*_DATA_HEADERS, (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def protected(send: Send) -> Send:
    """Add the protective headers to whatever the app replies."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(h for h in HEADERS if h[0] not in given)]
        await send(message)

    return guarded
