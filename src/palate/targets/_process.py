"""Running a command: no shell, a limit on time and on output, and nothing left running afterwards."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from palate.errors import InputError

__all__ = ["run_command"]

_OUT, _ERR = 1, 2
_SAID = 2_000  # bytes at the end of what a command says of its failure


async def run_command(
    argv: Sequence[str], data: bytes, *, folder: Path, seconds: float, most_bytes: int
) -> bytes:
    """Run a command in a process group of its own.

    Args:
        argv: The program and its arguments, handed over as they are.
        data: What it reads on its standard input.
        folder: Where it runs.
        seconds: After so long it is stopped.
        most_bytes: With more output it is stopped.

    Returns:
        What it wrote to its standard output.

    Raises:
        InputError: It cannot be started, ended with another status than 0, or went over a limit. Then it and
            the processes of its group are dead.
    """
    loop = asyncio.get_running_loop()
    watch = _Watch(loop, most_bytes)
    try:
        transport, _ = await loop.subprocess_exec(
            lambda: watch,
            *argv,
            cwd=folder,
            start_new_session=True,  # so that the whole group can be stopped
        )
    except (OSError, ValueError) as error:  # a NUL in an argument is a ValueError
        raise InputError(f"the command {argv[0]!r} cannot be started: {error}") from error
    try:
        _feed(transport, data)
        async with asyncio.timeout(seconds):
            await watch.done
    except TimeoutError:
        raise InputError(f"the command took longer than {seconds:g} seconds and was stopped") from None
    finally:
        watch.kill()
        transport.close()
        await watch.exited
    if status := transport.get_returncode():
        raise InputError(_ending(status, bytes(watch.said)))
    return bytes(watch.written)


class _Watch(asyncio.SubprocessProtocol):
    """What a command has written so far, and whether it has ended.

    Attributes:
        written: Its standard output.
        said: The end of its standard error; all of it is read, so that the command never waits for us.
        done: Set when it has ended and everything it wrote is here; it wrote too much is its exception.
        exited: Set when it has ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self.written, self.said = bytearray(), bytearray()
        self.done: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self._most = most
        self._open = {_OUT, _ERR}
        self._group = 0
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._group = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It wrote something."""
        if fd == _ERR:
            self.said += data
            del self.said[:-_SAID]
            return
        if len(self.written) + len(data) <= self._most:
            self.written += data
        elif not self.done.done():
            self.done.set_exception(
                InputError(f"the command wrote more than {self._most:,} bytes and was stopped")
            )
            self.kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """It closed its output."""
        self._open.discard(fd)
        self._settle()

    def process_exited(self) -> None:
        """It ended; what it left running would keep its output open."""
        self.kill()
        if not self.exited.done():
            self.exited.set_result(None)
        self._settle()

    def kill(self) -> None:
        """Stop it, and everything that it started and that stayed in its group."""
        with suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(self._group, signal.SIGKILL)
            elif self._transport is not None:
                self._transport.kill()

    def _settle(self) -> None:
        if self.exited.done() and not self._open and not self.done.done():
            self.done.set_result(None)


def _feed(transport: asyncio.SubprocessTransport, data: bytes) -> None:
    pipe = transport.get_pipe_transport(0)
    if isinstance(pipe, asyncio.WriteTransport):
        pipe.write(data)  # a command that does not read it only breaks this pipe
        pipe.write_eof()


def _ending(status: int, said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    last = "".join(letter if letter.isprintable() else " " for letter in lines[-1][:300]) if lines else ""
    return f"the command {how}{f': {last}' if last else ''}"
