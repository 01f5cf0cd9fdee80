"""Reads Open-Meteo's replies into our records; a ValueError says a reply is not what was promised."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from backends.weather.codes import MOST_VALUE, european_level, us_level, weather_words
from backends.weather.gazetteer import City
from backends.weather.results import Air, Day, ForecastDay, Hour, Now
from backends.weather.sun import zone_of
from backends.weather.texts import Line, Timezone

T = TypeVar("T")

POLLUTANTS = ("pm2_5", "pm10", "ozone", "nitrogen_dioxide", "sulphur_dioxide", "carbon_monoxide")

MOST_TIMES = 1000  # in a reply: a year of days, or sixteen days of hours, which are 384
MOST_TOWNS = 100
Value = Annotated[float, Field(ge=-MOST_VALUE, le=MOST_VALUE)] | str | None
Column = Annotated[list[Value], Field(max_length=MOST_TIMES)]


@dataclass(frozen=True, slots=True)
class Local(Generic[T]):
    """Weather, and the time zone it is told in."""

    timezone: str
    weather: T


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is to come, and what should be known of it."""

    days: tuple[ForecastDay, ...]
    hours: tuple[Hour, ...]
    notices: tuple[str, ...] = ()


class Row(dict[str, Value]):
    """The values of one time, by variable."""

    def number(self, name: str) -> float | None:
        """A number, or None where there is none."""
        value = self.get(name)
        if isinstance(value, str):
            raise ValueError(f"{name} is not a number")
        return value


class _Reply(BaseModel):
    """The envelope of the forecast, archive and air quality APIs: a column for each variable."""

    utc_offset_seconds: int = Field(gt=-86_400, lt=86_400)
    timezone: Timezone
    current: dict[str, Value] = {}
    hourly: dict[str, Column] = {}
    daily: dict[str, Column] = {}

    def local(self, time: Value) -> str:
        """A time of the reply as clocks there show it, with its offset; "" for none.

        The whole reply is told in the offset of the day it is asked on, winter and summer alike.
        """
        if time is None:
            return ""
        told = timezone(timedelta(seconds=self.utc_offset_seconds))
        when = datetime.fromisoformat(str(time)).replace(tzinfo=told)
        return when.astimezone(zone_of(self.timezone, self.utc_offset_seconds / 240)).isoformat(
            timespec="minutes"
        )


class _Town(BaseModel):
    """What the geocoder says of one place; whatever is empty is left out."""

    name: Line
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    country: Line = ""
    country_code: Line = ""
    admin1: Line = ""
    timezone: Timezone | Literal[""] = ""
    population: int = Field(0, ge=0, le=10**9)


class _Towns(BaseModel):
    results: list[_Town] = Field([], max_length=MOST_TOWNS)  # nothing found: there is no such key


def _rows(columns: Mapping[str, list[Value]]) -> Iterator[Row]:
    """Columns as records; ValueError if they are not of one length."""
    for values in zip(*columns.values(), strict=True):
        yield Row(zip(columns, values, strict=True))


def read_now(body: Any) -> Local[Now]:
    """The `current` block of a forecast."""
    reply = _Reply.model_validate(body)
    row = Row(reply.current)
    if not row:
        raise ValueError("no current weather")
    code, is_day = row.number("weather_code"), row.number("is_day")
    now = Now(
        time=reply.local(row.get("time")),
        weather=weather_words(code),
        weather_code=code,
        is_day=None if is_day is None else bool(is_day),
        temperature=row.number("temperature_2m"),
        feels_like=row.number("apparent_temperature"),
        humidity=row.number("relative_humidity_2m"),
        precipitation=row.number("precipitation"),
        cloud_cover=row.number("cloud_cover"),
        pressure=row.number("pressure_msl"),
        wind=row.number("wind_speed_10m"),
        wind_gusts=row.number("wind_gusts_10m"),
        wind_direction=row.number("wind_direction_10m"),
    )
    return Local(reply.timezone, now)


def _daily(reply: _Reply, row: Row) -> dict[str, Any]:
    code = row.number("weather_code")
    sunrise, sunset = reply.local(row.get("sunrise")), reply.local(row.get("sunset"))
    if sunrise[10:] == sunset[10:]:  # midnight, of a day without sun or the next one: it does neither
        sunrise = sunset = ""
    return {
        "date": date.fromisoformat(str(row.get("time"))).isoformat(),
        "weather": weather_words(code),
        "weather_code": code,
        "temperature_max": row.number("temperature_2m_max"),
        "temperature_min": row.number("temperature_2m_min"),
        "precipitation": row.number("precipitation_sum"),
        "wind_max": row.number("wind_speed_10m_max"),
        "sunrise": sunrise,
        "sunset": sunset,
    }


def read_forecast(body: Any) -> Local[Ahead]:
    """The `daily` block of a forecast, and the `hourly` one if it is there."""
    reply = _Reply.model_validate(body)
    days = tuple(
        ForecastDay(**_daily(reply, row), precipitation_chance=row.number("precipitation_probability_max"))
        for row in _rows(reply.daily)
    )
    if not days:
        raise ValueError("no days")
    hours = tuple(
        Hour(
            time=reply.local(row.get("time")),
            weather=weather_words(row.number("weather_code")),
            temperature=row.number("temperature_2m"),
            precipitation=row.number("precipitation"),
            precipitation_chance=row.number("precipitation_probability"),
            wind=row.number("wind_speed_10m"),
        )
        for row in _rows(reply.hourly)
    )
    return Local(reply.timezone, Ahead(days, hours))


def read_history(body: Any) -> Local[tuple[Day, ...]]:
    """The `daily` block of the archive."""
    reply = _Reply.model_validate(body)
    days = tuple(Day(**_daily(reply, row)) for row in _rows(reply.daily))
    if not days:
        raise ValueError("no days")
    return Local(reply.timezone, days)


def read_air(body: Any) -> Local[Air]:
    """The `current` block of the air quality."""
    reply = _Reply.model_validate(body)
    row = Row(reply.current)
    if not row:
        raise ValueError("no current values")
    european, us = row.number("european_aqi"), row.number("us_aqi")
    air = Air(
        time=reply.local(row.get("time")),
        european_aqi=european,
        european_level=european_level(european),
        us_aqi=us,
        us_level=us_level(us),
        pollutants={name: value for name in POLLUTANTS if (value := row.number(name)) is not None},
    )
    return Local(reply.timezone, air)


def read_towns(body: Any) -> tuple[City, ...]:
    """The geocoder's results."""
    return tuple(
        City(
            name=town.name,
            region=town.admin1,
            country=town.country,
            country_code=town.country_code,
            region_code="",
            latitude=town.latitude,
            longitude=town.longitude,
            timezone=town.timezone,
            population=town.population,
        )
        for town in _Towns.model_validate(body).results
        if town.name
    )
