"""Keys from a terminal one at a time, from anything else by line."""

import contextlib
import io
import os
import pty
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from palate.command._keys import open_keys


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r", encoding="utf-8") as stream:
        yield ours, stream
    os.close(ours)


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (b"1", "1"),
        (b"S", "S"),
        (b" ", " "),
        (b"\x1b[D", "left"),
        (b"\x1b[C", "right"),
        (b"\x1bOD", "left"),
        (b"\x1b", "escape"),
        (b"\x1b[A", "escape"),
        (b"\x7f", "backspace"),
        (b"\x08", "backspace"),
        (b"\n", "enter"),
        (b"\x04", None),
    ],
)
def test_each_key_arrives_without_enter(terminal: tuple[int, TextIO], typed: bytes, key: str | None) -> None:
    ours, stream = terminal
    with open_keys(stream) as keys:
        os.write(ours, typed)
        assert keys.read() == key


def test_keys_typed_before_a_duel_are_forgotten(terminal: tuple[int, TextIO]) -> None:
    ours, stream = terminal
    with open_keys(stream) as keys:
        os.write(ours, b"111")
        assert keys.read() == "1"
        keys.forget()
        os.write(ours, b"2")
        assert keys.read() == "2"


def test_the_terminal_is_left_as_it_was(terminal: tuple[int, TextIO]) -> None:
    _, stream = terminal
    before = termios.tcgetattr(stream.fileno())
    with contextlib.suppress(KeyboardInterrupt), open_keys(stream):
        during = termios.tcgetattr(stream.fileno())
        raise KeyboardInterrupt
    assert during != before
    assert termios.tcgetattr(stream.fileno()) == before


def test_lines_count_by_their_first_character() -> None:
    with open_keys(io.StringIO("1\n\n  skip\nlast")) as keys:
        assert [keys.read() for _ in range(5)] == ["1", "enter", "s", "l", None]


def test_a_line_of_text_is_read_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with open_keys(io.StringIO("c\nboth are fine\n")) as keys:
        keys.read()
        assert keys.line("comment: ") == "both are fine"
    assert capsys.readouterr().out == "comment: "
