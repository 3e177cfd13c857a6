"""Where a pair of candidates met before, for the choice of the input of the next question."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from palate.types import Pairing

if TYPE_CHECKING:
    from palate.store._columns import VoteColumns

__all__ = ["Meetings"]


class Meetings:
    """What was asked about some inputs before, as far as the next question about a pair depends on it.

    Args:
        pair: Identifiers of two candidates.
        places: Identifiers of inputs.

    Attributes:
        uses: How often each input was asked about.
        together: How often with these two candidates.
        said: By input, hashes of what they answered, by candidate.
    """

    def __init__(self, pair: Sequence[str], places: Iterable[str]) -> None:
        self._pair = set(pair)
        self.uses = dict.fromkeys(places, 0)
        self.together = dict.fromkeys(self.uses, 0)
        self.said: dict[str, dict[str, str]] = {place: {} for place in self.uses}

    def add(self, pairings: Iterable[Pairing]) -> "Meetings":
        """Take questions in, one by one."""
        for pairing in pairings:
            place = pairing.input_id
            if place not in self.uses:
                continue
            self.uses[place] += 1
            self.together[place] += {pairing.first, pairing.second} == self._pair
            shown = {pairing.first: pairing.first_response, pairing.second: pairing.second_response}
            self.said[place] |= {c: shown[c] for c in shown if c in self._pair and shown[c]}
        return self

    def add_votes(self, votes: "VoteColumns") -> "Meetings":
        """Take votes in, all at once: each counts as one question."""
        table, places, answers = votes.table_M, votes.inputs, votes.answers
        count_I: list[int] = np.bincount(table["input"], minlength=len(places)).tolist()
        for place, count in zip(places, count_I, strict=True):
            if place in self.uses:
                self.uses[place] += count
        met_M = np.ones(len(votes), np.bool_)
        for name in self._pair:
            code = votes.candidates.index(name) if name in votes.candidates else -1
            left_M, right_M = table["left"] == code, table["right"] == code
            met_M &= left_M | right_M
            for side, shown_M in (("left_answer", left_M), ("right_answer", right_M)):
                shown: list[tuple[int, int]] = table[["input", side]][shown_M].tolist()
                for number, answer in dict(shown).items():
                    if places[number] in self.said and answers[answer]:
                        self.said[places[number]][name] = answers[answer]
        met: list[int] = table["input"][met_M].tolist()
        for place in (places[number] for number in met):
            if place in self.uses:
                self.together[place] += 1
        return self
