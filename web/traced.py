"""A span for each request to MCP over HTTP, within its caller's trace; in place only where somebody traces.

The trace is that of the header `traceparent`, else of the message's `_meta`. It stands behind what refuses
requests and reads their bodies.
"""

import json
from collections.abc import Mapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CARRIED = ("traceparent", "tracestate")


class Traced:
    """Args:
    app: What is traced.
    path: Where MCP is served.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app, self._path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        given = [await receive()]

        async def again() -> Message:
            return given.pop() if given else await receive()

        with trace.get_tracer("almanac").start_as_current_span(
            f"POST {self._path}",
            context=propagate.extract(_carrier(Headers(scope=scope), given[0]), context=Context()),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": "POST",
                "http.route": self._path,
                "url.path": self._path,
                "url.scheme": scope["scheme"],
                "network.protocol.version": scope["http_version"],
            },
            record_exception=False,
        ) as span:

            async def answered(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, again, answered)


def _carrier(headers: Headers, message: Message) -> dict[str, str]:
    """What says to which trace the request belongs; baggage is not taken."""
    found = {name: headers[name] for name in CARRIED if name in headers}
    if "traceparent" in found or b'"traceparent"' not in message.get("body", b""):
        return found
    try:
        meta: Any = json.loads(message["body"])["params"]["_meta"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return found
    given = meta if isinstance(meta, Mapping) else {}
    return {name: given[name] for name in CARRIED if isinstance(given.get(name), str)}
