"""Conversations in an input's columns, and as what a person looks at.

Two columns of the inputs are read, both as JSON, as a list in a ``.jsonl`` file or as text in a ``.csv``:

``messages``
    Earlier turns, ``[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]``. They end
    with an answer, because the input's own text is what the user says next.
``further``
    What the user says after that, ``["…", "…"]``, however the model answered.
"""

import json
from collections.abc import Mapping, Sequence

from palate.errors import InputError
from palate.types import Input, Json, Message

__all__ = ["FURTHER", "MESSAGES", "as_lines", "earlier_turns", "further_turns"]

MESSAGES, FURTHER = "messages", "further"
_MOST_EARLIER, _MOST_FURTHER = 200, 20
_SPEAKERS = {"user": "User", "assistant": "Assistant"}


def earlier_turns(input: Input) -> tuple[Message, ...]:
    """Read what was said before an input; nothing when its column ``messages`` is absent or empty.

    Raises:
        InputError: The column is not such a list, has more than 200 turns, or ends with the user.
    """
    turns = tuple(_message(input, entry) for entry in _listed(input, MESSAGES, _MOST_EARLIER))
    if turns and turns[-1].role != "assistant":
        raise InputError(
            f"the messages of input {input.id} end with the user, but the input itself is what the user says "
            "next; make the last user message the input, or add the answer in between"
        )
    return turns


def further_turns(input: Input) -> tuple[str, ...]:
    """Read what the user says next, in order; nothing when the column ``further`` is absent or empty.

    Raises:
        InputError: The column is not a list of texts, or has more than 20.
    """
    said: list[str] = []
    for entry in _listed(input, FURTHER, _MOST_FURTHER):
        if not isinstance(entry, str) or not entry.strip():
            raise InputError(f"a further turn of input {input.id} is {entry!r}; each is a text")
        said.append(entry)
    return tuple(said)


def as_lines(messages: Sequence[Message]) -> str:
    """A conversation as text, a turn a paragraph."""
    return "\n\n".join(f"{_SPEAKERS.get(turn.role, turn.role)}: {turn.content}" for turn in messages)


def _listed(input: Input, column: str, most: int) -> Sequence[Json]:
    text = input.fields.get(column, "")
    if not text.strip():
        return ()
    try:
        listed = json.loads(text)
    except ValueError as error:
        raise InputError(f"the column {column!r} of input {input.id} is no JSON: {error}") from error
    if not isinstance(listed, list):
        raise InputError(f"the column {column!r} of input {input.id} is no list; write [ … ]")
    if len(listed) > most:
        raise InputError(
            f"the column {column!r} of input {input.id} has {len(listed)} turns; at most {most} are sent"
        )
    return listed


def _message(input: Input, entry: Json) -> Message:
    if isinstance(entry, Mapping):
        role, content = entry.get("role"), entry.get("content")
        if role == "system":
            raise InputError(
                f"the messages of input {input.id} have a system message; leave it out, the prompt is that"
            )
        if isinstance(content, str) and content.strip():
            if role == "user":
                return Message("user", content)
            if role == "assistant":
                return Message("assistant", content)
    raise InputError(
        f"a message of input {input.id} is {entry!r}; each is an object "
        '{"role": "user" or "assistant", "content": "text"}'
    )
