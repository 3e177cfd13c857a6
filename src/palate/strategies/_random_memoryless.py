"""Random pairs, reporting the winner of the last duel: the weak baseline of the APOHF study.

Source: the random search that arXiv 2405.17346 compares with, as its released code does it. It has no memory
and no model, so its belief stays flat whatever people say; a tie leaves the report as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from palate.choice import Gaussian
from palate.strategies._protocol import History, Pair, Pool, random_pair
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

    def choose(self, fitted: Gaussian, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """Any pair that is not open, with equal probability."""
        return random_pair(pool, rng)

    def report(self, history: History, fitted: Callable[[History], Gaussian], pool: Pool) -> int:
        """The winner of the last duel that had one and still takes part; the first candidate before any."""
        winner_M = np.where(history.outcome_M > 0.5, history.first_M, history.second_M)
        winner_K = winner_M[history.outcome_M != 0.5]
        live_K = winner_K[pool.live_N[winner_K]]
        return int(live_K[-1]) if len(live_K) else int(pool.live_N.argmax())

    def belief(self, fitted: Gaussian) -> Gaussian:
        """Flat, always."""
        return fitted


def random_memoryless() -> RandomMemoryless:
    """Make the baseline."""
    return RandomMemoryless()
