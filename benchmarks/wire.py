"""Raw clients: a JSON line out, a JSON line in. No SDK on this side, so that only the server is measured."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

PROTOCOL = "2025-11-25"


class Stdio:
    """A server process over pipes, spoken to one request at a time.

    Args:
        command: What starts it.
        handshake: False for a floor that answers `tools/call` without being initialised.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, handshake: bool = True
    ) -> None:
        self._command, self._env, self._handshake = list(command), {**os.environ, **(env or {})}, handshake
        self._number = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._env,
            bufsize=1 << 20,  # 8 KB, the default, makes half of a megabyte's time the client's
        )
        if self._handshake:
            self.request(
                "initialize",
                {
                    "protocolVersion": PROTOCOL,
                    "capabilities": {},
                    "clientInfo": {"name": "bench", "version": "1"},
                },
            )
            self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def request(self, method: str, params: dict[str, Any]) -> bytes:
        """The raw line of the answer."""
        assert self._process.stdout is not None
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        mark = b'"id":%d' % self._number
        while line := self._process.stdout.readline():
            # Notifications (logs, progress) come between; compact and spaced JSON both mark the answer.
            if mark in line[:200].replace(b" ", b"") or mark in line[-200:].replace(b" ", b""):
                return line
        raise RuntimeError(f"{self._command[0]} ended in the middle of {method}")

    def call(self, tool: str, arguments: dict[str, Any]) -> bytes:
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def timed(self, tool: str, arguments: dict[str, Any]) -> float:
        """Milliseconds from the request's first byte to the answer's last."""
        return self.timed_request("tools/call", {"name": tool, "arguments": arguments})

    def timed_request(self, method: str, params: dict[str, Any]) -> float:
        """The same for any request."""
        start = time.perf_counter()
        self.request(method, params)
        return (time.perf_counter() - start) * 1000
