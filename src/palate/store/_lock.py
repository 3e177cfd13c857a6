"""One server per study: an advisory lock on a small file beside it, released by the system on any death."""

import json
import os
import socket
import sys
from pathlib import Path

from palate.errors import StoreError

__all__ = ["ServerLock"]

# Windows locks are mandatory for the bytes they cover, so they go where the text is not.
_WINDOWS_OFFSET = 4096

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _WINDOWS_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class ServerLock:
    """Held by the one process that serves a study.

    Raises:
        StoreError: Another process serves it; the text names the process.
    """

    def __init__(self, path: Path) -> None:
        self._lock_path = path.with_name(path.name + "-serving")
        self._descriptor = self._acquire(path)
        note = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, note)

    def release(self) -> None:
        """Let the next server in. Idempotent."""
        if self._descriptor < 0:
            return
        if sys.platform != "win32":
            # Removed while still held: whoever waits on the old file notices that it is gone, see _acquire.
            self._lock_path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _acquire(self, path: Path) -> int:
        while True:
            try:
                descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise StoreError(
                    f"cannot make the lock file {str(self._lock_path)!r}: {error.strerror}; "
                    "make the folder writable or move the study"
                ) from error
            try:
                _lock(descriptor)
            except OSError as error:
                holder = self._holder()
                os.close(descriptor)
                raise StoreError(
                    f"{str(path)!r} is already being served{holder}; use that page, or stop it first"
                ) from error
            if _same_file(descriptor, self._lock_path):
                return descriptor
            os.close(descriptor)

    def _holder(self) -> str:
        try:
            note = json.loads(self._lock_path.read_bytes() or b"{}")
            return f" by process {int(note['pid'])} on {note['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return " by another process"


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
