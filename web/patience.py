"""uvicorn's HTTP protocol with an end to its patience, a bound on its connections, and errors in our shape.

uvicorn waits for ever for a request's first byte, its last one, and for a client that reads its answer.
"""

import asyncio
import sys
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from web.names import OPEN
from web.shape import answer, refuse

LEAST_READ = 65_536  # bytes of an answer in `timeout_s`: who reads slowly may read on


class Patient(H11Protocol):
    """One connection, whose client has `timeout_s` for each request and for reading on in its answer."""

    timeout_s = 30.0
    most_connections = 1_000
    is_ending = False  # who connects from now on is sent elsewhere

    _incoming: asyncio.TimerHandle | None = None
    _outgoing: asyncio.TimerHandle | None = None
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._end(503)
            return
        if self.is_ending:
            self.app = _elsewhere(self.app)
        self._incoming = self.loop.call_later(self.timeout_s, self._late)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            _stop(self._incoming)
            self._incoming = None
        elif self._incoming is None:
            self._incoming = self.loop.call_later(self.timeout_s, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._incoming)
        _stop(self._outgoing)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._outgoing = self.loop.call_later(self.timeout_s, self._look)

    def _look(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > self._unread - LEAST_READ:
            self.transport.abort()
            return
        self._unread = left
        self._outgoing = self.loop.call_later(self.timeout_s, self._look)

    def resume_writing(self) -> None:
        _stop(self._outgoing)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        self._end(getattr(error, "error_status_hint", 400))

    def _late(self) -> None:
        self._incoming = None
        # Nothing at all came: a client that keeps a connection for later needs no words.
        silent = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        self._end(0 if silent else 408)

    def _end(self, status: int) -> None:
        """Close, with an error if none was answered yet."""
        if status and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers, body = answer(status)
            response = h11.Response(
                status_code=status,
                headers=[*self.server_state.default_headers, *headers, (b"connection", b"close")],
                reason=STATUS_PHRASES[status],
            )
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _elsewhere(app: Any) -> ASGIApp:
    """Refuses a request before anything of it is carried out, so that a proxy may ask another server."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPEN:
            await app(scope, receive, send)
            return
        # Closed with something unread, the connection would be reset and the answer lost.
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        await refuse(send, 503, "This server is ending; ask again.", [(b"connection", b"close")])

    return refusing


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def patient(timeout_s: float, most_connections: int) -> type[Patient]:
    """The protocol with these bounds; uvicorn makes one for each connection."""
    return type("Bounded", (Patient,), {"timeout_s": timeout_s, "most_connections": most_connections})
