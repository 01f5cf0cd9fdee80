"""Open-Meteo: current weather, forecast, archive, air quality, and its geocoder for what the list lacks.

Everything is asked for in metric units and in the place's own time; `results.in_units` does the rest.
"""

import re
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Generic, TypeVar

from backends.weather.forecasters import Connect, NotCovered
from backends.weather.gazetteer import City
from backends.weather.replies import (
    POLLUTANTS,
    Ahead,
    Local,
    read_air,
    read_forecast,
    read_history,
    read_now,
    read_towns,
)
from backends.weather.results import Air, Day, Now
from config import WeatherSettings
from errors import Unavailable
from upstream import Budget, Declined, Final, Kept, Upstream

T = TypeVar("T")

CREDIT = "Open-Meteo.com, CC BY 4.0"
AIR_CREDIT = "Open-Meteo.com with data of CAMS, CC BY 4.0"
ARCHIVE_CREDIT = "Open-Meteo.com with data of ECMWF and Copernicus (ERA5), CC BY 4.0"
OFFICIAL = re.compile(r"^https?://[a-z0-9-]+\.open-meteo\.com(?:[:/]|$)", re.IGNORECASE)
UNPAID = re.compile(r"^(https?://)(?!customer-)(?=[a-z0-9.-]+\.open-meteo\.com(?:[:/]|$))", re.IGNORECASE)
FREE_AT_ONCE = 2  # an address is answered one request at a time, and the sixth that waits gets a 429
AT_ONCE = 8  # for those who pay or host it themselves
FREE = {60: 600, 3600: 5_000, 86_400: 10_000}  # calls an address has in each of its windows
WINDOWS = {
    "Minutely": (60, "this minute; try again in a minute"),
    "Hourly": (3600, "this hour; try again after the hour"),
    "Daily": (86_400, "today; try again after 00:00 UTC"),
}

# Seconds for which an answer holds.
CURRENT_S = 600
FORECAST_S = 1800
AIR_S = 3600
ARCHIVE_S = 86_400
RECENT_S = 3600  # the archive still fills in its last week
GEOCODING_S = 30 * 86_400
NOTHING_FOUND_S = 3600
STALE_S = 6 * 3600
DAYS = 16  # always: one answer then serves every question about a place, and weighs hardly more

CURRENT = (
    "temperature_2m,apparent_temperature,relative_humidity_2m,precipitation,weather_code,cloud_cover,"
    "pressure_msl,wind_speed_10m,wind_gusts_10m,wind_direction_10m,is_day"
)
DAILY = (
    "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,wind_speed_10m_max,sunrise,sunset"
)
HOURLY = "temperature_2m,precipitation,precipitation_probability,weather_code,wind_speed_10m"
ENDS = ("start_date", "end_date")


@dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    service: Upstream
    path: str
    params: Mapping[str, str]
    parse: Callable[[Any], T]
    ttl_s: float

    @property
    def key(self) -> Hashable:
        # The weather a kilometre away is the same, so the answer may be.
        near = {k: f"{float(v):.2f}" if k in ("latitude", "longitude") else v for k, v in self.params.items()}
        return tuple(sorted(near.items()))

    @property
    def weight(self) -> float:
        """What it costs, as the service counts: by variables and days."""
        names = ",".join(self.params.get(block, "") for block in ("current", "hourly", "daily")).split(",")
        variables = sum(bool(name) for name in names) / 10
        first, last = (date.fromisoformat(self.params.get(end, "2000-01-01")) for end in ENDS)
        days = max(int(self.params.get("forecast_days", "1")), (last - first).days + 1)
        return max(1.0, variables, variables * days / 14)

    async def ask(self, deadline: float, ttl_s: float | None = None) -> Kept[T]:
        """The answer, no older than it may be."""
        try:
            return await self.service.get(
                self.path,
                self.params,
                self.parse,
                key=self.key,
                ttl_s=self.ttl_s if ttl_s is None else ttl_s,
                deadline=deadline,
                stale_s=STALE_S,
                weight=lambda: self.weight,
            )
        except Declined as error:
            text = f"{self.service.name} did not accept the question. {self.service.otherwise}"
            raise Unavailable(text.rstrip()) from error

    async def last(self) -> Kept[T] | None:
        """The last good answer, if it is no older than six hours."""
        return await self.service.last(self.path, self.parse, key=self.key, most_s=STALE_S)


class OpenMeteo:
    """The four services; each has its own address, so that one may be self-hosted and one may fail."""

    name = "Open-Meteo"
    credit = CREDIT

    def __init__(
        self,
        settings: WeatherSettings,
        connect: Connect,
        clock: Callable[[], float],
    ) -> None:
        key = settings.open_meteo_key.get_secret_value() if settings.open_meteo_key else ""
        budget = Budget(FREE, clock)

        def service(name: str, url: str, otherwise: str = "") -> Upstream:
            free = not key and bool(OFFICIAL.match(url))
            return connect(
                name=name,
                url=_host(url, key),
                otherwise=otherwise,
                secrets={"apikey": key} if key else {},
                at_once=FREE_AT_ONCE if free else AT_ONCE,
                final=self._final,
                budget=budget if free else None,
            )

        works = "weather_find_place works without it."
        self._forecast = service(self.name, settings.open_meteo_url)
        self._archive = service("Open-Meteo's archive", settings.archive_url, works)
        self._air = service("Open-Meteo's air quality service", settings.air_quality_url, works)
        self._geocoding = service("Open-Meteo's geocoder", settings.geocoding_url)
        self.services = (self._forecast, self._archive, self._air, self._geocoding)
        self._clock = clock

    def covers(self, city: City) -> bool:
        """The whole world; one that is self-hosted may have less, and says so by telling nothing."""
        return True

    async def now(self, city: City, deadline: float) -> Kept[Local[Now]]:
        """The weather now."""
        kept = await self._now(city).ask(deadline)
        if _silent(kept.value.weather):
            raise NotCovered
        return kept

    async def ahead(self, city: City, hourly: bool, deadline: float) -> Kept[Local[Ahead]]:
        """Daily weather from today on, and hourly if asked."""
        kept = await self._ahead(city, hourly).ask(deadline)
        if all(_silent(day) for day in kept.value.weather.days):
            raise NotCovered
        return kept

    async def last_now(self, city: City) -> Kept[Local[Now]] | None:
        """The last weather that was told as that of the time."""
        return await self._now(city).last()

    async def last_ahead(self, city: City, hourly: bool) -> Kept[Local[Ahead]] | None:
        """The last forecast."""
        return await self._ahead(city, hourly).last()

    async def history(
        self, city: City, start: date, end: date, deadline: float
    ) -> Kept[Local[tuple[Day, ...]]]:
        """Daily weather of the past."""
        return await self._past(city, start, end).ask(deadline)

    async def last_history(self, city: City, start: date, end: date) -> Kept[Local[tuple[Day, ...]]] | None:
        """The last answer about the same days."""
        return await self._past(city, start, end).last()

    async def air(self, city: City, deadline: float) -> Kept[Local[Air]]:
        """Pollutants and both indexes now."""
        return await self._air_question(city).ask(deadline)

    async def last_air(self, city: City) -> Kept[Local[Air]] | None:
        """The last answer about the air."""
        return await self._air_question(city).last()

    async def search(self, name: str, country_code: str, deadline: float) -> tuple[City, ...]:
        """Places of a name, which it takes for a beginning; it mends no misspelling."""
        params = {"name": name, "count": "20", "language": "en", "format": "json"}
        if country_code:
            params["countryCode"] = country_code
        question = _Question(self._geocoding, "/v1/search", params, read_towns, GEOCODING_S)
        answer = await question.ask(deadline)
        if not answer.value:
            answer = await question.ask(deadline, NOTHING_FOUND_S)
        return answer.value

    def probes(self, deadline: float, forecasting: bool = True) -> list[Awaitable[Any]]:
        """Something small for each service that is used to answer, whatever is remembered."""
        here = {"latitude": "51.48", "longitude": "0", "timezone": "auto"}
        day = {"daily": "temperature_2m_max", "start_date": "2020-01-01", "end_date": "2020-01-01"}
        name = {"name": "Greenwich", "count": "1", "language": "en", "format": "json"}
        small: list[_Question[Any]] = [
            _Question(self._forecast, "/v1/forecast", here | {"current": CURRENT}, read_now, 0),
            _Question(self._archive, "/v1/archive", here | day, read_history, 0),
            _Question(self._air, "/v1/air-quality", here | {"current": "us_aqi"}, read_air, 0),
            _Question(self._geocoding, "/v1/search", name, read_towns, 0),
        ]
        return [question.ask(deadline) for question in (small if forecasting else small[1:])]

    def _now(self, city: City) -> _Question[Local[Now]]:
        params = _at(city) | {"current": CURRENT, "forecast_days": "1"}
        return _Question(self._forecast, "/v1/forecast", params, read_now, CURRENT_S)

    def _ahead(self, city: City, hourly: bool) -> _Question[Local[Ahead]]:
        daily = f"{DAILY},precipitation_probability_max"
        params = _at(city) | {"daily": daily, "forecast_days": str(DAYS)}
        if hourly:
            params["hourly"] = HOURLY
        return _Question(self._forecast, "/v1/forecast", params, read_forecast, FORECAST_S)

    def _past(self, city: City, start: date, end: date) -> _Question[Local[tuple[Day, ...]]]:
        params = _at(city) | {"daily": DAILY, "start_date": str(start), "end_date": str(end)}
        settled = datetime.fromtimestamp(self._clock(), UTC).date() - end > timedelta(days=7)
        ttl_s = ARCHIVE_S if settled else RECENT_S
        return _Question(self._archive, "/v1/archive", params, read_history, ttl_s)

    def _air_question(self, city: City) -> _Question[Local[Air]]:
        params = _at(city) | {"current": ",".join(("european_aqi", "us_aqi", *POLLUTANTS))}
        return _Question(self._air, "/v1/air-quality", params, read_air, AIR_S)

    def _final(self, status: int, body: Any) -> Final | str:
        """Words for the answers that another attempt makes no better."""
        reason = str(body.get("reason", "")) if isinstance(body, dict) else ""
        if status in (401, 403) or (status == 400 and "API key" in reason):
            return "does not accept the API key that is set, or the lack of one"
        window = reason.partition(" ")[0]
        if status == 429 and window in WINDOWS:  # cleared when the minute, the hour or the day (UTC) ends
            left_s = WINDOWS[window][0] - self._clock() % WINDOWS[window][0]
            return Final(f"answers no more questions {WINDOWS[window][1]}", left_s)
        return ""


def _host(url: str, key: str) -> str:
    """The address for those who pay, if there is a key; a self-hosted one is what it is."""
    return UNPAID.sub(r"\1customer-", url, count=1) if key else url


def _silent(told: Now | Day) -> bool:
    """Whether it has no values at all, as of a place or time that no model of the server covers."""
    told_of = {**dict(told), "time": None, "date": None, "weather": None, "sunrise": None, "sunset": None}
    return all(value is None for name, value in told_of.items() if name != "is_day")


def _at(city: City) -> dict[str, str]:
    # Without a time zone daily values are refused, and hourly ones come in UTC.
    return {
        "latitude": f"{city.latitude:.4f}",
        "longitude": f"{city.longitude:.4f}",
        "timezone": "auto",
    }
