"""Serving the pages on this machine, and to others only under a stated https origin."""

import asyncio
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import uvicorn

from palate.errors import ConfigError
from palate.models import Spent
from palate.operations import Failed, kind_of, place_of, tell
from palate.store import EventKind, Store, utc_now
from palate.web._app import create_apps
from palate.web._figures import Learning
from palate.web._limits import LIMITS
from palate.web._protocol import bounded
from palate.web._public import Public, listen
from palate.web._replies import Handler

__all__ = ["check_public", "serve"]

LOOK_SECONDS = 60.0  # between two looks at what only the owner's page would show


class _Beside(uvicorn.Server):
    """A second listener, which lives as long as the first and leaves signals to it."""

    def capture_signals(self) -> AbstractContextManager[None]:  # pyright: ignore[reportIncompatibleMethodOverride] - a context either way
        return nullcontext()


class _Server(uvicorn.Server):
    """Tells when it is ready, and ends when an event is set.

    Args:
        config: Of the listener on this computer.
        ready: Called once, when everything listens.
        stop: Ends the server.
        beside: The listener for others, with its socket.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        stop: threading.Event,
        beside: tuple[_Beside, socket.socket] | None,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop
        self._beside = beside
        self._second: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        if self._beside is not None:
            server, listener = self._beside
            self._second = asyncio.create_task(server.serve([listener]))
            while not (server.started or self._second.done()):
                await asyncio.sleep(0.01)
        threading.Thread(target=self._end, name="palate-page-stop", daemon=True).start()
        await asyncio.to_thread(self._ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._beside is not None and self._second is not None:
            self._beside[0].should_exit = True
            await self._second
        await super().shutdown(sockets)

    def _end(self) -> None:
        self._stop.wait()
        self.should_exit = True


def serve(
    store: Store,
    *,
    port: int = 0,
    judge: str = "me",
    on_ready: Callable[[str], None],
    stop: threading.Event,
    spent: Callable[[], Spent] | None = None,
    learning: Callable[[], Learning] | None = None,
    metrics_token: str | None = None,
    public: Public | None = None,
) -> None:
    """Serve the pages on 127.0.0.1 until ``stop`` is set or the process is interrupted.

    Args:
        store: The study.
        port: Where; 0 takes any free port.
        judge: The name under which the owner's votes are stored.
        on_ready: Called once with the link that lets one browser in as the owner, from a thread of its own.
        stop: Ends the server.
        spent: What the study has cost so far; see :func:`palate.web.create_app`.
        learning: How the learner beside the page is doing.
        metrics_token: Lets a program read ``/metrics`` as a bearer.
        public: Where other computers reach the page too; only those who were invited can use it there.

    Raises:
        ConfigError: A port cannot be used, or nobody is invited to the public address.
    """
    if public is not None:
        check_public(store, public)
        _remember(store, public)
    with listen("127.0.0.1", port, "--port or [page] port, or 0 for any free one") as listener:
        bound: int = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        apps = create_apps(
            store,
            launch_token=token,
            port=bound,
            origin=public.origin if public else None,
            proxied=public is not None and public.proxied,
            judge=judge,
            spent=spent,
            learning=learning,
            metrics_token=metrics_token,
        )
        threading.Thread(target=_keep_looking, args=(apps.look, stop), daemon=True).start()
        link = f"http://127.0.0.1:{bound}/start/{token}"
        if public is None or apps.public is None:
            _Server(_config(apps.own), lambda: on_ready(link), stop, None).run(sockets=[listener])
            return
        with listen(public.host, public.port, "--public HOST:PORT") as second:
            beside = _Beside(_config(apps.public, public)), second
            _Server(_config(apps.own), lambda: on_ready(link), stop, beside).run(sockets=[listener])


def _keep_looking(look: Callable[[], None], stop: threading.Event) -> None:
    while not stop.wait(LOOK_SECONDS):
        try:
            look()
        except Exception as error:  # one look that fails must not end the looking
            tell(Failed("page", kind_of(error) or "", place_of(error)))


def _config(app: Handler, public: Public | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=bounded(shared=public is None or public.proxied),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=LIMITS.connections,
        timeout_keep_alive=LIMITS.idle_seconds,
        timeout_graceful_shutdown=2,
        ssl_certfile=public.certificate if public else None,
        ssl_keyfile=public.key if public else None,
    )


def check_public(store: Store, public: Public) -> None:
    """Make sure that somebody is invited to a public address.

    Raises:
        ConfigError: Nobody is.
    """
    now = utc_now()
    if not any(each.is_open(now) for each in store.invitations().by_id.values()):
        raise ConfigError(
            "--public serves only people who were invited, and nobody is, or no more; invite them first: "
            f"palate invite STUDY --name NAME --at {public.origin}"
        )


def _remember(store: Store, public: Public) -> None:
    """Keep the address, which links to come will carry."""
    if store.invitations().origin != public.origin:
        store.append(EventKind.PAGE_OPENED, {"origin": public.origin})
