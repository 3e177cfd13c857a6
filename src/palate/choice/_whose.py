"""Whose a vote is, and what it may be used for: a machine's, a person's, a person's that is kept back.

As soon as a machine has voted in a study, every fifth question to people is kept out of learning. Which
ones is settled by the hash of the question's identifier, long before anybody votes on it: those votes are
the only ones that no judge can have talked the learner into, and a winner is confirmed by them alone.
"""

from collections.abc import Iterable

from palate.types import HELD_OUT, Verdict, Vote, is_held_out

__all__ = ["HELD_OUT", "HeldOut", "held_out_votes", "is_held_out", "is_machine"]

_KINDS = frozenset({"simulated", "language-model", "rules", "mixture", "majority", "cascade", "owa"})


def is_machine(judge: str | None) -> bool:
    """Whether a judge of this name is a machine: a kind of judge, or a kind and a name with a colon between.

    Everybody else is taken for a person, those without a name too.

    Example:
        >>> [is_machine(name) for name in ("me", "anna", "judge:gpt", "rules:house style", "simulated", None)]
        [False, False, True, True, True, False]
    """
    return judge is not None and (":" in judge or judge in _KINDS)


class HeldOut:
    """The rule, vote by vote in their order."""

    def __init__(self) -> None:
        self._machines = False

    def applies(self, judge: str, verdict: Verdict) -> bool:
        """Whether the next vote is kept out of learning if :func:`is_held_out` says so of its question."""
        if is_machine(judge):
            self._machines = self._machines or verdict.teaches
            return False
        return self._machines


def held_out_votes(votes: Iterable[Vote]) -> frozenset[int]:
    """The votes that are kept out of learning, by their place among the events.

    Args:
        votes: Those of one study that stand, in order.
    """
    rule = HeldOut()
    return frozenset(
        vote.seq for vote in votes if rule.applies(vote.judge, vote.verdict) and is_held_out(vote.pairing_id)
    )
