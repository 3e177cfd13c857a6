"""Watching a study that runs: events, spans and times, with figures and names and nobody's texts."""

from palate.operations._events import (
    AlarmChanged,
    DuelPrepared,
    Event,
    Failed,
    Fitted,
    Judged,
    ModelCalled,
    RequestServed,
    Started,
    Stopped,
    VoteStored,
    heard,
    kind_of,
    place_of,
    tell,
)
from palate.operations._exporter import exporting_spans, wants_spans
from palate.operations._histogram import FIT_SECONDS, VOTE_SECONDS, Counted, Histogram
from palate.operations._observed import Preparation, fitted, judged, preparing, watch_vote
from palate.operations._sinks import JsonLines, Plain, listening, masked
from palate.operations._spans import Span, past_span, span, traced

__all__ = [
    "FIT_SECONDS",
    "VOTE_SECONDS",
    "AlarmChanged",
    "Counted",
    "DuelPrepared",
    "Event",
    "Failed",
    "Fitted",
    "Histogram",
    "JsonLines",
    "Judged",
    "ModelCalled",
    "Plain",
    "Preparation",
    "RequestServed",
    "Span",
    "Started",
    "Stopped",
    "VoteStored",
    "exporting_spans",
    "fitted",
    "heard",
    "judged",
    "kind_of",
    "listening",
    "masked",
    "past_span",
    "place_of",
    "preparing",
    "span",
    "tell",
    "traced",
    "wants_spans",
    "watch_vote",
]
