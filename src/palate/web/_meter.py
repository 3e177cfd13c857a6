"""Figures of the running page, as numbers only: no text, no name, no address.

Written in the text format of Prometheus (version 0.0.4): a line for what a figure means, a line for its
type, and its values. The format is a few lines of text, so no library is needed for it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from palate.operations import VOTE_SECONDS, Counted, Histogram

__all__ = ["Meter", "gauge", "histogram"]


class Meter:
    """Counts votes, their times and refusals. Used from one thread, that of the server's loop."""

    def __init__(self) -> None:
        self._refused: Counter[str] = Counter()
        self._votes: Counter[str] = Counter()
        self._seconds = Histogram(VOTE_SECONDS)

    def vote(self, outcome: str, seconds: float) -> None:
        """Count a vote that was answered.

        Args:
            outcome: ``"taken"``, ``"replayed"`` or ``"refused"``.
            seconds: From the whole request to the answer.
        """
        self._votes[outcome] += 1
        self._seconds.add(seconds)

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
        seconds = self._seconds.counted()
        return [
            *_block("palate_votes_total", "counter", "Votes answered since the server's start.", votes),
            *_block("palate_refused_total", "counter", "Requests refused, by reason.", refused),
            *histogram("palate_vote_seconds", "Time from a whole vote to its answer.", seconds),
        ]


def gauge(name: str, about: str, value: float | None, labels: str = "") -> Sequence[str]:
    """A figure that goes up and down; no line at all where it is not known, since unknown is not 0."""
    return () if value is None else _block(name, "gauge", about, [(labels, value)])


def histogram(name: str, about: str, seconds: Counted) -> Sequence[str]:
    """Times by size."""
    slots = [
        f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else bound}"}} {count}'
        for bound, count in seconds.up_to
    ]
    return [
        f"# HELP {name} {about}",
        f"# TYPE {name} histogram",
        *slots,
        f"{name}_sum {seconds.total:.6f}",
        f"{name}_count {seconds.up_to[-1][1]}",
    ]


def _block(name: str, kind: str, about: str, values: Iterable[tuple[str, float]]) -> list[str]:
    return [
        f"# HELP {name} {about}",
        f"# TYPE {name} {kind}",
        *(f"{name}{labels} {value:.10g}" for labels, value in values),
    ]
