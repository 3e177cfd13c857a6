"""Random pairs, reporting the winner of the last duel: the weak baseline of the APOHF study.

Source: the random search that arXiv 2405.17346 compares with, as its released code does it. It has no memory
and no model, so its belief stays flat whatever people say; a tie leaves the report as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from palate.choice import Gaussian
from palate.strategies._protocol import History, Pair, random_pair
from palate.types import Array

__all__ = ["RandomMemoryless", "random_memoryless"]


@dataclass(frozen=True)
class RandomMemoryless:
    """The strategy; it has no options."""

    @property
    def calibrated(self) -> bool:
        """There is no belief at all."""
        return False

    def prepare(self, feature_ND: Array) -> int:
        """Only the number of candidates matters."""
        return len(feature_ND)

    def fit(self, prepared: int, history: History) -> Gaussian:
        """A flat belief: zero means, unit variances, centred."""
        return Gaussian(np.zeros(prepared), np.eye(prepared) - 1.0 / prepared)

    def choose(
        self, fitted: Gaussian, history: History, open_pairs: Sequence[Pair], rng: np.random.Generator
    ) -> Pair:
        """Any pair that is not open, with equal probability."""
        return random_pair(len(fitted.mean_N), open_pairs, rng)

    def report(self, history: History, fitted: Callable[[History], Gaussian]) -> int:
        """The winner of the last duel that had one; the first candidate before any."""
        decided_K = np.flatnonzero(history.outcome_M != 0.5)
        if len(decided_K) == 0:
            return 0
        last = int(decided_K[-1])
        return int((history.first_M if history.outcome_M[last] > 0.5 else history.second_M)[last])

    def belief(self, fitted: Gaussian) -> Gaussian:
        """Flat, always."""
        return fitted


def random_memoryless() -> RandomMemoryless:
    """Make the baseline."""
    return RandomMemoryless()
