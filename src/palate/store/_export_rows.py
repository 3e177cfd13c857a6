"""What one vote looks like in each format. ``docs/reference/export-formats.md`` shows them side by side.

``prompt`` is what the person's data said (the input), not the instruction that is being improved: the two
answers came from two different instructions, and a model that learns from the pair sees the input alone.
"""

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from palate.store._export_votes import ShownVote
from palate.types import Verdict

__all__ = [
    "CSV_COLUMNS",
    "Preference",
    "arena_row",
    "cells",
    "clean",
    "conversational_row",
    "csv_line",
    "openai_row",
    "preferences",
    "safe_cell",
    "standard_row",
]

CSV_COLUMNS = (
    "seq",
    "at",
    "judge",
    "duel_id",
    "input_id",
    "input",
    "left_candidate",
    "right_candidate",
    "left_response",
    "right_response",
    "verdict",
    "seconds",
    "guideline_version",
    "reason",
    "comment",
    "planted",
    "surplus",
)

_WINNERS = {
    Verdict.LEFT: "model_a",
    Verdict.RIGHT: "model_b",
    Verdict.TIE: "tie",
    Verdict.BOTH_BAD: "tie (bothbad)",
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNSEEN = re.compile("^[\\s\u200b-\u200f\u2060\ufeff]+")
# What a spreadsheet takes for the start of a formula, its full-width twins included. The quote itself is
# among them, so that taking one leading quote off always gives the text back.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


class Preference(NamedTuple):
    """One answer preferred over another."""

    prompt: str
    chosen: str
    rejected: str
    chosen_candidate: str
    rejected_candidate: str


def clean(text: str) -> str:
    """Replace lone surrogates, which no reader of UTF-8 accepts, by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def preferences(vote: ShownVote, *, both: bool) -> Iterator[Preference]:
    """The preferences in one vote.

    A win gives one. A tie gives none, or one each way with ``both``. "Both bad", a skip and two answers with
    the same text give none: there is nothing in them that a model should say more often. Nor do planted
    duels: what they teach is known, or has been counted.
    """
    if vote.left == vote.right or vote.planted:
        return
    prompt, left, right = clean(vote.input.text), clean(vote.left), clean(vote.right)
    leftwards = Preference(prompt, left, right, vote.left_candidate, vote.right_candidate)
    rightwards = Preference(prompt, right, left, vote.right_candidate, vote.left_candidate)
    tied = both and vote.verdict is Verdict.TIE
    if vote.verdict is Verdict.LEFT or tied:
        yield leftwards
    if vote.verdict is Verdict.RIGHT or tied:
        yield rightwards


def standard_row(preference: Preference) -> dict[str, Any]:
    """TRL's preference format, plain texts."""
    return {
        "prompt": preference.prompt,
        "chosen": preference.chosen,
        "rejected": preference.rejected,
    }


def conversational_row(preference: Preference) -> dict[str, Any]:
    """TRL's preference format, lists of messages."""
    return {
        "prompt": [_message("user", preference.prompt)],
        "chosen": [_message("assistant", preference.chosen)],
        "rejected": [_message("assistant", preference.rejected)],
    }


def openai_row(preference: Preference) -> dict[str, Any]:
    """The format of hosted preference tuning."""
    return {
        "input": {"messages": [_message("user", preference.prompt)], "tools": []},
        "preferred_output": [_message("assistant", preference.chosen)],
        "non_preferred_output": [_message("assistant", preference.rejected)],
    }


def arena_row(vote: ShownVote) -> dict[str, Any] | None:
    """The format of arenas; ``None`` for a vote that says nothing of the two (a skip, a planted duel)."""
    winner = _WINNERS.get(vote.verdict)
    if winner is None or vote.planted:
        return None
    asked = _message("user", clean(vote.input.text))
    return {
        "question_id": vote.duel_id,
        "model_a": vote.left_candidate,
        "model_b": vote.right_candidate,
        "winner": winner,
        "judge": vote.judge,
        "conversation_a": [asked, _message("assistant", clean(vote.left))],
        "conversation_b": [asked, _message("assistant", clean(vote.right))],
        "turn": 1,
        "anony": True,
        "language": "unknown",
        "tstamp": datetime.fromisoformat(vote.at).timestamp(),
    }


def csv_line(vote: ShownVote) -> str:
    """One line of the flat file, ready for a spreadsheet."""
    return cells(
        [
            str(vote.seq),
            vote.at,
            vote.judge,
            vote.duel_id,
            vote.input.id,
            vote.input.text,
            vote.left_candidate,
            vote.right_candidate,
            vote.left,
            vote.right,
            vote.verdict.value,
            "" if vote.seconds is None else repr(vote.seconds),
            vote.guideline_version,
            vote.reason or "",
            vote.comment or "",
            vote.planted,
            "1" if vote.surplus else "",
        ]
    )


def cells(values: list[str]) -> str:
    """Join cells by RFC 4180, each made safe."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([safe_cell(value) for value in values])
    return line.getvalue()


def safe_cell(value: str) -> str:
    """Keep a spreadsheet from running a text: a leading quote where a formula could start.

    Example:
        >>> safe_cell("=1+1"), safe_cell(" =1+1"), safe_cell("1+1")
        ("'=1+1", "' =1+1", '1+1')
    """
    plain = _CONTROL.sub("", clean(value))
    # Spreadsheets that trim a cell on import find the formula behind spaces and marks that take no room.
    starts = plain.startswith(_FORMULA) or _UNSEEN.sub("", plain).startswith(_FORMULA)
    return f"'{plain}" if starts else plain


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
