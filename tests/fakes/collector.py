"""An OpenTelemetry collector: takes OTLP over HTTP as documented, protobuf in gzip or not, and keeps it."""

import gzip
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PROTOBUF = "application/x-protobuf"


class Span(NamedTuple):
    """A span as it came."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    scope: str
    resource: dict[str, Any]


class Collector(Starlette):
    """`spans` and `metrics` are what came; `raw` is every body."""

    def __init__(self) -> None:
        super().__init__(
            routes=[
                Route("/v1/traces", self._traces, methods=["POST"]),
                Route("/v1/metrics", self._metrics, methods=["POST"]),
            ]
        )
        self.spans: list[Span] = []
        self.metrics: dict[str, Any] = {}
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    def wait_for(self, *names: str, within: float = 10) -> list[Span]:
        """The spans, once there is one of each of these names."""
        deadline = time.monotonic() + within
        while not {*names} <= {span.name for span in self.spans}:
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.02)
        return list(self.spans)

    async def _body(self, request: Request) -> bytes:
        assert request.headers["content-type"] == PROTOBUF
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw.append(body)
        self.headers.append(dict(request.headers))
        return body

    async def _traces(self, request: Request) -> Response:
        given = ExportTraceServiceRequest.FromString(await self._body(request))
        self.spans += _spans(given)
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type=PROTOBUF)

    async def _metrics(self, request: Request) -> Response:
        given = ExportMetricsServiceRequest.FromString(await self._body(request))
        for resource in given.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics.update((metric.name, metric) for metric in scope.metrics)
        return Response(ExportMetricsServiceResponse().SerializeToString(), media_type=PROTOBUF)


def _spans(given: Any) -> Iterator[Span]:
    for resource in given.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    attributes_of(span),
                    scope.scope.name,
                    attributes_of(resource.resource),
                )


def attributes_of(holder: Any) -> dict[str, Any]:
    """Its attributes, as plain values."""
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in holder.attributes}
