"""Keys, one at a time: from a terminal without Enter, from anything else a line at a time."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TextIO

from palate.errors import InputError

__all__ = ["Keys", "LineKeys", "open_keys"]

_ARROWS = {"[D": "left", "[C": "right", "OD": "left", "OC": "right"}


class Keys(Protocol):
    """Where keys come from. ``None`` means that there will be no more."""

    def read(self) -> str | None:
        """Wait for a key: a character, or ``left``, ``right``, ``enter``, ``backspace``, ``escape``."""
        ...

    def line(self, prompt: str) -> str:
        """Ask for a line of text."""
        ...

    def forget(self) -> None:
        """Drop what was typed before now: a key meant for the last duel must not decide this one."""
        ...


class LineKeys:
    """The first character of each line; what pipes and screen readers use.

    Args:
        stream: Where the lines come from.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def read(self) -> str | None:
        """The first character of the next line, ``enter`` for an empty one."""
        line = self._stream.readline()
        if not line:
            return None
        word = line.strip()
        return word[:1] or "enter"

    def line(self, prompt: str) -> str:
        """The next line."""
        print(prompt, end="", flush=True)
        return self._stream.readline().strip()

    def forget(self) -> None:
        """Nothing: a script writes its answers ahead."""


class _TerminalKeys:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> str | None:
        import os
        import select

        data = os.read(self._descriptor, 1)
        if not data or data == b"\x04":
            return None
        if data == b"\x1b":
            # An arrow arrives as three bytes at once; a lone Escape is followed by nothing.
            if not select.select([self._descriptor], [], [], 0.05)[0]:
                return "escape"
            return _ARROWS.get(os.read(self._descriptor, 8).decode("ascii", "replace"), "escape")
        if data in (b"\r", b"\n"):
            return "enter"
        if data in (b"\x7f", b"\x08"):
            return "backspace"
        return data.decode("ascii", "replace")

    def line(self, prompt: str) -> str:
        import termios

        held = termios.tcgetattr(self._descriptor)
        cooked = termios.tcgetattr(self._descriptor)
        cooked[3] |= termios.ICANON | termios.ECHO
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, cooked)
        try:
            return input(prompt).strip()
        except EOFError:
            return ""
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, held)

    def forget(self) -> None:
        import termios

        termios.tcflush(self._descriptor, termios.TCIFLUSH)


class _WindowsKeys:
    def read(self) -> str | None:
        import msvcrt

        key: str = msvcrt.getwch()  # type: ignore[attr-defined]
        if key in ("\x00", "\xe0"):
            return {"K": "left", "M": "right"}.get(msvcrt.getwch(), "escape")  # type: ignore[attr-defined]
        if key == "\x03":
            raise KeyboardInterrupt
        return {"\r": "enter", "\x08": "backspace", "\x1b": "escape", "\x1a": None}.get(key, key)

    def line(self, prompt: str) -> str:
        return input(prompt).strip()

    def forget(self) -> None:
        import msvcrt

        while msvcrt.kbhit():  # type: ignore[attr-defined]
            msvcrt.getwch()  # type: ignore[attr-defined]


@contextmanager
def open_keys(stream: TextIO | None = None) -> Generator[Keys]:
    """Read keys from a terminal without waiting for Enter, and leave it as it was found."""
    given = stream or sys.stdin
    if given is None:
        raise InputError("there is no standard input to read answers from; leave out --terminal")
    if not given.isatty():
        yield LineKeys(given)
        return
    if sys.platform == "win32":
        yield _WindowsKeys()
        return
    import termios
    import tty

    descriptor = given.fileno()
    held = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _TerminalKeys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, held)
