"""Everything that a learner was told, one verdict after the other, and the columns that strategies read.

The columns grow with each verdict that teaches and are never written twice, so that the history of a study
is at hand after every vote without going through the earlier ones again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.choice import is_machine, outcome
from palate.strategies._protocol import History, Pair
from palate.types import Verdict

__all__ = ["STRENGTHS", "Tellings", "Told"]

STRENGTHS = ("slightly", "clearly", "much")
_FIRST_ROOM = 64
_DTYPES = {"outcome_M": np.float64, "bad_M": np.bool_, "machine_M": np.bool_, "passed_M": np.object_}


@dataclass(frozen=True)
class Told:
    """One verdict as it was told."""

    first: int
    second: int
    verdict: Verdict
    input_id: str | None
    judge: str | None
    response_features: tuple[tuple[float, ...], tuple[float, ...]] | None
    strength: str | None
    answers: Pair  # places among the known responses, -1 where not known


class Tellings:
    """The verdicts in the order in which they came."""

    def __init__(self) -> None:
        self._all: list[Told] = []
        self._votes = 0
        self._column: dict[str, NDArray[Any]] = {
            column.name: np.empty(_FIRST_ROOM, dtype=_DTYPES.get(column.name, np.int64))
            for column in fields(History)
        }
        self._judges: dict[str | None, int] = {}
        self._inputs: dict[str | None, int] = {}
        self._passed: dict[str | None, list[Pair]] = {}  # by each judge since the last vote that taught

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Told]:
        return iter(self._all)

    @property
    def votes(self) -> int:
        """How many verdicts taught something; ``skip`` and ``failed`` are not among them."""
        return self._votes

    @property
    def history(self) -> History:
        """Those, as arrays."""
        return History(**{name: self._upto(column) for name, column in self._column.items()})

    def append(self, told: Told) -> None:
        """Enter one more."""
        self._all.append(told)
        if (said := outcome(told.verdict)) is not None:
            self._enter(told, said)
        elif told.verdict is Verdict.SKIP:
            self._passed.setdefault(told.judge, []).append((told.first, told.second))

    def _enter(self, told: Told, said: float) -> None:
        row, column = self._votes, self._column
        if row == len(column["outcome_M"]):
            column = {name: np.concatenate([old, np.empty_like(old)]) for name, old in column.items()}
            self._column = column
        column["first_M"][row], column["second_M"][row] = told.first, told.second
        column["outcome_M"][row] = said
        column["bad_M"][row] = told.verdict is Verdict.BOTH_BAD
        column["strength_M"][row] = 0 if told.strength is None else 1 + STRENGTHS.index(told.strength)
        column["judge_M"][row] = self._judges.setdefault(told.judge, len(self._judges))
        column["input_M"][row] = self._inputs.setdefault(told.input_id, len(self._inputs))
        column["first_answer_M"][row], column["second_answer_M"][row] = told.answers
        column["machine_M"][row] = is_machine(told.judge)
        column["passed_M"][row] = tuple(self._passed.pop(told.judge, ()))
        self._votes += 1

    def _upto(self, column: NDArray[Any]) -> NDArray[Any]:
        seen = column[: self._votes]
        seen.setflags(write=False)
        return seen
