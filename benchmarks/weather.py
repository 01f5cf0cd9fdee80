"""Weather through the whole server, against its own trivial tool: kept answers, a hundred callers at once.

The forecasts come from the test suite's stand-in for Open-Meteo, whose work is on the same cores.
"""

import itertools
from collections.abc import Iterable
from functools import partial

from benchmarks.contenders import Bench
from benchmarks.goals import FORECAST, TRIVIAL
from benchmarks.rounds import OURS, Line, Work, compare
from tests.fakes.open_meteo import OpenMeteo

CALLERS = 100
APIS = ("OPEN_METEO", "GEOCODING", "ARCHIVE", "AIR_QUALITY", "MET_NORWAY", "NWS")


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    fake = OpenMeteo()
    url = bench.upstream(fake)
    env = {f"ALMANAC_WEATHER_{api}_URL": url for api in APIS} | {"ALMANAC_LIMITS_AT_ONCE": "200"}
    server = bench.stdio(bench.script("almanac.py"), env)
    asked = {"place": "Lima, Peru", "days": 3}
    length = len(server.call("weather_forecast", asked))
    long = "x" * (length // 2)  # an answer has it twice, as text and structured
    kept: dict[str, Work] = {
        OURS: server.calls("weather_forecast", asked, b"temperature_max"),
        TRIVIAL: server.calls("bench_same", {"text": "hello"}, b"hello"),
        "trivial tool, as long an answer": server.calls("bench_same", {"text": long}, long.encode()),
    }
    before = len(fake.seen)
    yield from compare(FORECAST, kept, bench.rounds, bench.many(100))
    if len(fake.seen) != before:
        raise RuntimeError("a forecast was not kept")

    trivial = ("bench_same", [{"text": "x" * 1500}] * CALLERS)
    fresh = itertools.count(1)

    def crowd(cities: int) -> float:
        asked_before = len(fake.seen)
        places = [f"{next(fresh) % 6000 / 100:.2f},{cities}" for _ in range(cities)]
        taken = server.at_once("weather_current", [{"place": places[n % cities]} for n in range(CALLERS)])
        if (asked := len(fake.seen) - asked_before) != cities:
            raise RuntimeError(f"{cities} cities caused {asked} requests")
        return taken

    for cities, name in ((1, "1 new city"), (CALLERS, f"{CALLERS} new cities")):
        contenders = {
            OURS: partial(crowd, cities),
            f"{CALLERS} trivial calls": partial(server.at_once, *trivial),
        }
        yield from compare(f"{CALLERS} callers at once, {name}", contenders, bench.rounds, 3)
