"""Sending spans to a collector of OpenTelemetry, when its standard environment variables ask for it."""

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from palate._version import __version__
from palate.errors import ConfigError
from palate.extras import Foreign, require

__all__ = ["exporting_spans", "wants_spans"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTERS = ("otlp", "console", "none")
_PURPOSE = "Sending spans, as the variables OTEL_… ask for,"


def wants_spans(variables: Mapping[str, str]) -> bool:
    """Whether the environment asks for spans: it names a collector or an exporter, and does not say no.

    Raises:
        ConfigError: It names an exporter or a protocol that is not there.
    """
    exporter = variables.get("OTEL_TRACES_EXPORTER", "").strip()
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if exporter and exporter not in _EXPORTERS:
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {exporter!r}; allowed: {', '.join(_EXPORTERS)}")
    if not exporter and not any(variables.get(name, "").strip() for name in _ENDPOINTS):
        return False
    protocol = variables.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or variables.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", ""
    )
    if exporter != "console" and protocol not in ("", "http/protobuf"):
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, and spans are sent as 'http/protobuf'; set it to "
            "that with the collector's port for HTTP, which is usually 4318"
        )
    return True


@contextmanager
def exporting_spans() -> Generator[None]:
    """Record spans and send them until the block ends; what is left is sent before it does.

    The address, headers and times are those of the environment variables. A process has one provider of
    spans: where the program around Palate has set up its own, that one is used and left as it is.

    Raises:
        MissingExtraError: The extra ``otel`` is not installed.
    """
    trace = require("opentelemetry.trace", "otel", _PURPOSE)
    sdk = require("opentelemetry.sdk.trace", "otel", _PURPOSE)
    if isinstance(trace.get_tracer_provider(), sdk.TracerProvider):
        yield
        return
    known = {"service.version": __version__}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        known["service.name"] = "palate"
    resource = require("opentelemetry.sdk.resources", "otel", _PURPOSE).Resource.create(known)
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    processor = require("opentelemetry.sdk.trace.export", "otel", _PURPOSE)
    provider.add_span_processor(processor.BatchSpanProcessor(_exporter(processor)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def _exporter(processor: Foreign) -> Foreign:
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip() == "console":
        return processor.ConsoleSpanExporter(out=sys.stderr)
    otlp = require("opentelemetry.exporter.otlp.proto.http.trace_exporter", "otel", _PURPOSE)
    return otlp.OTLPSpanExporter()
