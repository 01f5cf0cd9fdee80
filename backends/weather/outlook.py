"""Weather step by step, from a service that knows no days: the present, the hours, and days of local time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from backends.weather.codes import MOST_VALUE, weather_words
from backends.weather.gazetteer import City
from backends.weather.replies import Ahead, Local
from backends.weather.results import ForecastDay, Hour, Now
from backends.weather.sun import is_up, sun, zone_of

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Step:
    """The weather at a time, and what falls in the hours from then on; everything metric."""

    time: datetime
    hours: int
    code: int | None = None
    is_day: bool | None = None
    temperature: float | None = None
    highest: float | None = None  # within its hours, where that is known
    lowest: float | None = None
    humidity: float | None = None
    precipitation: float | None = None
    chance: float | None = None
    cloud_cover: float | None = None
    pressure: float | None = None
    wind: float | None = None
    gusts: float | None = None
    direction: float | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """Steps in order, and the time zone if the service says it."""

    steps: tuple[Step, ...]
    timezone: str = ""


def now_of(outlook: Outlook, city: City, when: datetime) -> Local[Now]:
    """The step that `when` is in."""
    name, zone = _zone(outlook, city)
    begun = [step for step in outlook.steps if step.time <= when]
    step = begun[-1] if begun else outlook.steps[0]
    is_day = is_up(when, city.latitude, city.longitude) if step.is_day is None else step.is_day
    now = Now(
        time=_shown(step.time, zone),
        weather=weather_words(step.code),
        weather_code=step.code,
        is_day=is_day,
        temperature=step.temperature,
        feels_like=None,
        humidity=step.humidity,
        precipitation=step.precipitation if step.hours == 1 else None,
        cloud_cover=step.cloud_cover,
        pressure=step.pressure,
        wind=step.wind,
        wind_gusts=step.gusts,
        wind_direction=step.direction,
    )
    return Local(name, now)


def ahead_of(outlook: Outlook, city: City, when: datetime, service: str) -> Local[Ahead]:
    """The whole days from today on, the present one from its first step, and the hours as far as they go."""
    name, zone = _zone(outlook, city)
    days = tuple(_days(outlook.steps, city, zone, when.astimezone(zone).date()))
    hourly = [step for step in outlook.steps if step.hours == 1]
    hours = tuple(
        Hour(
            time=_shown(step.time, zone),
            weather=weather_words(step.code),
            temperature=step.temperature,
            precipitation=step.precipitation,
            precipitation_chance=step.chance,
            wind=step.wind,
        )
        for step in hourly
    )
    first = outlook.steps[0].time.astimezone(zone)
    notices = []
    if days and first.date().isoformat() == days[0].date and first.hour:
        notices.append(
            f"Today's values are of the hours from {first:%H:%M} on; {service} tells no earlier ones."
        )
    return Local(name, Ahead(days, hours, tuple(notices)))


def _zone(outlook: Outlook, city: City) -> tuple[str, tzinfo]:
    name = outlook.timezone or city.timezone
    zone = zone_of(name, city.longitude)
    if not name:
        hours = round(city.longitude / 15)
        name = f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"  # its sign is the other way round
    return name, zone


def _days(steps: Iterable[Step], city: City, zone: tzinfo, today: date) -> Iterator[ForecastDay]:
    """The days that the steps cover to their end."""
    pieces: dict[date, list[tuple[Step, float]]] = {}
    end = None
    for step in steps:
        begin, until = step.time, step.time + HOUR * step.hours
        if end is not None and begin < end:
            begin = end  # told already by the step before
        if begin >= until:
            continue
        for day, share in _split(begin, until, zone):
            pieces.setdefault(day, []).append((step, share / (HOUR * step.hours)))
        end = until
    for day in sorted(pieces):
        following = datetime.combine(day + DAY, datetime.min.time(), zone).astimezone(UTC)
        if day >= today and end is not None and end >= following:
            yield _day(day, pieces[day], city, zone)


def _split(begin: datetime, end: datetime, zone: tzinfo) -> Iterator[tuple[date, timedelta]]:
    """How much of a span lies in which local day; the day of its first moment comes first."""
    while begin < end:
        day = begin.astimezone(zone).date()
        midnight = datetime.combine(day + DAY, datetime.min.time(), zone).astimezone(UTC)
        until = min(end, midnight)
        if until <= begin:  # a clock that is put back at midnight
            until = end
        yield day, until - begin
        begin = until


def _day(day: date, pieces: list[tuple[Step, float]], city: City, zone: tzinfo) -> ForecastDay:
    # What holds at a time belongs to the day of that time; what is told of a span counts by its share.
    at = [step for step, _ in pieces if step.time.astimezone(zone).date() == day] or [s for s, _ in pieces]
    whole = [step for step, share in pieces if share > 0.99]
    codes = [step.code for step, share in pieces if step.code is not None and share >= 0.5]
    rain = [step.precipitation * share for step, share in pieces if step.precipitation is not None]
    rise, set_ = sun(day, city.latitude, city.longitude, zone)
    code = max(codes, default=None)
    return ForecastDay(
        date=day.isoformat(),
        weather=weather_words(code),
        weather_code=code,
        temperature_max=_most([*(s.temperature for s in at), *(s.highest for s in whole)]),
        temperature_min=_most([*(s.temperature for s in at), *(s.lowest for s in whole)], least=True),
        precipitation=round(sum(rain), 1) if rain else None,
        wind_max=_most(s.wind for s in at),
        sunrise=rise,
        sunset=set_,
        precipitation_chance=_most(step.chance for step, _ in pieces),
    )


def _most(values: Iterable[float | None], least: bool = False) -> float | None:
    known = [value for value in values if value is not None]
    return (min if least else max)(known, default=None)


def _shown(when: datetime, zone: tzinfo) -> str:
    return when.astimezone(zone).isoformat(timespec="minutes")


def numbers(values: dict[str, Any], *names: str) -> Iterator[float | None]:
    """Values by name, None for what is not told; ValueError for what is no number."""
    for name in names:
        value = values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{name} is not a number")
        if value is not None and not abs(value) <= MOST_VALUE:
            raise ValueError(f"{name} is no such number")
        yield value
