"""Start, list and a trivial call over STDIO: Almanac with all guards on, against what has none."""

import contextlib
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.rounds import Line, Work, compare
from benchmarks.wire import Stdio

PEERS = Path(__file__).parent / "peers"
NAIVE, BARE, LOWLEVEL = "naive FastMCP", "FastMCP, 1 tool", "mcp low-level"
SCRIPTS = {
    "almanac": PEERS / "almanac.py",
    NAIVE: PEERS / "naive.py",
    BARE: PEERS / "trivial.py",
    LOWLEVEL: PEERS / "lowlevel.py",
}
TOOLS = {"almanac": "bench_same", NAIVE: "files_same", LOWLEVEL: "same"}
SPAWNS, CALLS, LISTS = 1, 200, 40


def _spawned(script: Path, env: dict[str, str]) -> float:
    """Milliseconds from the start of the process to the answer of `tools/list`."""
    start = time.perf_counter()
    with Stdio([sys.executable, str(script)], env) as server:
        server.request("tools/list", {})
        return (time.perf_counter() - start) * 1000


def run(directory: Path, peers: Path, rounds: int) -> list[Line]:
    """Every line of the comparison.

    Args:
        directory: Where Almanac keeps its state.
        peers: Not needed; every peer is here.
    """
    env = {"ALMANAC_STATE_DIR": str(directory)}
    shipped = {**SCRIPTS, "almanac": PEERS.parent.parent / "server.py"}
    starts: dict[str, Work] = {
        name: partial(_spawned, shipped[name], env) for name in ("almanac", NAIVE, BARE)
    }
    lines = compare("start to tools/list", starts, {NAIVE: 0.75, BARE: 0.95}, rounds, SPAWNS)
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(Stdio([sys.executable, str(script)], env))
            for name, script in SCRIPTS.items()
        }
        calls: dict[str, Work] = {
            name: partial(servers[name].timed, tool, {"text": "hello"}) for name, tool in TOOLS.items()
        }
        lines += compare("trivial tool", calls, {NAIVE: 0.65, LOWLEVEL: 1.5}, rounds, CALLS)
        lists: dict[str, Work] = {
            name: partial(servers[name].timed_request, "tools/list", {}) for name in ("almanac", NAIVE)
        }
        lines += compare("tools/list", lists, {NAIVE: 0.35}, rounds, LISTS)
    return lines
