"""OPRO: a language model reads the best prompts so far with their scores, and writes a better one.

The request (meta-prompt) holds

1. the task, and up to 20 of the best prompts with their scores, the lowest first, so that the best stands
   next to the question; prompts below a threshold are left out; scores are whole numbers of 0 to 100;
2. three exemplars drawn at random for each request;
3. the question: a prompt that differs from all of these and has a higher score.

Every prompt that was made is kept. Temperature 1; 8 requests a step.

Source: Yang et al., "Large language models as optimizers", arXiv 2309.03409, section 4, and its released code
(20 pairs, threshold 0.3, 100 buckets, 3 exemplars).

What differs: the score is the believed probability of beating the seed, in per cent, so the seed itself
has 50; before any vote no scores are shown. Exemplars are examples with their wanted outputs if the user
gave some, and inputs without outputs otherwise. The wording of the request is ours. The published code tells
two kinds of models apart by their names and words the request differently; here there is one wording.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from palate.errors import ConfigError
from palate.proposers._draw import check_options, starting_prompt
from palate.proposers._written import ANSWER, Writer
from palate.types import Candidate, Known, Model

__all__ = ["Opro"]

_SCORED = (
    "Below are prompts for one task, each with its score. Scores range from 0 to 100, higher is better; the "
    "prompt in use now has 50. They are in ascending order: the last one is the best.\n\n"
)
_UNSCORED = "Below are prompts for one task.\n\n"
_EXEMPLARS = "Below are some cases of the task.\n\n{cases}\n\n"
_SCORED_END = "Write one new prompt that differs from all prompts above and would have a higher score. "
_UNSCORED_END = "Write one new prompt that differs from all prompts above and would work better. "
_CLOSE = f"It should be concise, effective and fit every case of the task. {ANSWER}"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Opro:
    """Makes prompts by showing a model the best so far, in ascending order, with their scores.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2]; 1 as published.
        shown: Most prompts shown with their scores; 20 as published.
        threshold: Prompts believed to beat the seed less often are left out, in [0, 1]; 0.3 as published.
        exemplars: Cases of the task shown, drawn anew for each request; 3 as published, 0 for none.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time; 8 as published.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 1.0
    shown: int = 20
    threshold: float = 0.3
    exemplars: int = 3
    max_tokens: int = 512
    longest: int = 4000
    attempts: int = 4
    concurrency: int = 8
    writer: Writer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_options(shown=self.shown)
        if not 0.0 <= self.threshold <= 1.0:
            raise ConfigError(f"threshold is {self.threshold!r}; it lies between 0 and 1")
        if self.exemplars < 0:
            raise ConfigError(f"exemplars is {self.exemplars!r}; it is at least 0")
        object.__setattr__(self, "writer", Writer.of(self))

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            ConfigError: There is no prompt to start from.
            BudgetError: A call could have exceeded the budget.
        """
        seed = starting_prompt(known.existing, "opro")
        shown = self.best_last(known) or [seed]

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            request, texts = self.request(shown, known, own)
            text = await self.writer.write(request, texts, [shown[-1]], sample, own)
            detail = {"attempt": sample}
            return self.writer.candidate("opro", text, [*reversed(shown)], detail) if text else None

        return await self.writer.collect(draw, n, known=known, rng=rng)

    def best_last(self, known: Known) -> list[Candidate]:
        """The prompts that the request shows, the best one last."""
        best = known.ranked()[: self.shown]
        if known.standings:
            best = [c for c in best if known.standings[c.id].mean >= self.threshold]
        return best[::-1]

    def request(
        self, shown: Sequence[Candidate], known: Known, rng: np.random.Generator
    ) -> tuple[str, dict[str, str]]:
        """The meta-prompt, and the texts to fill in."""
        texts: dict[str, str] = {}
        pairs: list[str] = []
        for place, candidate in enumerate(shown, start=1):
            texts[f"prompt {place}"] = candidate.text
            standing = known.standings.get(candidate.id)
            score = "" if standing is None else f"\nScore: {round(100 * standing.mean)}"
            pairs.append("{prompt " + str(place) + "}" + score)
        scored = bool(known.standings)
        cases = self._cases(known, rng)
        if cases:
            texts["cases"] = cases
        parts = [
            _SCORED if scored else _UNSCORED,
            "\n\n".join(pairs) + "\n\n",
            _EXEMPLARS if cases else "",
            _SCORED_END if scored else _UNSCORED_END,
            _CLOSE,
        ]
        return "".join(parts), texts

    def _cases(self, known: Known, rng: np.random.Generator) -> str:
        pool = [f"Input: {e.input}\nWanted output: {e.output}" for e in known.examples]
        pool = pool or [f"Input: {item.text}" for item in known.inputs]
        chosen = rng.permutation(len(pool))[: self.exemplars]
        return "\n\n".join(pool[int(k)] for k in chosen)
