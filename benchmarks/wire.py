"""Raw clients over STDIO and HTTP: bytes out, bytes in. No SDK here, so that only the server is measured.

Each checks an answer before it times one.
"""

import asyncio
import contextlib
import io
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import IO, Any, BinaryIO, Self

from benchmarks.goals import HANDSHAKE, MODERN
from benchmarks.rounds import Work

CLIENT = {"name": "bench", "version": "1"}
START_S = 60  # ten servers of the comparison of workers start at once
ABOUT = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours for a server, without what would change what is measured.

    A server that may keep no bytecode compiles everything at each start, 2.2 times as long; a .env file or
    variables of Almanac's would make it another than the one that is shipped.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith(("ALMANAC_", "FASTMCP_"))
    }
    return {**kept, "ALMANAC_ENV_FILE": os.devnull, **(more or {})}


def checked(answer: bytes, holds: bytes, times: int = 1) -> None:
    """Fail unless the answer has it so many times."""
    if answer.count(holds) < times:
        raise RuntimeError(f"{holds!r} is not there {times} times: {answer[:500]!r}")


def _last_words(of: IO[bytes]) -> str:
    of.seek(max(0, of.tell() - 2000))
    return f": {of.read().decode(errors='replace')}"


class Stdio:
    """A server process over pipes, spoken to one request at a time.

    Args:
        command: What starts it.
        env: Variables that it has besides ours.
        handshake: False for a floor that answers `tools/call` without being initialised.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, handshake: bool = True
    ) -> None:
        self._command, self._env, self._handshake = list(command), environment(env), handshake
        self._number = 0

    def __enter__(self) -> Self:
        self._told = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            env=self._env,
            bufsize=1 << 20,  # 8 KB, the default, makes half of a megabyte's time the client's
        )
        if self._handshake:
            about = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": CLIENT}
            self.request("initialize", about)
            self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._told.close()

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
        raise RuntimeError(f"{self._command} ended in the middle of {method}{_last_words(self._told)}")

    def call(self, tool: str, arguments: dict[str, Any]) -> bytes:
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def timed(self, method: str, params: dict[str, Any]) -> float:
        """Milliseconds from the request's first byte to the answer's last."""
        start = time.perf_counter()
        self.request(method, params)
        return (time.perf_counter() - start) * 1000

    def asks(self, method: str, params: dict[str, Any], holds: bytes, times: int = 1) -> Work:
        """The request as work, once its answer has been seen to hold what it should."""
        checked(self.request(method, params), holds, times)
        return partial(self.timed, method, params)

    def calls(self, tool: str, arguments: dict[str, Any], holds: bytes, times: int = 1) -> Work:
        """The same for a tool."""
        return self.asks("tools/call", {"name": tool, "arguments": arguments}, holds, times)

    def at_once(self, tool: str, arguments: Sequence[dict[str, Any]]) -> float:
        """Milliseconds until the last of as many calls is answered, sent one behind the other."""
        assert self._process.stdout is not None
        start = time.perf_counter()
        waiting = set()
        for given in arguments:
            self._number += 1
            waiting.add(self._number)
            params = {"name": tool, "arguments": given}
            self._send({"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params})
        while waiting:
            answer = json.loads(self._process.stdout.readline())
            if answer.get("id") in waiting:
                waiting.discard(answer["id"])
                if answer["result"].get("isError"):
                    raise RuntimeError(f"{tool} was refused: {answer['result']}")
        return (time.perf_counter() - start) * 1000


def message(tool: str, arguments: dict[str, Any], era: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a call without a session."""
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    heads = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    heads["MCP-Protocol-Version"] = era
    if era == MODERN:
        params["_meta"] = ABOUT
        heads |= {"Mcp-Method": "tools/call", "Mcp-Name": tool}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode(), heads


class Http:
    """A server process that listens on a port of this machine.

    Args:
        command: What starts it; the word PORT in it is replaced by the port.
        env: Variables that it has besides ours.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._command, self._env = list(command), environment(env)

    def __enter__(self) -> Self:
        self._told = tempfile.TemporaryFile()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        command = [str(self.port) if word == "PORT" else word for word in self._command]
        self._process = subprocess.Popen(command, env=self._env, stdout=subprocess.DEVNULL, stderr=self._told)
        self.process = self._process.pid
        try:
            self._connect()
        except BaseException:
            self._end()
            raise
        return self

    def _connect(self) -> None:
        self._socket = self._connected()
        self._answers = io.BufferedReader(self._socket.makefile("rb", 0), 1 << 20)

    def _connected(self) -> socket.socket:
        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", self.port), timeout=START_S)
            time.sleep(0.05)
        raise RuntimeError(f"{self._command} does not listen{_last_words(self._told)}")

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._told.close()

    def post(self, tool: str, arguments: dict[str, Any], era: str) -> bytes:
        """The bytes of a call without a session."""
        body, heads = message(tool, arguments, era)
        heads["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in heads.items())
        return f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{lines}\r\n".encode() + body

    def exchange(self, asked: bytes) -> bytes:
        """The answer with its head."""
        self._socket.sendall(asked)
        return _answer(self._answers)

    def timed(self, asked: bytes) -> float:
        """Milliseconds from the request's first byte to the answer's last."""
        start = time.perf_counter()
        self.exchange(asked)
        return (time.perf_counter() - start) * 1000

    def calls(self, tool: str, arguments: dict[str, Any], holds: bytes, era: str = MODERN) -> Work:
        """The call as work, once its answer has been seen to hold what it should."""
        return self._work(self.post(tool, arguments, era), holds)

    def gets(self, path: str, holds: bytes) -> Work:
        """The same for a path that is asked without MCP."""
        return self._work(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode(), holds)

    def _work(self, asked: bytes, holds: bytes) -> Work:
        self._socket.close()  # servers close one that has not been used for some seconds
        self._connect()
        checked(self.exchange(asked), holds)
        return partial(self.timed, asked)

    def loaded(self, asked: Sequence[bytes], holds: bytes, callers: int) -> tuple[float, float]:
        """So many callers share the requests: how many a second, and the 99th percentile of the waits, ms."""
        return asyncio.run(_loaded(self.port, iter(asked), len(asked), holds, callers))


def _answer(source: BinaryIO) -> bytes:
    head = b""
    while (line := source.readline()) not in (b"\r\n", b""):
        head += line
    if (length := _length(head)) is not None:
        return head + source.read(length)
    body = b""
    while size := int(source.readline(), 16):
        body += source.read(size + 2)[:-2]
    source.readline()
    return head + body


def _length(head: bytes) -> int | None:
    """How long the body is, or None if that is told a chunk at a time."""
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else None


async def _loaded(
    port: int, asked: Iterable[bytes], number: int, holds: bytes, callers: int
) -> tuple[float, float]:
    waited: list[float] = []

    async def caller() -> None:
        source, sink = await asyncio.open_connection("127.0.0.1", port)
        for one in asked:  # an iterator that all of them share
            start = time.perf_counter()
            sink.write(one)
            answer = await _next_answer(source)
            waited.append((time.perf_counter() - start) * 1000)
            if b" 200 OK" not in answer[:20] or holds not in answer:
                raise RuntimeError(f"refused: {answer[:500]!r}")
        sink.close()

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return number / (time.perf_counter() - start), statistics.quantiles(waited, n=100)[98]


async def _next_answer(source: asyncio.StreamReader) -> bytes:
    head = await source.readuntil(b"\r\n\r\n")
    if (length := _length(head)) is not None:
        return head + await source.readexactly(length)
    body = b""
    while size := int(await source.readline(), 16):
        body += (await source.readexactly(size + 2))[:-2]
    await source.readline()
    return head + body
