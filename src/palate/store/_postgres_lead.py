"""Which of several processes leads: one lock on the server, held by a connection and gone with it.

The server frees the lock when the process dies, and after a minute at most when its machine vanishes. Nothing
that the lead decides is unsafe without it: it keeps two processes from doing the same work, and from paying
for it, twice.
"""

import threading
from collections.abc import Callable

from palate.extras import Foreign

__all__ = ["Lead"]

_TAKE = "SELECT pg_try_advisory_lock(%(key)s)"
_GIVE = "SELECT pg_advisory_unlock(%(key)s)"
# Of the server's own probes: a machine without power says no goodbye.
_WATCH = (
    "SELECT set_config('tcp_keepalives_idle', '30', false), "
    "set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)"
)


class Lead:
    """The lead of a study, which at most one process has.

    Args:
        connect: Opens a connection in autocommit mode.
        key: Of the lock.
        failures: What a connection raises that was lost.
    """

    def __init__(
        self, connect: Callable[[], Foreign], key: int, failures: tuple[type[Exception], ...]
    ) -> None:
        self._connect = connect
        self._key = key
        self._failures = failures
        self._connection: Foreign = None
        self._held = False
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether this process has the lead now: it had it and the connection lives, or nobody had it."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                    self._connection.execute(_WATCH)
                if self._held:
                    self._connection.execute("SELECT 1")
                else:
                    self._held = bool(self._connection.execute(_TAKE, {"key": self._key}).fetchone()[0])
            except self._failures:
                self._drop()
            return self._held

    def give(self) -> None:
        """Let somebody else lead. Idempotent."""
        with self._lock:
            if not self._held:
                return
            try:
                self._connection.execute(_GIVE, {"key": self._key})
                self._held = False
            except self._failures:
                self._drop()

    def close(self) -> None:
        """Let somebody else lead, and let go of the server. Idempotent."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            connection.close()
