"""What the guards of `middleware/` cost: all through the whole server, and each by itself in this process.

By itself: the tool gives a page of two thousand characters. A batch of calls with the guard and one without
take turns, and their difference is what the guard adds; the ratio is its share of the 0.3 ms allowed.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from pydantic import BaseModel

from benchmarks.contenders import Bench
from benchmarks.goals import ALL_HTTP, ALL_STDIO, MODERN, UNGUARDED
from benchmarks.rounds import OURS, Line, Work, compare
from benchmarks.wire import Http
from config import AuditSettings, LimitsSettings
from counters import Counters
from middleware.audit import Audit
from middleware.errors import Errors
from middleware.fence import Fence
from middleware.limits import Limits
from middleware.quotas import Quotas
from tuning import FixedServer

CALLS = 60  # in a batch
BATCHES = 8  # in a round
PROSE = "The quick brown fox jumps over the lazy dog. " * 45
ALLOWED_MS = 0.3
CALLERS, REQUESTS, LEAST = 32, 640, 320


class Page(BaseModel):
    text: str
    next_line: int | None = None


def server(guards: Sequence[Any]) -> FastMCP:
    """A mounted tool behind these guards, as the application has its own."""
    child = FixedServer("files", mask_error_details=True)

    @child.tool(name="read")
    async def read(path: str) -> Page:
        return Page(text=PROSE)

    root = FixedServer("root", middleware=list(guards), mask_error_details=True)
    root.mount(child, namespace="files")
    return root


@asynccontextmanager
async def guards(directory: Path) -> AsyncIterator[dict[str, list[Any]]]:
    """Each guard by itself, and all in their order, with everything in them switched on."""
    limits = LimitsSettings.model_validate(
        {"rate": "100000000/minute", "quotas": {"files": "100000000/day"}, "budget": "100000000/day"}
    )
    async with AsyncExitStack() as stack:
        counters = await stack.enter_async_context(Counters(directory, "", "refuse"))
        audit = await stack.enter_async_context(Audit(AuditSettings(), directory))
        each: dict[str, list[Any]] = {
            "audit": [audit],
            "errors": [Errors()],
            "limits": [Limits(limits, counters)],
            "quotas": [Quotas(limits, counters)],
            "fence": [Fence()],
        }
        yield {**each, "all guards": [guard for one in each.values() for guard in one]}


def _audited(state: Path) -> bytes:
    return b"".join(path.read_bytes() for path in state.glob("audit/*.jsonl"))


async def added_ms(bare: FastMCP, guarded: FastMCP) -> float:
    """What the guards add to one call: the median over batches that take turns."""

    async def batch(of: FastMCP) -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            await of.call_tool("files_read", {"path": "docs/notes.md"})
        return (time.perf_counter() - start) / CALLS * 1000

    return statistics.median([await batch(guarded) - await batch(bare) for _ in range(BATCHES)])


async def measured(directory: Path, rounds: int) -> dict[str, list[float]]:
    """What each adds, a value a round."""
    async with guards(directory) as made:
        bare, guarded = server([]), {name: server(some) for name, some in made.items()}
        found: dict[str, list[float]] = {name: [] for name in guarded}
        for _ in range(rounds + 1):
            for name, one in guarded.items():
                found[name].append(await added_ms(bare, one))
    return found


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    text = {"text": "hello"}
    scripts = {OURS: "almanac.py", UNGUARDED: "unguarded.py"}
    states = {name: bench.directory / Path(script).stem for name, script in scripts.items()}
    calls = {
        name: bench.stdio(bench.script(script), {"ALMANAC_STATE_DIR": str(states[name])}).calls(
            "bench_same", text, b"hello"
        )
        for name, script in scripts.items()
    }
    if [name for name, state in states.items() if b"bench_same" in _audited(state)] != [OURS]:
        raise RuntimeError("with guards a call is audited, without them it is not")
    yield from compare(ALL_STDIO, calls, bench.rounds, bench.many(200))

    def each_ms(server: Http) -> float:
        asked = [server.post("bench_same", text, MODERN)] * max(bench.many(REQUESTS), LEAST)
        return 1000 / server.loaded(asked, b"hello", CALLERS)[0]

    loads = {name: partial(each_ms, bench.http(bench.script(file, "PORT"))) for name, file in scripts.items()}
    yield from compare(ALL_HTTP, loads, bench.rounds, 1)

    for name, values in asyncio.run(measured(bench.directory, bench.rounds)).items():
        alone: dict[str, Work] = {OURS: partial(next, iter(values)), "0.3 ms": partial(float, ALLOWED_MS)}
        yield from compare(f"what it adds to a call: {name}", alone, bench.rounds, 1)
