"""Who may talk to the page. Loopback is no boundary: any website can send requests to it.

The checks run in this order, before anything else looks at a request: the Host header must be ours (a
rebound name is refused), an Origin must be exactly ours (``null`` is not "missing"), the cookie must be that
of somebody who was let in, and the route, its method and that person's role must be in the table of
``_roles.py``. Everything else is denied.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeAlias

from palate.operations import RequestServed, heard, tell
from palate.web._access import Access, Door
from palate.web._limits import LIMITS
from palate.web._meter import Meter
from palate.web._replies import Handler, Message, Receive, Scope, Send, protected
from palate.web._roles import Person, Role, allowed, template_of

__all__ = ["DOOR", "PERSON", "Guard"]

# Where the app finds who asks, and at which door.
PERSON, DOOR = "palate.person", "palate.door"

# What else somebody writes in a method's place is not repeated anywhere.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))

Refuse: TypeAlias = Callable[[Scope, Send, int, str], Awaitable[None]]


class Asked(NamedTuple):
    """The headers that decide; each is empty when absent."""

    host: bytes
    origin: bytes
    cookie: bytes
    site: bytes
    bearer: bytes
    protocol: bytes


_READ: Mapping[bytes, int] = {
    b"host": 0,
    b"origin": 1,
    b"cookie": 2,
    b"sec-fetch-site": 3,
    b"authorization": 4,
    b"x-forwarded-proto": 5,
}


def _asked(scope: Scope) -> Asked | None:
    """Read the deciding headers; ``None`` when one is given twice, since two readers could then disagree."""
    found = [b"", b"", b"", b"", b"", b""]
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
    """The outermost layer of the app at one door.

    Args:
        app: What answers the requests that pass.
        hot: Routes answered without any further layer, by path.
        access: Who everybody is.
        door: Where the requests come in.
        meter: Counts what was refused.
        refuse: Writes a refusal; its last argument names the reason.
    """

    def __init__(
        self,
        app: Handler,
        *,
        hot: Mapping[str, Handler],
        access: Access,
        door: Door,
        meter: Meter,
        refuse: Refuse,
    ) -> None:
        self._app = app
        self._hot = hot
        self._allowed = allowed()
        self._access = access
        self._door = door
        self._meter = meter
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse, one request, and tell those who listen of it."""
        if scope["type"] != "http":
            await _not_http(scope, receive, send)
            return
        if not heard():
            await self._answer(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        refused: str | None = None
        try:
            refused = await self._answer(scope, receive, noted)
        finally:
            tell(_served(scope, status, refused, time.perf_counter() - began))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> str | None:
        """Answer, or refuse and return why."""
        asked = _asked(scope)
        refused = self._foreign(scope["method"], asked)
        if refused is None and asked is not None:
            person = await self._access.person(self._door, asked.cookie, asked.bearer)
            refused = self._denied(scope["method"], scope["path"], person)
            scope[PERSON] = person
        if refused is not None:
            self._meter.refused(refused[1])
            await self._refuse(scope, send, *refused)
            return refused[1]
        scope[DOOR] = self._door
        hot = self._hot.get(scope["path"])
        if hot is not None:
            await hot(scope, receive, send)
        else:
            await self._patiently(scope, receive, send)
        return None

    async def _patiently(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, but not for ever: a reader who takes nothing in is cut off."""
        try:
            async with asyncio.timeout(LIMITS.reply_seconds):
                await self._app(scope, receive, protected(send))
        except TimeoutError:
            self._meter.refused("slow")

    def _foreign(self, method: str, asked: Asked | None) -> tuple[int, str] | None:
        """Why a request is not from our own page, as a status and the name of a text."""
        if asked is None or asked.host not in self._door.origins:
            return 403, "host"
        if asked.origin:
            if asked.origin != self._door.origins[asked.host]:
                return 403, "origin"
        elif method not in ("GET", "HEAD") and asked.site != b"same-origin":
            return 403, "origin"
        # A proxy that took the request in the clear would carry cookies in the clear, too.
        if self._door.proxied and asked.protocol not in (b"", b"https"):
            return 403, "insecure"
        return None

    def _denied(self, method: str, path: str, person: Person) -> tuple[int, str] | None:
        """Why a person may not do this."""
        folder, _, name = path.rpartition("/")
        methods = self._allowed.get(path) or (self._allowed.get(f"{folder}/*") if name else None)
        if person.role in (Role.LOCAL, Role.GUEST) and not (
            methods and any(person.role in roles for roles in methods.values())
        ):
            return 403, "token"
        if methods is None:
            return 404, "path"
        if method not in methods:
            return 405, "method"
        return None if person.role in methods[method] else (403, "role")


def _served(scope: Scope, status: int, refused: str | None, seconds: float) -> RequestServed:
    person: Person | None = scope.get(PERSON)
    return RequestServed(
        method=scope["method"] if scope["method"] in _METHODS else "other",
        route=template_of(scope["path"]),
        status=status,
        milliseconds=round(1e3 * seconds, 3),
        role="unknown" if person is None else person.role.value,
        refused=refused,
    )


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
