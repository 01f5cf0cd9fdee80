"""Start, list and a trivial call over STDIO: Almanac with all guards on, against what has none."""

import time
from collections.abc import Iterable, Sequence
from functools import partial

from benchmarks.contenders import SHIPPED, Bench
from benchmarks.goals import BARE, CALL, EVERYTHING, LIST, LOWLEVEL, NAIVE, RAW, START
from benchmarks.rounds import OURS, Absent, Line, Work, compare
from benchmarks.wire import Stdio

SCRIPTS = {NAIVE: "naive.py", BARE: "trivial.py", LOWLEVEL: "lowlevel.py", RAW: "raw.py"}
TOOLS = {OURS: "bench_same", NAIVE: "files_same", BARE: "same", LOWLEVEL: "same", RAW: "same"}
SPAWNS, CALLS, LISTS = 1, 200, 40
TEXT = {"text": "hello"}


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    commands: dict[str, list[str] | Absent] = {name: bench.script(file) for name, file in SCRIPTS.items()}
    commands[EVERYTHING] = bench.npm("mcp-server-everything", "stdio")
    shipped = commands | {OURS: bench.script(SHIPPED)}
    starts = {name: _spawning(bench, command) for name, command in shipped.items()}
    yield from compare(START, starts, bench.rounds, SPAWNS)

    servers = {name: bench.peer(command) for name, command in commands.items()}
    servers[OURS] = bench.stdio(bench.script("almanac.py"))
    calls = {name: servers[name].calls(tool, TEXT, b"hello") for name, tool in TOOLS.items()}
    calls[EVERYTHING] = servers[EVERYTHING].calls("echo", {"message": "hello"}, b"hello")
    yield from compare(CALL, calls, bench.rounds, bench.many(CALLS))

    lists = {
        name: servers[name].asks("tools/list", {}, b'"inputSchema"') for name in (OURS, NAIVE, EVERYTHING)
    }
    yield from compare(LIST, lists, bench.rounds, bench.many(LISTS))


def _spawning(bench: Bench, command: Sequence[str] | Absent) -> Work | Absent:
    return command if isinstance(command, Absent) else partial(_spawned, command, bench.env())


def _spawned(command: Sequence[str], env: dict[str, str]) -> float:
    """Milliseconds from the start of the process to the answer of `tools/list`."""
    start = time.perf_counter()
    with Stdio(command, env) as server:
        server.request("tools/list", {})
        return (time.perf_counter() - start) * 1000
