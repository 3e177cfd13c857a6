"""LEO on prompts: what the model is shown of the pools, and the prompts that it wrote.

In place of rows of numbers an answer holds prompts between ``<prompt>`` and ``</prompt>``; an answer without
these marks is read as a numbered list, or as one prompt if one was asked for. What is no prompt is malformed.
The noise that keeps a model from echoing numbers has no counterpart here; echoes are refused instead.
"""

import re
from dataclasses import dataclass
from typing import final

from palate.proposers._clean import clean, usable
from palate.proposers._leo_belief import BelievedPools, Part
from palate.types import Candidate, Completion, Json

__all__ = ["TextForm", "read_prompts"]

_MARKED = re.compile(r"<prompt>(.*?)(?:</prompt>|(?=<prompt>)|\Z)", re.DOTALL | re.I)
_LISTED = re.compile(r"^\s*\d+\s*[.):]\s+(.+)$", re.M)
_ROLE = "You improve prompts for a language model, so that people prefer what it answers."
_FORMAT = (
    "Keep everything between double braces as it is. Write each prompt between <prompt> and </prompt>, and "
    "write nothing else."
)


@final
@dataclass(frozen=True, slots=True)
class TextForm:
    """Asks for prompts and reads them; ``longest`` is the most characters that one may have."""

    longest: int

    def write(self, part: Part, pools: BelievedPools, rows: int) -> str:
        """Word the request of one pool."""
        many = f"{rows} new prompts" if rows > 1 else "1 new prompt"
        if part == "exploit":
            shown = _shown(pools.leader, pools.leader_loss)
            return (
                f"{_ROLE} This is the best prompt so far:\n\n{shown}\n\nWrite exactly {many} for the same "
                "task, close to this one but different: small changes that could be preferred to it. "
                f"{_FORMAT}"
            )
        losses = pools.loss_N or (None,) * len(pools.explore)
        shown = "\n\n".join(_shown(c, loss) for c, loss in zip(pools.explore, losses, strict=True))
        return (
            f"{_ROLE} These are prompts for one task, the best first:\n\n{shown}\n\nThink about what the "
            f"good ones share and what none of them has tried. Then write exactly {many} for the same task, "
            f"completely different from the ones above{' and from each other' if rows > 1 else ''}. {_FORMAT}"
        )

    def read(
        self, part: Part, pools: BelievedPools, answer: Completion, rows: int
    ) -> list[tuple[str, dict[str, Json]] | None]:
        """Texts and parts of the prompts in an answer, ``None`` for each malformed one."""
        parent = pools.leader if part == "exploit" else pools.explore[0]
        if answer.finish == "refused":
            return [None] * rows
        cleaned = [clean(text, parent=parent.text) for text in read_prompts(answer, rows)]
        good = [text if usable(text, longest=self.longest, parent=parent.text) else None for text in cleaned]
        read = [None if text is None else (text, dict(parent.parts)) for text in good]
        return [*read, *[None] * (rows - len(read))]


def read_prompts(answer: Completion, rows: int) -> list[str]:
    """Split an answer into at most ``rows`` prompts; the last one is left out if it was cut off."""
    marked = _MARKED.findall(answer.text)
    listed = _LISTED.findall(answer.text)
    found = marked or listed or ([answer.text] if rows == 1 else [])
    whole = answer.finish != "length" or (marked and answer.text.rstrip().endswith("</prompt>"))
    return (found if whole else found[:-1])[:rows]


def _shown(candidate: Candidate, loss: float | None) -> str:
    text = f"<prompt>{candidate.text}</prompt>"
    return (
        text if loss is None else f"{text}\nPreferred to the original in {100 * (1 - loss):.0f} of 100 cases."
    )
