"""Stand-ins for remote services: each speaks its documented protocol over real HTTP on loopback."""

import asyncio
import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp


class Upstream:
    """Serves an ASGI app on a free loopback port while it is entered; `url` is where."""

    def __init__(self, app: ASGIApp) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        # asyncio sets it only on sockets that say they are TCP, which these do not: 40 ms for each answer.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="critical", lifespan="off", date_header=False)
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._started = threading.Event()

    async def _serve(self) -> None:
        # uvicorn's own loop looks ten times a second whether to end: 0.1 s of each test.
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        await self._server.startup(sockets=[self._socket])
        self._started.set()
        await self._over.wait()
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(10):
            raise TimeoutError("the fake upstream did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=10)
