"""How long something takes, counted into buckets as Prometheus wants them."""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

__all__ = ["FIT_SECONDS", "VOTE_SECONDS", "Counted", "Histogram"]

VOTE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for votes: 50 ms is what one may take at most in 99 of 100 cases."""

FIT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds for the learner's work."""


class Counted(NamedTuple):
    """What a histogram holds at one moment.

    Args:
        up_to: Each bound with the number of values that were not above it; the last bound is infinite.
        total: The sum of all values.
    """

    up_to: tuple[tuple[float, int], ...]
    total: float


class Histogram:
    """Counts values by size. Safe to use from several threads.

    Args:
        bounds: Upper bounds of the buckets, rising; values above the last have a bucket of their own.

    Example:
        >>> seconds = Histogram((0.1, 1.0))
        >>> for value in (0.1, 0.5, 3.0): seconds.add(value)
        >>> seconds.counted()
        Counted(up_to=((0.1, 1), (1.0, 2), (inf, 3)), total=3.6)
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._slots = [0] * (len(self._bounds) + 1)
        self._total = 0.0
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        """Count a value."""
        with self._lock:
            self._slots[bisect_left(self._bounds, value)] += 1
            self._total += value

    def counted(self) -> Counted:
        """What was counted so far."""
        with self._lock:
            slots, total = list(self._slots), self._total
        return Counted(tuple(zip((*self._bounds, float("inf")), accumulate(slots), strict=True)), total)
