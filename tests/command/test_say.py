"""What reaches a terminal, and what does not."""

import json

import pytest

from palate.command._say import clean, one_line, percent, print_json

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07red",
    "\x1b]8;;http://evil.example\x1b\\red\x1b]8;;\x1b\\",
    "\x9b31mred",
    "r\x08\x08ed"[:1] + "\x00ed",
    "\u202ered\u202c",
    "\u2066red\u2069",
    "red\x7f\x85\ufeff",
    "\x1bcred",
    "red\x1b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_would_obey_is_removed(text: str) -> None:
    assert clean(text) == "red"


def test_ordinary_text_stays_as_it_is() -> None:
    text = "Grüße,\n\tこんにちは 👋🏽 [31m – “ok” שלום\n"
    assert clean(text) == text
    assert clean("a\r\nb") == "a\nb"


def test_lone_surrogates_go() -> None:
    assert clean("a\ud800b") == "ab"


def test_one_line_is_short_and_single() -> None:
    assert one_line("a\n b\x1b[2J  c") == "a b c"
    assert one_line("word " * 50, 20) == "word word word word…"
    assert len(one_line("x" * 500)) == 70


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "< 1 %"), (0.004, "< 1 %"), (0.634, "63 %"), (0.994, "99 %"), (1.0, "> 99 %")]
)
def test_certainty_is_never_claimed(share: float, words: str) -> None:
    assert percent(share) == words


def test_json_is_exact_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "".join(HOSTILE) + "\ud800 ü\n\t"}
    print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert clean(printed) == printed
    assert "ü" in printed
