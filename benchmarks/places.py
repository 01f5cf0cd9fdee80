"""Places found by name, offline: both samples of tests/places, name by name, against one millisecond."""

import asyncio
import contextlib
import csv
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from backends.weather.places import Places, read
from benchmarks.contenders import Bench
from benchmarks.rounds import OURS, Line, Work, compare
from config import Settings
from errors import Unknown

SAMPLES = Path(__file__).parent.parent / "tests" / "places"
ALLOWED = "1 ms"


def run(bench: Bench) -> Iterable[Line]:
    """The median name of each sample; nothing else is asked, so no peer is needed."""
    for sample, about in (("cities", "names of cities"), ("mixed", "towns, slips, scripts")):
        with (SAMPLES / f"{sample}.csv").open(encoding="utf-8", newline="") as file:
            names = [row["typed"] for row in csv.DictReader(file)]
        timed = iter(asyncio.run(_each_ms(names, bench.rounds + 1)))
        work: dict[str, Work] = {OURS: partial(next, timed), ALLOWED: partial(float, 1)}
        yield from compare(f"place: {about}", work, bench.rounds, len(names))


async def _each_ms(names: Sequence[str], times: int) -> list[float]:
    """What each of the names took, in turn, so many times over; by a list each time that remembers none."""
    taken = []
    for _ in range(times):
        async with Places(Settings().weather.places) as places:
            for name in names:
                start = time.perf_counter()
                with contextlib.suppress(Unknown):  # a refusal is an answer as well
                    await places.find(read(name))
                taken.append((time.perf_counter() - start) * 1000)
    return taken
