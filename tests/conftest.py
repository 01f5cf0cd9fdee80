"""What every test starts from: settings that touch nothing outside, a client in both eras, no network."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

# As server.py does, before FastMCP is imported: its log handler renders every local of a traceback.
os.environ.setdefault("FASTMCP_ENV_FILE", os.devnull)
os.environ.setdefault("FASTMCP_LOG_ENABLED", "false")

import pytest
import structlog
from fastmcp import Client

from config import Settings
from server import create_server

# The default renders every local too: half a second for each masked failure.
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
)

HANDLERS = ("log_handler", "progress_handler", "elicitation_handler")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three workers to two processors, because a third of the tests' time is waiting for another process."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine fails the test that makes it."""
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in LOOPBACK:
            raise OSError(f"a test may not connect to {address[0]}")
        connect(self, address)

    def guarded_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f"a test may not look up {name}")
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_lookup)


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """Both protocol eras: `auto` is 2026-07-28, `legacy` is the handshake (2025-11-25)."""
    return str(request.param)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """A factory of settings: `settings(sql={"max_rows": 5})`."""

    def make(**over: Any) -> Settings:
        return Settings.model_validate({"state_dir": tmp_path / "state", **over})

    return make


Connect = Callable[..., AbstractAsyncContextManager[Client[Any]]]


@pytest.fixture
def client(era: str, settings: Callable[..., Settings], request: pytest.FixtureRequest) -> Connect:
    """A factory of connected clients: `async with client(given={...}, sql={...}) as c`.

    A module that names `SERVERS` has those alone: making all four takes 60 ms of each test.

    `given` holds backends to use, everything else is settings; each test that uses it runs in both eras.
    """

    @asynccontextmanager
    async def connect(given: dict[str, Any] | None = None, **over: Any) -> AsyncIterator[Client[Any]]:
        handlers = {k: over.pop(k) for k in HANDLERS if k in over}
        if servers := getattr(request.module, "SERVERS", None):
            over.setdefault("servers", servers)
        async with Client(create_server(settings(**over), given), mode=era, **handlers) as connected:
            yield connected

    return connect
