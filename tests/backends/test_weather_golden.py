"""The same weather told in three dialects gives the same answer: one vocabulary, one system of units."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backends.weather import Weather
from backends.weather.codes import WMO
from backends.weather.dialects import code_of_symbol, code_of_words, degrees_of, kmh_of
from backends.weather.results import Current, Forecast
from backends.weather.sun import is_up, sun, zone_of
from config import WeatherSettings
from tests.fakes.met_norway import entry
from tests.fakes.nws import period
from tests.fakes.weather import Sky

PLACE = "Los Angeles"  # which all three cover
ZONE = ZoneInfo("America/Los_Angeles")
POINTS = ("N", "ENE", "S", "WNW")


@dataclass(frozen=True)
class Sort:
    """One sort of weather in the three dialects: its code, MET Norway's symbol, and the US words."""

    code: int
    symbol: str
    words: str


SORTS = (
    Sort(0, "clearsky", "Sunny"),
    Sort(1, "fair", "Mostly Clear"),
    Sort(2, "partlycloudy", "Partly Sunny"),
    Sort(3, "cloudy", "Mostly Cloudy"),
    Sort(45, "fog", "Patchy Fog"),
    Sort(61, "lightrain", "Light Rain"),
    Sort(63, "rain", "Rain"),
    Sort(65, "heavyrain", "Heavy Rain"),
    Sort(69, "sleet", "Rain And Snow"),
    Sort(71, "lightsnow", "Light Snow"),
    Sort(75, "heavysnow", "Heavy Snow"),
    Sort(80, "lightrainshowers", "Light Rain Showers"),
    Sort(81, "rainshowers", "Rain Showers"),
    Sort(85, "lightsnowshowers", "Snow Flurries"),
    Sort(95, "lightssnowshowersandthunder", "Snow Showers And Thunderstorms"),
)


@dataclass(frozen=True)
class Hour:
    """The weather of an hour, as it is."""

    time: datetime  # local
    sort: Sort
    temperature: int
    humidity: int
    precipitation: float
    chance: int
    cloud_cover: int
    pressure: int
    wind_ms: int
    gusts_ms: int
    point: str
    is_day: bool


def truth(first: datetime) -> list[Hour]:
    """Sixty hours from a local midnight."""
    return [
        Hour(
            time=(first.astimezone(UTC) + timedelta(hours=n)).astimezone(ZONE),
            sort=SORTS[n * 7 % len(SORTS)],
            temperature=-5 + n * 5 % 23,
            humidity=30 + n % 60,
            precipitation=n % 4 * 0.5,
            chance=n * 3 % 101,
            cloud_cover=n * 13 % 101,
            pressure=1000 + n % 25,
            wind_ms=5 * (n % 5),
            gusts_ms=5 * (n % 5) + 5,
            point=POINTS[n % 4],
            is_day=6 <= (n + first.hour) % 24 < 20,
        )
        for n in range(60)
    ]


def as_open_meteo(hours: list[Hour]) -> dict[str, Any]:
    offset = hours[0].time.utcoffset()
    assert offset is not None
    days = [list(group) for _, group in itertools.groupby(hours, lambda hour: hour.time.date())][:2]
    now = hours[0]
    return {
        "utc_offset_seconds": int(offset.total_seconds()),
        "timezone": "America/Los_Angeles",
        "current": {
            "time": f"{now.time:%Y-%m-%dT%H:%M}", "interval": 900, "temperature_2m": now.temperature,
            "relative_humidity_2m": now.humidity, "precipitation": now.precipitation,
            "weather_code": now.sort.code, "cloud_cover": now.cloud_cover, "pressure_msl": now.pressure,
            "wind_speed_10m": now.wind_ms * 3.6, "wind_gusts_10m": now.gusts_ms * 3.6,
            "wind_direction_10m": degrees_of(now.point), "is_day": int(now.is_day),
        },
        "daily": {
            "time": [str(day[0].time.date()) for day in days],
            "weather_code": [max(hour.sort.code for hour in day) for day in days],
            "temperature_2m_max": [max(hour.temperature for hour in day) for day in days],
            "temperature_2m_min": [min(hour.temperature for hour in day) for day in days],
            "precipitation_sum": [sum(hour.precipitation for hour in day) for day in days],
            "wind_speed_10m_max": [max(hour.wind_ms for hour in day) * 3.6 for day in days],
            "precipitation_probability_max": [max(hour.chance for hour in day) for day in days],
            "sunrise": ["2026-06-01T05:42", "2026-06-02T05:42"],
            "sunset": ["2026-06-01T19:59", "2026-06-02T20:00"],
        },
        "hourly": {
            "time": [f"{hour.time:%Y-%m-%dT%H:%M}" for hour in hours],
            "temperature_2m": [hour.temperature for hour in hours],
            "precipitation": [hour.precipitation for hour in hours],
            "precipitation_probability": [hour.chance for hour in hours],
            "weather_code": [hour.sort.code for hour in hours],
            "wind_speed_10m": [hour.wind_ms * 3.6 for hour in hours],
        },
    }  # fmt: skip


def as_met_norway(hours: list[Hour]) -> list[dict[str, Any]]:
    told = []
    for hour in hours:
        suffix = "" if hour.sort.symbol in ("cloudy", "fog", "rain") else "_day" if hour.is_day else "_night"
        instant = {
            "air_temperature": float(hour.temperature),
            "relative_humidity": float(hour.humidity),
            "cloud_area_fraction": float(hour.cloud_cover),
            "air_pressure_at_sea_level": float(hour.pressure),
            "wind_from_direction": degrees_of(hour.point),
            "wind_speed": float(hour.wind_ms),
            "wind_speed_of_gust": float(hour.gusts_ms),
        }
        details = {
            "precipitation_amount": hour.precipitation,
            "probability_of_precipitation": float(hour.chance),
        }
        told.append(entry(hour.time.astimezone(UTC), "1", hour.sort.symbol + suffix, instant, details))
    return [*told, entry(hours[-1].time.astimezone(UTC) + timedelta(hours=1), "", "", {}, None)]


def as_nws(hours: list[Hour]) -> list[dict[str, Any]]:
    return [
        period(
            hour.time,
            number=number,
            isDaytime=hour.is_day,
            temperature=hour.temperature,
            probabilityOfPrecipitation={"unitCode": "wmoUnit:percent", "value": hour.chance},
            relativeHumidity={"unitCode": "wmoUnit:percent", "value": hour.humidity},
            windSpeed=f"{hour.wind_ms * 36 // 10} km/h",
            windDirection=hour.point,
            shortForecast=hour.sort.words,
        )
        for number, hour in enumerate(hours, 1)
    ]


@pytest.fixture(scope="module")
def served() -> Iterator[Sky]:
    with Sky() as sky:
        yield sky


@asynccontextmanager
async def told_by(sky: Sky, provider: str, now: datetime) -> AsyncIterator[Weather]:
    settings = WeatherSettings.model_validate({**sky.settings, "providers": provider})
    async with Weather(settings, clock=now.timestamp) as weather:
        yield weather


def comparable(answer: Current | Forecast, without: set[str]) -> dict[str, Any]:
    """What every service tells, as a client gets it."""
    whole = answer.model_dump(mode="json")
    for name in ("source", "age_s", "feels_like", *without):
        whole.pop(name, None)
    for record in (*whole.get("days", ()), *whole.get("hours", ())):
        for name in without:
            record.pop(name, None)
    whole["place"].pop("timezone")
    return whole


@pytest.mark.parametrize("units", ["metric", "imperial"])
async def test_the_same_weather_in_three_dialects_is_the_same_answer(served: Sky, units: Any) -> None:
    served.fresh()
    begin = datetime(2026, 6, 1, tzinfo=ZONE)
    hours, now = truth(begin), begin + timedelta(minutes=5)
    served.open_meteo.reply = as_open_meteo(hours)
    served.met_norway.series = as_met_norway(hours)
    served.nws.periods = as_nws(hours)
    answers = {}
    for provider in ("open_meteo", "met_norway", "nws"):
        async with told_by(served, provider, now) as weather:
            answers[provider] = (
                await weather.current(PLACE, units),
                await weather.forecast(PLACE, days=2, hourly=True, units=units),
            )
    sunny = {"sunrise", "sunset"}
    untold = {"precipitation", "cloud_cover", "pressure", "wind_gusts"}  # by the US service
    for number in range(2):
        reference = answers["open_meteo"][number]
        met, nws = answers["met_norway"][number], answers["nws"][number]
        assert comparable(met, sunny) == _rounded(comparable(reference, sunny))
        assert comparable(nws, sunny | untold) == _rounded(comparable(reference, sunny | untold))
    assert len(answers["nws"][1].hours) >= 47
    assert len(answers["nws"][1].days) == 2
    for provider in ("met_norway", "nws"):
        days = answers[provider][1].days
        for told, wanted in ((days[0].sunrise, "05:42"), (days[0].sunset, "19:59")):
            apart = datetime.fromisoformat(told) - datetime.fromisoformat(f"2026-06-01T{wanted}-07:00")
            assert abs(apart) <= timedelta(minutes=1)


@pytest.mark.parametrize(
    ("begin", "long"), [(datetime(2026, 3, 8, tzinfo=ZONE), 23), (datetime(2026, 11, 1, tzinfo=ZONE), 25)]
)
async def test_a_day_on_which_clocks_are_changed_has_its_own_length(
    served: Sky, begin: datetime, long: int
) -> None:
    served.fresh()
    hours = [replace(hour, precipitation=1.0) for hour in truth(begin)]
    served.met_norway.series = as_met_norway(hours)
    async with told_by(served, "met_norway", begin) as weather:
        answer = await weather.forecast(PLACE, days=2, hourly=True)
    assert [day.precipitation for day in answer.days] == [long, 24]
    assert len([hour for hour in answer.hours if hour.time.startswith(str(begin.date()))]) == long
    offsets = {hour.time[-6:] for hour in answer.hours}
    assert offsets == {"-08:00", "-07:00"}


def _rounded(whole: dict[str, Any]) -> dict[str, Any]:
    """Metres a second times 3.6 has more decimals in binary than anybody tells."""
    return {
        name: round(value, 1)
        if isinstance(value, float) and name != "precipitation"
        else [_rounded(item) for item in value]
        if name in ("days", "hours")
        else value
        for name, value in whole.items()
    }


async def test_a_day_has_what_falls_on_its_side_of_midnight(served: Sky) -> None:
    """Six-hourly spans begin at 00, 06, 12 and 18 UTC, which in Los Angeles is never midnight."""
    served.fresh()
    first = datetime(2026, 6, 1, 12, tzinfo=UTC)
    rain = {"precipitation_amount": 6.0, "air_temperature_max": 30.0, "air_temperature_min": 3.0}
    instant = {"air_temperature": 10.0}
    served.met_norway.series = [
        entry(first + timedelta(hours=6 * n), "6", "rain", instant, rain) for n in range(12)
    ]
    async with told_by(served, "met_norway", first) as weather:
        days = (await weather.forecast(PLACE, days=5, hourly=True)).days
    assert [day.date for day in days] == ["2026-06-01", "2026-06-02", "2026-06-03"]
    # 05 local to 24 are 19 hours of a millimetre each, then whole days of 24.
    assert [day.precipitation for day in days] == [19.0, 24.0, 24.0]
    assert (days[1].temperature_max, days[1].temperature_min) == (30.0, 3.0)


# --- words


SYMBOLS = {
    "clearsky": 0, "fair": 1, "partlycloudy": 2, "cloudy": 3, "fog": 45,
    "lightrain": 61, "rain": 63, "heavyrain": 65,
    "lightrainshowers": 80, "rainshowers": 81, "heavyrainshowers": 82,
    "lightsleet": 68, "sleet": 69, "heavysleet": 69,
    "lightsleetshowers": 83, "sleetshowers": 84, "heavysleetshowers": 84,
    "lightsnow": 71, "snow": 73, "heavysnow": 75,
    "lightsnowshowers": 85, "snowshowers": 86, "heavysnowshowers": 86,
    "lightrainandthunder": 95, "rainandthunder": 95, "heavyrainandthunder": 95,
    "lightrainshowersandthunder": 95, "rainshowersandthunder": 95, "heavyrainshowersandthunder": 95,
    "lightsleetandthunder": 95, "sleetandthunder": 95, "heavysleetandthunder": 95,
    "lightssleetshowersandthunder": 95, "sleetshowersandthunder": 95, "heavysleetshowersandthunder": 95,
    "lightsnowandthunder": 95, "snowandthunder": 95, "heavysnowandthunder": 95,
    "lightssnowshowersandthunder": 95, "snowshowersandthunder": 95, "heavysnowshowersandthunder": 95,
}  # fmt: skip


def test_each_of_the_41_symbols_has_a_code_with_words() -> None:
    assert len(SYMBOLS) == 41
    for symbol, code in SYMBOLS.items():
        for suffix, is_day in (("", None), ("_day", True), ("_night", False), ("_polartwilight", None)):
            assert code_of_symbol(symbol + suffix) == (code, is_day)
        assert WMO[code]
    for odd in ("", "_day", "hail", "lightheavyrain", "rain_day_day", "ssnow x"):
        assert code_of_symbol(odd)[0] is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("Sunny", 0), ("Mostly Sunny", 1), ("Partly Cloudy", 2), ("Mostly Cloudy", 3), ("Cloudy", 3),
        ("Slight Chance Rain Showers", 81), ("Chance Light Rain", 61), ("Heavy Rain", 65), ("Drizzle", 51),
        ("Chance Showers And Thunderstorms", 95), ("Isolated T-storms", 95), ("Freezing Rain", 66),
        ("Freezing Drizzle", 56), ("Wintry Mix", 69), ("Rain And Snow Showers", 84), ("Blizzard", 75),
        ("Scattered Snow Showers", 86), ("Light Snow Likely", 71), ("Areas Of Freezing Fog", 48),
        ("Patchy Dense Fog", 45), ("Areas Of Smoke", 4), ("Haze", 5), ("Blowing Dust", 6), ("Hot", 0),
        ("Becoming Sunny", 2), ("Breezy", None), ("", None),
    ],
)  # fmt: skip
def test_the_us_words_have_codes(words: str, code: int | None) -> None:
    assert code_of_words(words) == code
    assert code is None or WMO[code]


def test_winds_are_read_in_every_way_they_are_written() -> None:
    told = {
        "9 to 19 km/h": 19,
        "10 mph": 16.1,
        "0 km/h": 0,
        "5 kt": 9.3,
        "calm": None,
        "": None,
        "9 km": None,
    }
    assert {words: kmh_of(words) for words in told} == told
    assert [degrees_of(point) for point in ("N", "NNE", "W", "NNW", "", "X")] == [
        0, 22.5, 270, 337.5, None, None,
    ]  # fmt: skip


# --- the sun


# From the library astral.
ALMANAC = [
    ("America/Los_Angeles", date(2026, 6, 1), 34.0522, -118.2437, "05:42", "19:59"),
    ("America/Lima", date(2026, 6, 1), -12.0432, -77.0282, "06:22", "17:49"),
    ("Europe/London", date(2026, 12, 21), 51.5074, -0.1278, "08:04", "15:53"),
    ("Asia/Tokyo", date(2026, 3, 20), 35.6895, 139.6917, "05:45", "17:52"),
    ("Pacific/Kiritimati", date(2026, 6, 1), 1.872, -157.4278, "06:21", "18:33"),
    ("Europe/Helsinki", date(2026, 6, 21), 60.1699, 24.9384, "03:54", "22:49"),
    ("Pacific/Auckland", date(2026, 12, 21), -36.8485, 174.7633, "05:58", "20:39"),
    ("America/New_York", date(2026, 11, 1), 40.7128, -74.006, "06:26", "16:51"),
    ("Europe/Oslo", date(2026, 1, 20), 69.6492, 18.9553, "10:37", "13:13"),
    ("Europe/Oslo", date(2026, 6, 21), 69.6492, 18.9553, "", ""),
]


@pytest.mark.parametrize(("zone", "day", "latitude", "longitude", "rise", "set_"), ALMANAC)
def test_the_sun_rises_and_sets_when_an_almanac_says(
    zone: str, day: date, latitude: float, longitude: float, rise: str, set_: str
) -> None:
    found = sun(day, latitude, longitude, zone_of(zone))
    for text, expected in zip(found, (rise, set_), strict=True):
        if not expected:
            assert text == ""
            continue
        wanted = datetime.fromisoformat(f"{day}T{expected}").replace(tzinfo=ZoneInfo(zone))
        when = datetime.fromisoformat(text)
        assert abs(when - wanted) <= timedelta(minutes=2)
        margin = timedelta(minutes=9 if latitude > 69 else 4)
        assert is_up(when + margin, latitude, longitude) == (expected == rise)
        assert is_up(when - margin, latitude, longitude) == (expected == set_)


def test_a_zone_nobody_knows_is_that_of_the_longitude() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    for name in ("", "Mars/Olympus", "../../etc/passwd", "\0", "Europe"):
        assert noon.astimezone(zone_of(name, -77)).hour == 7
