"""A trivial tool over HTTP without sessions, 32 callers at once, in both eras of the protocol."""

from collections.abc import Iterable

from benchmarks.contenders import Bench
from benchmarks.goals import (
    HANDSHAKE,
    LOWLEVEL,
    MODERN,
    NAIVE,
    P99,
    REQUESTS,
    TYPESCRIPT_1,
    TYPESCRIPT_2,
    http,
)
from benchmarks.rounds import OURS, Absent, Line, lines, turns
from benchmarks.wire import Http

SCRIPTS = {OURS: "almanac.py", NAIVE: "naive.py", LOWLEVEL: "lowlevel.py"}
TOOLS = {OURS: "bench_same", NAIVE: "files_same"}
SDKS = {
    TYPESCRIPT_1: ("typescript1.mjs", "@modelcontextprotocol/sdk"),
    TYPESCRIPT_2: ("typescript2.mjs", "@modelcontextprotocol/node"),
}
CALLERS, CALLS = 32, 480  # naive takes some seconds for them in 2026-07-28


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    servers: dict[str, Http | Absent] = {
        name: bench.http(bench.script(file, "PORT")) for name, file in SCRIPTS.items()
    }
    for name, (script, package) in SDKS.items():
        servers[name] = bench.peer_http(bench.node(script, package, "PORT"))
    for era in (HANDSHAKE, MODERN):
        requests, waits = _measured(bench, servers, era)
        yield from lines(http(era, REQUESTS), requests, "1/s")
        yield from lines(http(era, P99), {name: waits[name] for name in (OURS, NAIVE)})


Found = dict[str, list[float] | Absent]


def _measured(bench: Bench, servers: dict[str, Http | Absent], era: str) -> tuple[Found, Found]:
    """Requests a second of each round, and the 99th percentile of what a caller waits."""
    here = {name: server for name, server in servers.items() if isinstance(server, Http)}
    requests: dict[str, list[float]] = {name: [] for name in here}
    waits: dict[str, list[float]] = {name: [] for name in here}
    for name, counts in turns(list(here), bench.rounds):
        spoken = HANDSHAKE if name == TYPESCRIPT_1 else era  # the only one that it speaks
        call = here[name].post(TOOLS.get(name, "same"), {"text": "hello"}, spoken)
        each, wait = here[name].loaded([call] * (CALLS // 2 if bench.brief else CALLS), b"hello", CALLERS)
        if counts:
            requests[name].append(each)
            waits[name].append(wait)
    absent = {name: server for name, server in servers.items() if isinstance(server, Absent)}
    return {**requests, **absent}, {**waits, **absent}
