"""Answers a request of the handshake era at once, as mcp itself answers those of 2026-07-28.

Without sessions mcp makes a transport, four streams and a server task for each such request: half of the time
of a short call. Here the request is handed to the protocol's server and its answer is sent: as JSON, or as a
stream of events once there is something to tell before it. What is no plain request (`initialize`, a
notification, anything malformed) goes on to mcp, and so does everything where its server cannot be reached.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from fastmcp import FastMCP
from mcp.server.connection import Connection
from mcp.server.runner import modern_error_data, serve_one
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
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
)
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tools.aside import as_json

PING_S = 15.0  # a proxy closes a connection that is silent for longer
_EVENTS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Direct:
    """Stands nearest to the application, behind all that may refuse a request.

    Args:
        app: What takes what is handed on.
        root: Whose protocol's server answers; the way to it is FastMCP's own business.
        path: Where it is served.
    """

    def __init__(self, app: ASGIApp, root: FastMCP, path: str) -> None:
        self._app, self._path = app, path
        self._server: Any = getattr(root, "_mcp_server", None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._server is None or scope["type"] != "http" or not self._is_plain(asked := Request(scope)):
            await self._app(scope, receive, send)
            return
        message = await receive()
        if (request := _request_in(message)) is not None:
            await self._answer(asked, request, receive, send)
            return
        given = [message]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)

    def _is_plain(self, asked: Request) -> bool:
        return (
            asked.method == "POST"
            and asked.url.path == self._path
            and asked.headers.get("mcp-protocol-version", DEFAULT_NEGOTIATED_VERSION)
            in HANDSHAKE_PROTOCOL_VERSIONS
            and "mcp-session-id" not in asked.headers
            and asked.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
            and all(check_accept_headers(asked))
        )

    async def _answer(self, asked: Request, request: JSONRPCRequest, receive: Receive, send: Send) -> None:
        exchange = _Exchange(asked, request, send)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange.watch, receive, tasks.cancel_scope)
            version = asked.headers.get("mcp-protocol-version", DEFAULT_NEGOTIATED_VERSION)
            answer: JSONRPCMessage
            try:
                result = await serve_one(
                    self._server,
                    exchange,
                    request.method,
                    request.params,
                    connection=Connection.from_envelope(version, None, None),
                    lifespan_state={},
                )
                answer = JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result)
            except Exception as error:  # each becomes an answer, as mcp has it
                answer = JSONRPCError(jsonrpc="2.0", id=request.id, error=modern_error_data(error))
            await exchange.end(answer)
            tasks.cancel_scope.cancel()


def _request_in(message: Message) -> JSONRPCRequest | None:
    if message["type"] != "http.request" or message.get("more_body"):
        return None
    try:
        request = JSONRPCRequest.model_validate_json(message["body"])
    except ValidationError:
        return None
    return None if request.method == "initialize" else request


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
        self._streams = False
        self._turn = anyio.Lock()

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

    async def watch(self, receive: Receive, scope: anyio.CancelScope) -> None:
        """End the call when its caller is gone, and let no connection fall silent."""
        while True:
            with anyio.move_on_after(PING_S):
                while (await receive())["type"] != "http.disconnect":
                    pass
                scope.cancel()
                return
            await self._write(b": ping\r\n\r\n")

    async def end(self, answer: JSONRPCMessage) -> None:
        line = as_json(answer)
        async with self._turn:
            if self._streams:
                await self._body(b"event: message\r\ndata: %b\r\n\r\n" % line, more=False)
                return
            heads = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(line))]
            await self.send({"type": "http.response.start", "status": 200, "headers": heads})
            await self._body(line, more=False)

    async def _event(self, line: bytes) -> None:
        await self._write(b"event: message\r\ndata: %b\r\n\r\n" % line)

    async def _write(self, data: bytes) -> None:
        async with self._turn:
            if not self._streams:
                self._streams = True
                await self.send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
            await self._body(data, more=True)

    async def _body(self, data: bytes, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})
