"""Prompts of a promptfoo configuration: texts and conversations, inline or in files.

promptfoo sends a text as the user's message, and a JSON or YAML list of ``{role, content}`` as the
conversation that it is. Text files may hold several prompts, parted by lines of three hyphens.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from palate.errors import InputError
from palate.integrations.promptfoo._files import Folder, TooMuchError, is_code, is_elsewhere, named_file
from palate.integrations.promptfoo._nunjucks import variables
from palate.types import Json, Message

__all__ = ["Prompt", "read_prompts"]

MAX_PROMPTS = 1_000
_DEEPEST = 3
_DELIMITER = "---"
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: its messages, and what to call it in a message to the user."""

    messages: tuple[Message, ...]
    source: str

    @property
    def variables(self) -> tuple[str, ...]:
        """What the prompt asks for, each once."""
        return tuple(dict.fromkeys(name for turn in self.messages for name in variables(turn.content)))


def read_prompts(given: Json, folder: Folder, told: list[str]) -> list[Prompt]:
    """Read the prompts of a configuration.

    Args:
        given: The value of ``prompts``.
        folder: Where its files lie.
        told: Gets a line for each prompt that is left out.

    Returns:
        The prompts that can be used, each once, in their order.

    Raises:
        InputError: There are more than :data:`MAX_PROMPTS`.
    """
    found: dict[tuple[Message, ...], Prompt] = {}
    for number, entry in enumerate(_entries(given), start=1):
        try:
            for prompt in _read(entry, f"prompt {number}", folder, _DEEPEST, told):
                found.setdefault(prompt.messages, prompt)
                if len(found) > MAX_PROMPTS:
                    raise TooMuchError(f"there are more than {MAX_PROMPTS:,} prompts; give fewer")
        except TooMuchError:
            raise
        except InputError as error:
            told.append(f"prompt {number} is left out: {error}")
    return list(found.values())


def _entries(given: Json) -> Sequence[Json]:
    if given is None:
        return ()
    if isinstance(given, Mapping):  # the older form: a file and what it is called
        return list(given)
    return [given] if isinstance(given, str) else given if isinstance(given, Sequence) else [given]


def _read(entry: Json, source: str, folder: Folder, depth: int, told: list[str]) -> Iterator[Prompt]:
    if isinstance(entry, Mapping):
        text = entry.get("raw", entry.get("id"))
        if not isinstance(text, str):
            raise InputError("it has neither 'raw' nor 'id'")
        if entry.get("config"):
            told.append(f"{source} has settings of its own (config); they are left out")
        entry = text
    if not isinstance(entry, str):
        raise InputError(f"it is {_kind(entry)}, not a text")
    if is_elsewhere(entry):
        raise InputError(
            f"{entry!r} is not on this machine; save the prompt in a file beside the configuration"
        )
    if named_file(entry) or entry.startswith("exec:"):
        if is_code(entry):
            raise InputError(f"{entry!r} is a program, and Palate never runs what a configuration names")
        for path in folder.paths(entry):
            yield from _guarded(path, folder, depth, told)
        return
    yield _prompt(entry, source)


def _guarded(path: Path, folder: Folder, depth: int, told: list[str]) -> Iterator[Prompt]:
    """The prompts of a file; one that cannot be used does not take the others with it."""
    if not depth:
        raise InputError(
            f"{folder.name(path)!r} is named by files that name each other; list the prompts once"
        )
    name = folder.name(path)
    for number, entry in enumerate(_in_file(path, folder), start=1):
        source = f"prompt {number} of {name!r}"
        try:
            if isinstance(entry, _Text):
                yield _prompt(entry.text, source)
            elif _is_chat(entry):
                yield Prompt(_conversation(entry), source)
            else:
                yield from _read(entry, source, folder, depth - 1, told)
        except TooMuchError:
            raise
        except InputError as error:
            told.append(f"{source} is left out: {error}")


@dataclass(frozen=True, slots=True)
class _Text:
    """A prompt that stands for itself, also if it reads like the name of a file."""

    text: str


def _in_file(path: Path, folder: Folder) -> "Sequence[Json | _Text]":
    suffix = path.suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        held = folder.structure(path)
        if _is_chat(held):
            return [held]
        return held if isinstance(held, Sequence) and not isinstance(held, str) else [held]
    if suffix == ".jsonl":
        held = folder.structure(path)
        return [_Text(json.dumps(line)) for line in held] if isinstance(held, Sequence) else []
    if suffix == ".csv":
        return [_Text(text) for text in _column(path, folder)]
    text = folder.text(path)
    return [_Text(part) for part in (_parts(text) if suffix == ".txt" else [text])]


def _parts(text: str) -> list[str]:
    parts: list[list[str]] = [[]]
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.strip() == _DELIMITER:
            parts.append([])
        else:
            parts[-1].append(line)
    return [part for part in ("\n".join(lines).strip() for lines in parts) if part]


def _column(path: Path, folder: Folder) -> list[str]:
    """The prompts of a CSV file: its column ``prompt``, or one a line when there is only one column."""
    text = folder.text(path)
    if "," not in text:
        lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
        return lines[lines[:1] == ["prompt"] :]
    rows = folder.table(path)
    if rows and "prompt" not in rows[0]:
        raise InputError(f"{folder.name(path)!r} has no column 'prompt'; its columns: {', '.join(rows[0])}")
    return [row["prompt"].strip() for row in rows if row["prompt"].strip()]


def _prompt(text: str, source: str) -> Prompt:
    """A text prompt, or the conversation that a text spells out as JSON."""
    messages: tuple[Message, ...] = (Message("user", text),)
    if text.lstrip().startswith("["):
        try:
            spelt = json.loads(text)
        except (ValueError, RecursionError):
            spelt = None
        if _is_chat(spelt):
            messages = _conversation(spelt)
    prompt = Prompt(messages, source)
    if not prompt.messages[-1].content.strip():
        raise InputError("it is empty")
    _ = prompt.variables  # says at once when a template would have to be run
    return prompt


def _is_chat(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(turn, Mapping) and "role" in turn for turn in value)
    )


def _conversation(turns: object) -> tuple[Message, ...]:
    messages: list[Message] = []
    for turn in turns if isinstance(turns, Sequence) else ():
        role, content = str(turn.get("role")), turn.get("content")
        if role not in _ROLES:
            raise InputError(f"a message has the role {role!r}; known: {', '.join(sorted(_ROLES))}")
        messages.append(Message(_ROLES[role], _content(content)))
    for message in messages:
        variables(message.content)
    return tuple(messages)


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        texts = [
            part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"
        ]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            return "\n".join(map(str, texts))
    raise InputError("a message holds something else than text, such as a picture")


def _kind(value: Json) -> str:
    return "a list" if isinstance(value, Sequence) and not isinstance(value, str) else f"{value!r}"[:40]
