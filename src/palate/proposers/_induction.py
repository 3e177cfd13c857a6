"""Induction: show a model some examples and ask which instruction was followed.

For every draw: ``exemplars`` examples are drawn anew without replacement, written as ``Input: …`` and
``Output: …``, and one completion at ``temperature`` says what the instruction was. Draws go on until
there are ``n`` distinct prompts. Where the outputs collapse to a few strings, ``two_step`` draws at
temperature 1 and then asks, at temperature 1, for another wording of what was drawn.

Source: Lin et al., "Prompt Optimization with Human Feedback", arXiv 2405.17346, and its released code
(candidate generation of the instruction tasks), which follows Zhou et al., arXiv 2211.01910.

Left out: the published code repeats draws without end and fixes the endpoint's seed; here draws are
bounded and each has a seed of its own. The wording of the request is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from palate.errors import ConfigError
from palate.proposers._clean import clean_completion, likeness, placeholder_tail, usable
from palate.proposers._draw import ask, check_options, collect, demonstrations_part, seed_of
from palate.proposers._rephrase import REWORD
from palate.types import Candidate, Example, Json, Known, Lineage, Model

__all__ = ["Induction"]

_QUESTION = (
    "Somebody was given an instruction and followed it for each of these inputs.\n\n"
    "{pairs}\n\n"
    "What was the instruction? Answer with the instruction only, as one short command that fits any input."
)
_TWO_STEP_TEMPERATURE = 1.0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Induction:
    """Makes prompts from input–output examples.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2]; 0.5 as published.
        exemplars: Examples shown in each draw; all of them if there are fewer.
        two_step: Draw at temperature 1, then reword at temperature 1, for tasks whose draws collapse.
        demonstrations: Distinct examples that are attached to each candidate.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 0.5
    exemplars: int = 5
    two_step: bool = False
    demonstrations: int = 0
    max_tokens: int = 128
    longest: int = 1000
    attempts: int = 4
    concurrency: int = 8

    def __post_init__(self) -> None:
        check_options(
            temperature=self.temperature,
            exemplars=self.exemplars,
            demonstrations=self.demonstrations,
            max_tokens=self.max_tokens,
            longest=self.longest,
            attempts=self.attempts,
            concurrency=self.concurrency,
        )

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        If the seed prompt has placeholders such as ``{{input}}``, they follow the induced instruction,
        after an empty line.

        Raises:
            ConfigError: There are no examples, or fewer than the demonstrations that were asked for.
            BudgetError: A call could have exceeded the budget.
        """
        examples = known.examples
        if not examples:
            raise ConfigError("induction needs examples of inputs and outputs; give some under [examples]")
        if len(examples) < self.demonstrations:
            demonstrations_part(examples, self.demonstrations, rng)
        seed = seed_of(known.existing)
        tail = placeholder_tail(seed.text) if seed else ""

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            return await self._draw(sample, own, examples, tail)

        return await collect(
            draw, n, existing=known.existing, rng=rng, attempts=self.attempts, concurrency=self.concurrency
        )

    async def _draw(
        self, sample: int, rng: np.random.Generator, examples: Sequence[Example], tail: str
    ) -> Candidate | None:
        shown = [int(i) for i in rng.permutation(len(examples))[: self.exemplars]]
        pairs = "\n\n".join(f"Input: {examples[i].input}\nOutput: {examples[i].output}" for i in shown)
        temperature = _TWO_STEP_TEMPERATURE if self.two_step else self.temperature
        # A weak model goes on with the data instead of naming the instruction.
        repeated = frozenset(
            likeness(text) for i in shown for text in (examples[i].input, examples[i].output)
        )
        text = await self._asked(_QUESTION.replace("{pairs}", pairs), temperature, sample, rng, repeated)
        detail: dict[str, Json] = {"temperature": temperature, "attempt": sample, "exemplars": shown}
        if text and self.two_step:
            detail["drawn"] = text
            again = REWORD.replace("{prompt}", text)
            text = await self._asked(again, temperature, sample, rng, repeated)
        if not text:
            return None
        parts = demonstrations_part(examples, self.demonstrations, rng) if self.demonstrations else {}
        lineage = Lineage("induction", model=self.model.name, detail=detail)
        return Candidate.make(text + tail, parts=parts, lineage=lineage)

    async def _asked(
        self,
        question: str,
        temperature: float,
        sample: int,
        rng: np.random.Generator,
        repeated: frozenset[str],
    ) -> str | None:
        request = ask(
            question,
            self.model,
            temperature=temperature,
            max_tokens=self.max_tokens,
            sample=sample,
            rng=rng,
        )
        text = clean_completion(await self.model.generate(request))
        return text if usable(text, longest=self.longest, not_one_of=repeated) else None
