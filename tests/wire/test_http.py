"""The server over Streamable HTTP: raw requests, wrong ones too."""

import http.client
import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.wire.conftest import ENVIRON, SERVER, Http

BOTH = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def post(server: Http, body: bytes, headers: dict[str, str], path: str = "/mcp") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def call(server: Http, method: str, params: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    status, answer = post(server, body, {**BOTH, **headers})
    data = [line[6:] for line in answer.decode().splitlines() if line.startswith("data: ")]
    return status, json.loads(data[-1] if data else answer)


def modern(name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    params = {
        "name": name,
        "arguments": arguments,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }
    return params, {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name}


@pytest.mark.slow
def test_a_handshake_client_calls_without_a_session_so_any_replica_can_answer(http: Http) -> None:
    status, answer = call(
        http,
        "tools/call",
        {"name": "sql_query", "arguments": {"sql": "SELECT 6 * 7"}},
        **{"MCP-Protocol-Version": "2025-11-25"},
    )
    assert status == 200
    assert answer["result"]["structuredContent"]["rows"] == [[42]]


def test_a_modern_client_calls(http: Http) -> None:
    params, headers = modern("sql_query", {"sql": "SELECT 6 * 7"})
    status, answer = call(http, "tools/call", params, **headers)
    assert status == 200
    assert answer["result"]["structuredContent"]["rows"] == [[42]]


def test_a_foreign_host_header_is_misdirected(http: Http) -> None:
    assert post(http, b"{}", {**BOTH, "Host": "evil.example"})[0] == 421


def test_a_foreign_origin_is_forbidden(http: Http) -> None:
    assert post(http, b"{}", {**BOTH, "Origin": "http://evil.example"})[0] == 403


def test_health_is_open_and_says_nothing_more(http: Http) -> None:
    connection = http_get(http, "/health")
    assert connection == (200, b'{"status":"ok"}')


def http_get(server: Http, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b"null", 400),
        (b"x" * 5_000_000, 413),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_malformed_body_is_refused_and_the_server_goes_on(http: Http, body: bytes, status: int) -> None:
    assert post(http, body, BOTH)[0] == status
    assert http_get(http, "/health")[0] == 200


def test_a_client_that_leaves_in_the_middle_is_survived(http: Http) -> None:
    for _ in range(20):
        connection = http_client(http)
        connection.putrequest("POST", "/mcp")
        for name, value in {**BOTH, "Content-Length": "1000"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(b'{"jsonrpc"')
        connection.close()
    assert http_get(http, "/health")[0] == 200


def http_client(server: Http) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)


def test_sigterm_ends_the_server_in_good_order() -> None:
    with Http() as server:
        server.process.send_signal(signal.SIGTERM)
        _, err = server.process.communicate(timeout=10)
    assert server.process.returncode in (0, -signal.SIGTERM)
    assert b"Traceback" not in err


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_plainly(http: Http) -> None:
    done = subprocess.run(
        [sys.executable, str(SERVER), "--transport", "http", "--port", str(http.port)],
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    assert done.returncode != 0
    assert str(http.port) in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
