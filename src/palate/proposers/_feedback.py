"""What judges said of a candidate, as text for a model that is to write a better one.

A comparison counts against a candidate if it lost, or if both were called bad. Raters' comments are quoted as
they are: they go to whoever runs the proposers' model, see ``docs/how-to/candidates.md``.
"""

from collections.abc import Sequence
from typing import Literal

from palate.kinds import readable
from palate.types import Candidate, Comparison, Verdict

__all__ = ["Outcome", "against", "met", "outcome_for", "tell"]

Outcome = Literal["won", "lost", "tied", "both_bad"]
_WORDS = {
    "won": "People preferred this answer to the other one.",
    "lost": "People preferred the other answer to this one.",
    "tied": "People found both answers equally good.",
    "both_bad": "People found both answers bad.",
}
_LONGEST = 1200  # characters of one answer or input that are quoted


def outcome_for(candidate: Candidate, comparison: Comparison) -> Outcome:
    """How a comparison ended for one of its two candidates."""
    if comparison.verdict is Verdict.BOTH_BAD:
        return "both_bad"
    if comparison.verdict is Verdict.TIE:
        return "tied"
    winner = comparison.left if comparison.verdict is Verdict.LEFT else comparison.right
    return "won" if winner.id == candidate.id else "lost"


def met(candidate: Candidate, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons that a candidate took part in, in their order."""
    return [c for c in comparisons if candidate.id in (c.left.id, c.right.id)]


def against(candidate: Candidate, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons that a candidate lost, or in which both were bad, in their order."""
    return [c for c in met(candidate, comparisons) if outcome_for(candidate, c) in ("lost", "both_bad")]


def tell(candidate: Candidate, comparison: Comparison) -> str:
    """One comparison in words: the input, the answer, what was said of it, and the answer that won."""
    on_left = comparison.left.id == candidate.id
    own, other = comparison.left_response, comparison.right_response
    own, other = (own, other) if on_left else (other, own)
    outcome = outcome_for(candidate, comparison)
    lines = [
        f"Input: {_short(comparison.input.text)}",
        f"Answer: {_short(readable(own))}",
        f"Verdict: {_WORDS[outcome]}",
    ]
    if outcome == "lost":
        lines.append(f"The other answer: {_short(readable(other))}")
    if comparison.comment and comparison.comment.strip():
        which = "left" if on_left else "right"
        lines.append(f"Comment (this answer stood on the {which}): {_short(comparison.comment)}")
    return "\n".join(lines)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
