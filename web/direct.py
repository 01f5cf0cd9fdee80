"""Answers a request at once, without what mcp sets up around each.

In the handshake era, without sessions, that is a transport, four streams and a server task, half of the time
of a short call; from 2026-07-28 on two tasks and a stream, a quarter. Here the request is handed to the
protocol's server and its answer is sent: as JSON, or as a stream of events once there is something to tell
before it. What is no plain request (`initialize`, a notification, a subscription, anything malformed or in
disagreement with its headers) goes on to mcp, and so does everything where its server cannot be reached.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio
from fastmcp import FastMCP
from mcp.server.connection import Connection
from mcp.server.runner import modern_error_data, serve_one
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundModernRoute,
    classify_inbound_request,
    find_duplicated_routing_header,
    find_invalid_x_mcp_header,
    x_mcp_header_map,
)
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp.types import (
    DEFAULT_NEGOTIATED_VERSION,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import tuning
from tools.aside import as_json

PING_S = 15.0  # a proxy closes a connection that is silent for longer
WATCH_S = 0.05  # a call that is over by then needs nobody to see whether its caller is gone
_EVENTS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class _Asked(NamedTuple):
    """A request that is answered here, and who asks."""

    request: JSONRPCRequest
    connection: Connection


class Direct:
    """Stands nearest to the application, behind all that may refuse a request.

    Args:
        app: What takes what is handed on.
        root: Whose protocol's server answers.
        path: Where it is served.
    """

    def __init__(self, app: ASGIApp, root: FastMCP, path: str) -> None:
        self._app, self._path = app, path
        self._server: Any = tuning.protocol_server(root)
        self._marked: dict[str, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._server is None or scope["type"] != "http" or not self._is_plain(http := Request(scope)):
            await self._app(scope, receive, send)
            return
        message = await receive()
        if (asked := self._asked(http, message)) is not None:
            await self._answer(_Exchange(http, asked.request, send), asked, receive)
            return
        given = [message]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)

    def _is_plain(self, http: Request) -> bool:
        return (
            http.method == "POST"
            and http.scope["path"] == self._path
            and "mcp-session-id" not in http.headers
            and http.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
            and all(check_accept_headers(http))
        )

    def _asked(self, http: Request, message: Message) -> _Asked | None:
        """What is asked, if mcp has nothing to say about how."""
        if message["type"] != "http.request" or message.get("more_body"):
            return None
        version = http.headers.get("mcp-protocol-version", DEFAULT_NEGOTIATED_VERSION)
        try:
            if version in HANDSHAKE_PROTOCOL_VERSIONS:
                request = jsonrpc_message_adapter.validate_json(message["body"])
                if not isinstance(request, JSONRPCRequest) or request.method == "initialize":
                    return None
                return _Asked(request, Connection.from_envelope(version, None, None))
            if version in MODERN_PROTOCOL_VERSIONS:
                decoded = json.loads(message["body"])
                return self._modern(http, JSONRPCRequest.model_validate(decoded), decoded)
        except (ValueError, RecursionError):  # no JSON, or no request
            pass
        return None

    def _modern(self, http: Request, request: JSONRPCRequest, decoded: dict[str, Any]) -> _Asked | None:
        if request.method == "subscriptions/listen" or self._is_in_headers(request):
            return None
        if find_duplicated_routing_header(http.headers.items()) is not None:
            return None
        route = classify_inbound_request(decoded, headers=dict(http.headers))
        if not isinstance(route, InboundModernRoute):
            return None
        return _Asked(
            request,
            Connection.from_envelope(route.protocol_version, route.client_info, route.client_capabilities),
        )

    def _is_in_headers(self, request: JSONRPCRequest) -> bool:
        """Whether an argument of this call may have to be in its headers as well, and mcp has to compare."""
        if request.method != "tools/call":
            return False
        if (schema_of := self._server.get_tool_input_schema) is None:
            return True
        name = (request.params or {}).get("name")
        if not isinstance(name, str) or (schema := schema_of(name)) is None:
            return False
        if name not in self._marked:
            self._marked[name] = find_invalid_x_mcp_header(schema) is None and bool(x_mcp_header_map(schema))
        return self._marked[name]

    async def _answer(self, exchange: "_Exchange", asked: _Asked, receive: Receive) -> None:
        request, connection = asked
        with anyio.CancelScope() as scope:
            exchange.watch(receive, scope)
            answer: JSONRPCMessage
            try:
                result = await serve_one(
                    self._server,
                    exchange,
                    request.method,
                    request.params,
                    connection=connection,
                    lifespan_state={},
                )
                answer = JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result)
            except Exception as error:  # each becomes an answer, as mcp has it
                answer = JSONRPCError(jsonrpc="2.0", id=request.id, error=modern_error_data(error))
            finally:
                exchange.unwatch()
            status = 200
            if isinstance(answer, JSONRPCError) and connection.protocol_version in MODERN_PROTOCOL_VERSIONS:
                status = ERROR_CODE_HTTP_STATUS.get(answer.error.code, 200)
            await exchange.end(answer, status)


@dataclass(eq=False)
class _Exchange:
    """One request and what is sent for it: what the protocol's server speaks to (mcp's DispatchContext)."""

    asked: Request
    request: JSONRPCRequest
    send: Send
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)
    can_send_request: bool = False

    def __post_init__(self) -> None:
        self.transport = TransportContext(
            kind="streamable-http", can_send_request=False, headers=self.asked.headers
        )
        self.message_metadata = ServerMessageMetadata(request_context=self.asked)
        self.request_id = self.request.id
        self._token = progress_token_from_params(self.request.params)
        self._streams = self._is_over = False
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        raise NoBackChannelError(method)

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        given = dict(params) if params is not None else None
        await self._event(as_json(JSONRPCNotification(jsonrpc="2.0", method=method, params=given)))

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        if self._token is None:
            return
        told = {"progressToken": self._token, "progress": progress, "total": total, "message": message}
        await self.notify(
            "notifications/progress", {name: value for name, value in told.items() if value is not None}
        )

    def watch(self, receive: Receive, scope: anyio.CancelScope) -> None:
        """From soon on, end the call when its caller is gone, and let no connection fall silent.

        A group of tasks from the beginning would be 60 us of a call's 600.
        """
        loop = asyncio.get_running_loop()

        def begin() -> None:
            self._watching = loop.create_task(self._watch(receive, scope))

        self._timer = loop.call_later(WATCH_S, begin)

    def unwatch(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._watching:
            self._watching.cancel()

    async def _watch(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while True:
            with anyio.move_on_after(PING_S):
                while (await receive())["type"] != "http.disconnect":
                    pass
                scope.cancel()
                return
            await self._write(b": ping\r\n\r\n")

    async def end(self, answer: JSONRPCMessage, status: int) -> None:
        line = as_json(answer)
        async with self._turn:
            self._is_over = True
            if self._streams:
                await self._body(b"event: message\r\ndata: %b\r\n\r\n" % line, more=False)
                return
            heads = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(line))]
            await self.send({"type": "http.response.start", "status": status, "headers": heads})
            await self._body(line, more=False)

    async def _event(self, line: bytes) -> None:
        await self._write(b"event: message\r\ndata: %b\r\n\r\n" % line)

    async def _write(self, data: bytes) -> None:
        async with self._turn:
            if self._is_over:
                return
            if not self._streams:
                await self.send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
                self._streams = True  # and not if it ended while a slow reader had it wait
            await self._body(data, more=True)

    async def _body(self, data: bytes, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})
