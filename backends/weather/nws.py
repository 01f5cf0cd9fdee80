"""The US National Weather Service: the hours of a week ahead, and the alerts in force, in its own area."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field

from backends.weather.alerts import Told, covers, may_cover, read_alerts
from backends.weather.codes import MOST_VALUE
from backends.weather.dialects import code_of_words, degrees_of, kmh_of
from backends.weather.forecasters import Connect, NotCovered, Point
from backends.weather.gazetteer import City
from backends.weather.outlook import Outlook, Step
from backends.weather.replies import MOST_TIMES
from backends.weather.texts import Timezone
from config import WeatherSettings
from errors import Unavailable
from upstream import Declined, Kept, Unusable, not_admitted

CREDIT = "US National Weather Service"

ALERTS_S = 60
POINTS_S = 7 * 86_400
FORECAST_S = 3600  # or less, as its Cache-Control says
STALE_S = 6 * 3600
# Only the path of the address that it gives, so that an answer cannot send us anywhere else.
HOURLY = re.compile(r"https?://[^/]+(?:/[^/]+)*?(/gridpoints/[A-Z]{3}/[0-9]{1,3},[0-9]{1,3}/forecast/hourly)")


class _Grid(BaseModel):
    forecastHourly: str = Field(max_length=200)  # noqa: N815 - the service's own name
    timeZone: Timezone  # noqa: N815


_Number = Annotated[float, Field(ge=-MOST_VALUE, le=MOST_VALUE)]


class _Point(BaseModel):
    properties: dict[str, Any]


class _Gridded(BaseModel):
    properties: _Grid


class _Value(BaseModel):
    value: _Number | None = None
    unitCode: str = ""  # noqa: N815


class _Period(BaseModel):
    startTime: AwareDatetime  # noqa: N815
    endTime: AwareDatetime  # noqa: N815
    isDaytime: bool  # noqa: N815
    temperature: _Number | _Value | None = None
    temperatureUnit: str = "C"  # noqa: N815
    probabilityOfPrecipitation: _Value = _Value()  # noqa: N815
    relativeHumidity: _Value = _Value()  # noqa: N815
    windSpeed: str | _Value | None = None  # noqa: N815
    windDirection: str | None = None  # noqa: N815
    shortForecast: str = ""  # noqa: N815


class _Periods(BaseModel):
    periods: list[_Period] = Field(max_length=MOST_TIMES)


class _Reply(BaseModel):
    properties: _Periods


class Nws:
    """The service; its forecast is one of several, its alerts are the only ones."""

    name = "The US National Weather Service"
    credit = CREDIT

    def __init__(
        self,
        settings: WeatherSettings,
        connect: Connect,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        service = partial(
            connect,
            name=self.name,
            url=settings.nws_url,
            headers={"Accept": "application/geo+json"},  # without it old answers were seen
            final=not_admitted,
            retry_on=frozenset({500, 502, 503, 504}),  # its 500s come and go
        )
        # Two, so that a forecast that fails does not keep an alert from being asked for.
        self.alerting = service(otherwise="weather_forecast works without it.")
        self.service = service()
        self.services = (self.alerting, self.service)

    def covers(self, city: City) -> bool:
        """Whether the place is in its area, or near enough that only the service can tell."""
        return may_cover(city)

    async def outlook(self, city: City, deadline: float) -> Kept[Outlook]:
        """The hours ahead, which it tells by the grid that a point lies in."""
        grid = (await self._grid(city, deadline)).value
        try:
            return await self.service.get(
                grid.forecastHourly,
                {"units": "si"},
                lambda body: self._current(body, grid.timeZone),
                key="",
                ttl_s=FORECAST_S,
                deadline=deadline,
                stale_s=STALE_S,
                told=True,
            )
        except Declined as error:
            raise Unavailable(f"{self.service.name} did not accept the question.") from error

    async def last(self, city: City) -> Kept[Outlook] | None:
        """The last good answer, if it is no older than six hours."""
        found = await self.service.last(
            _path(city), _read_grid, key="grid", most_s=POINTS_S
        )  # as it was asked for in `_grid`
        if found is None:
            return None
        grid = found.value
        return await self.service.last(
            grid.forecastHourly, lambda body: _read(body, grid.timeZone), key="", most_s=STALE_S
        )

    async def active(self, city: City, deadline: float) -> Kept[Told] | None:
        """The alerts with what was cut from them; None if the place is not covered. Never an old answer."""
        if not may_cover(city):
            return None
        point = Point.of(city)
        where = f"{point.latitude},{point.longitude}"
        try:
            if not covers(city):
                await self.alerting.get(
                    _path(city), {}, _Point.model_validate, key="", ttl_s=POINTS_S, deadline=deadline
                )
            return await self.alerting.get(
                "/alerts/active", {"point": where}, read_alerts, key=where, ttl_s=ALERTS_S, deadline=deadline
            )
        except Declined as error:
            if error.status == 404:  # the sea, or the other side of a border
                return None
            raise Unavailable(f"{self.name} did not accept the question.") from error

    async def probe(self, deadline: float) -> None:
        """Ask something small, whatever is remembered."""
        point = {"point": "38.8951,-77.0364"}
        await self.alerting.probe("/alerts/active", point, read_alerts, deadline)

    async def probe_forecast(self, deadline: float) -> None:
        """The same of what the forecast begins with."""
        await self.service.probe("/points/38.8951,-77.0364", {}, _read_grid, deadline)

    async def _grid(self, city: City, deadline: float) -> Kept[_Grid]:
        try:
            return await self.service.get(
                _path(city), {}, _read_grid, key="grid", ttl_s=POINTS_S, deadline=deadline
            )
        except Declined as error:
            if error.status == 404:
                raise NotCovered from error
            raise Unavailable(f"{self.service.name} did not accept the question.") from error

    def _current(self, body: Any, timezone: str) -> Outlook:
        """The reply, unless it is one of those that its caches hand out long after."""
        periods = _Reply.model_validate(body).properties.periods
        if periods and periods[0].endTime <= datetime.fromtimestamp(self._clock(), UTC):
            raise Unusable("sent a forecast of the past")
        return _read(body, timezone)


def _path(city: City) -> str:
    point = Point.of(city)
    return f"/points/{point.latitude},{point.longitude}"


def _read_grid(body: Any) -> _Grid:
    grid = _Gridded.model_validate(body).properties
    found = HOURLY.fullmatch(grid.forecastHourly)
    if found is None:
        raise ValueError("no address of a forecast")
    return grid.model_copy(update={"forecastHourly": found[1]})


def _read(body: Any, timezone: str) -> Outlook:
    periods = _Reply.model_validate(body).properties.periods
    steps = tuple(step for period in periods if (step := _step(period)))
    if not steps:
        raise ValueError("no periods")
    return Outlook(steps, timezone)


def _step(period: _Period) -> Step | None:
    hours = (period.endTime - period.startTime).total_seconds() / 3600
    if not 1 <= hours <= 24:  # as where clocks are changed
        return None
    return Step(
        time=period.startTime.astimezone(UTC),
        hours=round(hours),
        code=code_of_words(period.shortForecast),
        is_day=period.isDaytime,
        temperature=_celsius(period),
        humidity=period.relativeHumidity.value,
        chance=period.probabilityOfPrecipitation.value,
        wind=_kmh(period.windSpeed),
        direction=degrees_of(period.windDirection or ""),
    )


def _celsius(period: _Period) -> float | None:
    told = period.temperature
    value = told.value if isinstance(told, _Value) else told
    unit = told.unitCode[-1:] if isinstance(told, _Value) else period.temperatureUnit
    return round((value - 32) / 1.8, 1) if value is not None and unit == "F" else value


def _kmh(told: str | _Value | None) -> float | None:
    if isinstance(told, _Value):  # what it sends to those who ask for its newer form
        return None if told.value is None else round(told.value, 1)
    return kmh_of(told) if told else None
