"""Who is asking: the owner's launch link, people's invitations, and the cookies that both are exchanged for.

A person is looked up on every request. What the server knows of the invitations is at most ``FRESH`` seconds
old, and what this process itself changed is known at once, so a revoked person is out whatever is open in
that person's browser and whoever revoked it, this process or another. The owner's cookie lives in memory:
a new start means a new link. Everybody else's is known by its hash in the study, and outlasts a restart.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from palate.errors import ConfigError, ConflictError
from palate.store import EventKind, Invitation, Invitations, Store, secret_hash, utc_now
from palate.web._roles import Person, Role

__all__ = ["FRESH", "Access", "Door", "own_door", "public_door"]

FRESH = 0.05  # seconds
TOKEN_CHARACTERS = 22  # 128 bits in base 64


class Door(NamedTuple):
    """One address at which the server listens, as browsers name it.

    Args:
        origins: The origin that goes with each Host header that is answered.
        cookie: Name of the cookie, with its equals sign.
        secure: Whether the origin is https, so that the cookie never travels otherwise.
        own: Whether this is this computer's own address, where the launch link works.
        proxied: Whether a proxy stands before it, so that its forwarding headers are believed.
    """

    origins: Mapping[bytes, bytes]
    cookie: bytes
    secure: bool = False
    own: bool = False
    proxied: bool = False

    def set_cookie(self, value: str) -> tuple[bytes, bytes]:
        """The header that lets a browser in."""
        flags = b"; Path=/; HttpOnly; SameSite=Strict" + (b"; Secure" if self.secure else b"")
        return b"set-cookie", self.cookie + value.encode() + flags

    def read_cookie(self, cookies: bytes) -> bytes:
        """The secret in a Cookie header; empty when there is none."""
        for part in cookies.split(b";"):
            part = part.strip()
            if part.startswith(self.cookie):
                return part[len(self.cookie) :]
        return b""


def own_door(port: int) -> Door:
    """The door on 127.0.0.1.

    Cookies are shared by all ports of a host, so the port is in the cookie's name.
    """
    suffix = "" if port == 80 else f":{port}"
    hosts = [f"{name}{suffix}" for name in ("127.0.0.1", "localhost")]
    origins = {host.encode(): f"http://{host}".encode() for host in hosts}
    return Door(origins, b"palate-%d=" % port, own=True)


def public_door(origin: str, *, proxied: bool) -> Door:
    """The door to other computers, which is known under one https origin and no other name."""
    host = origin.removeprefix("https://").encode()
    # Browsers take a cookie of this name only from https, for this host alone and for all of its paths.
    return Door({host: origin.encode()}, b"__Host-palate=", secure=True, proxied=proxied)


class Access:
    """The launch link, the invitations and everybody's cookies.

    Args:
        store: The study.
        launch_token: At least 128 bits in URL-safe characters; works once.
        judge: The name under which the owner votes.
        monitor: The token that lets a program read the figures, or ``None``.
        now: Wall-clock time, ISO 8601 in UTC, by which invitations expire.

    Raises:
        ConfigError: A token is too short to be safe.
    """

    def __init__(
        self,
        store: Store,
        launch_token: str,
        *,
        judge: str,
        monitor: str | None = None,
        now: Callable[[], str] = utc_now,
    ) -> None:
        for name, token in (("launch token", launch_token), ("metrics token", monitor)):
            if token is not None and len(token) < TOKEN_CHARACTERS:
                raise ConfigError(
                    f"the {name} has {len(token)} characters; it needs at least {TOKEN_CHARACTERS}, "
                    "as secrets.token_urlsafe(32) makes them"
                )
        self._store = store
        self._now = now
        self._launch = launch_token.encode()
        self._used = False
        self.owner_cookie = secrets.token_urlsafe(32)
        self._owner = self.owner_cookie.encode()
        self._owner_person = Person(Role.OWNER, judge)
        self._monitor = None if monitor is None else b"Bearer " + monitor.encode()
        self._known = Invitations()
        self._seq = 0
        self._admissions = -1
        self._checked = 0.0
        self._reading = asyncio.Lock()
        self.seen: dict[str, float] = {}

    # -- the owner -------------------------------------------------------------------------------

    def launch(self, token: str) -> bool:
        """Exchange the launch token; true only the first time and only for the right token."""
        right = self.is_launch(token)
        fresh, self._used = right and not self._used, self._used or right
        return fresh

    def is_launch(self, token: str) -> bool:
        """Whether this is the launch token, used or not."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._launch)

    # -- everybody -------------------------------------------------------------------------------

    def stranger(self, door: Door) -> Person:
        """Somebody who was not let in."""
        return Person(Role.LOCAL if door.own else Role.GUEST)

    async def person(self, door: Door, cookies: bytes, bearer: bytes = b"") -> Person:
        """Who holds a Cookie header, as of now."""
        value = door.read_cookie(cookies)
        if door.own and hmac.compare_digest(value, self._owner):
            return self._owner_person
        if bearer and self._monitor is not None and hmac.compare_digest(bearer, self._monitor):
            return Person(Role.MONITOR)
        if len(value) < TOKEN_CHARACTERS:
            return self.stranger(door)
        await self._refresh()
        found = self._known.by_session(secret_hash(value.decode("latin-1")))
        if found is None or not found.is_open(self._now()):
            return self.stranger(door)
        self.seen[found.id] = time.time()
        return Person(Role(found.role), found.rater, found.id)

    async def invitation(self, secret: str) -> Invitation | None:
        """The invitation of a link, whether or not it can still be used."""
        await self._refresh()
        return self._known.by_secret(secret_hash(secret))

    def is_usable(self, invitation: Invitation) -> bool:
        """Whether the link lets one more browser in now."""
        return invitation.is_usable(self._now())

    def is_open(self, invitation: Invitation) -> bool:
        """Whether those who used the link may come in now."""
        return invitation.is_open(self._now())

    def redeem(self, invitation: Invitation) -> str | None:
        """Let one more browser in; returns the secret of its cookie, or ``None`` if another was faster.

        Blocks until it is on the disk.
        """
        secret = secrets.token_urlsafe(32)
        used = {"id": invitation.id, "session": secret_hash(secret)}
        try:
            self._store.append(EventKind.INVITATION_USED, used, actor=invitation.rater or "palate")
        except ConflictError:
            return None
        return secret

    async def _refresh(self) -> None:
        """Read what happened to the invitations, unless that was done a moment ago."""
        if self._is_fresh():
            return
        async with self._reading:
            if self._is_fresh():
                return
            admissions, checked = self._store.admissions, time.monotonic()
            for event in await run_in_threadpool(self._store.access_events, self._seq):
                self._known.apply(event)
                self._seq = event.seq
            self._admissions, self._checked = admissions, checked

    def _is_fresh(self) -> bool:
        return self._admissions == self._store.admissions and time.monotonic() - self._checked < FRESH
