"""One prompt with the completions that are learnt from: what every format of training data becomes.

A pair is a group of two, the chosen completion first; a demonstration is a group of one; a prompt alone is a
group of none; the rewards of several completions stand beside them. A prompt is a conversation that the
completion answers, or a plain text that it continues.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from palate.errors import ConfigError, InputError
from palate.types import Message, canonical_json

__all__ = ["Loaded", "Prompt", "Skips", "TextGroup", "prompt_key", "split_by_prompt"]

Prompt: TypeAlias = "str | tuple[Message, ...]"
"""Plain text that is continued, or the turns that are answered."""

_SHOWN = 5  # places named for each reason


@dataclass(frozen=True, slots=True)
class TextGroup:
    """A prompt and K completions of it.

    Attributes:
        prompt: What is answered or continued.
        completions: The answers; of a pair the chosen one first.
        reward: One number a completion, higher is better; ``None`` where there is none.
        label: Of a single completion, whether it is wanted; ``None`` where nobody said.
        weight: How much the group counts, > 0.
        place: Where it came from, for messages.
    """

    prompt: Prompt
    completions: tuple[str, ...] = ()
    reward: tuple[float, ...] | None = None
    label: bool | None = None
    weight: float = 1.0
    place: str = ""

    @property
    def is_pair(self) -> bool:
        """Whether the first completion is known to be the better of two."""
        return len(self.completions) == 2 and self.label is None


@dataclass(slots=True)
class Skips:
    """Counts what is left out, by reason, and remembers where."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    places: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, reason: str, place: str) -> None:
        """Leave something out."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        told = self.places.setdefault(reason, [])
        if len(told) < _SHOWN:
            told.append(place)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Groups that can be trained on, and what was left out.

    Attributes:
        groups: In the order of the source.
        skipped: How many rows were left out, by reason.
        places: The first places of each reason.
    """

    groups: tuple[TextGroup, ...]
    skipped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    places: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, groups: Iterable[TextGroup], skips: Skips) -> "Loaded":
        """Put together what was read."""
        return cls(tuple(groups), MappingProxyType(skips.counts), MappingProxyType(skips.places))

    def describe(self) -> str:
        """One line for people: how many are there, and how many were left out, why and where."""
        text = f"{len(self.groups)} groups"
        if not self.skipped:
            return text
        reasons = (f"{count} {reason}{self._where(reason, count)}" for reason, count in self.skipped.items())
        return f"{text}; {sum(self.skipped.values())} left out: {'; '.join(reasons)}"

    def _where(self, reason: str, count: int) -> str:
        told = self.places.get(reason, ())
        return f" ({', '.join(told)}{', …' if count > len(told) else ''})" if told else ""

    def require(self, what: str) -> "Loaded":
        """These groups, if there are any.

        Raises:
            InputError: There is none; the text says why they were left out.
        """
        if not self.groups:
            raise InputError(f"{what}: nothing is left to train on; {self.describe()}")
        return self


def prompt_key(prompt: Prompt) -> str:
    """The one text that equal prompts share."""
    if isinstance(prompt, str):
        return canonical_json(prompt)
    return canonical_json([[turn.role, turn.content] for turn in prompt])


def split_by_prompt(
    groups: Sequence[TextGroup], share: float, seed: int = 0
) -> tuple[list[TextGroup], list[TextGroup]]:
    """Divide groups into those to train on and those to hold out; a prompt is on one side only.

    A prompt is held out if the SHA-256 of it and of the seed, read as a fraction, lies below ``share``. So it
    stays on its side when rows are added, taken away or put into another order.

    Args:
        groups: What to divide.
        share: Expected share of the prompts that is held out, in [0, 1).
        seed: Another one draws another set.

    Returns:
        Those to train on and those that are held out, each in the given order.

    Raises:
        ConfigError: ``share`` is out of its range.

    Example:
        >>> groups = [TextGroup(str(i % 50), ("a", "b")) for i in range(100)]
        >>> train, held = split_by_prompt(groups, 0.3)
        >>> len(held), {g.prompt for g in train} & {g.prompt for g in held}
        (28, set())
    """
    if not 0 <= share < 1:
        raise ConfigError(f"the share that is held out must lie in [0, 1), not {share!r}; 0.1 is usual")
    train: list[TextGroup] = []
    held: list[TextGroup] = []
    for group in groups:
        hashed = hashlib.sha256(f"{seed}\n{prompt_key(group.prompt)}".encode("utf-8", "surrogatepass"))
        fraction = int.from_bytes(hashed.digest()[:8], "big") / 2**64
        (held if fraction < share else train).append(group)
    return train, held
