"""A whole study with canaries: no secret is left anywhere, and no text where figures belong.

Secrets are searched for in pieces: six characters of a key are worth something to whoever guesses the rest.
"""

import json
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from whole_study import CONTENT, KEY, VARIABLE, Traces, whole_study

PIECE = 6
RANDOM_PIECE = 8  # of secrets that are drawn anew, which a file of hashes may share six characters with


def pieces(secret: str, size: int) -> set[str]:
    return {secret[start : start + size] for start in range(len(secret) - size + 1)}


def leaks(traces: Traces) -> list[tuple[str, str]]:
    """Which secret is found where."""
    found = []
    for name, secret in traces.secrets.items():
        looked_for = pieces(secret, RANDOM_PIECE if name.startswith("cookie") else PIECE)
        for where, what in traces.found.items():
            text = what.decode("latin-1") if isinstance(what, bytes) else what
            found += [(name, where) for piece in looked_for if piece in text][:1]
    return found


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def test_a_whole_study_leaves_no_secret_anywhere(
    memory: Path, monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    with whole_study(memory) as traces:
        traces.keep("spans", [span.to_json() for span in spans.get_finished_spans()])
    events = [json.loads(line) for line in (memory / "events.jsonl").read_text().splitlines()]
    # The study did what it was meant to do, errors included.
    assert {"request", "duel", "vote", "model", "fit", "judged", "error"} <= {e["event"] for e in events}
    failures = {event["error"] for event in events if event["event"] == "model"}
    assert failures == {None, "ModelError", "RefusedRequestError", "UnusableAnswerError"}
    assert sum(where.startswith("error of") for where in traces.found) == 8  # texts and tracebacks of four
    assert "RuntimeError: upstream said: [CANARY_LLM_KEY]" in str(traces.found["standard error"])
    assert {"file study.db", "file study.db-wal", "file backup.db", "file votes-csv"} <= set(traces.found)
    assert not leaks(traces)
    for figures in ("file events.jsonl", "spans", "page /metrics", "page /health"):
        what = traces.found[figures]
        text = what.decode() if isinstance(what, bytes) else what
        assert text
        assert CONTENT.lower() not in text.lower(), figures
    # Texts do lie where they belong, so the search would have found them.
    assert CONTENT.encode() in traces.found["file study.db"]


def test_the_search_finds_a_piece(tmp_path: Path) -> None:
    traces = Traces(tmp_path)
    traces.keep("harmless", "nothing")
    assert not leaks(traces)
    traces.keep("masked by halves", f"{KEY[:6]}****")
    assert leaks(traces) == [("key", "masked by halves")]
