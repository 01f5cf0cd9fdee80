"""nginx as deploy/nginx.conf sets it up: which calls go to another replica, and which never do."""

import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.deploy.front import Nginx, free_ports

BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}'
WELL = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: application/json\r\nConnection: close\r\n\r\nwell"
)
ENDING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\nConnection: close\r\n\r\nending"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nbegun"
NOTHING = b""


class Fake:
    """A replica that reads each request whole, gives always the same bytes, and counts the calls it got."""

    def __init__(self, gives: bytes) -> None:
        self._gives, self.calls, self.heads = gives, 0, list[bytes]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                self._answer(self._listening.accept()[0])

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            read = b""
            while b"\r\n\r\n" not in read:
                read += connection.recv(65536)
            head, _, body = read.partition(b"\r\n\r\n")
            if head.startswith(b"GET /health"):
                connection.sendall(WELL)
                return
            while len(body) < len(BODY):
                body += connection.recv(65536)
            assert body == BODY
            self.calls += 1
            self.heads.append(head)
            connection.sendall(self._gives)

    def close(self) -> None:
        # Only closed, a socket that another thread waits at goes on taking connections.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


Behind = Callable[..., tuple[Nginx, list[Fake]]]


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    """nginx in front of replicas that give these bytes; None is one that nobody answers for."""
    with ExitStack() as stack:

        def start(*gives: bytes | None, tls: bool = False) -> tuple[Nginx, list[Fake]]:
            fakes = [Fake(each) for each in gives if each is not None]
            for fake in fakes:
                stack.callback(fake.close)
            waiting, dead = iter(fakes), iter(free_ports(len(gives)))
            ports = [next(dead) if each is None else next(waiting).port for each in gives]
            return stack.enter_context(Nginx(ports, tmp_path / "nginx", tls)), fakes

        yield start


def call(nginx: Nginx, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(
        nginx.url,
        BODY,
        {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_replica_that_says_it_has_not_begun_costs_nobody_a_call(behind: Behind) -> None:
    nginx, (ending, well, also_well) = behind(ENDING, WELL, WELL)
    assert [call(nginx) for _ in range(12)] == [(200, b"well")] * 12
    assert well.calls + also_well.calls == 12
    assert ending.calls == 1, "then it is left alone for a while"


def test_a_replica_that_is_not_there_costs_nobody_a_call(behind: Behind) -> None:
    nginx, (well,) = behind(None, WELL, None)
    assert [call(nginx) for _ in range(12)] == [(200, b"well")] * 12
    assert well.calls == 12


def test_one_that_is_ending_and_one_that_is_gone_leave_the_third(behind: Behind) -> None:
    nginx, (ending, well) = behind(None, ENDING, WELL)
    assert [call(nginx) for _ in range(12)] == [(200, b"well")] * 12
    assert well.calls == 12
    assert ending.calls <= 2, "what says 503 is counted where it is asked first"


@pytest.mark.parametrize("gives", [NOTHING, FAILED, CUT], ids=["broke off", "failed", "cut"])
def test_a_call_that_was_begun_is_never_sent_a_second_time(behind: Behind, gives: bytes) -> None:
    nginx, replicas = behind(gives, gives, gives)
    if gives == CUT:
        with pytest.raises(Exception, match="IncompleteRead"):
            call(nginx)
    else:
        status, body = call(nginx)
        assert status == (502 if gives == NOTHING else 500)
        assert (b"may or may not have been carried out" in body) == (gives == NOTHING)
    assert sum(replica.calls for replica in replicas) == 1


def test_where_nobody_takes_calls_the_answer_says_so(behind: Behind) -> None:
    nginx, _ = behind(ENDING, ENDING, ENDING)
    assert call(nginx) == (503, b"ending")


def test_a_caller_cannot_say_where_it_calls_from(behind: Behind) -> None:
    nginx, (replica, *_) = behind(WELL, None, None)
    call(nginx, X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="https", Authorization="Bearer x")
    lines = replica.heads[0].decode().lower().split("\r\n")
    assert "x-forwarded-for: 127.0.0.1" in lines
    assert "x-forwarded-proto: http" in lines
    assert f"host: 127.0.0.1:{nginx.port}" in lines
    (reference,) = [
        line.removeprefix("x-request-id: ") for line in lines if line.startswith("x-request-id: ")
    ]
    for _ in range(100):  # it is logged after the answer
        if logged := nginx.log:
            break
        time.sleep(0.01)
    assert logged.endswith(f"reference={reference}\n")
    assert "authorization: bearer x" in lines
    assert not [line for line in lines if "192.0.2.1" in line]


@pytest.mark.parametrize("path", ["metrics", "ready"])
def test_what_watches_the_replicas_is_not_for_everybody(behind: Behind, path: str) -> None:
    nginx, _ = behind(WELL, WELL, WELL)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{nginx.port}/{path}", timeout=5)


def test_the_lines_for_tls_serve_tls_and_leave_the_probe(behind: Behind, tmp_path: Path) -> None:
    nginx, (replica, *_) = behind(WELL, None, None, tls=True)
    trusted = ssl.create_default_context(cafile=str(tmp_path / "nginx" / "fullchain.pem"))
    trusted.check_hostname = False
    address = f"https://127.0.0.1:{nginx.tls_port}/mcp"
    with urllib.request.urlopen(address, data=BODY, context=trusted, timeout=5) as answer:
        assert answer.read() == b"well"
    assert b"x-forwarded-proto: https" in replica.heads[0].lower()
    with urllib.request.urlopen(f"http://127.0.0.1:{nginx.port}/health", timeout=5) as probed:
        assert probed.status == 200, "compose.yaml asks there whether nginx is well"
