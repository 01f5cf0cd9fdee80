"""Several processes behind one port: they share the work, replace one another, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import has_ended
from tests.wire.conftest import ENVIRON, SERVER, Http, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.timeout(60),
]


def workers_of(server: Http) -> set[int]:
    """Children that serve, not the one that looks after multiprocessing's own resources."""
    found = set()
    for child in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.add(int(child))
    return found


def wait_for_workers(server: Http, number: int, but: int = 0) -> set[int]:
    deadline = time.monotonic() + 20
    while len(found := workers_of(server) - {but}) < number:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def called(server: Http) -> dict[str, Any]:
    params = {"name": "sql_query", "arguments": {"sql": "SELECT 6 * 7"}}
    request = urllib.request.Request(
        server.url,
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode(),
        {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": "2025-11-25",
        },
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        answer: dict[str, Any] = json.load(response)["result"]
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Http]:
    with Http({"ALMANAC_WORKERS": "2", "ALMANAC_STATE_DIR": str(tmp_path)}) as started:
        yield started


def test_a_worker_that_is_killed_is_replaced_while_the_other_serves(server: Http) -> None:
    killed, other = wait_for_workers(server, 2)
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not (new := workers_of(server) - {killed, other}):
        assert called(server)["structuredContent"]["rows"] == [[42]]
        assert time.monotonic() < deadline
    assert len(new) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them_and_the_status_is_zero(server: Http, number: signal.Signals) -> None:
    before = wait_for_workers(server, 2)
    server.process.send_signal(number)
    assert server.process.wait(10) == 0
    assert all(has_ended(worker) for worker in before)


def test_a_worker_that_has_been_stopped_holds_the_end_no_longer_than_a_hanging_one(tmp_path: Path) -> None:
    env = {"ALMANAC_WORKERS": "2", "ALMANAC_STATE_DIR": str(tmp_path), "ALMANAC_SHUTDOWN_GRACE": "0.1"}
    with Http(env) as server:
        before = wait_for_workers(server, 2)
        os.kill(min(before), signal.SIGSTOP)
        server.process.terminate()
        assert server.process.wait(12) == 0
        assert all(has_ended(worker) for worker in before)


def test_workers_whose_first_process_is_killed_end(server: Http) -> None:
    before = wait_for_workers(server, 2)
    server.process.kill()
    assert all(has_ended(worker) for worker in before)


def test_a_limit_holds_over_all_of_them(tmp_path: Path) -> None:
    env = {"ALMANAC_WORKERS": "2", "ALMANAC_STATE_DIR": str(tmp_path), "ALMANAC_LIMITS_RATE": "10/hour"}
    with Http(env) as server:
        wait_for_workers(server, 2)
        answers = [called(server) for _ in range(14)]
    assert sum(not answer.get("isError") for answer in answers) == 10


def test_a_port_that_is_taken_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = _run({"ALMANAC_PORT": str(taken.getsockname()[1]), "ALMANAC_WORKERS": "2"})
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_that_cannot_start_are_not_tried_for_ever(tmp_path: Path) -> None:
    """OAuth that cannot be asked: found only when the server is composed."""
    done = _run(
        {
            "ALMANAC_PORT": str(free_port()),
            "ALMANAC_WORKERS": "2",
            "ALMANAC_STATE_DIR": str(tmp_path),
            "ALMANAC_AUTH_MODE": "oauth",
            "ALMANAC_AUTH_OAUTH_PROVIDER": "auth0",
            "ALMANAC_AUTH_OAUTH_TENANT": "tenant.invalid",
            "ALMANAC_AUTH_OAUTH_API": "https://api.invalid",
            "ALMANAC_AUTH_OAUTH_CLIENT_ID": "a",
            "ALMANAC_AUTH_OAUTH_CLIENT_SECRET": "b" * 40,
            "ALMANAC_AUTH_OAUTH_SIGNING_KEY": "c" * 40,
            "ALMANAC_AUTH_OAUTH_BASE_URL": "https://mcp.example.com",
            "ALMANAC_AUTH_OAUTH_USERS": "somebody@example.com=read",
        }
    )
    assert done.returncode == 1
    assert "Almanac cannot start" in done.stderr
    assert "giving up" in done.stderr


def _run(env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SERVER), "http"],
        env={**ENVIRON, **env},
        capture_output=True,
        text=True,
        timeout=40,
        stdin=subprocess.DEVNULL,
    )


def test_a_signal_in_the_middle_of_the_start_leaves_nobody(tmp_path: Path) -> None:
    server = Http({"ALMANAC_WORKERS": "12", "ALMANAC_STATE_DIR": str(tmp_path)})
    wait_for_workers(server, 2)
    server.process.terminate()
    server.process.communicate(timeout=15)
    assert server.process.returncode == 0
