"""Scenes: descriptions of pictures, from some of the sentences of one description and other words.

Of a description with sentences s_1 … s_k a draw keeps one at random, and each of the others with
probability ``share``; a model then writes what is left anew and changes some of what it shows. With
probability ``plain`` the whole description is only put into other words instead.

Source: Lin et al., "Prompt Optimization with Human Feedback", arXiv 2405.17346, and its released code (the
text-to-image study: five sentences a scene, 0.3, 2 % plain rephrasings).

Changed: the sentences stay in their order; a sentence with a ``{{placeholder}}`` always stays, since without
it the input would be lost; whether a draw is plain is drawn each time, not fixed beforehand. The wording of
the requests is ours.
"""

import re
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from palate.errors import ConfigError
from palate.proposers._clean import clean_completion, usable
from palate.proposers._draw import ask, check_options, collect, seed_of
from palate.proposers._rephrase import REWORD
from palate.types import Candidate, Known, Lineage, Model

__all__ = ["VARY", "Scenes", "sentences"]

VARY = (
    "The following describes a picture. Write a description of a picture that is like it, in other words and "
    "with some details changed: another time of day, other colours, other things or people. Keep everything "
    "between double braces as it is. Answer with the new description only.\n\n"
    "Description: {prompt}\n\n"
    "New description:"
)

# A full stop after a single capital or a digit ends an initial or a number, not a sentence.
_END = re.compile(r"([.!?](?<!\b[A-Z]\.)(?<!\d\.)[\"”'’)]*)\s+(?=[\"“'‘(]*[^\W\d_a-z]|\{\{)")


def sentences(text: str) -> list[str]:
    """Split a description into its sentences.

    Example:
        >>> sentences("A quiet garden. Roses by J. Smith climb a wall! Is it dawn?")
        ['A quiet garden.', 'Roses by J. Smith climb a wall!', 'Is it dawn?']
    """
    return [part.strip() for part in _END.sub(r"\1\n", text).split("\n") if part.strip()]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """Makes descriptions of pictures from parts of one that exists.

    Args:
        model: Who is asked; a chat model, not the one that draws.
        temperature: Of a draw, in [0, 2]; 1 as published.
        share: Probability of each further sentence, in [0, 1]; 0.3 as published.
        plain: Probability of only putting the whole description into other words, in [0, 1]; 0.02 as
            published.
        parents: ``"seed"`` always starts from the seed prompt, ``"any"`` from any candidate.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a description may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 1.0
    share: float = 0.3
    plain: float = 0.02
    parents: Literal["seed", "any"] = "seed"
    max_tokens: int = 512
    longest: int = 4000
    attempts: int = 4
    concurrency: int = 8

    def __post_init__(self) -> None:
        if self.parents not in ("seed", "any"):
            raise ConfigError(f"parents is {self.parents!r}; it is 'seed' or 'any'")
        for name in ("share", "plain"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it lies between 0 and 1")
        check_options(
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            longest=self.longest,
            attempts=self.attempts,
            concurrency=self.concurrency,
        )

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            ConfigError: There is no description to start from.
            BudgetError: A call could have exceeded the budget.
        """
        seed = seed_of(known.existing)
        if seed is None:
            raise ConfigError("scenes needs a description to start from; set seed under [prompts]")
        pool = tuple(known.existing) if self.parents == "any" else (seed,)

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            parent = pool[int(own.integers(len(pool)))]
            return await self._draw(parent, sample, own)

        return await collect(
            draw, n, existing=known.existing, rng=rng, attempts=self.attempts, concurrency=self.concurrency
        )

    def keep(self, parts: list[str], rng: np.random.Generator) -> list[int]:
        """Draw which sentences stay, by position: one for certain, the others with ``share`` each."""
        certain = int(rng.integers(len(parts)))
        chance_K = rng.random(len(parts))
        return [
            row
            for row, part in enumerate(parts)
            if row == certain or chance_K[row] < self.share or "{{" in part
        ]

    async def _draw(self, parent: Candidate, sample: int, rng: np.random.Generator) -> Candidate | None:
        parts = sentences(parent.text)
        plain = bool(rng.random() < self.plain)
        kept = list(range(len(parts))) if plain else self.keep(parts, rng)
        source = parent.text if plain else " ".join(parts[row] for row in kept)
        request = ask(
            (REWORD if plain else VARY).replace("{prompt}", source),
            self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            sample=sample,
            rng=rng,
        )
        answer = await self.model.generate(request)
        text = clean_completion(answer, parent=source)
        if not usable(text, longest=self.longest, parent=source):
            return None
        lineage = Lineage(
            "scenes",
            parents=(parent.id,),
            model=self.model.name,
            detail={
                "temperature": self.temperature,
                "attempt": sample,
                "sentences": [row + 1 for row in kept],
                "plain": plain,
                "cost": answer.cost,
            },
        )
        return Candidate.make(text, lineage=lineage)
