"""The end of a real server: what was asked is answered, nobody holds it up, nothing it started is left."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from tests.fakes import Upstream
from tests.fakes.open_meteo import OpenMeteo
from tests.processes import has_ended
from tests.wire.conftest import ENVIRON, SERVER, Http, Stdio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
Start = Callable[..., Stdio]
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
LARGE = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT {} FROM n"
OVER = "The server is ending"
LATE_S = 1.5
VERSION = "io.modelcontextprotocol/protocolVersion"


class Late(OpenMeteo):
    """Answers after a second."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(LATE_S)
        await super().__call__(scope, receive, send)


@pytest.fixture(scope="module")
def late() -> Iterator[dict[str, str]]:
    """Settings with which `weather_current` takes a second."""
    with Upstream(Late()) as service:
        yield {
            "ALMANAC_WEATHER_OPEN_METEO_URL": service.url,
            "ALMANAC_WEATHER_PROVIDERS": "open_meteo",
            "ALMANAC_WEATHER_TIMEOUT": "5",
        }


def message(name: str, arguments: dict[str, Any], era: str, number: int = 1) -> dict[str, Any]:
    params: dict[str, Any] = {"name": name, "arguments": arguments}
    if era == "auto":
        params["_meta"] = {
            VERSION: "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


SLOW = ("weather_current", {"place": "40.4,-3.7"})
NEVER = ("sql_query", {"sql": ENDLESS})


class Asking:
    """One request over HTTP, answered while the test does something else."""

    def __init__(self, server: Http, asked: dict[str, Any], more: Mapping[str, str]) -> None:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            **more,
        }
        if VERSION in asked["params"].get("_meta", {}):
            headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": asked["method"]}
            if "name" in asked["params"]:
                headers["Mcp-Name"] = asked["params"]["name"]
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=25)
        self.connection.request("POST", "/mcp", json.dumps(asked).encode(), headers)

    def answer(self) -> tuple[http.client.HTTPResponse, dict[str, Any]]:
        response = self.connection.getresponse()
        body = response.read().decode()
        data = [line[6:] for line in body.splitlines() if line.startswith("data: ")]
        found: dict[str, Any] = json.loads(data[-1] if data else body)
        return response, found


Ask = Callable[..., Asking]


@pytest.fixture
def asking() -> Iterator[Ask]:
    """`asking(server, message)` sends it."""
    sent: list[Asking] = []

    def ask(server: Http, asked: dict[str, Any], more: Mapping[str, str] = MappingProxyType({})) -> Asking:
        sent.append(Asking(server, asked, more))
        return sent[-1]

    yield ask
    for one in sent:
        one.connection.close()


def children_of(server: Http | Stdio) -> list[int]:
    """What the server has started, once there is something."""
    path = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    deadline = time.monotonic() + 10
    while not (found := path.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(each) for each in found]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def end_of(server: Http | Stdio, within: float = 8) -> int:
    _, told = server.process.communicate(timeout=within)
    assert b"Traceback" not in told, told.decode()
    return int(server.process.returncode)


def test_a_call_under_way_is_finished_and_nobody_new_is_let_in(
    asking: Ask, late: dict[str, str], era: str
) -> None:
    with Http(late) as server:
        asked = asking(server, message(*SLOW, era))
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        response, answer = asking(server, message(*SLOW, era)).answer()
        assert (response.status, answer["error"]) == (503, "unavailable")  # so that a proxy asks another one
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=2).close()
        response, answer = asked.answer()
        assert response.status == 200
        if not response.getheader("content-type", "").startswith("text/event-stream"):  # begun before
            assert response.getheader("connection") == "close"
        assert not answer["result"].get("isError"), answer
        with within(2):
            assert end_of(server) == 0


def test_a_call_that_takes_longer_than_the_grace_is_answered_with_a_refusal(asking: Ask, era: str) -> None:
    with Http({"ALMANAC_SHUTDOWN_GRACE": "0.3", "ALMANAC_SQL_TIMEOUT": "60"}) as server:
        asked = asking(server, message(*NEVER, era))
        started = children_of(server)
        server.process.send_signal(signal.SIGTERM)
        with within(3):
            _, answer = asked.answer()
            assert answer["result"]["isError"]
            assert answer["result"]["content"][0]["text"].startswith(OVER)
            assert end_of(server) == 0
        assert all(has_ended(child, within=1) for child in started)


def test_a_second_signal_leaves_the_waiting_out(asking: Ask) -> None:
    with Http({"ALMANAC_SHUTDOWN_GRACE": "60", "ALMANAC_SQL_TIMEOUT": "60"}) as server:
        asked = asking(server, message(*NEVER, "legacy"))
        started = children_of(server)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        with within(2):
            assert asked.answer()[1]["result"]["content"][0]["text"].startswith(OVER)
            assert end_of(server) == 0
        assert all(has_ended(child, within=1) for child in started)


def test_who_keeps_a_connection_open_may_ask_once_more_and_is_told_that_the_server_ends(
    late: dict[str, str],
) -> None:
    with Http(late) as server:
        open_one = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        open_one.request("GET", "/ready")
        assert open_one.getresponse().read() == b'{"status":"ready"}'
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.15)
        open_one.request("GET", "/ready")
        response = open_one.getresponse()
        assert (response.status, response.read()) == (503, b'{"status":"ending"}')
        assert response.getheader("connection") == "close"
        with within(2):
            assert end_of(server) == 0


def test_idle_connections_do_not_hold_it_up() -> None:
    with Http() as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        kept.request("GET", "/health")
        assert kept.getresponse().read()
        assert kept.sock
        server.process.send_signal(signal.SIGTERM)
        with within(2):
            assert end_of(server) == 0
        assert [one.recv(10) for one in silent] == [b""] * 5
        kept.close()
        for one in silent:
            one.close()


def test_a_stream_that_is_open_ends_properly_with_the_refusal(asking: Ask, late: dict[str, str]) -> None:
    with Http({**late, "ALMANAC_SHUTDOWN_GRACE": "0.2"}) as server:
        asked = asking(server, message(*SLOW, "legacy"))
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        response, answer = asked.answer()  # an IncompleteRead, were it cut
        assert response.getheader("content-type") == "text/event-stream"
        assert answer["result"]["content"][0]["text"].startswith(OVER)
        with within(2):
            assert end_of(server) == 0


def test_a_client_that_does_not_read_holds_it_no_longer_than_the_grace(asking: Ask) -> None:
    env = {"ALMANAC_SHUTDOWN_GRACE": "0.5", "ALMANAC_SQL_MAX_BYTES": "9000000"}
    with Http(env) as server:
        sql = {"sql": LARGE.format("printf('%080000d', i)")}
        asking(server, message("sql_query", sql, "legacy"))
        time.sleep(1.5)
        server.process.send_signal(signal.SIGTERM)
        with within(4):
            assert end_of(server) == 0


def test_a_server_that_is_killed_leaves_no_child_longer_than_its_statement_may_take(asking: Ask) -> None:
    with Http({"ALMANAC_SQL_TIMEOUT": "1"}) as server:
        asking(server, message(*NEVER, "legacy"))
        started = children_of(server)
        server.process.kill()
        assert all(has_ended(child, within=4) for child in started)


@pytest.mark.parametrize("how", ["the end of input", "SIGTERM", "SIGINT"])
def test_over_stdio_a_call_under_way_is_finished_and_its_answer_written(
    stdio: Start, late: dict[str, str], how: str
) -> None:
    server = stdio(env=late)
    server.initialize()
    server.send(message(*SLOW, "legacy"))
    time.sleep(0.3)
    end(server, how)
    assert not server.answer(1)["result"].get("isError")
    with within(2):
        assert end_of(server) == 0


def end(server: Stdio, how: str) -> None:
    if how == "the end of input":
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.stdin = None
    else:
        server.process.send_signal(signal.Signals[how])


def test_over_stdio_in_the_modern_era_too(stdio: Start, late: dict[str, str]) -> None:
    server = stdio(env=late)
    server.send(message(*SLOW, "auto"), message("status", {}, "auto", 2))
    end(server, "the end of input")
    answers = [json.loads(line) for line in server.process.stdout or ()]
    assert {answer["id"] for answer in answers if "method" not in answer} == {1, 2}
    assert end_of(server) == 0


@pytest.mark.parametrize("how", ["the end of input", "SIGTERM"])
def test_over_stdio_a_call_that_takes_longer_than_the_grace_is_refused(stdio: Start, how: str) -> None:
    server = stdio(env={"ALMANAC_SHUTDOWN_GRACE": "0.3", "ALMANAC_SQL_TIMEOUT": "60"})
    server.initialize()
    server.send(message(*NEVER, "legacy"))
    started = children_of(server)
    end(server, how)
    with within(3):
        assert server.answer(1)["result"]["content"][0]["text"].startswith(OVER)
        assert end_of(server) == 0
    assert all(has_ended(child, within=1) for child in started)


def test_over_stdio_a_second_signal_leaves_the_waiting_out(stdio: Start) -> None:
    server = stdio(env={"ALMANAC_SHUTDOWN_GRACE": "60", "ALMANAC_SQL_TIMEOUT": "60"})
    server.initialize()
    server.send(message(*NEVER, "legacy"))
    started = children_of(server)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    with within(3):
        assert server.answer(1)["result"]["content"][0]["text"].startswith(OVER)
        assert end_of(server) == 0
    assert all(has_ended(child, within=1) for child in started)


def test_over_stdio_nothing_is_finished_for_a_client_that_is_gone(stdio: Start) -> None:
    server = stdio(env={"ALMANAC_SHUTDOWN_GRACE": "60", "ALMANAC_SQL_TIMEOUT": "60"})
    server.initialize()
    server.send(message(*NEVER, "legacy"))
    started = children_of(server)
    assert server.process.stdout is not None
    server.process.stdout.close()
    server.process.stdout = None
    end(server, "the end of input")
    with within(4):
        assert end_of(server) == 0
    assert all(has_ended(child, within=1) for child in started)


def test_all_that_a_file_asks_is_answered(tmp_path: Path, late: dict[str, str]) -> None:
    asked = tmp_path / "asked"
    lines = [message(*SLOW, "auto"), message("status", {}, "auto", 2)]
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with asked.open() as source:
        done = subprocess.run(
            [sys.executable, str(SERVER)],
            stdin=source,
            env={**ENVIRON, **late},
            capture_output=True,
            timeout=20,
        )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert {answer["id"] for answer in answers if "method" not in answer} == {1, 2}
    assert done.returncode == 0


HANGS = {
    "in Python": "time.sleep(20)",
    "in native code that holds the interpreter": "ctypes.PyDLL(None).sleep(20)",
    "in a handler": "signal.signal(signal.SIGTERM, lambda *_: time.sleep(20)); os.kill(os.getpid(), 15)",
}


def hanging(how: str, stderr: int) -> "subprocess.Popen[bytes]":
    told = "ending.end_within(9); ending.end_within(0.2); secret = 'known'"
    code = f"import ctypes, os, signal, time, ending; {told}; {how}"
    return subprocess.Popen([sys.executable, "-c", code], cwd=SERVER.parent, stderr=stderr)


@pytest.mark.parametrize("how", HANGS)
def test_a_process_that_hangs_at_its_end_is_ended_and_says_where(how: str) -> None:
    with hanging(HANGS[how], subprocess.PIPE) as process:
        _, told = process.communicate(timeout=5)
    assert process.returncode == 1
    assert b'File "<string>", line 1' in told
    assert b"known" not in told


def test_where_nobody_reads_what_it_says_it_is_ended_all_the_same() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b" " * 4096)
    os.set_blocking(writing, True)
    try:
        with hanging("time.sleep(20)", writing) as process:
            assert process.wait(5)
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("how", ["the end of input", "SIGTERM"])
def test_over_stdio_a_call_and_its_slow_reader_have_one_grace_together(stdio: Start, how: str) -> None:
    env = {"ALMANAC_SHUTDOWN_GRACE": "3", "ALMANAC_SQL_TIMEOUT": "60", "ALMANAC_SQL_MAX_BYTES": "9000000"}
    server = stdio(env=env)
    server.initialize()
    large = {"sql": LARGE.format("printf('%080000d', i)")}
    server.send(message("sql_query", large, "legacy"), message(*NEVER, "legacy", 2))
    time.sleep(1.5)
    end(server, how)
    begun = time.monotonic()
    assert server.process.stdout is not None
    while server.process.stdout.read1(65536):  # type: ignore[attr-defined]  # a buffered reader
        time.sleep(0.1)
    assert time.monotonic() - begun < 3 + 1 + 1, "the grace, a second of reading, and what is in the pipe"
    assert end_of(server) == 0


@pytest.mark.parametrize("how", ["the end of input", "SIGTERM"])
def test_over_stdio_who_asks_much_and_reads_nothing_holds_it_no_longer(stdio: Start, how: str) -> None:
    env = {"ALMANAC_SHUTDOWN_GRACE": "1", "ALMANAC_SQL_MAX_BYTES": "9000000"}
    server = stdio(env=env)
    server.initialize()
    large = {"sql": LARGE.format("printf('%080000d', i)")}
    server.send(*(message("sql_query", large, "legacy", number) for number in range(1, 13)))
    time.sleep(2)
    end(server, how)
    with within(6):
        assert server.process.wait(15) == 0


@pytest.mark.parametrize("how", ["the end of input", "SIGTERM"])
def test_over_stdio_a_refusal_that_nobody_reads_does_not_hold_it(stdio: Start, how: str) -> None:
    server = stdio(env={"ALMANAC_SHUTDOWN_GRACE": "1", "ALMANAC_SQL_MAX_BYTES": "9000000"})
    server.initialize()
    large = {"sql": LARGE.format("printf('%080000d', i)")}
    server.send(message("sql_query", large, "legacy"))
    time.sleep(1.5)
    server.send(b"this is no message", message("status", {}, "legacy", 2))
    time.sleep(0.2)
    end(server, how)
    with within(5):
        assert server.process.wait(15) == 0
