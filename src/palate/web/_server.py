"""Serving the pages on this machine, and only on it."""

import asyncio
import secrets
import socket
import sys
import threading
from collections.abc import Callable

import uvicorn

from palate.errors import ConfigError
from palate.models import Spent
from palate.store import Store
from palate.web._app import create_app

__all__ = ["serve"]


def _listen(port: int) -> socket.socket:
    """Bind to 127.0.0.1.

    Raises:
        ConfigError: The port is taken or not allowed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform != "win32":  # on Windows the option would let a second server share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"port {port} cannot be used ({error}); choose another with --port or [page] port, "
            "or 0 for any free one"
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Tells when it is ready, and ends when an event is set."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            threading.Thread(target=self._end, name="palate-page-stop", daemon=True).start()
            await asyncio.to_thread(self._ready)

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
) -> None:
    """Serve the pages on 127.0.0.1 until ``stop`` is set or the process is interrupted.

    Args:
        store: The study.
        port: Where; 0 takes any free port.
        judge: The name under which votes are stored.
        on_ready: Called once with the link that lets one browser in, from a thread of its own.
        stop: Ends the server.
        spent: What the study has cost so far; see :func:`palate.web.create_app`.

    Raises:
        ConfigError: The port cannot be used.
    """
    with _listen(port) as listener:
        bound: int = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        app = create_app(store, launch_token=token, port=bound, judge=judge, spent=spent)
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=256,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        link = f"http://127.0.0.1:{bound}/start/{token}"
        _Server(config, lambda: on_ready(link), stop).run(sockets=[listener])
