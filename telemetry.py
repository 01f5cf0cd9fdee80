"""Traces and metrics over OpenTelemetry: of each call, from the transport to the provider it is asked of.

FastMCP's own spans are among them, and these hold addresses of resources, texts of refusals and names of
callers. What leaves here are copies with the attributes that are listed, and no message of any error.
"""

import asyncio
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Self

import fastmcp
import structlog
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import Status

import reference

FLUSH_S = 2.0  # at the end, for what was not sent yet: a collector that is gone holds nobody up
BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
METHODS = {"call": "tools/call", "read": "resources/read", "prompt": "prompts/get"}
NAMED = {"call": "gen_ai.tool.name", "prompt": "gen_ai.prompt.name"}
OURS = "almanac"
KEPT = frozenset(
    {
        "almanac.provider",
        "almanac.reference",
        "error.type",
        "fastmcp.component.type",
        "fastmcp.provider.type",
        "fastmcp.server.name",
        "gen_ai.prompt.name",
        "gen_ai.tool.name",
        "http.request.method",
        "http.request.resend_count",
        "http.response.status_code",
        "http.route",
        "mcp.method.name",
        "mcp.protocol.version",
        "network.protocol.version",
        "server.address",
        "server.port",
        "url.path",
        "url.scheme",
        "url.template",
    }
)
# These a caller may have made up; a name of ours has no other form.
SENT = {
    "gen_ai.prompt.name": re.compile(r"[a-z][a-z_]{0,40}"),
    "gen_ai.tool.name": re.compile(r"[a-z][a-z_]{0,40}"),
    "mcp.method.name": re.compile(r"[a-z]{1,20}(/[a-z]{1,20}){0,2}"),
    "mcp.protocol.version": re.compile(r"\d{4}-\d\d-\d\d"),
}

log = structlog.get_logger("almanac")


class Telemetry:
    """The SDK, set up for this process; leaving it sends what is left.

    Args:
        version: Of this server.
        asked: The signals and the exporters of each.
    """

    def __init__(self, version: str, asked: Mapping[str, tuple[str, ...]]) -> None:
        resource = Resource.create(_about(version))
        self._ends: list[Callable[[], object]] = []
        if "TRACES" in asked:
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            for processor in _processors(asked["TRACES"]):
                provider.add_span_processor(Scrubbed(processor))
            trace.set_tracer_provider(provider)
            fastmcp.settings.telemetry_mode = "native"
            self._ends.append(provider.shutdown)
        if "METRICS" in asked:
            readers = list(_readers(asked["METRICS"]))
            meters = MeterProvider(readers, resource, shutdown_on_exit=False)
            metrics.set_meter_provider(meters)
            self._ends.append(meters.shutdown)
        meter = metrics.get_meter(OURS, version)
        self._seconds = meter.create_histogram(
            "mcp.server.operation.duration",
            "s",
            "Time from a call to its answer.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._running = meter.create_up_down_counter(
            "almanac.calls.in_flight", "{call}", "Calls, reads and prompts that run."
        )
        self._ended = False

    def began(self) -> None:
        self._running.add(1)

    def ended(self, event: str, name: str, outcome: str, seconds: float) -> None:
        self._running.add(-1)
        attributes = {"mcp.method.name": METHODS[event]}
        if event in NAMED:
            attributes[NAMED[event]] = name
        if outcome not in ("ok", "asked"):
            attributes["error.type"] = outcome
        self._seconds.record(seconds, attributes)

    def answered(self, status: int) -> None:
        """Nothing: the span of the request says it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ended:
            return
        self._ended = True
        ending = threading.Thread(target=self._end, daemon=True, name="telemetry")
        ending.start()
        deadline = time.monotonic() + FLUSH_S
        while ending.is_alive():
            if time.monotonic() > deadline:
                log.warning("what was traced and measured last could not be sent")
                return
            await asyncio.sleep(0.01)

    def _end(self) -> None:
        for end in self._ends:
            end()


class Scrubbed(SpanProcessor):
    """Hands on copies of spans, with the reference of what was handled and without what is private."""

    def __init__(self, inner: SpanProcessor) -> None:
        self._inner = inner

    def on_end(self, span: ReadableSpan) -> None:
        self._inner.on_end(scrubbed(span, reference.known()))

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def scrubbed(span: ReadableSpan, number: str = "") -> ReadableSpan:
    """What may leave of a span."""
    attributes: dict[str, Any] = {
        name: value for name, value in (span.attributes or {}).items() if _may_leave(name, value)
    }
    if number:
        attributes["almanac.reference"] = number
    return ReadableSpan(
        name=_name(span, attributes),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=[_without_words(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _may_leave(name: str, value: Any) -> bool:
    return name in KEPT and (name not in SENT or bool(SENT[name].fullmatch(str(value))))


def _name(span: ReadableSpan, attributes: Mapping[str, Any]) -> str:
    """Its method and what it names, if that is a name of ours; others' names for spans hold addresses."""
    if span.instrumentation_scope and span.instrumentation_scope.name == OURS:
        return span.name
    named = attributes.get("gen_ai.tool.name") or attributes.get("gen_ai.prompt.name")
    method = attributes.get("mcp.method.name") or span.name.partition(" ")[0]
    whole = f"{method} {named}" if named else method
    return whole if re.fullmatch(r"[A-Za-z_/ ]{1,80}", whole) else "unknown"


def _without_words(event: Event) -> Event:
    kind = (event.attributes or {}).get("exception.type")
    return Event(event.name, {"exception.type": kind} if kind else {}, event.timestamp)


def _about(version: str) -> dict[str, Any]:
    """What is said of this process, unless the variables say something else."""
    said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    about = {"service.version": version, "service.instance.id": uuid.uuid4().hex}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        about["service.name"] = "almanac"
    return {name: value for name, value in about.items() if f"{name}=" not in said}


def _processors(names: tuple[str, ...]) -> list[SpanProcessor]:
    found: list[SpanProcessor] = []
    for name in names:
        if name == "console":  # standard output may be the protocol's
            found.append(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
        elif exporter := _exporter(name, "TRACES"):
            found.append(BatchSpanProcessor(exporter))
    return found


def _readers(names: tuple[str, ...]) -> list[PeriodicExportingMetricReader]:
    found = []
    for name in names:
        if name == "console":
            found.append(PeriodicExportingMetricReader(ConsoleMetricExporter(out=sys.stderr)))
        elif exporter := _exporter(name, "METRICS"):
            found.append(PeriodicExportingMetricReader(exporter))
    return found


def _exporter(name: str, signal: str) -> Any:
    """What sends over OTLP, as the variables say where; None, and a warning, for what is not installed."""
    usual = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    protocol = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or usual
    try:
        if (name, protocol) == ("otlp", "http/protobuf"):
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            return OTLPSpanExporter() if signal == "TRACES" else OTLPMetricExporter()
    except ImportError:
        pass
    log.warning(
        "telemetry cannot be sent that way", exporter=name, protocol=protocol, it_can="otlp by http/protobuf"
    )
    return None
