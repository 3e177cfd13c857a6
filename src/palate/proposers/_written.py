"""What the proposers that learn have in common: options, the request, and reading the prompt it asked for.

Each writes one request, in which everything that others wrote is fenced, and asks for the new prompt between
``<prompt>`` and ``</prompt>``. An answer that is a refusal, was cut off, is empty, too long, has lost a
placeholder of its parent, or repeats the request itself or the code of its fences is no prompt; the next draw
is made instead.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, final

import numpy as np

from palate.proposers._clean import clean, usable
from palate.proposers._draw import Draw, ask, check_options, collect
from palate.proposers._fences import NOTE, fence, without_fences
from palate.types import Candidate, Completion, Json, Known, Lineage, Model

__all__ = ["ANSWER", "Writer", "echoes", "prompt_in"]

ANSWER = (
    "Keep everything between double braces as it is. Write the new prompt between <prompt> and </prompt>, "
    "and nothing after it."
)
_TAGGED = re.compile(r"<prompt>(.*?)</prompt>", re.DOTALL | re.I)
_TAG = re.compile(r"</?prompt>", re.I)
_WORD = re.compile(r"\w+")
_ECHO = 8  # words in a row that are no accident


class AsksAModel(Protocol):
    """A proposer's options of asking a model; see :class:`Writer`."""

    @property
    def model(self) -> Model: ...
    @property
    def temperature(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def longest(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def concurrency(self) -> int: ...


@final
@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """A model that writes prompts, and the options of asking it.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2].
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float
    max_tokens: int
    longest: int
    attempts: int
    concurrency: int

    def __post_init__(self) -> None:
        check_options(
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            longest=self.longest,
            attempts=self.attempts,
            concurrency=self.concurrency,
        )

    @classmethod
    def of(cls, own: "AsksAModel") -> "Writer":
        """The writer of a proposer that has these options among its own."""
        return cls(own.model, own.temperature, own.max_tokens, own.longest, own.attempts, own.concurrency)

    async def collect(self, draw: Draw, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Draw up to ``n`` candidates that are new; see :func:`palate.proposers._draw.collect`."""
        return await collect(
            draw, n, existing=known.existing, rng=rng, attempts=self.attempts, concurrency=self.concurrency
        )

    async def say(
        self, request: str, texts: Mapping[str, str], sample: int, rng: np.random.Generator
    ) -> Completion:
        """Send a request whose ``{labels}`` are replaced by the fenced texts in one pass.

        Returns:
            The answer without fences that it copied; one that tells of their code counts as refused.
        """
        answer = await self.model.generate(
            ask(
                filled(request, texts),
                self.model,
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                sample=sample,
                rng=rng,
            )
        )
        text = without_fences(answer.text, texts)
        return replace(answer, finish="refused") if text is None else replace(answer, text=text)

    async def write(
        self,
        request: str,
        texts: Mapping[str, str],
        parents: Sequence[Candidate],
        sample: int,
        rng: np.random.Generator,
    ) -> str | None:
        """Ask for one prompt; ``None`` if the answer holds none that could stand for the first parent."""
        answer = await self.say(request, texts, sample, rng)
        return prompt_in(answer, request, parent=parents[0].text, longest=self.longest)

    def candidate(
        self, origin: str, text: str, parents: Sequence[Candidate], detail: Mapping[str, Json]
    ) -> Candidate:
        """A candidate with the parts of its first parent, and how it came to be."""
        lineage = Lineage(
            origin,
            parents=tuple(dict.fromkeys(parent.id for parent in parents)),
            model=self.model.name,
            detail={"temperature": self.temperature, **detail},
        )
        return Candidate.make(text, parts=parents[0].parts, lineage=lineage)


def filled(request: str, texts: Mapping[str, str]) -> str:
    """The request with the note on fences first, and each ``{label}`` replaced in one pass."""
    blocks = fence(texts)
    pattern = re.compile("|".join(re.escape("{" + label + "}") for label in blocks) or r"(?!)")
    return f"{NOTE}\n\n{pattern.sub(lambda found: blocks[found[0][1:-1]], request)}"


def prompt_in(answer: Completion, request: str, *, parent: str, longest: int) -> str | None:
    """Read the prompt that an answer gives.

    Args:
        answer: What the model said.
        request: The wording it was asked with, before texts were filled in.
        parent: The prompt that the new one is to stand for.
        longest: Most characters that it may have.

    Returns:
        What stands between the last pair of marks; without marks, the answer with its wrapping taken off;
        ``None`` if that is no prompt.
    """
    if answer.finish == "refused":
        return None
    tagged = _TAGGED.findall(answer.text)
    if not tagged and answer.finish == "length":
        return None
    text = clean(tagged[-1] if tagged else _TAG.sub("", answer.text), parent=parent)
    if "<<<" in text or ">>>" in text or echoes(text, request, parent=parent):
        return None
    return text if usable(text, longest=longest, parent=parent) else None


def echoes(text: str, request: str, *, parent: str = "") -> bool:
    """Whether a text repeats eight words in a row of a request, and its parent does not."""
    own = _runs(request) - _runs(parent)
    return not own.isdisjoint(_runs(text))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return {tuple(words[k : k + _ECHO]) for k in range(len(words) - _ECHO + 1)}
