"""Critique: why a prompt lost its duels, in words, and prompts that mend it (ProTeGi's textual gradients).

One step expands each prompt p of a beam of the 4 best:

1. *gradients*: for each group of at most 4 of p's errors the model gives a reason why p failed;
2. *edits*: for each reason, p is rewritten so that the reason no longer holds;
3. *Monte Carlo successors*: 2 variations of each edit, and of p itself, keep the meaning in other words;
4. at most 8 successors of p are kept.

The next beam is chosen among the old beam and all successors by a bandit.

Source: Pryzant et al., "Automatic prompt optimization with gradient descent and beam search", arXiv
2305.03495, section 2, and its released code (beam 4, 4 gradients of 4 errors with 1 reason each, 1 edit a
reason, 2 successors, expansion 8).

What differs: an error is not a wrong label but a duel that p lost or in which both answers were bad, with the
answer that people preferred and with the rater's own comment: the latest duels stand in for the minibatch.
The bandit is the study: beam and successors are candidates like any other, the beam of the next step is read
off the belief. So *reject_on_errors*, which throws out successors by a score on the errors before they are
tried, is left out. A successor is asked for when a study wants one, beam and gradient groups taking turns,
instead of 4 x 8 at once. A prompt with no lost duels is criticised as it stands. The wording is ours.
"""

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np

from palate.errors import ConfigError
from palate.proposers._draw import check_options, starting_prompt
from palate.proposers._feedback import against, tell
from palate.proposers._written import ANSWER, Writer
from palate.types import Candidate, Json, Known, Model

__all__ = ["Critique"]

GRADIENT = (
    "A language model follows this prompt:\n{prompt}\n\n"
    "People compared its answers with others and were not content with these:\n{duels}\n\n"
    "Give one reason, in at most three sentences, why the prompt leads to such answers: what it fails to ask "
    "for, or asks for wrongly. Take people's comments into account. Write the reason only."
)
PLAIN_GRADIENT = (
    "A language model follows this prompt:\n{prompt}\n\n{cases}\n\n"
    "Give one reason, in at most three sentences, why people may not be content with its answers: what the "
    "prompt fails to ask for, or asks for wrongly. Write the reason only."
)
EDIT = (
    "A language model follows this prompt:\n{prompt}\n\n"
    "This is what is wrong with it:\n{reason}\n\n"
    f"Write an improved prompt for the same task, in which this is put right. {ANSWER}"
)
VARY = f"Write a variation of the following prompt that keeps its meaning.\n{{prompt}}\n\n{ANSWER}"

_MINIBATCH = 64  # the latest votes of the study that errors are looked for in
_LONGEST_REASON = 1000


class _Edit(NamedTuple):
    text: str
    reason: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Critique:
    """Makes prompts by finding reasons for lost duels, mending them, and varying what was mended.

    Raters' comments are part of the request, so they go to whoever runs ``model``.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2].
        beam: How many of the likeliest winners are criticised in turns; 4 as published.
        errors: Most lost duels shown for one reason; 4 as published.
        gradients: Groups of errors, and so reasons, for each prompt of the beam in one step; 4 as published.
        successors: Variations of each edit; 2 as published, 0 for edits only.
        expansion: Most successors of one prompt in one step; 8 as published.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 0.7
    beam: int = 4
    errors: int = 4
    gradients: int = 4
    successors: int = 2
    expansion: int = 8
    max_tokens: int = 512
    longest: int = 4000
    attempts: int = 4
    concurrency: int = 8
    writer: Writer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_options(beam=self.beam, errors=self.errors, gradients=self.gradients, expansion=self.expansion)
        if self.successors < 0:
            raise ConfigError(f"successors is {self.successors!r}; it is at least 0")
        object.__setattr__(self, "writer", Writer.of(self))

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            ConfigError: There is no prompt to start from.
            BudgetError: A call could have exceeded the budget.
        """
        starting_prompt(known.existing, "critique")
        beam = known.ranked()[: self.beam]
        slots = self._slots(rng)
        cycle = len(beam) * len(slots)
        edits: dict[tuple[int, int, int], asyncio.Task[_Edit | None]] = {}

        async def mended(turn: int, member: int, group: int) -> _Edit | None:
            # Variations of one edit share it: it is asked for once, by whichever draw comes first.
            key = (turn, member, group)
            if key not in edits:
                own = np.random.default_rng([turn, member, group])
                number = turn * cycle + group * len(beam) + member
                edits[key] = asyncio.ensure_future(self._mend(beam[member], known, number, own))
            try:
                return await edits[key]
            except Exception:
                edits.pop(key, None)  # so that a later draw asks again
                raise

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            turn, place = divmod(sample, cycle)
            member, slot = place % len(beam), slots[place // len(beam)]
            parent, detail = beam[member], dict[str, Json](attempt=sample)
            edit: _Edit | None = _Edit(parent.text, "")
            if slot.group is not None:
                edit = await mended(turn, member, slot.group)
                detail["reason"] = "" if edit is None else edit.reason
            text = None if edit is None else edit.text
            if edit is not None and slot.varied:
                text = await self.writer.write(VARY, {"prompt": edit.text}, [parent], sample, own)
                detail["varied"] = True
            return self.writer.candidate("critique", text, [parent], detail) if text else None

        return await self.writer.collect(draw, n, known=known, rng=rng)

    def _slots(self, rng: np.random.Generator) -> list["_Slot"]:
        """The successors of one prompt, as many as are kept, in a random order."""
        every = [_Slot(group, varied=False) for group in range(self.gradients)]
        every += [
            _Slot(group, varied=True)
            for group in (*range(self.gradients), None)
            for _ in range(self.successors)
        ]
        return [every[int(k)] for k in rng.permutation(len(every))[: self.expansion]]

    async def _mend(
        self, parent: Candidate, known: Known, number: int, rng: np.random.Generator
    ) -> _Edit | None:
        """A reason why the parent failed on a group of its errors, and the prompt without that fault."""
        lost = against(parent, known.comparisons[-_MINIBATCH:]) or against(parent, known.comparisons)
        chosen = [lost[int(k)] for k in rng.permutation(len(lost))[: self.errors]]
        if chosen:
            duels = "\n\n".join(f"{k}.\n{tell(parent, c)}" for k, c in enumerate(chosen, start=1))
            texts, request = {"prompt": parent.text, "duels": duels}, GRADIENT
        else:
            texts, request = {"prompt": parent.text, "cases": _cases(known, rng, self.errors)}, PLAIN_GRADIENT
        said = await self.writer.say(request, texts, number, rng)
        reason = " ".join(said.text.split())[:_LONGEST_REASON]
        if not reason or said.finish == "refused":
            return None
        text = await self.writer.write(EDIT, {"prompt": parent.text, "reason": reason}, [parent], number, rng)
        return _Edit(text, reason) if text else None


class _Slot(NamedTuple):
    """One successor: the edit of a group of errors or, without a group, the prompt itself; varied or not."""

    group: int | None
    varied: bool


def _cases(known: Known, rng: np.random.Generator, most: int) -> str:
    """What is known of the task before any duel was lost."""
    pool = [f"Input: {e.input}\nWanted output: {e.output}" for e in known.examples]
    pool = pool or [f"Input: {item.text}" for item in known.inputs] or ["(no case of the task is known)"]
    return "\n\n".join(pool[int(k)] for k in rng.permutation(len(pool))[:most])
