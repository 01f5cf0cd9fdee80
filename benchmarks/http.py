"""A trivial tool over stateless HTTP, 32 callers at once, in both eras of the protocol.

The client writes requests and reads answers over kept connections, with no SDK and no HTTP library, so that
the server is what is measured. `requests` are told as the milliseconds that one takes of the server's time,
so that less is better as everywhere; 0.56 of them are 1.8 times as many a second.
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rounds import Line, Spread

PEERS = Path(__file__).parent / "peers"
NAIVE, LOWLEVEL = "naive FastMCP", "mcp low-level"
SCRIPTS = {"almanac": "almanac.py", NAIVE: "naive.py", LOWLEVEL: "lowlevel.py"}
TOOLS = {"almanac": "bench_same", NAIVE: "files_same", LOWLEVEL: "same"}
CALLERS, EACH = 32, 20
MODERN = "2026-07-28"
ABOUT = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
GOALS = {  # requests: time against naive; p99
    "2025-11-25": {"requests": 1 / 1.8, "p99": 0.5},
    MODERN: {"requests": 1 / 8, "p99": 0.5},
}


def message(port: int, tool: str, era: str) -> bytes:
    """The bytes of one call."""
    params: dict[str, object] = {"name": tool, "arguments": {"text": "hello"}}
    heads = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    heads |= {"Host": f"127.0.0.1:{port}", "MCP-Protocol-Version": era}
    if era == MODERN:
        params["_meta"] = ABOUT
        heads |= {"Mcp-Method": "tools/call", "Mcp-Name": tool}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    heads["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in heads.items())
    return f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + body


async def _answer(source: asyncio.StreamReader) -> bytes:
    head = await source.readuntil(b"\r\n\r\n")
    if b"chunked" not in head:
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        return head + await source.readexactly(int(length))
    body = b""
    while size := int(await source.readline(), 16):
        body += (await source.readexactly(size + 2))[:-2]
    await source.readline()
    return head + body


async def load(port: int, request: bytes) -> tuple[float, float]:
    """Milliseconds for each request while 32 callers ask, and the 99th percentile of what one waits."""
    waited: list[float] = []

    async def caller() -> None:
        source, sink = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(EACH):
            start = time.perf_counter()
            sink.write(request)
            answer = await _answer(source)
            waited.append((time.perf_counter() - start) * 1000)
            if b" 200 OK" not in answer[:20] or b"hello" not in answer:
                raise RuntimeError(f"refused: {answer[:500]!r}")
        sink.close()

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    each = (time.perf_counter() - start) * 1000 / len(waited)
    return each, statistics.quantiles(waited, n=100)[98]


@contextlib.contextmanager
def served(script: str, directory: Path) -> Iterator[int]:
    """A server of `peers/`, ready; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    env = {**os.environ, "ALMANAC_STATE_DIR": str(directory), "ALMANAC_LOG_LEVEL": "warning"}
    command = [sys.executable, str(PEERS / script), str(port)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{script} does not listen")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def run(directory: Path, peers: Path, rounds: int) -> list[Line]:
    """Every line of the comparison.

    Args:
        directory: Where Almanac keeps its state.
        peers: Not needed; every peer is here.
    """
    lines = []
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(served(script, directory)) for name, script in SCRIPTS.items()}
        for era, goals in GOALS.items():
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
            for number in range(rounds + 1):
                for name, port in ports.items():
                    measured = asyncio.run(load(port, message(port, TOOLS[name], era)))
                    if number:  # the first is for warming up
                        found[name].append(measured)
            for which, goal in enumerate(goals.values()):
                told = f"HTTP {era}, {CALLERS} callers, {list(goals)[which]}"
                lines.append(_line(told, NAIVE, [one[which] for one in found["almanac"]],
                                   [one[which] for one in found[NAIVE]], goal))  # fmt: skip
    return lines


def _line(work: str, against: str, ours: list[float], theirs: list[float], goal: float) -> Line:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Line(work, against, Spread.of(ours), Spread.of(theirs), Spread.of(ratios), round(goal, 3))
