"""Weather through the whole server, against a trivial tool: kept answers, and a hundred callers at once.

The forecasts come from the test suite's stand-in for Open-Meteo, whose work is on the same cores.
"""

import contextlib
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.rounds import Line, compare
from benchmarks.wire import Stdio
from tests.fakes import Upstream
from tests.fakes.open_meteo import OpenMeteo

HERE = Path(__file__).parent
CALLERS = 100
TRIVIAL = "a trivial tool"
GOALS = {"kept": 2.0, "one city": 2.0, "cities": 10.0}


def _at_once(server: Stdio, tool: str, arguments: list[dict[str, Any]]) -> float:
    """Milliseconds until the last of as many calls is answered, sent one behind the other."""
    process = server._process
    assert process.stdin is not None
    assert process.stdout is not None
    first = server._number + 1
    start = time.perf_counter()
    for given in arguments:
        server._number += 1
        message = {"jsonrpc": "2.0", "id": server._number, "method": "tools/call"}
        server._send({**message, "params": {"name": tool, "arguments": given}})
    waiting = set(range(first, server._number + 1))
    while waiting:
        answer = json.loads(process.stdout.readline())
        if answer.get("id") in waiting:
            waiting.discard(answer["id"])
            if answer["result"].get("isError"):
                raise RuntimeError(f"{tool} was refused: {answer['result']}")
    return (time.perf_counter() - start) * 1000


def run(directory: Path, peers: Path, rounds: int) -> list[Line]:
    """Every line of the comparison.

    Args:
        directory: Where what is kept may lie.
        peers: Not needed; every peer is here.
    """
    fake = OpenMeteo()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(Upstream(fake)).url
        env = {
            f"ALMANAC_WEATHER_{api}_URL": url
            for api in ("OPEN_METEO", "GEOCODING", "ARCHIVE", "AIR_QUALITY", "MET_NORWAY", "NWS")
        }
        env |= {"ALMANAC_STATE_DIR": str(directory), "ALMANAC_LIMITS_AT_ONCE": "200"}
        ours = stack.enter_context(Stdio([sys.executable, str(HERE.parent / "server.py")], env))
        trivial = stack.enter_context(Stdio([sys.executable, str(HERE / "peers/trivial.py")]))
        forecast = ("weather_forecast", {"place": "Lima, Peru", "days": 3})
        if b"temperature_max" not in ours.call(*forecast):
            raise RuntimeError(f"there is no forecast: {ours.call(*forecast)!r}")
        text = json.dumps({"text": "x" * 1500})  # as long as the forecast of three days
        same = ("same", json.loads(text))
        lines = compare(
            "a kept forecast",
            {"almanac": lambda: ours.timed(*forecast), TRIVIAL: lambda: trivial.timed(*same)},
            {TRIVIAL: GOALS["kept"]},
            rounds,
            100,
        )
        fresh = itertools.count(1)

        def crowd(cities: int) -> float:
            asked_before = len(fake.seen)
            places = [f"{next(fresh) % 6000 / 100:.2f},{cities}" for _ in range(cities)]
            arguments = [{"place": places[n % cities]} for n in range(CALLERS)]
            taken = _at_once(ours, "weather_current", arguments)
            if (asked := len(fake.seen) - asked_before) != cities:
                raise RuntimeError(f"{cities} cities caused {asked} requests")
            return taken

        for cities, goal in ((1, GOALS["one city"]), (CALLERS, GOALS["cities"])):
            lines += compare(
                f"{CALLERS} callers at once, {cities} new {'city' if cities == 1 else 'cities'}",
                {
                    "almanac": lambda cities=cities: crowd(cities),  # type: ignore[misc]  # bound at once
                    TRIVIAL: lambda: _at_once(trivial, "same", [same[1]] * CALLERS),
                },
                {TRIVIAL: goal},
                rounds,
                3,
            )
    return lines
