"""Spans: names, attributes, parents and errors as OpenTelemetry's conventions have them, and no content."""

import asyncio
import gzip
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from palate.errors import ConfigError, ModelError
from palate.models import Budget, Ledger, MeteredModel, ScriptedModel, openai_model
from palate.models._calls import calling
from palate.operations import wants_spans
from palate.store import open_store
from palate.study import Study
from palate.types import Completion, Duel, Judgement, Message, Request, Usage, Verdict

CONTENT = "Wombat"
REQUEST = Request((Message("user", f"{CONTENT} prompt"),), 0.5, 64, seed=3, stop=(f"{CONTENT} stop",))
ANSWER = Completion(f"{CONTENT} answer", f"{CONTENT} name", "length", Usage(11, 7), 0.25, retries=2)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def finished(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    found = list(spans.get_finished_spans())
    assert CONTENT not in "".join(span.to_json() for span in found)
    return found


def test_a_call_of_a_model(spans: InMemorySpanExporter) -> None:
    model = MeteredModel(ScriptedModel([ANSWER], name="small"), cache=None, ledger=Ledger(Budget()))
    asyncio.run(model.generate(REQUEST))
    (span,) = finished(spans)
    assert span.name == "chat small"
    assert span.kind is trace.SpanKind.INTERNAL  # it ran in this process
    assert span.status.status_code is trace.StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "palate",
        "gen_ai.request.model": "small",
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": 3,
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.response.finish_reasons": ("length",),
        "palate.cost_dollars": 0.25,
        "palate.retries": 2,
    }


def test_a_call_that_leaves_the_machine_names_the_host(spans: InMemorySpanExporter) -> None:
    model = openai_model("chatty", base_url="http://127.0.0.1:9/v1", embedding_model="vectors")
    with pytest.raises(ModelError, match=CONTENT), calling(model, "embed"):
        raise ModelError(f"{CONTENT} in a message")
    (span,) = finished(spans)
    assert (span.name, span.kind) == ("embeddings vectors", trace.SpanKind.CLIENT)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "vectors",
        "server.address": "127.0.0.1",
        "server.port": 9,
        "error.type": "ModelError",
    }
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, None)
    assert not span.events  # an exception's message would be content


def test_an_answer_from_the_cache_is_no_call(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        model = MeteredModel(ScriptedModel([ANSWER]), cache=store, ledger=Ledger(Budget()))
        for _ in range(2):
            asyncio.run(model.generate(REQUEST))
    assert len(finished(spans)) == 1


class Asking:
    """A judge that asks a model."""

    name = "critic"

    def __init__(self, model: MeteredModel) -> None:
        self.model = model

    async def judge(self, duel: Duel) -> Judgement:
        await self.model.generate(REQUEST)
        return Judgement(Verdict.LEFT, comment=f"{CONTENT} comment")


def test_a_study_as_a_tree(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    asked = MeteredModel(ScriptedModel([ANSWER], name="asked"), cache=None, ledger=Ledger(Budget()))
    with Study.create(
        target=lambda prompt, text: f"{CONTENT} {prompt} {text}",
        inputs=[f"{CONTENT} input"],
        candidates=[f"{CONTENT} one", f"{CONTENT} two"],
        path=tmp_path / "s.db",
    ) as study:
        assert study.run_judge(Asking(asked), 1) == 1
        study.belief()
    found = {span.name: span for span in finished(spans)}
    assert set(found) >= {"prepare duel", "judge", "chat asked", "store vote", "fit"}
    judge, call, vote = found["judge"], found["chat asked"], found["store vote"]
    assert call.parent is not None
    assert judge.context is not None
    assert call.parent.span_id == judge.context.span_id
    assert dict(judge.attributes or {}) == {"palate.judge": "critic", "palate.verdict": "left"}
    assert (vote.attributes or {})["palate.verdict"] == "left"
    assert (vote.attributes or {})["palate.replayed"] is False
    assert (found["fit"].attributes or {})["palate.votes"] == 1
    assert (found["prepare duel"].attributes or {})["palate.ready"] is True
    for span in found.values():
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


def test_off_means_not_even_imported() -> None:
    code = (
        "import asyncio, sys\n"
        "from palate.models import Ledger, MeteredModel, ScriptedModel\n"
        "from palate.types import Message, Request\n"
        "model = MeteredModel(ScriptedModel(['x']), cache=None, ledger=Ledger())\n"
        "asyncio.run(model.generate(Request((Message('user', 'y'),))))\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ],
)
def test_the_standard_variables_ask(variables: dict[str, str], wanted: bool) -> None:
    assert wants_spans(variables) is wanted


def test_what_cannot_be_sent_is_told() -> None:
    with pytest.raises(ConfigError, match="'zipkin'; allowed: otlp, console, none"):
        wants_spans({"OTEL_TRACES_EXPORTER": "zipkin"})
    with pytest.raises(ConfigError, match="'grpc', and spans are sent as 'http/protobuf'"):
        wants_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.received.append((self.path, self.headers["x-team"], body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_run_sends_its_spans_to_the_collector_before_it_ends() -> None:
    """In a process of its own, since a process has one provider of spans for good."""
    server = HTTPServer(("127.0.0.1", 0), _Collector)
    server.received = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    code = (
        "import os\n"
        "from palate.operations import exporting_spans, span, wants_spans\n"
        "assert wants_spans(os.environ)\n"
        "with exporting_spans(), span('prepare duel', {'palate.ready': True}): pass\n"
    )
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue",
        "OTEL_SERVICE_NAME": "my study",
        "PATH": "",
    }
    try:
        told = subprocess.run(
            [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
        )
    finally:
        server.shutdown()
        server.server_close()
    assert (told.returncode, told.stderr) == (0, "")
    ((path, team, body),) = server.received  # type: ignore[attr-defined]
    assert (path, team) == ("/v1/traces", "blue")
    for part in (b"my study", b"prepare duel", b"palate.ready"):
        assert part in body
