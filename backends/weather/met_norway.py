"""MET Norway's locationforecast: the whole world, nine days ahead, hourly at first and then by six hours."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from backends.weather.dialects import code_of_symbol
from backends.weather.forecasters import Connect, NotCovered, Point
from backends.weather.gazetteer import City
from backends.weather.outlook import HOUR, Outlook, Step, numbers
from backends.weather.replies import MOST_TIMES
from config import WeatherSettings
from errors import Unavailable
from upstream import Declined, Kept, Unusable, not_admitted

CREDIT = "Data from MET Norway, CC BY 4.0"
PATH = "/weatherapi/locationforecast/2.0/complete"  # compact has neither gusts nor chances
LONGEST_S = 6 * 3600  # if its Expires were further away than that
STALE_S = 6 * 3600
MOST_BYTES = 40_000_000  # of answers in memory: one comes in 80 KB, of which we read 50
PACE_S = 0.06  # it asks for fewer than 20 requests a second from all who use one application


class _Details(BaseModel):
    details: dict[str, Any] = {}
    summary: dict[str, Any] = {}


class _Data(BaseModel):
    instant: _Details
    next_1_hours: _Details | None = None
    next_6_hours: _Details | None = None


class _Entry(BaseModel):
    time: AwareDatetime
    data: _Data


class _Properties(BaseModel):
    meta: dict[str, Any]
    timeseries: list[_Entry] = Field(max_length=MOST_TIMES)


class _Reply(BaseModel):
    properties: _Properties


class MetNorway:
    """The forecasts of the Norwegian Meteorological Institute."""

    name = "MET Norway"
    credit = CREDIT

    def __init__(
        self,
        settings: WeatherSettings,
        connect: Connect,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self.service = connect(
            name=self.name,
            url=settings.met_norway_url,
            pace_s=PACE_S,
            most_bytes=MOST_BYTES,
            final=not_admitted,
        )

    def covers(self, city: City) -> bool:
        """The whole world."""
        return True

    async def outlook(self, city: City, deadline: float) -> Kept[Outlook]:
        """What is ahead; nothing is asked again before the time its answer names, and then only for news."""
        point = Point.of(city)
        params = {"lat": point.latitude, "lon": point.longitude}  # a fifth decimal is refused
        try:
            return await self.service.get(
                PATH,
                params,
                self._current,
                key=point.near,
                ttl_s=LONGEST_S,
                deadline=deadline,
                stale_s=STALE_S,
                told=True,
            )
        except Declined as error:
            if error.status == 422:
                raise NotCovered from error
            raise Unavailable(f"{self.name} did not accept the question.") from error

    async def last(self, city: City) -> Kept[Outlook] | None:
        """The last good answer, if it is no older than six hours."""
        return await self.service.last(PATH, read, key=Point.of(city).near, most_s=STALE_S)

    async def probe(self, deadline: float) -> None:
        """Ask something small, whatever is remembered."""
        await self.service.probe(PATH, {"lat": "59.9", "lon": "10.7"}, read, deadline)

    def _current(self, body: Any) -> Outlook:
        """The reply, unless all of it is over."""
        outlook = read(body)
        last = outlook.steps[-1]
        if last.time + HOUR * last.hours <= datetime.fromtimestamp(self._clock(), UTC):
            raise Unusable("sent a forecast of the past")
        return outlook


def read(body: Any) -> Outlook:
    """Its steps; the last entry of a series has no span and is left out."""
    reply = _Reply.model_validate(body).properties
    if (units := reply.meta.get("units")) and units.get("air_temperature", "celsius") != "celsius":
        raise ValueError("other units")
    steps = tuple(step for entry in reply.timeseries if (step := _step(entry)))
    if not steps:
        raise ValueError("no steps")
    if any(after.time - before.time <= timedelta(0) for before, after in pairwise(steps)):
        raise ValueError("not in order")
    return Outlook(steps)


def _step(entry: _Entry) -> Step | None:
    span = entry.data.next_1_hours or entry.data.next_6_hours
    if span is None:
        return None
    instant = entry.data.instant.details
    temperature, humidity, clouds, pressure, wind, gusts, direction = numbers(
        instant,
        "air_temperature",
        "relative_humidity",
        "cloud_area_fraction",
        "air_pressure_at_sea_level",
        "wind_speed",
        "wind_speed_of_gust",
        "wind_from_direction",
    )
    rain, chance, highest, lowest = numbers(
        span.details,
        "precipitation_amount",
        "probability_of_precipitation",
        "air_temperature_max",
        "air_temperature_min",
    )
    code, is_day = code_of_symbol(str(span.summary.get("symbol_code", "")))
    return Step(
        time=entry.time,
        hours=1 if entry.data.next_1_hours else 6,
        code=code,
        is_day=is_day,
        temperature=temperature,
        highest=highest,
        lowest=lowest,
        humidity=humidity,
        precipitation=rain,
        chance=chance,
        cloud_cover=clouds,
        pressure=pressure,
        wind=_kmh(wind),
        gusts=_kmh(gusts),
        direction=direction,
    )


def _kmh(metres_per_second: float | None) -> float | None:
    return None if metres_per_second is None else round(metres_per_second * 3.6, 1)
