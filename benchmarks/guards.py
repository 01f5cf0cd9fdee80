"""What each guard adds to a call in this process, and all of them together, against the goal of 0.3 ms.

The tool gives a page of two thousand characters. A batch of calls with the guard and one without take turns,
and their difference is what the guard adds; the ratio is its share of the 0.3 ms.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from pydantic import BaseModel

from benchmarks.rounds import Line, Work, compare
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
GOAL_MS = 0.3
GOAL = f"{GOAL_MS:g} ms"


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


def run(directory: Path, _: Path, rounds: int) -> list[Line]:
    """A line for each guard and one for all; no peer is needed."""
    lines = []
    for name, values in asyncio.run(measured(directory, rounds)).items():
        work: dict[str, Work] = {"almanac": partial(next, iter(values)), GOAL: partial(float, GOAL_MS)}
        lines += compare(f"a call: {name}", work, {GOAL: 1.0}, rounds, 1)
    return lines
