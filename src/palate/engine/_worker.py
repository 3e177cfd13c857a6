"""A process of our own for work that would keep this one from answering.

Threads of Python take turns, so one that computes holds up those for whom somebody waits; a process of a
lower priority does not. It is started afresh and not forked: one with threads cannot be forked safely.
The two speak over the worker's standard input and output: a line of JSON, then raw bytes, and never a pickle.

A worker ends when its input does, in the middle of its work too, so that none is left over however this
process ends. Ctrl-C, which reaches all processes of a terminal, is left to this one.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NamedTuple, TypeAlias

from palate import errors
from palate.errors import PalateError

__all__ = ["Message", "Worker", "WorkerLostError", "answer_forever"]

PATIENCE = 2.0  # seconds that a worker is given to end by itself
LOWER = 19  # by so much its priority is
# With the paths of this process, so that both find the same packages, and without those of its environment.
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import {0}; {0}.serve()"

Raw: TypeAlias = bytes | memoryview


class Message(NamedTuple):
    """What is asked of a worker: the name of a task, what JSON says of it, and raw bytes."""

    task: str
    given: Mapping[str, Any]
    blobs: Sequence[bytes] = ()


class WorkerLostError(PalateError, RuntimeError):
    """A worker could not be started, or has ended."""


class Worker:
    """One process that runs ``serve()`` of a module.

    Args:
        module: Its full name; ``serve`` calls :func:`answer_forever`.

    Raises:
        WorkerLostError: It cannot be started.
    """

    def __init__(self, module: str) -> None:
        command = [sys.executable, "-I", "-c", _START.format(module), json.dumps(sys.path)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise WorkerLostError(f"no process can be started: {error}") from error
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, task: str, given: Mapping[str, Any], blobs: Sequence[Raw] = ()) -> dict[str, Any]:
        """Have something done, and wait for it.

        Raises:
            WorkerLostError: The process has ended.
            PalateError: What the work raised, if that was one.
            RuntimeError: The work raised something else.
        """
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            try:
                _write(self._process.stdin, {"task": task, "given": given}, blobs)
                reply = _read(self._process.stdout)
            except (OSError, ValueError) as error:
                raise WorkerLostError(f"the process {self.pid} has ended: {error}") from error
        if reply is None:
            raise WorkerLostError(f"the process {self.pid} has ended: {self._process.wait()}")
        said = reply[0]
        if "error" in said:
            raise _raised(said["error"], said["text"], said["trace"])
        return said["value"]

    def close(self) -> None:
        """End the process. Idempotent."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            try:
                pipe.close()
            except OSError:
                continue  # it has ended with something unread
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def answer_forever(answer: Callable[[Message], Mapping[str, Any]]) -> None:
    """Be a worker: answer until there is nobody to answer any more.

    Args:
        answer: Does what is asked. Whatever it raises is told to the one who asked.
    """
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints must not come between the replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(LOWER)  # only now, so that it starts soon on a busy machine
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(waiting,), daemon=True).start()
    while True:
        try:
            said: dict[str, Any] = {"value": answer(waiting.get())}
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            said = {"error": type(error).__name__, "text": str(error), "trace": trace}
        _write(replies, said)


def _receive(waiting: "queue.SimpleQueue[Message]") -> None:
    """Read what is asked; end this process when nothing can come any more, whatever it is doing."""
    try:
        while (asked := _read(sys.stdin.buffer)) is not None:
            waiting.put(Message(asked[0]["task"], asked[0]["given"], asked[1]))
    finally:
        os._exit(0)


def _write(stream: IO[bytes], said: Mapping[str, Any], blobs: Sequence[Raw] = ()) -> None:
    line = json.dumps({**said, "sizes": [len(blob) for blob in blobs]})
    stream.writelines((line.encode(), b"\n", *blobs))
    stream.flush()


def _read(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """The next message; ``None`` at the end, or if it was cut off."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    said = json.loads(line)
    blobs = [stream.read(size) for size in said["sizes"]]
    return (said, blobs) if [len(blob) for blob in blobs] == said["sizes"] else None


def _raised(kind: str, text: str, trace: str) -> Exception:
    """What was raised there, to be raised here."""
    ours: type[PalateError] | None = getattr(errors, kind, None) if kind in errors.__all__ else None
    error = RuntimeError(f"{kind}: {text}") if ours is None else ours(text)
    error.add_note(trace)
    return error
