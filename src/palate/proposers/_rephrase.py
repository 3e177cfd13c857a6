"""Rephrase: ask a model for other wordings of a prompt.

Every draw asks for one other wording of a parent, at ``temperature``; draws go on until there are ``n``
distinct prompts. The parent is the study's seed prompt, as published, or any candidate that exists.

Source: Lin et al., "Prompt Optimization with Human Feedback", arXiv 2405.17346, and its released code
(candidate generation by rephrasing; temperature 1, and 1.5 for tasks whose wordings collapse).

Left out: as in :mod:`palate.proposers._induction`. The wording of the request is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from palate.errors import ConfigError
from palate.proposers._clean import clean_completion, usable
from palate.proposers._draw import ask, check_options, collect, demonstrations_part, starting_prompt
from palate.types import Candidate, Example, Known, Lineage, Model

__all__ = ["REWORD", "Rephrase"]

REWORD = (
    "Write the following instruction in other words. Keep what it asks for, and keep everything between "
    "double braces as it is. Answer with the new instruction only.\n\n"
    "Instruction: {prompt}\n\n"
    "New instruction:"
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rephrase:
    """Makes prompts by rewording one that exists.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2]; 1 as published.
        parents: ``"seed"`` always rewords the seed prompt, ``"any"`` a candidate drawn for each draw.
        demonstrations: Distinct examples attached to each candidate; with 0 the parent's own are kept.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 1.0
    parents: Literal["seed", "any"] = "seed"
    demonstrations: int = 0
    max_tokens: int = 512
    longest: int = 4000
    attempts: int = 4
    concurrency: int = 8

    def __post_init__(self) -> None:
        if self.parents not in ("seed", "any"):
            raise ConfigError(f"parents is {self.parents!r}; it is 'seed' or 'any'")
        check_options(
            temperature=self.temperature,
            demonstrations=self.demonstrations,
            max_tokens=self.max_tokens,
            longest=self.longest,
            attempts=self.attempts,
            concurrency=self.concurrency,
        )

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            ConfigError: There is no prompt to reword, or too few examples for the demonstrations.
            BudgetError: A call could have exceeded the budget.
        """
        examples = known.examples
        seed = starting_prompt(known.existing, "rephrase")
        if len(examples) < self.demonstrations:
            demonstrations_part(examples, self.demonstrations, rng)
        pool = tuple(known.existing) if self.parents == "any" else (seed,)

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            parent = pool[int(own.integers(len(pool)))]
            return await self._draw(parent, sample, own, examples)

        return await collect(
            draw, n, existing=known.existing, rng=rng, attempts=self.attempts, concurrency=self.concurrency
        )

    async def _draw(
        self, parent: Candidate, sample: int, rng: np.random.Generator, examples: Sequence[Example]
    ) -> Candidate | None:
        request = ask(
            REWORD.replace("{prompt}", parent.text),
            self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            sample=sample,
            rng=rng,
        )
        text = clean_completion(await self.model.generate(request), parent=parent.text)
        if not usable(text, longest=self.longest, parent=parent.text):
            return None
        parts = (
            demonstrations_part(examples, self.demonstrations, rng) if self.demonstrations else parent.parts
        )
        lineage = Lineage(
            "rephrase",
            parents=(parent.id,),
            model=self.model.name,
            detail={"temperature": self.temperature, "attempt": sample},
        )
        return Candidate.make(text, parts=parts, lineage=lineage)
