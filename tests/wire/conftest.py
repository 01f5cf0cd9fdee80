"""Real server processes: over STDIO as a client spawns them, and one HTTP server for all tests here."""

import json
import os
import select
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

SERVER = Path(__file__).resolve().parent.parent.parent / "server.py"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens, so a provider is refused at once
OFFLINE = {
    f"ALMANAC_{name}_URL": NOWHERE
    for name in (
        "WEATHER_OPEN_METEO", "WEATHER_GEOCODING", "WEATHER_ARCHIVE", "WEATHER_AIR_QUALITY", "WEATHER_NWS",
        "WEATHER_MET_NORWAY",
        "TRANSLATE_GOOGLE", "TRANSLATE_MYMEMORY",
    )
}  # fmt: skip
# Their retries would be most of these tests' time.
ENVIRON = {
    "PATH": os.environ["PATH"],
    "ALMANAC_WEATHER_TIMEOUT": "0.3",
    "ALMANAC_STATE_DIR": f"{os.devnull}/none",  # nothing of a test outlives it
    **OFFLINE,
}


class Stdio:
    """A server process and the raw lines of its protocol."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**ENVIRON, **(env or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        assert self.process.stdin is not None
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def answer(self, number: int, within: float = 20) -> dict[str, Any]:
        """The answer to request `number`; every line on the way has to be a JSON-RPC message."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if not select.select([self.process.stdout], [], [], 0.1)[0]:
                assert self.process.poll() is None, (
                    self.process.stderr and self.process.stderr.read().decode()
                )
                continue
            message: dict[str, Any] = json.loads(self.process.stdout.readline())
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == number and "method" not in message:
                return message
        raise TimeoutError(f"no answer to {number}")

    def initialize(self, version: str = "2025-11-25") -> dict[str, Any]:
        self.send(
            {
                "jsonrpc": "2.0", "id": 0, "method": "initialize",
                "params": {"protocolVersion": version, "capabilities": {},
                           "clientInfo": {"name": "claude-ai", "version": "0.1.0"}},
            }
        )  # fmt: skip
        answer = self.answer(0)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def end(self, within: float = 10) -> tuple[int, bytes, str]:
        """Close standard input; the exit status, what was left on standard output, and standard error."""
        out, err = self.process.communicate(timeout=within)
        return self.process.returncode, out, err.decode()


@pytest.fixture
def stdio() -> Iterator[Callable[..., Stdio]]:
    """A factory of server processes over STDIO: `stdio(env={...})`, or `stdio(command=[...])`."""
    started: list[Stdio] = []

    def start(env: dict[str, str] | None = None, command: list[str] | None = None) -> Stdio:
        started.append(Stdio(command or [sys.executable, str(SERVER)], env))
        return started[-1]

    yield start
    for one in started:
        one.__exit__()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Http:
    """A server process over HTTP, ready when entered."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), "--transport", "http", "--port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**ENVIRON, **(env or {})},
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return self
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert self.process.poll() is None, (
                    self.process.stderr and self.process.stderr.read().decode()
                )
                time.sleep(0.05)
        self.process.kill()  # nobody leaves what was not entered
        raise TimeoutError("the HTTP server did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        finally:
            self.process.kill()


@pytest.fixture(scope="session")
def http() -> Iterator[Http]:
    with Http() as server:
        yield server
