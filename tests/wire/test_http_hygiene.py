"""What an open port has to bear: foreign names and pages, too much, too slow, too many, and who says who."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastmcp import FastMCP

import web.names
from config import Settings
from middleware.caller import caller
from middleware.running import Running
from tests.web.served import LIST, MCP, Served, answered, is_an_error

APP = "https://app.example.com"
PATIENCE_S = 0.4


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """A factory: `served(http={...})`, with one tool that says who calls; shared by the same settings."""
    running: dict[str, Served] = {}
    state: Path = tmp_path_factory.mktemp("state")
    with ExitStack() as stack:

        def serve(**over: Any) -> Served:
            if repr(over) not in running:
                settings = Settings.model_validate({"state_dir": state, "transport": "http", **over})
                running[repr(over)] = stack.enter_context(Served(settings, toy()))
            return running[repr(over)]

        yield serve


def toy() -> FastMCP:
    running = Running()
    server = FastMCP("toy", middleware=[running])

    @server.tool
    async def who() -> str:
        return caller().name

    @server.tool
    async def slow() -> str:
        import asyncio

        await asyncio.sleep(2 * PATIENCE_S)
        return "done"

    @server.tool
    async def much() -> str:
        return "x" * 8_000_000

    import web.probes

    web.probes.Probes({}, running).register(server)
    return server


@pytest.fixture(scope="module")
def server(served: Callable[..., Served]) -> Served:
    return served(
        allowed_hosts="mcp.example.com,*.internal.example,exact.example:8443",
        allowed_origins=f"{APP},http://localhost:6274",
        http={"max_body": 10_000, "max_headers": 4_000, "timeout": PATIENCE_S},
    )


def call(name: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}}


def said(server: Served, name: str = "who", **headers: str) -> str:
    status, _, body = server.ask(body=call(name), **headers)
    assert status == 200, body
    return str(answered(body)["result"]["content"][0]["text"])


def open_to(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def rest_of(raw: socket.socket) -> bytes:
    found = b""
    try:
        while piece := raw.recv(65536):
            found += piece
    except (ConnectionResetError, BrokenPipeError):
        pass
    return found


# --- names and pages ---


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "[::1]",
        "[::1]:8000",
        "mcp.example.com",
        "mcp.example.com:443",
        "a.internal.example",
        "a.b.internal.example:80",
        "exact.example:8443",
    ],
)
def test_names_of_this_machine_and_those_listed_are_served(server: Served, host: str) -> None:
    assert server.ask(body=LIST, Host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "mcp.example.com.evil.example",
        "xmcp.example.com",
        "internal.example",
        "exact.example",
        "exact.example:8444",
        "user@localhost",
        "localhost:x",
        "localhost/",
        "localhost, evil.example",
        "127.0.0.1.evil.example",
        "0x7f.1",
        "2130706433",
        "0.0.0.0",
        "[::1",
        "[::]",
        "[::ffff:127.0.0.1]",
        " ",
    ],
)
def test_any_other_name_is_misdirected_and_the_log_says_what_to_set(server: Served, host: str) -> None:
    server_log = structlog.testing.capture_logs()
    with server_log as logged:
        status, _, body = server.ask(body=LIST, Host=host)
    assert status == 421
    assert is_an_error(body)
    assert "ALMANAC_ALLOWED_HOSTS" in str(logged) or logged == [], "each name once"
    assert "ALMANAC" not in body.decode()


def test_a_name_is_logged_once_and_only_so_many_are(served: Callable[..., Served]) -> None:
    server = served(allowed_hosts="logged.example")
    with structlog.testing.capture_logs() as logged:
        for number in range(web.names.MOST_TOLD + 20):
            server.ask(body=LIST, Host=f"evil{number}.example")
            server.ask(body=LIST, Host="evil0.example")
    told = [line for line in logged if "ALMANAC_ALLOWED_HOSTS" in str(line)]
    assert len(told) == web.names.MOST_TOLD
    assert told[0]["value"] == "'evil0.example'"


def test_a_star_serves_every_name(served: Callable[..., Served]) -> None:
    assert served(allowed_hosts="*").ask(body=LIST, Host="anything.example")[0] == 200


@pytest.mark.parametrize("lines", ["", "Host: a\r\nHost: b\r\n", "Host: localhost\r\nHost: localhost\r\n"])
def test_a_request_without_one_host_is_a_bad_one(server: Served, lines: str) -> None:
    assert is_json_of(server.say(f"GET /mcp HTTP/1.1\r\n{lines}\r\n".encode()), 400)


def is_json_of(found: bytes, status: int) -> bool:
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), found
    return is_an_error(body)


def test_pages_of_the_server_itself_and_of_listed_origins_may_call(server: Served) -> None:
    own = f"http://127.0.0.1:{server.port}"
    for origin, host in (
        (own, own[7:]),
        ("https://mcp.example.com", "mcp.example.com"),
        (APP, "mcp.example.com"),
        (APP.upper(), "localhost"),
        (f"{APP}:443", "localhost"),
        ("http://localhost:6274", "localhost"),
    ):
        assert server.ask(body=LIST, Origin=origin, Host=host)[0] == 200, origin


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://app.example.com",
        f"{APP}:444",
        f"{APP}.evil.example",
        f"{APP}/",
        f"{APP}, http://evil.example",
        "https://xapp.example.com",
        "http://localhost:1",
        "http://localhost",
        "file://",
        "chrome-extension://abc",
        "https://user@app.example.com",
    ],
)
def test_pages_of_any_other_origin_may_not_and_the_log_says_what_to_set(server: Served, origin: str) -> None:
    with structlog.testing.capture_logs() as logged:
        status, headers, body = server.ask(body=LIST, Origin=origin)
    assert status == 403
    assert is_an_error(body)
    assert "access-control-allow-origin" not in headers
    assert "ALMANAC_ALLOWED_ORIGINS" in str(logged) or logged == []


PREFLIGHT: dict[str, Any] = {
    "Access_Control_Request_Method": "POST",
    "Access_Control_Request_Headers": "mcp-method, authorization",
}


def test_a_listed_origin_is_told_that_it_may_by_name_and_without_cookies(server: Served) -> None:
    status, headers, _ = server.ask("OPTIONS", Origin=APP, **PREFLIGHT)
    assert (status, headers["access-control-allow-origin"]) == (200, APP)
    assert "authorization" in headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in headers
    for method, path in (("POST", "/mcp"), ("GET", "/nothing")):  # errors have to be readable too
        _, headers, _ = server.ask(method, path, body=LIST if method == "POST" else None, Origin=APP)
        assert headers["access-control-allow-origin"] == APP


def test_without_listed_origins_there_is_no_cors_at_all(served: Callable[..., Served]) -> None:
    server = served()
    status, headers, _ = server.ask("OPTIONS", Origin=APP, **PREFLIGHT)
    assert status == 403
    _, more, _ = server.ask(body=LIST)
    assert not [name for name in {**headers, **more} if name.startswith("access-control")]


# --- one shape ---


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nBad Header: 1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n", 400),  # TLS
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10001\r\nConnection: close\r\n\r\n", 413),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + 5_000 * b"x" + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 431),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
         + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 11 + b"0\r\n\r\n", 413),
    ],
    ids=str.split(
        "nonsense header tls path method body lengths negative coding both chunk headers target chunks"
    ),
)  # fmt: skip
def test_every_error_has_one_shape_and_closes_what_cannot_go_on(
    server: Served, request_: bytes, status: int
) -> None:
    found = server.say(request_)
    assert is_json_of(found, status)
    assert not re.search(rb"Traceback|uvicorn|starlette|h11|File \"", found)


def test_an_error_names_no_software_and_may_not_be_kept(server: Served) -> None:
    for ask in (server.ask("GET", "/nothing"), server.ask("GET", "/mcp"), server.ask(Host="evil.example")):
        assert "server" not in ask[1]
        assert ask[1]["cache-control"] == "no-store"
        assert ask[1]["x-content-type-options"] == "nosniff"


def test_an_error_of_the_protocol_keeps_its_own_form(server: Served) -> None:
    status, _, body = server.ask(body=b"{", **{k.replace("-", "_"): v for k, v in MCP.items()})
    assert status == 400
    assert json.loads(body)["jsonrpc"] == "2.0"


# --- too much, too slow, too many ---


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'"x"', b'{"jsonrpc":"1.0","id":1,"method":"x"}', b'[{"jsonrpc":"2.0","method":"x"}]'],
)
def test_what_is_no_message_is_told_so_in_one_sentence(server: Served, body: bytes) -> None:
    status, headers, said = server.ask(body=body, **MCP)
    assert status == 400
    assert json.loads(said)["error"]["code"] == -32600
    assert b"This is not one JSON-RPC 2.0 request" in said
    assert b"pydantic" not in said
    assert int(headers["content-length"]) == len(said)


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(server: Served) -> None:
    with open_to(server) as raw:
        raw.sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert b" 413 " in raw.recv(1000)


def test_a_body_as_long_as_allowed_is_served(server: Served) -> None:
    padded = json.dumps(LIST).encode().ljust(10_000)
    assert server.ask(body=padded, **{k.replace("-", "_"): v for k, v in MCP.items()})[0] == 200


HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n"


@pytest.mark.parametrize(
    ("begins", "told"),
    [
        (b"", b""),
        (b"GET /hea", b" 408 "),
        (HEAD, b" 408 "),
        (HEAD + b"\r\n", b" 408 "),
        (HEAD + b"\r\n{", b" 408 "),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nx", b" 408 "),
        (b"POST /nothing HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 5000\r\n\r\n", b" 421 "),
    ],
    ids=str.split("nothing line headers no-body body chunk answered-already"),
)
def test_a_client_that_sends_a_byte_at_a_time_is_let_go(server: Served, begins: bytes, told: bytes) -> None:
    began = time.monotonic()
    with open_to(server) as raw:
        raw.sendall(begins)
        raw.settimeout(0.05)
        found, closed = b"", False
        while not closed:
            assert time.monotonic() - began < 4 * PATIENCE_S + 1, "it is still connected"
            try:
                piece = raw.recv(1000)
                closed, found = not piece, found + piece
            except TimeoutError:
                if begins:  # the trickle
                    raw.sendall(b"x")
            except OSError:
                closed = True
    assert told in found or (begins and not found), found
    assert time.monotonic() - began >= 0.9 * PATIENCE_S


def test_a_connection_may_rest_between_two_requests(server: Served) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with open_to(server) as raw:
        for parts in ((request,), (request[:20], request[20:])):
            for part in parts:
                raw.sendall(part)
                time.sleep(0.05)
            found = b""
            while not found.endswith(b'{"status":"ok"}'):
                found += raw.recv(1000) or b"closed"
                assert b"closed" not in found
            time.sleep(1.5 * PATIENCE_S)


def test_a_call_may_take_longer_than_its_request(server: Served) -> None:
    assert said(server, "slow") == "done"


def test_a_client_that_does_not_read_its_answer_is_let_go(server: Served) -> None:
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", server.port))
        body = json.dumps(call("much")).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in MCP.items())
        raw.sendall(
            f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert raw.recv(100), "the answer begins"
        deadline = time.monotonic() + 5
        connections = server.server.server_state.connections
        mine = raw.getsockname()[1]
        while any(one.client and one.client[1] == mine for one in list(connections)):
            assert time.monotonic() < deadline, "it is still connected"
            time.sleep(0.05)


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return bool(end) and len(body) == int(length)


def test_a_client_that_reads_slowly_gets_all_of_its_answer(server: Served) -> None:
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", server.port))
        body = json.dumps(call("much")).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in MCP.items())
        head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        raw.sendall(head.encode() + body)
        slowly, found = time.monotonic() + 2 * PATIENCE_S, b""
        while not is_whole(found):
            piece = raw.recv(200_000)
            assert piece, "it was cut off"
            found += piece
            if time.monotonic() < slowly:
                time.sleep(PATIENCE_S / 20)


def test_a_body_with_two_lengths_is_refused(server: Served) -> None:
    body = json.dumps(LIST).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in MCP.items()).encode()
    head = (
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        + lines
    )
    sent = b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    assert server.say(head + sent).startswith(b"HTTP/1.1 200 ")
    assert server.say(head + b"Content-Length: 5\r\n" + sent).startswith(b"HTTP/1.1 400 ")


def test_more_connections_than_allowed_get_503_until_some_are_closed(served: Callable[..., Served]) -> None:
    server = served(http={"connections": 3})
    held = [open_to(server) for _ in range(3)]
    for raw in held:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in raw.recv(1000)
    with open_to(server) as one_more:
        assert is_json_of(rest_of(one_more), 503)
    held.pop().close()
    deadline = time.monotonic() + 5
    while server.ask("GET", "/health")[0] != 200:
        assert time.monotonic() < deadline
    for raw in held:
        raw.close()


# --- who says who is calling ---

THEIRS = "203.0.113.9"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "name"),
    [
        ("", THEIRS, "127.0.0.1"),
        ("10.0.0.0/8", THEIRS, "127.0.0.1"),
        ("127.0.0.1", THEIRS, THEIRS),
        ("127.0.0.0/8", f"198.51.100.1, {THEIRS}", THEIRS),
        ("127.0.0.1,198.51.100.0/24", f"192.0.2.1, {THEIRS}, 198.51.100.7", THEIRS),
        ("127.0.0.1", f"{THEIRS}:4711", THEIRS),
        ("127.0.0.1", "2001:db8:1:2::5", "2001:db8:1:2::"),
        ("127.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_address_is_believed_from_trusted_proxies_alone(
    served: Callable[..., Served], proxies: str, forwarded: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own, which is not ours
    server = served(trusted_proxies=proxies)
    assert said(server, X_Forwarded_For=forwarded, X_Real_IP="192.0.2.66", Forwarded="for=192.0.2.67") == (
        f"address:{name}"
    )


@pytest.mark.parametrize(("proxies", "status"), [("127.0.0.1", 200), ("", 200)])
def test_a_page_over_tls_that_a_proxy_ended_is_the_servers_own(
    served: Callable[..., Served], proxies: str, status: int
) -> None:
    server = served(trusted_proxies=proxies, allowed_hosts="mcp.example.com")
    found = server.ask(
        body=LIST, Host="mcp.example.com", Origin="https://mcp.example.com", X_Forwarded_Proto="https"
    )
    assert found[0] == status
