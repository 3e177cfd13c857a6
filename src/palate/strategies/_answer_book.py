"""The known responses of one study, as they are told to a learner."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.errors import InputError
from palate.strategies._answers import Answers
from palate.types import Json

__all__ = ["AnswerBook"]

Feature = tuple[float, ...]


class _Known(NamedTuple):
    row: int
    input_id: str
    feature: Feature
    votes: int
    after: int | None


class AnswerBook:
    """Responses in the order in which they became known; the same one is entered once."""

    def __init__(self) -> None:
        self._known: list[_Known] = []
        self._place: dict[tuple[int, str, Feature], int] = {}
        self._latest: dict[tuple[int, str], int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, row: int, input_id: str, feature: ArrayLike, votes: int, after: int | None = None) -> None:
        """Enter one response.

        Args:
            row: Whose it is.
            input_id: To which input.
            feature: ``(F,)`` finite numbers, as many as those of the others.
            votes: How many votes had been told.
            after: How many verdicts of any kind; ``None`` for a response that came with a verdict.

        Raises:
            InputError: The features are not such numbers.
        """
        value_F = np.asarray(feature, dtype=np.float64)
        if value_F.ndim != 1 or len(value_F) == 0 or not np.isfinite(value_F).all():
            raise InputError(
                f"a response's features must be a row of finite numbers, not of shape {value_F.shape}"
            )
        if self._known and len(self._known[0].feature) != len(value_F):
            raise InputError(
                f"a response's features must be {len(self._known[0].feature)} numbers, like those of the "
                f"others, not {len(value_F)}"
            )
        said: Feature = tuple(value_F.tolist())
        place = self._place.setdefault((row, input_id, said), len(self._known))
        if place == len(self._known):
            self._known.append(_Known(row, input_id, said, votes, after))
        self._latest[row, input_id] = place

    def latest(self, row: int, input_id: str | None) -> int:
        """Where a candidate's latest response to an input stands, -1 if none is known."""
        return -1 if input_id is None else self._latest.get((row, input_id), -1)

    def same(self, one: int, other: int) -> bool:
        """Whether two known responses are equal."""
        return self._known[one].feature == self._known[other].feature

    def known_at(self, votes: int) -> int:
        """How many were known when so many votes had been told."""
        return sum(known.votes <= votes for known in self._known)

    def answers(self, count: int) -> Answers:
        """The first ones, as arrays."""
        known = self._known[:count]
        code = {name: k for k, name in enumerate(dict.fromkeys(entry.input_id for entry in known))}
        row_R: NDArray[np.int64] = np.array([entry.row for entry in known], dtype=np.int64)
        input_R: NDArray[np.int64] = np.array([code[entry.input_id] for entry in known], dtype=np.int64)
        return Answers(row_R, input_R, np.array([entry.feature for entry in known], dtype=np.float64))

    def to_json(self) -> list[Json]:
        """Those that did not come with a verdict."""
        return [
            {
                "row": known.row,
                "input_id": known.input_id,
                "feature": list(known.feature),
                "after": known.after,
            }
            for known in self._known
            if known.after is not None
        ]
