"""The server as a desktop client spawns it: raw lines over pipes, a bare environment, `/` as directory."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import has_ended
from tests.wire.conftest import ENVIRON, SERVER, Stdio

Start = Callable[..., Stdio]


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        pytest.param("2024-11-05", "2024-11-05", marks=pytest.mark.slow),
        pytest.param("2025-06-18", "2025-06-18", marks=pytest.mark.slow),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
    ],
)
def test_the_handshake_of_a_desktop_client_is_answered_in_its_version(
    stdio: Start, asked: str, spoken: str
) -> None:
    server = stdio()
    result = server.initialize(asked)["result"]
    assert result["protocolVersion"] == spoken
    assert result["serverInfo"]["name"] == "almanac"
    server.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert len(server.answer(1)["result"]["tools"]) == 22


def test_the_modern_era_needs_no_handshake(stdio: Start) -> None:
    server = stdio()
    server.send(
        {
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {
                "name": "sql_query", "arguments": {"sql": "SELECT 6 * 7"},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        }
    )  # fmt: skip
    assert server.answer(1)["result"]["structuredContent"]["rows"] == [[42]]


def test_the_end_of_standard_input_ends_the_server_with_status_zero(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    status, out, _ = server.end()
    assert (status, out) == (0, b"")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_work_ends_the_server_and_whatever_it_started(
    stdio: Start, sent: signal.Signals
) -> None:
    server = stdio(env={"ALMANAC_SQL_TIMEOUT": "60", "ALMANAC_SHUTDOWN_GRACE": "0"})
    server.initialize()
    call = {"name": "sql_query", "arguments": {"sql": ENDLESS}}
    server.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    deadline = time.monotonic() + 10
    while not (started := children.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.process.send_signal(sent)
    assert server.process.wait(10) == 0
    assert all(has_ended(int(child), within=1) for child in started)


# Prints at every moment at which a library might: while our modules are imported, when a backend opens,
# from Python, from a raw descriptor, and from a child process.
NOISY = """
import os, runpy, subprocess, sys

class Noise:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("backends", "tools", "web"):
            print("noise on import of", name)
            os.write(1, b"raw noise on import\\n")
        if name == "web.probes":
            import backends.sql
            enter = backends.sql.Databases.__aenter__
            async def noisy(self):
                print("noise in the lifespan")
                os.write(1, b"raw noise in the lifespan\\n")
                subprocess.run(["echo", "noise of a child"])
                return await enter(self)
            backends.sql.Databases.__aenter__ = noisy

sys.meta_path.insert(0, Noise())
sys.argv = [sys.argv[1]]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_nothing_but_protocol_reaches_standard_output(stdio: Start, tmp_path: Path) -> None:
    script = tmp_path / "noisy.py"
    script.write_text(NOISY)
    server = stdio(command=[sys.executable, str(script), str(SERVER)])
    server.initialize()
    server.send(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "status", "arguments": {}}}
    )
    assert not server.answer(1)["result"].get("isError")
    status, out, err = server.end()
    assert (status, out) == (0, b"")
    for noise in (
        "noise on import",
        "noise in the lifespan",
        "raw noise in the lifespan",
        "noise of a child",
    ):
        assert noise in err


MALFORMED = (
    b"",
    b"not json",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe\x00",
    b'{"jsonrpc": "2.0"}',
    b'{"jsonrpc": "1.0", "id": 5, "method": "tools/list"}',
    b'{"jsonrpc": "2.0", "id": 5, "method": "no/such"}',
    b'{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": 7}',
    b'{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": 5}}',
    b'{"jsonrpc": "2.0", "id": {}, "method": "tools/list"}',
    b'{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "status", "arguments": []}}',
    b"[" * 100_000,
    b'{"jsonrpc": "2.0", "id": 5, "result": {}}',
    b'"' + b"x" * 5_000_000 + b'"',
)


@pytest.mark.slow
def test_malformed_lines_are_survived_and_the_next_request_is_answered(stdio: Start) -> None:
    server = stdio()
    server.initialize()
    for number, line in enumerate(MALFORMED, 100):
        server.send(line, {"jsonrpc": "2.0", "id": number, "method": "tools/list"})
        assert server.answer(number)["result"]["tools"], line[:40]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ALMANAC_PROT", "1", "The nearest is ALMANAC_PORT"),
        ("ALMANAC_PORT", "eighty", "ALMANAC_PORT: "),
    ],
)
def test_a_wrong_setting_stops_the_start_and_says_which(variable: str, value: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SERVER)],
        env={**ENVIRON, variable: value},
        input=b"",
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert done.stdout == b""
    assert told in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("option", ["--help", pytest.param("--version", marks=pytest.mark.slow)])
def test_help_and_version_are_printed_where_a_person_looks(option: str) -> None:
    done = subprocess.run([sys.executable, str(SERVER), option], env=ENVIRON, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout != b"") == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "shown"),
    [(["inspect"], "almanac"), (["list"], "sql_query("), (["call", "status"], '"domains"')],
)
def test_the_frameworks_own_commands_work_on_the_file(command: list[str], shown: str) -> None:
    word, *rest = command
    fastmcp = Path(sys.executable).parent / "fastmcp"
    done = subprocess.run(
        [str(fastmcp), word, str(SERVER), *rest],
        env={**ENVIRON, "PATH": f"{fastmcp.parent}:{ENVIRON['PATH']}"},
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert shown in done.stdout.decode()


@pytest.mark.slow
def test_fastmcp_run_serves_it(stdio: Start) -> None:
    fastmcp = str(Path(sys.executable).parent / "fastmcp")
    server = stdio(command=[fastmcp, "run", str(SERVER), "--no-banner"])
    server.initialize()
    server.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert len(server.answer(1)["result"]["tools"]) == 22
    assert server.end()[0] == 0
