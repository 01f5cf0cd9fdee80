"""Open-Meteo: current weather, forecast, archive, air quality, and its geocoder for what the list lacks.

Everything is asked for in metric units and in the place's own time; `results.in_units` does the rest.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self, TypeVar

import httpx2

from backends.weather.gazetteer import City
from backends.weather.replies import (
    POLLUTANTS,
    Local,
    read_air,
    read_forecast,
    read_history,
    read_now,
    read_towns,
)
from backends.weather.results import Air, Day, ForecastDay, Hour, Now
from config import WeatherSettings
from errors import Unavailable
from upstream import Declined, Kept, Upstream

T = TypeVar("T")

CREDIT = "Open-Meteo.com, CC BY 4.0"
AIR_CREDIT = "Open-Meteo.com with data of CAMS, CC BY 4.0"
UNPAID = re.compile(r"^(https?://)(?!customer-)(?=[a-z0-9.-]+\.open-meteo\.com(?:[:/]|$))", re.IGNORECASE)
AT_ONCE = 2  # an address is answered one request at a time, and the sixth that waits gets a 429

# Seconds for which an answer holds.
CURRENT_S = 600
FORECAST_S = 1800
AIR_S = 3600
ARCHIVE_S = 86_400
RECENT_S = 3600  # the archive still fills in its last week
GEOCODING_S = 21_600

CURRENT = (
    "temperature_2m,apparent_temperature,relative_humidity_2m,precipitation,weather_code,cloud_cover,"
    "pressure_msl,wind_speed_10m,wind_gusts_10m,wind_direction_10m,is_day"
)
DAILY = (
    "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,wind_speed_10m_max,sunrise,sunset"
)
HOURLY = "temperature_2m,precipitation,precipitation_probability,weather_code,wind_speed_10m"


class OpenMeteo:
    """The four services; each has its own address, so that one may be self-hosted and one may fail."""

    def __init__(
        self,
        settings: WeatherSettings,
        agent: str,
        transport: httpx2.AsyncBaseTransport | None,
        clock: Callable[[], float],
    ) -> None:
        key = settings.open_meteo_key.get_secret_value() if settings.open_meteo_key else ""

        def service(name: str, url: str, otherwise: str = "weather_find_place works without it.") -> Upstream:
            return Upstream(
                name=name,
                url=_host(url, key),
                agent=agent,
                timeout_s=settings.timeout,
                otherwise=otherwise,
                secrets={"apikey": key} if key else {},
                at_once=AT_ONCE,
                final=_final,
                transport=transport,
                clock=clock,
            )

        self._forecast = service("Open-Meteo", settings.open_meteo_url)
        self._archive = service("Open-Meteo's archive", settings.archive_url)
        self._air = service("Open-Meteo's air quality service", settings.air_quality_url)
        self._geocoding = service("Open-Meteo's geocoder", settings.geocoding_url, "")
        self.services = (self._forecast, self._archive, self._air, self._geocoding)
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        for service in self.services:
            await self._stack.enter_async_context(service)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def current(self, city: City, deadline: float) -> Kept[Local[Now]]:
        """The weather now."""
        params = _at(city) | {"current": CURRENT}
        return await _get(self._forecast, "/v1/forecast", params, read_now, CURRENT_S, deadline)

    async def forecast(
        self, city: City, days: int, hourly: bool, deadline: float
    ) -> Kept[Local[tuple[tuple[ForecastDay, ...], tuple[Hour, ...]]]]:
        """Daily weather from today on, and hourly if asked."""
        params = _at(city) | {"daily": f"{DAILY},precipitation_probability_max", "forecast_days": str(days)}
        if hourly:
            params["hourly"] = HOURLY
        return await _get(self._forecast, "/v1/forecast", params, read_forecast, FORECAST_S, deadline)

    async def history(
        self, city: City, start: date, end: date, deadline: float
    ) -> Kept[Local[tuple[Day, ...]]]:
        """Daily weather of the past."""
        params = _at(city) | {"daily": DAILY, "start_date": str(start), "end_date": str(end)}
        settled = datetime.fromtimestamp(self._clock(), UTC).date() - end > timedelta(days=7)
        ttl_s = ARCHIVE_S if settled else RECENT_S
        return await _get(self._archive, "/v1/archive", params, read_history, ttl_s, deadline)

    async def air(self, city: City, deadline: float) -> Kept[Local[Air]]:
        """Pollutants and both indexes now."""
        params = _at(city) | {"current": ",".join(("european_aqi", "us_aqi", *POLLUTANTS))}
        return await _get(self._air, "/v1/air-quality", params, read_air, AIR_S, deadline)

    async def search(self, name: str, country_code: str, deadline: float) -> tuple[City, ...]:
        """Places of a name, which it takes for a beginning; it mends no misspelling."""
        params = {"name": name, "count": "20", "language": "en", "format": "json"}
        if country_code:
            params["countryCode"] = country_code
        answer = await _get(self._geocoding, "/v1/search", params, read_towns, GEOCODING_S, deadline)
        return answer.value

    def probes(self, deadline: float) -> list[Awaitable[Any]]:
        """Something small for each service to answer, whatever is remembered."""
        here = {"latitude": "51.48", "longitude": "0", "timezone": "auto"}
        day = {"daily": "temperature_2m_max", "start_date": "2020-01-01", "end_date": "2020-01-01"}
        name = {"name": "Greenwich", "count": "1", "language": "en", "format": "json"}
        return [
            _get(self._forecast, "/v1/forecast", here | {"current": CURRENT}, read_now, 0, deadline),
            _get(self._archive, "/v1/archive", here | day, read_history, 0, deadline),
            _get(self._air, "/v1/air-quality", here | {"current": "us_aqi"}, read_air, 0, deadline),
            _get(self._geocoding, "/v1/search", name, read_towns, 0, deadline),
        ]


def _host(url: str, key: str) -> str:
    """The address for those who pay, if there is a key; a self-hosted one is what it is."""
    return UNPAID.sub(r"\1customer-", url, count=1) if key else url


def _final(status: int, body: Any) -> str:
    """Words for the answers that another attempt makes no better."""
    reason = str(body.get("reason", "")) if isinstance(body, dict) else ""
    if status in (401, 403) or (status == 400 and "API key" in reason):
        return "does not accept the API key that is set, or the lack of one"
    if status == 429:  # counters of an address, cleared when the minute, the hour or the day (UTC) ends
        for counter, words in {
            "Minutely": "this minute; try again in a minute",
            "Hourly": "this hour; try again after the hour",
            "Daily": "today; try again after 00:00 UTC",
        }.items():
            if reason.startswith(counter):
                return f"answers no more questions {words}"
    return ""


def _at(city: City) -> dict[str, str]:
    # Without a time zone daily values are refused, and hourly ones come in UTC.
    return {
        "latitude": f"{city.latitude:.4f}",
        "longitude": f"{city.longitude:.4f}",
        "timezone": "auto",
    }


async def _get(
    service: Upstream,
    path: str,
    params: Mapping[str, str],
    parse: Callable[[Any], T],
    ttl_s: float,
    deadline: float,
) -> Kept[T]:
    # The weather a kilometre away is the same, so the answer may be.
    rounded = {k: f"{float(v):.2f}" if k in ("latitude", "longitude") else v for k, v in params.items()}
    key = tuple(sorted(rounded.items()))
    try:
        return await service.get(path, params, parse, key=key, ttl_s=ttl_s, deadline=deadline)
    except Declined as error:
        raise Unavailable(
            f"{service.name} did not accept the question. {service.otherwise}".rstrip()
        ) from error
