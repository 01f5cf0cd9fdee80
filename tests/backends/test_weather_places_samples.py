"""How many names of other lists than world.db's are found first: docs/places.md says how they were drawn."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from backends.weather.gazetteer import City, kilometres
from backends.weather.places import Places, read
from config import Settings
from errors import Unknown

SAMPLES = Path(__file__).parents[1] / "places"
NEAR_KM = 30  # two lists put one city's centre no further apart


async def first(places: Places, typed: str) -> City | None:
    try:
        found = await places.find(read(typed))
    except Unknown:
        return None
    return found.cities[0] if found.cities else None


@pytest.mark.parametrize(
    ("sample", "least"),
    [
        ("cities", 0.95),  # the goal
        ("mixed", 0.88),  # towns, slips, qualifiers and scripts: below the goal, and not to get worse
    ],
)
async def test_names_drawn_from_other_lists_are_right_first(sample: str, least: float) -> None:
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    async with Places(Settings().weather.places) as places:
        with (SAMPLES / f"{sample}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                best = await first(places, row["typed"])
                there = float(row["latitude"]), float(row["longitude"])
                near = best is not None and kilometres(*there, best.latitude, best.longitude) <= NEAR_KM
                asked[row["kind"]] += 1
                right[row["kind"]] += near
                if not near:  # pytest shows them when the share is too small, and with -s always
                    print(f"{row['kind']}: {row['typed']!r} ({row['country']}) -> {best}")  # noqa: T201
    for kind, number in asked.items():
        print(f"{kind}: {right[kind]} of {number}")  # noqa: T201
    assert asked.total() == 200
    assert right.total() >= least * asked.total()
