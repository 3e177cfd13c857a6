"""What the votes say of those who gave them, and of the winner: for ``palate statistics``."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from palate.statistics import RaterQuality, Trust
    from palate.store import Store, StudyState
    from palate.types import Belief, Json

__all__ = ["NOT_JUDGED", "Judged", "judged"]

NOT_JUDGED: "Mapping[str, Json]" = {"trust": None, "raters": None, "promotion": None}
"""The same as data where nobody has looked."""


class Judged(NamedTuple):
    """What every single vote had to be looked at for."""

    state: "StudyState"
    belief: "Belief | None"
    trust: "Trust"
    quality: "tuple[RaterQuality, ...]"
    names: Mapping[str, str]

    def to_json(self) -> "dict[str, Json]":
        """All of it as data."""
        from palate.command._summary import promotion_json
        from palate.statistics import plain

        promoted = promotion_json(self.state, self.belief)
        return {"trust": self.trust.to_json(), "raters": plain(self.quality), "promotion": promoted}

    def lines(self, texts: Mapping[str, str]) -> Iterator[str]:
        """All of it for a terminal.

        Args:
            texts: The candidates' texts, by identifier.
        """
        from palate.command._raters import quality_lines
        from palate.command._summary import promotion_words
        from palate.command._trust import trust_lines

        yield from trust_lines(self.trust, texts)
        promoted = promotion_words(self.state, self.belief)
        if promoted:
            yield f"winner     {promoted}"
        if len(self.quality) > 1 or self.state.checks:
            yield "raters"
            yield from (f"    {line}" for line in quality_lines(self.quality, self.names))


def judged(state: "StudyState", store: "Store") -> Judged:
    """Look at every vote.

    Args:
        state: The study.
        store: Where its answers are.
    """
    from palate.statistics import rater_quality, study_trust

    belief = store.belief()
    trust = study_trust(state, store.get_response)
    return Judged(state, belief, trust, rater_quality(state, belief), store.rater_names())
