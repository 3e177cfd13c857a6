"""The seam of strategies: pure functions on frozen values, randomness passed in.

    prepare(features) → prepared        once a study
    fit(prepared, history) → fitted     after votes; a pure function, so a belief can always be rebuilt
    choose(fitted, history, open, rng)  the next pair
    report(history, fitted)             the candidate to use now
    belief(fitted)                      a Gaussian over utilities

A strategy is a small frozen dataclass of options. It holds no votes: :class:`palate.strategies.DuelBandit`
keeps the state and calls it. Array names: ``N`` candidates, ``D`` feature size, ``M`` votes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from palate.choice import Gaussian
from palate.types import Array

__all__ = ["History", "Pair", "Strategy", "allowed_pairs", "random_pair"]

Pair: TypeAlias = tuple[int, int]
PreparedT = TypeVar("PreparedT")
FittedT = TypeVar("FittedT")


@dataclass(frozen=True)
class History:
    """The votes that teach, in the order in which they came.

    Args:
        first_M: Row numbers of the candidates shown on the left.
        second_M: Row numbers of those on the right.
        outcome_M: 1 where left won, 0 where right won, one half for ties.
    """

    first_M: NDArray[np.int64]
    second_M: NDArray[np.int64]
    outcome_M: Array

    def __len__(self) -> int:
        return len(self.outcome_M)

    def until(self, votes: int) -> "History":
        """The first ``votes`` votes."""
        return History(self.first_M[:votes], self.second_M[:votes], self.outcome_M[:votes])

    @property
    def pairs(self) -> list[Pair]:
        """What was asked, as ``(left, right)``."""
        return list(zip(self.first_M.tolist(), self.second_M.tolist(), strict=True))


class Strategy(Protocol[PreparedT, FittedT]):
    """Decides which two to compare next and what to believe of the candidates."""

    @property
    def calibrated(self) -> bool:
        """Whether the belief's uncertainty may be acted upon; without it there is no advice to stop."""
        ...

    def prepare(self, feature_ND: Array) -> PreparedT:
        """Work that needs the features only; ``(N, D)``, finite, N ≥ 2."""
        ...

    def fit(self, prepared: PreparedT, history: History) -> FittedT:
        """Learn from all votes. Pure and deterministic: equal votes give equal bits."""
        ...

    def choose(
        self, fitted: FittedT, history: History, open_pairs: Sequence[Pair], rng: np.random.Generator
    ) -> Pair:
        """Pick two different candidates, avoiding the pairs that wait for an answer while others are left."""
        ...

    def report(self, history: History, fitted: Callable[[History], FittedT]) -> int:
        """The candidate to use now; ``fitted`` gives the model after any prefix of the history."""
        ...

    def belief(self, fitted: FittedT) -> Gaussian:
        """Utilities in log-odds, zero mean over the candidates."""
        ...


def allowed_pairs(size: int, taken: Sequence[Pair]) -> NDArray[np.bool_]:
    """Which pairs ``i < j`` may be asked, as an ``(N, N)`` table.

    Pairs in ``taken`` are left out, whichever side stood where, unless nothing else is left: asking the same
    pair on another input still teaches, asking nothing does not.
    """
    free_NN = np.triu(np.ones((size, size), dtype=np.bool_), k=1)
    everything_NN = free_NN.copy()
    for i, j in taken:
        free_NN[min(i, j), max(i, j)] = False
    return free_NN if free_NN.any() else everything_NN


def random_pair(size: int, taken: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """Draw a pair uniformly among the allowed ones, and its order with a fair coin."""
    choice = rng.choice(np.flatnonzero(allowed_pairs(size, taken)))
    i, j = int(choice) // size, int(choice) % size
    return (i, j) if rng.random() < 0.5 else (j, i)
