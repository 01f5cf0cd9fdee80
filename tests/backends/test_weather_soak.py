"""Two thousand calls over services that fall over at random: each answered or refused in time, none wrong."""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import stamina

from backends.weather import Weather
from config import WeatherSettings
from errors import Unavailable
from state import State
from tests.fakes.nws import alert
from tests.fakes.open_meteo import NOW, value
from tests.fakes.troubles import TROUBLES
from tests.fakes.weather import Sky

CALLS = 2_000
AT_ONCE = 40
TIMEOUT_S = 2.0
SLACK_S = 2.5  # forty calls at once share two cores with three fakes
SOURCES = {"Open-Meteo.com, CC BY 4.0", "Data from MET Norway, CC BY 4.0", "US National Weather Service"}
CITIES = [(20.0 + n / 2, -120.0 + n) for n in range(50)]  # the western half of them is in the United States


@pytest.fixture
def sky() -> Iterator[Sky]:
    with Sky() as sky, stamina.set_testing(False):
        yield sky


class Soak:
    """The calls, and what became of them."""

    def __init__(self, weather: Weather, seed: int) -> None:
        self.weather, self.random = weather, random.Random(seed)
        self.answered = self.refused = self.stale = 0
        self.longest = 0.0
        self.texts = set[str]()

    async def call(self) -> None:
        latitude, longitude = self.random.choice(CITIES)
        place, kind = f"{latitude},{longitude}", self.random.choice(("current", "forecast", "alerts", "air"))
        start = time.monotonic()
        try:
            await getattr(self, f"_{kind}")(place, latitude, longitude)
        except Unavailable as refusal:
            self.refused += 1
            self.texts.add(str(refusal))
        else:
            self.answered += 1
        self.longest = max(self.longest, time.monotonic() - start)

    async def _current(self, place: str, latitude: float, longitude: float) -> None:
        answer = await self.weather.current(place)
        self._sound(answer)
        hour = 12  # of the fakes' day, in UTC
        wanted = value("temperature_2m", latitude, longitude, hour)
        if answer.source.startswith("US"):  # whole degrees, of a grid of quarters of a degree
            assert answer.temperature == pytest.approx(wanted, abs=0.7)
        else:
            assert answer.temperature == wanted

    async def _forecast(self, place: str, latitude: float, longitude: float) -> None:
        answer = await self.weather.forecast(place, days=3, hourly=True)
        self._sound(answer)
        assert [day.date for day in answer.days] == ["2026-06-01", "2026-06-02", "2026-06-03"]
        assert all(day.temperature_max is not None for day in answer.days)
        if answer.source.startswith("Open-Meteo"):
            assert answer.days[1].temperature_max == value("temperature_2m_max", latitude, longitude, 1)

    async def _alerts(self, place: str, latitude: float, longitude: float) -> None:
        answer = await self.weather.alerts(place)
        assert answer.age_s <= 60
        assert answer.state == ("not covered" if not answer.source else "alerts")
        assert [told.event for told in answer.alerts] == ["Heat Advisory"] * len(answer.alerts)

    async def _air(self, place: str, latitude: float, longitude: float) -> None:
        answer = await self.weather.air_quality(place)
        assert answer.pollutants["ozone"] == value("ozone", latitude, longitude, 12)
        self.stale += "This is what" in " ".join(answer.notices)

    def _sound(self, answer: Any) -> None:
        assert answer.source in SOURCES
        assert answer.age_s <= 6 * 3600
        self.stale += "This is what" in " ".join(answer.notices)


async def _fall_over(sky: Sky, seed: int, done: asyncio.Event) -> None:
    """Every tenth of a second another service is in another trouble, or well again."""
    chance = random.Random(seed)
    while not done.is_set():
        fake = chance.choice(sky.all)
        fake.retry_after = str(chance.choice((0, 1, 60)))
        fake.trouble = chance.choice(TROUBLES) if chance.random() < 0.6 else ""
        await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1])
async def test_two_thousand_calls_over_services_that_fall_over_at_random(
    sky: Sky, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.weather.open_meteo.CURRENT_S", 1)  # so that most calls ask
    monkeypatch.setattr("backends.weather.open_meteo.FORECAST_S", 1)
    monkeypatch.setattr("backends.weather.open_meteo.AIR_S", 1)
    sky.nws.alerts = [alert()]
    began = time.time()

    def clock() -> float:  # runs on from the time of the fakes' answers
        return NOW.timestamp() + (time.time() - began)

    settings = WeatherSettings.model_validate(
        {**sky.settings, "timeout": TIMEOUT_S, "places": "/nonexistent/world.db"}
    )
    done = asyncio.Event()
    async with State(clock=clock) as state, Weather(settings, clock=clock, state=state) as weather:
        for service in weather._services():
            service.breaker._pause_s = 0.5
        soak = Soak(weather, seed)
        trouble = asyncio.create_task(_fall_over(sky, seed, done))
        left = iter(range(CALLS))

        async def caller() -> None:
            for _ in left:
                await soak.call()
                await asyncio.sleep(0.2)

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        done.set()
        await trouble
        sky.fresh()
        await asyncio.sleep(0.6)
        assert (await weather.current("48,2")).source in SOURCES  # and well again
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
    assert soak.answered + soak.refused == CALLS
    assert soak.longest < TIMEOUT_S + SLACK_S
    assert soak.answered > CALLS / 2
    assert not [text for text in soak.texts if "127.0.0.1" in text or "\n" in text]
