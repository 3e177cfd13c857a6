"""Figures of the running page, as numbers only: no text, no name, no address.

Written in the text format of Prometheus (version 0.0.4): a line for what a figure means, a line for its
type, and its values. The format is a few lines of text, so no library is needed for it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

__all__ = ["BUCKETS", "Meter", "gauge"]

# Seconds; 50 ms is what a vote may take at most in 99 of 100 cases.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """Counts votes, their times and refusals. Used from one thread, that of the server's loop."""

    def __init__(self) -> None:
        self._refused: Counter[str] = Counter()
        self._votes: Counter[str] = Counter()
        self._slots = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0
        self._open: Counter[str] = Counter()

    def vote(self, outcome: str, seconds: float) -> None:
        """Count a vote that was answered.

        Args:
            outcome: ``"taken"``, ``"replayed"`` or ``"refused"``.
            seconds: From the whole request to the answer.
        """
        self._votes[outcome] += 1
        self._slots[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def refused(self, reason: str) -> None:
        """Count a request that was refused."""
        self._refused[reason] += 1

    @property
    def refusals(self) -> Mapping[str, int]:
        """How many requests were refused, by reason, the commonest first."""
        return dict(self._refused.most_common())

    def lines(self) -> list[str]:
        """The figures in Prometheus' text format."""
        outcomes = ("taken", "replayed", "refused")
        votes = [(f'{{outcome="{name}"}}', self._votes[name]) for name in outcomes]
        refused = [(f'{{reason="{name}"}}', count) for name, count in sorted(self._refused.items())]
        total = sum(self._slots)
        bounds = [*map(str, BUCKETS), "+Inf"]
        slots = [
            f'palate_vote_seconds_bucket{{le="{bound}"}} {count}'
            for bound, count in zip(bounds, accumulate(self._slots), strict=True)
        ]
        return [
            *_block("palate_votes_total", "counter", "Votes answered since the server's start.", votes),
            *_block("palate_refused_total", "counter", "Requests refused, by reason.", refused),
            "# HELP palate_vote_seconds Time from a whole vote to its answer.",
            "# TYPE palate_vote_seconds histogram",
            *slots,
            f"palate_vote_seconds_sum {self._sum:.6f}",
            f"palate_vote_seconds_count {total}",
        ]


def gauge(name: str, about: str, value: float | None, labels: str = "") -> Sequence[str]:
    """A figure that goes up and down; no line at all where it is not known, since unknown is not 0."""
    return () if value is None else _block(name, "gauge", about, [(labels, value)])


def _block(name: str, kind: str, about: str, values: Iterable[tuple[str, float]]) -> list[str]:
    return [
        f"# HELP {name} {about}",
        f"# TYPE {name} {kind}",
        *(f"{name}{labels} {value:.10g}" for labels, value in values),
    ]
