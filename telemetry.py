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
from collections.abc import Callable, Mapping, Set
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
# What a caller may have made up leaves only if it is one of these, or a name that was called and is there.
LISTED = {
    "completion/complete", "elicitation/create", "initialize", "logging/setLevel", "ping", "prompts/get",
    "prompts/list", "resources/list", "resources/read", "resources/templates/list", "server/discover",
    "tools/call", "tools/list",
}  # fmt: skip
VERSION = re.compile(r"\d{4}-\d\d-\d\d")

log = structlog.get_logger("almanac")


class Telemetry:
    """The SDK, set up for this process; leaving it sends what is left.

    Args:
        version: Of this server.
        asked: The signals and the exporters of each.
    Attributes:
        traces: Whether spans are sent.
    """

    def __init__(self, version: str, asked: Mapping[str, tuple[str, ...]]) -> None:
        resource = Resource.create(_about(version))
        self._ends: list[Callable[[], object]] = []
        self._names: set[str] = set()
        processors = _processors(asked.get("TRACES", ()))
        self.traces = bool(processors)
        if processors:
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            for processor in processors:
                provider.add_span_processor(Scrubbed(processor, self._names))
            trace.set_tracer_provider(provider)
            fastmcp.settings.telemetry_mode = "native"
            self._ends.append(provider.shutdown)
        if readers := _readers(asked.get("METRICS", ())):
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

    @property
    def is_on(self) -> bool:
        """Whether any of it can be sent."""
        return bool(self._ends)

    def began(self, event: str, name: str) -> None:
        self._running.add(1)
        self._names.add(name)

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

    def __init__(self, inner: SpanProcessor, names: Set[str]) -> None:
        self._inner, self._names = inner, names

    def on_end(self, span: ReadableSpan) -> None:
        self._inner.on_end(scrubbed(span, self._names, reference.known()))

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def scrubbed(span: ReadableSpan, names: Set[str], number: str = "") -> ReadableSpan:
    """What may leave of a span.

    Args:
        span: One that has ended.
        names: Tools and prompts that there are.
        number: The reference of what was handled.
    """
    attributes: dict[str, Any] = {
        name: value for name, value in (span.attributes or {}).items() if _may_leave(name, str(value), names)
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


def _may_leave(name: str, value: str, names: Set[str]) -> bool:
    match name:
        case "gen_ai.tool.name" | "gen_ai.prompt.name":  # a domain's server knows them without the domain
            return value in names or any(known.endswith(f"_{value}") for known in names)
        case "mcp.method.name":
            return value in LISTED
        case "mcp.protocol.version":
            return bool(VERSION.fullmatch(value))
    return name in KEPT


def _name(span: ReadableSpan, attributes: Mapping[str, Any]) -> str:
    """Its method and the tool or prompt; FastMCP's own names have addresses in them."""
    if span.instrumentation_scope and span.instrumentation_scope.name == OURS:
        return span.name
    method = attributes.get("mcp.method.name", "unknown")
    named = attributes.get("gen_ai.tool.name") or attributes.get("gen_ai.prompt.name")
    return f"{method} {named}" if named else str(method)


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
