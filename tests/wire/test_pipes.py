"""What a pipe may do to messages: large, cut, together, unread; over STDIO, in both protocol eras."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.types import INVALID_REQUEST, PARSE_ERROR

from tests.wire.conftest import Stdio

pytestmark = pytest.mark.slow  # each starts a server of its own
Start = Callable[..., Stdio]
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
ROWS = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i, {} FROM n"
LARGE = {"ALMANAC_SQL_MAX_BYTES": "4000000"}


def query(number: int, sql: str, era: str = "legacy", **more: Any) -> dict[str, Any]:
    params = {"name": "sql_query", "arguments": {"sql": sql, **more}}
    if era == "auto":
        params["_meta"] = MODERN
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def test_five_megabytes_go_in_and_come_out_whole(stdio: Start, era: str) -> None:
    server = stdio(env=LARGE)
    if era == "legacy":
        server.initialize()
    text = "Ω" * 1_300_000
    # As structured content and as text it leaves twice: over 5 MB, as it is over 5 MB on its way in.
    asked = query(1, "SELECT :text || :text", era, params={"text": text[:650_000], "unused": text})
    line = json.dumps(asked).encode()
    assert len(line) > 5_000_000
    server.send(line)
    answer = server.answer(1)["result"]
    assert answer["structuredContent"]["rows"] == [[text]]
    assert json.loads(answer["content"][0]["text"])["rows"] == [[text]]


def test_messages_in_one_write_and_a_message_in_many_are_each_answered(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    server.send(b"\n".join(json.dumps(query(number, f"SELECT {number}")).encode() for number in (1, 2, 3)))
    answers = {}
    for _ in range(3):  # in whatever order
        while "id" not in (message := read(server)):
            pass
        answers[message["id"]] = message["result"]["structuredContent"]["rows"]
    assert answers == {1: [[1]], 2: [[2]], 3: [[3]]}
    assert server.process.stdin is not None
    for piece in json.dumps(query(4, "SELECT 4")).encode() + b"\n":
        server.process.stdin.write(bytes([piece]))
        server.process.stdin.flush()
    assert server.answer(4)["result"]["structuredContent"]["rows"] == [[4]]


def read(server: Stdio) -> dict[str, Any]:
    assert server.process.stdout is not None
    message: dict[str, Any] = json.loads(server.process.stdout.readline())
    return message


def test_a_client_that_reads_late_gets_every_answer_whole_and_may_leave_in_the_middle_of_a_line(
    stdio: Start,
) -> None:
    server = stdio()
    server.initialize()
    sql = ROWS.format(100, "printf('%02000d', i)")
    server.send(*(query(number, sql) for number in range(1, 9)))
    time.sleep(0.3)  # by then the pipe is full of the first
    numbers: set[int] = set()
    while len(numbers) < 8:
        message = read(server)
        if "id" in message:
            numbers.add(message["id"])
            assert len(message["result"]["structuredContent"]["rows"]) == 100
    assert numbers == set(range(1, 9))
    assert server.process.stdin is not None
    server.process.stdin.write(b'{"jsonrpc": "2.0", "id": 9, "meth')  # half a line, and then the end
    server.process.stdin.flush()
    status, out, err = server.end()
    assert (status, out) == (0, b"")
    assert "Traceback" not in err


def test_sigterm_ends_a_server_whose_client_does_not_read(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    server.send(*(query(number, ROWS.format(100, "printf('%02000d', i)")) for number in range(1, 9)))
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 0


def test_a_client_that_closes_its_ears_ends_without_a_traceback(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    server.send(query(1, ROWS.format(100, "printf('%02000d', i)")))
    assert server.process.stdout is not None
    assert server.process.stdin is not None
    server.process.stdout.close()
    server.send(query(2, "SELECT 2"))
    server.process.stdout = None
    status, _, err = server.end()
    assert status == 0
    assert "Traceback" not in err


NO_MESSAGES = [
    (b"{nonsense", None, PARSE_ERROR),
    (b"[" * 100_000, None, PARSE_ERROR),
    (b'{"jsonrpc": "2.0", "id": 7, "method": 5}', 7, INVALID_REQUEST),
    (b'{"jsonrpc": "2.0", "id": true, "method": 5}', None, INVALID_REQUEST),
    (b'[{"jsonrpc": "2.0", "id": 7, "method": "ping"}]', None, INVALID_REQUEST),
    (b'{"id": "a", "method": "ping"}', "a", INVALID_REQUEST),
    (b'"text"', None, INVALID_REQUEST),
]


def test_a_line_that_is_no_message_is_answered_and_the_next_one_too(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    for number, (line, its_id, code) in enumerate(NO_MESSAGES, start=8):
        server.send(line)
        refused = read(server)
        assert (refused["id"], refused["error"]["code"]) == (its_id, code), line
        server.send(query(number, f"SELECT {number}"))
        assert server.answer(number)["result"]["structuredContent"]["rows"] == [[number]]


def test_a_message_over_the_longest_is_refused_and_the_next_one_is_answered(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    # Its tail would be a message, were it read as a line of its own.
    server.send(b'"' + b"x" * 35_000_000 + json.dumps(query(7, "SELECT 7")).encode())
    assert "16,000,000 bytes" in read(server)["error"]["message"]
    server.send(query(8, "SELECT 8"))
    while "id" not in (message := read(server)):
        pass
    assert (message["id"], message["result"]["structuredContent"]["rows"]) == (8, [[8]])


def resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_a_client_that_only_asks_does_not_fill_memory_with_answers(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    server.send(query(1, "SELECT 1"))
    server.answer(1)
    before = resident(server.process.pid)
    most, sql = 200, ROWS.format(100, "printf('%010000d', i)")  # 2 MB each, and 400 MB together
    asking = threading.Thread(
        target=lambda: server.send(*(query(n, sql) for n in range(2, most))), daemon=True
    )
    asking.start()
    grown = []
    for _ in range(20):
        time.sleep(0.1)
        grown.append(resident(server.process.pid) - before)
    assert max(grown) < 150_000_000
    answered = 0
    while answered < most - 2:
        answered += "id" in read(server)
    asking.join()
