"""Who may talk to the page. Loopback is no boundary: any website can send requests to it.

The checks run in this order, before anything else looks at a request: the Host header must be ours (a
rebound name is refused), an Origin must be exactly ours (``null`` is not "missing"), the cookie must hold
the session's token, and the route and its method must be in the table. Everything else is denied.
"""

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple, TypeAlias

from palate.errors import ConfigError

__all__ = ["COLD_STYLE", "Guard", "Handler", "Session", "send_data", "send_reply"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Refuse: TypeAlias = Callable[[Scope, Send, int, str], Awaitable[None]]

TOKEN_CHARACTERS = 22  # 128 bits in base 64
# The one page shown to browsers that were not let in, and so may not fetch the style sheet.
COLD_STYLE = (
    ":root{color-scheme:light dark}body{font:1.05rem/1.6 system-ui,sans-serif;max-width:34rem;"
    "margin:18vh auto;padding:0 1.5rem}h1{font:600 1.6rem/1.3 Georgia,serif}a{color:inherit}"
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
_COLD_HEADERS = ((b"content-security-policy", _cold_policy()), *HEADERS[1:])


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
    headers = [(b"content-type", kind), length, *(_COLD_HEADERS if cold else HEADERS), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_data(send: Send, body: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send a successful JSON reply of a hot route, without the headers that only documents need.

    The server checks every header again, which at thousands of replies a second is worth sparing.
    """
    headers = [*_DATA_HEADERS, (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Session:
    """The launch link's token, which works once, and the cookie that it is exchanged for.

    Args:
        launch_token: At least 128 bits in URL-safe characters.
        port: Cookies are shared by all ports of a host, so the port is in the cookie's name.

    Raises:
        ConfigError: The token is too short to be safe.
    """

    def __init__(self, launch_token: str, port: int) -> None:
        if len(launch_token) < TOKEN_CHARACTERS:
            raise ConfigError(
                f"the launch token has {len(launch_token)} characters; it needs at least {TOKEN_CHARACTERS}, "
                "as secrets.token_urlsafe(32) makes them"
            )
        self._launch = launch_token.encode()
        self._used = False
        self._name = b"palate-%d=" % port
        self._cookie = secrets.token_urlsafe(32).encode()

    def redeem(self, token: str) -> bool:
        """Exchange the launch token; true only the first time and only for the right token."""
        right = secrets.compare_digest(token.encode("utf-8", "replace"), self._launch)
        fresh, self._used = right and not self._used, self._used or right
        return fresh

    def known(self, token: str) -> bool:
        """Whether this is the launch token, used or not."""
        return secrets.compare_digest(token.encode("utf-8", "replace"), self._launch)

    @property
    def set_cookie(self) -> tuple[bytes, bytes]:
        """The header that lets a browser in."""
        value = self._name + self._cookie + b"; Path=/; HttpOnly; SameSite=Strict"
        return b"set-cookie", value

    def holds(self, cookies: bytes) -> bool:
        """Whether a Cookie header carries the session's token."""
        for part in cookies.split(b";"):
            part = part.strip()
            if part.startswith(self._name):
                return secrets.compare_digest(part[len(self._name) :], self._cookie)
        return False


class Asked(NamedTuple):
    """The headers that decide; each is empty when absent."""

    host: bytes
    origin: bytes
    cookie: bytes
    site: bytes


_READ: Mapping[bytes, int] = {b"host": 0, b"origin": 1, b"cookie": 2, b"sec-fetch-site": 3}


def _asked(scope: Scope) -> Asked | None:
    """Read the deciding headers; ``None`` when one is given twice, since two readers could then disagree."""
    found = [b"", b"", b"", b""]
    seen = 0
    for name, value in scope["headers"]:
        place = _READ.get(name)
        if place is None:
            continue
        if seen & (1 << place):
            return None
        seen |= 1 << place
        found[place] = value
    if seen & 2 and not found[1]:
        return None
    return Asked(*found)


class Guard:
    """The outermost layer of the app.

    Args:
        app: What answers the requests that pass.
        hot: Routes answered without any further layer, by path; all are POST.
        allowed: The methods of each path; a path that ends in ``/*`` stands for one more segment.
        session: The launch link and the cookie.
        port: The port that the server is bound to.
        refuse: Writes a refusal; its last argument names the reason.
    """

    def __init__(
        self,
        app: Handler,
        *,
        hot: Mapping[str, Handler],
        allowed: Mapping[str, frozenset[str]],
        session: Session,
        port: int,
        refuse: Refuse,
    ) -> None:
        self._app = app
        self._hot = hot
        self._allowed = allowed
        self._session = session
        self._refuse = refuse
        names = ("127.0.0.1", "localhost")
        suffix = "" if port == 80 else f":{port}"
        self._origins = {f"{name}{suffix}".encode(): f"http://{name}{suffix}".encode() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse, one request."""
        if scope["type"] != "http":
            await _not_http(scope, receive, send)
            return
        reason = self._reason(scope)
        if reason is not None:
            await self._refuse(scope, send, *reason)
            return
        path = scope["path"]
        hot = self._hot.get(path)
        if hot is not None:
            await hot(scope, receive, send)
        else:
            await self._app(scope, receive, _protected(send))

    def _reason(self, scope: Scope) -> tuple[int, str] | None:
        """Why a request is refused, as a status and the name of a text; ``None`` when it passes."""
        asked = _asked(scope)
        if asked is None or asked.host not in self._origins:
            return 403, "host"
        method, path = scope["method"], scope["path"]
        if asked.origin:
            if asked.origin != self._origins[asked.host]:
                return 403, "origin"
        elif method not in ("GET", "HEAD") and asked.site != b"same-origin":
            return 403, "origin"
        if not path.startswith("/start/") and not self._session.holds(asked.cookie):
            return 403, "token"
        folder, _, name = path.rpartition("/")
        methods = self._allowed.get(path) or (self._allowed.get(f"{folder}/*") if name else None)
        if methods is None:
            return 404, "path"
        return None if method in methods else (405, "method")


def _protected(send: Send) -> Send:
    """Add the protective headers to whatever the app replies."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(h for h in HEADERS if h[0] not in given)]
        await send(message)

    return guarded


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    """Deny sockets; say yes to the server's start and end, at which nothing happens."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            stage = message["type"].rpartition(".")[2]
            await send({"type": f"lifespan.{stage}.complete"})
            if stage == "shutdown":
                return
    await send({"type": "websocket.close", "code": 1008})
