"""The server over a real socket, in a thread of this process, and what a raw client says to it."""

import asyncio
import json
import socket
import threading
import time
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Self

from fastmcp import FastMCP

import web.serve
from auth import access
from config import Settings
from server import create_server

MCP = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Served:
    """A server with these settings, ready when entered."""

    def __init__(self, settings: Settings, root: FastMCP | None = None, port: int = 0) -> None:
        self.port = port or free_port()
        settings = settings.model_copy(update={"port": self.port})
        asked = access(settings)
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.server = web.serve.server(root or create_server(settings, asked=asked), settings, asked)
        self._thread = threading.Thread(target=lambda: asyncio.run(self.server.serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started:
            assert self._thread.is_alive(), "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(10)

    def ask(
        self,
        method: str = "POST",
        path: str = "/mcp",
        body: bytes | dict[str, Any] | None = None,
        token: str = "",
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one request; header names have _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, dict):
            sent, body = {**MCP, **sent}, json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, body, sent)
            response: HTTPResponse = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def say(self, data: bytes, within: float = 10) -> bytes:
        """All that comes back for these bytes until the server closes, or says nothing any more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=within) as raw:
            raw.sendall(data)
            found = b""
            try:
                while piece := raw.recv(65536):
                    found += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return found


def answered(body: bytes) -> dict[str, Any]:
    """The message in an answer, as JSON or as an event."""
    data = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    found: dict[str, Any] = json.loads(data[-1] if data else body)
    return found


def is_an_error(body: bytes) -> bool:
    """Whether it has the one shape of errors."""
    found = json.loads(body)
    return set(found) == {"error", "error_description"} and all(isinstance(v, str) for v in found.values())
