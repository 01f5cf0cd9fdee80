"""Places found by name, offline: both samples of tests/places, name by name, against one millisecond."""

import asyncio
import contextlib
import csv
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from backends.weather.places import Places, read
from benchmarks.rounds import Line, Work, compare
from config import Settings
from errors import Unknown

SAMPLES = Path(__file__).parent.parent / "tests" / "places"
ALLOWED_MS = 1.0


def run(_: Path, __: Path, rounds: int) -> list[Line]:
    """The median name of each sample; nothing else is asked, so no peer is needed."""
    lines = []
    for sample, about in (("cities", "names of cities"), ("mixed", "towns, slips, scripts")):
        with (SAMPLES / f"{sample}.csv").open(encoding="utf-8", newline="") as file:
            names = [row["typed"] for row in csv.DictReader(file)]
        timed = iter(asyncio.run(_each_ms(names, rounds + 1)))
        work: dict[str, Work] = {"almanac": partial(next, timed), "1 ms": lambda: ALLOWED_MS}
        found = compare(f"place: {about}", work, {"1 ms": 1.0}, rounds, len(names))
        lines += found
        per_second = 1000 / found[0].ours_ms.median
        print(f"{about}: {per_second:,.0f} a second at the median")
    return lines


async def _each_ms(names: Sequence[str], times: int) -> list[float]:
    """What each of the names took, in turn, so many times over."""
    taken = []
    async with Places(Settings().weather.places) as places:
        for name in [*names] * times:
            start = time.perf_counter()
            with contextlib.suppress(Unknown):  # a refusal is an answer as well
                await places.find(read(name))
            taken.append((time.perf_counter() - start) * 1000)
    return taken


if __name__ == "__main__":
    for line in run(Path(), Path(), 5):
        print(f"{line.work}: {line.ours_ms} ms")
