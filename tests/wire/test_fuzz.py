"""Ten thousand messages no client should send: the server goes on, shows no traceback, leaves nobody out."""

import http.client
import json
import random
import select
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.wire.conftest import Http, Stdio
from tests.wire.frames import MODERN, frames

ENV = {"ALMANAC_SERVERS": "sql,files", "ALMANAC_LOG_LEVEL": "error"}
OVER_PIPES, OVER_HTTP, RAW = 4_000, 2_000, 400
LEAKS = (b"Traceback", b'File \\"/', str(Path(__file__).resolve().parents[2]).encode(), b"site-packages")
MOST_MEMORY = 400_000_000


def well_formed(number: int, era: str) -> dict[str, Any]:
    params: dict[str, Any] = {"name": "sql_query", "arguments": {"sql": f"SELECT {number}"}}
    if era == "auto":
        params["_meta"] = MODERN
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def memory(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def drain(process: subprocess.Popen[bytes]) -> None:
    """Read what it logs as it comes: a full pipe would hold it up."""
    threading.Thread(target=lambda: list(process.stderr or ()), daemon=True).start()


class Reader(threading.Thread):
    """Reads all that a server says, and keeps the answers to well-formed requests."""

    def __init__(self, server: Stdio) -> None:
        super().__init__(daemon=True)
        self.server, self.wrong = server, b""
        self.answers: dict[int, Any] = {}

    def run(self) -> None:
        assert self.server.process.stdout is not None
        for line in self.server.process.stdout:
            if any(leak in line for leak in LEAKS):
                self.wrong = line
            said = json.loads(line)
            assert said["jsonrpc"] == "2.0"
            if isinstance(said.get("id"), int) and 1_000_000 < said["id"] < 2_000_000:
                self.answers[said["id"]] = said


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_client_of_nonsense_over_pipes_takes_nothing_from_its_own_good_requests(
    stdio: Any, era: str
) -> None:
    server: Stdio = stdio(env=ENV)
    if era == "legacy":
        server.initialize()
    else:
        server.send(well_formed(999, era))
        server.answer(999)
    reader = Reader(server)
    reader.start()
    drain(server.process)
    asked = []
    for count, frame in enumerate(frames(7, OVER_PIPES)):
        server.send(frame)
        if count % 25 == 0:
            asked.append(1_000_001 + count)
            server.send(well_formed(asked[-1], era))
    deadline = time.monotonic() + 60
    while len(reader.answers) < len(asked):
        assert server.process.poll() is None, "the server ended"
        assert reader.is_alive(), "something was no message"
        assert time.monotonic() < deadline, sorted(set(asked) - set(reader.answers))[:5]
        time.sleep(0.05)
    assert reader.wrong == b""
    for number in asked:
        assert reader.answers[number]["result"]["structuredContent"]["rows"] == [[number]]
    assert memory(server.process.pid) < MOST_MEMORY


MCP = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def headers(chance: random.Random) -> dict[str, str]:
    """Headers of either era, or of none."""
    found = dict(MCP)
    if chance.random() < 0.6:
        found["MCP-Protocol-Version"] = chance.choice(
            ["2026-07-28", "2026-07-28", "2025-11-25", "2024-11-05", "1999-01-01", "", "x" * 300]
        )
    if chance.random() < 0.5:
        found["Mcp-Method"] = chance.choice(["tools/call", "tools/list", "initialize", "x", "=?base64?!!?="])
        found["Mcp-Name"] = chance.choice(["sql_query", "status", "x", "=?base64?4pyT?=", "=?base64?!?="])
    if chance.random() < 0.2:
        found["Mcp-Session-Id"] = chance.choice(["x", "0" * 500, "../.."])
    if chance.random() < 0.15:
        found["Accept"] = chance.choice(["", "*/*", "text/html", "application/json", "a" * 1000])
    if chance.random() < 0.1:
        found["Content-Type"] = chance.choice(["text/plain", "application/json; charset=utf-16", "x", ""])
    return found


def ask_wrongly(server: Http, seed: int, found: list[str]) -> None:
    """Send bad messages, each as a whole request, and note what is wrong with an answer."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for frame in frames(seed, OVER_HTTP // 2):
        try:
            connection.request(
                chance.choice(["POST"] * 8 + ["GET", "DELETE"]), "/mcp", frame, headers(chance)
            )
            response = connection.getresponse()
            body = response.read()
        except (http.client.HTTPException, OSError) as error:
            found.append(f"no answer ({error!r}) to {frame[:200]!r}")
            connection.close()
            continue
        if response.status >= 500 or any(leak in body for leak in LEAKS):
            found.append(f"{response.status} {body[:200]!r} to {frame[:300]!r}")
    connection.close()


def ask_by_halves(server: Http, seed: int, found: list[str]) -> None:
    """Send pieces of requests, and requests with a spoiled head, then leave."""
    chance = random.Random(seed)
    body = json.dumps(well_formed(1, "legacy")).encode()
    lines = "".join(f"{name}: {text}\r\n" for name, text in MCP.items())
    good = (
        f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
    )
    for _ in range(RAW):
        sent = bytearray(good[: chance.randrange(len(good))] if chance.random() < 0.5 else good)
        for _ in range(chance.randrange(4)):
            sent[chance.randrange(len(sent) or 1) : 0] = chance.choice(
                [
                    b"\r\n",
                    b"\x00",
                    b"\xff" * 9,
                    b": ",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Content-Length: 9e9\r\n",
                ]
            )
        if chance.random() < 0.05:
            sent = bytearray(good.replace(b"Host", b"X: " + b"y" * 100_000 + b"\r\nHost"))
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            try:
                raw.sendall(sent)
                if chance.random() < 0.5 and select.select([raw], [], [], 0.02)[0]:
                    answer = raw.recv(65536)
                    if b" 500 " in answer[:20] or any(leak in answer for leak in LEAKS):
                        found.append(f"{answer[:200]!r} to {bytes(sent[:300])!r}")
            except OSError:
                pass  # it may hang up on these


def ask_rightly(server: Http, era: str, stop: threading.Event, found: list[str], good: list[int]) -> None:
    """Well-formed requests, one after the other, each with its own answer."""
    number = 1_000_000
    while not stop.is_set():
        number += 1
        sent = dict(MCP)
        if era == "auto":
            sent |= {
                "MCP-Protocol-Version": "2026-07-28",
                "Mcp-Method": "tools/call",
                "Mcp-Name": "sql_query",
            }
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        try:
            connection.request("POST", "/mcp", json.dumps(well_formed(number, era)), sent)
            body = connection.getresponse().read()
            data = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")]
            rows = json.loads(data[-1] if data else body)["result"]["structuredContent"]["rows"]
            assert rows == [[number]]
            good.append(number)
        except Exception as error:  # whatever it is, the request was well-formed
            found.append(f"a good request of {era} got {error!r}")
        finally:
            connection.close()


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_clients_of_nonsense_over_http_take_nothing_from_the_others() -> None:
    found: list[str] = []
    good: list[int] = []
    stop = threading.Event()
    with Http(env=ENV) as server:
        drain(server.process)
        bad = [
            threading.Thread(target=ask_wrongly, args=(server, 1, found)),
            threading.Thread(target=ask_wrongly, args=(server, 2, found)),
            threading.Thread(target=ask_by_halves, args=(server, 3, found)),
        ]
        others = [
            threading.Thread(target=ask_rightly, args=(server, era, stop, found, good))
            for era in ("auto", "legacy")
        ]
        for thread in (*bad, *others):
            thread.start()
        for thread in bad:
            thread.join(120)
        stop.set()
        for thread in others:
            thread.join(30)
        assert server.process.poll() is None, "the server ended"
        assert memory(server.process.pid) < MOST_MEMORY
    assert found == []
    assert len(good) > 100
