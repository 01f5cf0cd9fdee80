"""uvicorn's server with an orderly end: what was asked is answered, and nobody holds the process up.

From SIGTERM or SIGINT on who connects is sent elsewhere, and after a moment nobody can. Who has a connection
may ask until then, as a request may be on its way, and is told that it is the last. Calls are finished in the
grace; those that are not are answered with a refusal. Then whatever is open is closed. A second signal leaves
the waiting out, and whatever hangs, the process ends in time.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from socket import socket
from types import FrameType
from typing import Any

import h11
import structlog
import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from ending import ANSWER_S, CLOSE_S, Patience, end_within
from middleware.running import Running

LINGER_S = 0.5  # for requests that were sent before their sender could know
AGAIN_S = 0.5  # a Ctrl-C reaches a worker from the terminal and from the first process

log = structlog.get_logger("almanac")


class Server(uvicorn.Server):
    """Listens until it is told to end.

    Args:
        running: The calls of what it serves.
        grace_s: Seconds these have to finish.
    """

    def __init__(self, config: uvicorn.Config, running: Running, grace_s: float) -> None:
        super().__init__(config)
        self._running, self._grace_s = running, grace_s
        self._told_at: float | None = None
        self._told_by = 0
        self._ends_at = 0.0
        self._patience = Patience()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        # Not the method itself: sse-starlette would find this server by it, and cut its streams at once.
        def told(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, told) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._told_at is None:
            self._told_at, self._told_by = now, sig
            self._running.is_ending = self.should_exit = True
            self._ends_at = now + LINGER_S + self._grace_s + 2 * ANSWER_S + CLOSE_S
            end_within(self._ends_at - now)
        elif sig == self._told_by or now > self._told_at + AGAIN_S:
            self._patience.hurry = True
            end_within(min(self._ends_at - now, 2 * ANSWER_S + CLOSE_S))
            signal.signal(sig, signal.SIG_DFL)  # a third one ends the process where it stands

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._running.is_ending = True
        # Closed at once, a listening socket would reset what waits to be accepted, calls that were sent among
        # it (3 under load). Who comes now is told to go elsewhere, so that a proxy sends nobody any more.
        protocol: Any = self.config.http_protocol_class
        protocol.is_ending = True
        for connection in self._connections():
            if not _is_idle(connection):
                connection.cycle.keep_alive = False
        if self._told_at is not None:
            await self._patience.until(lambda: False, LINGER_S)
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        for connection in self._connections():
            if _is_idle(connection):
                connection.shutdown()
        await self._patience.until(self._nothing_is_owed, self._grace_s)
        if left := len(self._running):
            log.warning("calls were not finished in time", calls=left, seconds=self._grace_s)
        self._running.end()
        await self._patience.until(self._nothing_is_owed, ANSWER_S, even_now=True)
        for connection in self._connections():
            _leave(connection)
        await self._patience.until(lambda: not self._connections() and not self.server_state.tasks, ANSWER_S)
        for connection in self._connections():
            connection.transport.abort()
        for task in tuple(self.server_state.tasks):
            task.cancel()
        await self.lifespan.shutdown()

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)

    def _nothing_is_owed(self) -> bool:
        """Whether no call runs and no answer waits; a stream without a call never ends by itself."""
        return not len(self._running) and not any(map(_is_owed, self._connections()))


def _is_idle(connection: Any) -> bool:
    return connection.cycle is None or connection.cycle.response_complete


def _is_owed(connection: Any) -> bool:
    if connection.transport.get_write_buffer_size():
        return True
    return not _is_idle(connection) and not connection.cycle.response_started


def _leave(connection: Any) -> None:
    """Close, as if the client had: what streams ends, and who reads it sees a proper end."""
    cycle = connection.cycle
    if not _is_idle(connection):
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            with contextlib.suppress(h11.LocalProtocolError):
                connection.transport.write(connection.conn.send(h11.EndOfMessage()) or b"")
    connection.transport.close()
