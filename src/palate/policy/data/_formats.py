r"""TRL's formats of training data, that of hosted preference tuning, and groups with rewards, as one thing.

    preference           prompt, chosen, rejected          texts or lists of messages
    implicit prompt      chosen, rejected                  the prompt is the beginning that both share
    unpaired             prompt, completion, label
    prompt-completion    prompt, completion
    prompt-only          prompt
    conversation         messages                          the last answer is the completion
    groups               prompt, completions[, rewards]    K completions of one prompt
    openai-dpo           input, preferred_output, non_preferred_output

Which it is, the columns of the first row say. Texts with a shared beginning end their prompt at a white space
or line end, never within a word; dialogues in the form ``\n\nHuman: … \n\nAssistant: …`` become
conversations, whose prompt ends where the last answer begins. (TRL cuts at the first letter that differs,
also within a word.)

A row that cannot teach is left out, counted and named: ``empty`` answers, ``equal`` texts, a ``missing``
cell, ``malformed`` messages, another ``turns`` than one answer after the prompt, ``tools``.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

from palate.errors import InputError, nearest
from palate.policy.data._groups import Loaded, Prompt, Skips, TextGroup
from palate.policy.data._rows import Row
from palate.types import Message

__all__ = ["FORMATS", "detect_format", "read_groups"]

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES: Mapping[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class _SkipError(Exception):
    """This row cannot teach; the argument is the reason."""


class _Format(NamedTuple):
    columns: tuple[str, ...]
    read: Callable[[Row], TextGroup]


def read_groups(
    rows: Iterable[tuple[str, Row]], format: str | None = None, *, source: str = "data"
) -> Loaded:
    """Read rows of any of the formats.

    Args:
        rows: The place and the cells of each; see :func:`palate.policy.data.read_rows`.
        format: One of :data:`FORMATS`; told from the columns when left out.
        source: What the rows are called in an error.

    Returns:
        The groups, and what was left out.

    Raises:
        InputError: There is no row, or the columns fit none of the formats, or not the one named.

    Example:
        >>> row = {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"}
        >>> read_groups([("line 1", row)]).groups[0].completions
        (' 4', ' 5')
    """
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        raise InputError(f"{source} is empty; it needs at least one row")
    kind = detect_format(first[1], source=source) if format is None else format
    if kind not in FORMATS:
        raise InputError(f"no format {kind!r} of training data; {nearest(kind, FORMATS)}")
    known = FORMATS[kind]
    absent = [column for column in known.columns if column not in first[1]]
    if absent:
        raise InputError(
            f"{source} has no column {absent[0]!r}, which the format {kind!r} needs; "
            f"it has: {', '.join(map(repr, first[1]))}"
        )
    groups: list[TextGroup] = []
    skips = Skips()
    for place, row in chain([first], remaining):
        try:
            groups.append(_placed(_checked(known.read(row)), place))
        except _SkipError as reason:
            skips.add(str(reason), place)
    return Loaded.of(groups, skips)


def detect_format(row: Row, *, source: str = "data") -> str:
    """Tell the format from the columns of a row.

    Raises:
        InputError: The columns fit none; the text lists what would.
    """
    for name, known in FORMATS.items():
        if all(column in row for column in known.columns):
            return name
    wanted = "; ".join(f"{', '.join(known.columns)} ({name})" for name, known in FORMATS.items())
    raise InputError(f"{source} has the columns {', '.join(map(repr, row))}; training data have: {wanted}")


def _checked(group: TextGroup) -> TextGroup:
    """A group of which every completion says something, and no two of a pair the same.

    An answer of white space alone is empty; a prompt may be, when a model is to begin by itself.
    """
    if any(not text.strip() for text in group.completions):
        raise _SkipError("empty")
    if group.is_pair and group.completions[0].strip() == group.completions[1].strip():
        raise _SkipError("equal")
    return group


def _placed(group: TextGroup, place: str) -> TextGroup:
    return TextGroup(group.prompt, group.completions, group.reward, group.label, group.weight, place)


def _preference(row: Row) -> TextGroup:
    prompt = _prompt(row["prompt"])
    return TextGroup(prompt, (_answer(row["chosen"], prompt), _answer(row["rejected"], prompt)))


def _implicit(row: Row) -> TextGroup:
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, str) and isinstance(rejected, str):
        if _TURN.match(chosen) and _TURN.match(rejected):
            return _from_turns(_dialogue(chosen), _dialogue(rejected))
        cut = _shared_text(chosen, rejected)
        return TextGroup(chosen[:cut], (chosen[cut:], rejected[cut:]))
    return _from_turns(_messages(chosen), _messages(rejected))


def _unpaired(row: Row) -> TextGroup:
    label = row["label"]
    if isinstance(label, str):  # as a CSV file has it
        label = {"true": True, "1": True, "false": False, "0": False}.get(label.strip().lower())
    if not isinstance(label, bool | int) or label not in (0, 1):
        raise _SkipError("malformed" if label is not None else "missing")
    prompt = _prompt(row["prompt"])
    return TextGroup(prompt, (_answer(row["completion"], prompt),), label=bool(label))


def _prompt_completion(row: Row) -> TextGroup:
    prompt = _prompt(row["prompt"])
    return TextGroup(prompt, (_answer(row["completion"], prompt),))


def _prompt_only(row: Row) -> TextGroup:
    prompt = _prompt(row["prompt"])
    if isinstance(prompt, str) and not prompt.strip():
        raise _SkipError("empty")
    return TextGroup(prompt)


def _conversation(row: Row) -> TextGroup:
    turns = _messages(row["messages"])
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise _SkipError("turns")
    return TextGroup(turns[:-1], (turns[-1].content,))


def _groups(row: Row) -> TextGroup:
    prompt = _prompt(row["prompt"])
    given = row["completions"]
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise _SkipError("malformed")
    completions = tuple(_answer(text, prompt) for text in given)
    rewards = row.get("rewards")
    if rewards is None:
        return TextGroup(prompt, completions)
    if not isinstance(rewards, Sequence) or len(rewards) != len(completions):
        raise _SkipError("malformed")
    if not all(isinstance(r, int | float) and math.isfinite(r) for r in rewards):
        raise _SkipError("malformed")
    return TextGroup(prompt, completions, tuple(map(float, rewards)))


def _openai(row: Row) -> TextGroup:
    asked = row["input"]
    if not isinstance(asked, Mapping):
        raise _SkipError("malformed")
    if asked.get("tools"):
        raise _SkipError("tools")
    prompt = _messages(asked.get("messages"))
    answers = (row["preferred_output"], row["non_preferred_output"])
    return TextGroup(prompt, (_answer(answers[0], prompt), _answer(answers[1], prompt)))


FORMATS: Mapping[str, _Format] = {
    "openai-dpo": _Format(("input", "preferred_output", "non_preferred_output"), _openai),
    "groups": _Format(("prompt", "completions"), _groups),
    "preference": _Format(("prompt", "chosen", "rejected"), _preference),
    "unpaired": _Format(("prompt", "completion", "label"), _unpaired),
    "prompt-completion": _Format(("prompt", "completion"), _prompt_completion),
    "implicit-prompt": _Format(("chosen", "rejected"), _implicit),
    "conversation": _Format(("messages",), _conversation),
    "prompt-only": _Format(("prompt",), _prompt_only),
}
"""By name, in the order in which they are tried: those with more columns first."""


def _prompt(value: object) -> Prompt:
    if value is None:
        raise _SkipError("missing")
    if isinstance(value, str):
        return value
    turns = _messages(value)
    if turns[-1].role == "assistant":
        raise _SkipError("turns")
    return turns


def _answer(value: object, prompt: Prompt) -> str:
    """One completion: a text, or a list of a single message of the assistant."""
    if value is None:
        raise _SkipError("missing")
    if isinstance(value, str):
        return value
    turns = _messages(value)
    if len(turns) != 1 or turns[0].role != "assistant" or isinstance(prompt, str):
        raise _SkipError("turns")
    return turns[0].content


def _from_turns(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> TextGroup:
    prompt = chosen[:-1]
    ends = chosen[-1].role == rejected[-1].role == "assistant"
    if not prompt or prompt != rejected[:-1] or not ends:
        raise _SkipError("turns")
    return TextGroup(prompt, (chosen[-1].content, rejected[-1].content))


def _messages(value: object) -> tuple[Message, ...]:
    if value is None:
        raise _SkipError("missing")
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise _SkipError("malformed")
    return tuple(_message(entry) for entry in value)


def _message(entry: object) -> Message:
    if not isinstance(entry, Mapping):
        raise _SkipError("malformed")
    message = cast("Mapping[str, Any]", entry)
    if message.get("tool_calls"):
        raise _SkipError("tools")
    role, content = _ROLES.get(str(message.get("role"))), message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise _SkipError("malformed")  # a picture, say
        content = "".join(map(str, parts))
    if role is None or not isinstance(content, str):
        raise _SkipError("malformed")
    return Message(cast("Any", role), content)


def _dialogue(text: str) -> tuple[Message, ...]:
    pieces = _TURN.split(text)[1:]
    roles = ("user" if name == "Human" else "assistant" for name in pieces[::2])
    return tuple(Message(cast("Any", r), said.strip()) for r, said in zip(roles, pieces[1::2], strict=True))


def _shared_text(first: str, second: str) -> int:
    """Length of the beginning that two texts share, up to where a word begins."""
    limit = min(len(first), len(second))
    cut = next((i for i in range(limit) if first[i] != second[i]), limit)
    while cut > 0 and not first[cut - 1].isspace():
        cut -= 1
    while cut > 0 and first[cut - 1] == " ":
        cut -= 1
    return cut
