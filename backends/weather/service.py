"""The weather domain: each question finds its place, asks its provider, and answers in the units wanted."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

import httpx2

from backends import Health, Provider
from backends.weather.alerts import CREDIT as NWS_CREDIT
from backends.weather.alerts import Nws
from backends.weather.gazetteer import City
from backends.weather.locate import Located, Locator
from backends.weather.open_meteo import AIR_CREDIT, CREDIT, OpenMeteo
from backends.weather.places import NoDatabase, Places
from backends.weather.results import (
    AirQuality,
    Alerts,
    Candidate,
    Candidates,
    Current,
    Forecast,
    History,
    Place,
    Units,
    unit_names,
)
from config import WeatherSettings
from errors import TooMuch, Unavailable, Unknown, quote
from state import State
from upstream import Kept, deadline_in

PLACES_CREDIT = "GeoNames, CC BY 4.0"
FIRST_DAY = date(1940, 1, 1)
MOST_DAYS = 366  # a leap year, about 60 KB of result
PROBE_S = 4
AIR_UNITS = {
    "pollutants": "μg/m³",
    "european_aqi": "0-20 good, -40 fair, -60 moderate, -80 poor, -100 very poor, above extremely poor",
    "us_aqi": "0-50 good, -100 moderate, -150 unhealthy for sensitive groups, -200 unhealthy, "
    "-300 very unhealthy, above hazardous",
}


class Weather:
    """The weather of places.

    Args:
        settings: Where each service and the offline list of places is.
        transport: Used instead of the network by every provider.
        clock: Wall-clock time in seconds.
        state: Where answers outlive the process and are shared.
    """

    def __init__(
        self,
        settings: WeatherSettings,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        state: State | None = None,
    ) -> None:
        contact = " ".join(settings.contact.split()).encode("ascii", "replace").decode()
        agent = f"Almanac ({contact})"
        self._settings = settings
        self._clock = clock
        self._places = Places(settings.places)
        self._open_meteo = OpenMeteo(settings, agent, transport, clock)
        self._nws = Nws(settings, agent, transport, clock)
        self._locator = Locator(self._places, self._open_meteo)

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        for part in (self._places, self._open_meteo, self._nws):
            await self._stack.enter_async_context(part)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def find_place(self, name: str, country: str | None = None, limit: int = 5) -> Candidates:
        """The places a name may mean, likeliest first."""
        located = await self._locator.locate(name, self._deadline(), country)
        shown = tuple(
            Candidate(**_place(city).model_dump(), population=city.population)
            for city in located.cities[:limit]
        )
        more = len(located.cities) - len(shown)
        are = "is" if more == 1 else "are"
        cut = (f"{more} more {are} possible; raise limit or add a country or region.",) if more else ()
        return Candidates(places=shown, notices=located.notices + cut, source=PLACES_CREDIT)

    async def current(self, place: str, units: Units = "metric") -> Current:
        """The weather of a place now."""
        deadline = self._deadline()
        located = await self._locator.locate(place, deadline)
        kept = await self._open_meteo.current(located.best, deadline)
        return Current(
            **self._about(located, kept, CREDIT, kept.value.timezone),
            **dict(kept.value.weather.in_units(units)),
            units=unit_names(units, pressure="hPa", humidity="%", cloud_cover="%", wind_direction="°"),
        )

    async def forecast(
        self, place: str, days: int = 3, hourly: bool = False, units: Units = "metric"
    ) -> Forecast:
        """The days from today on, and their hours if asked."""
        deadline = self._deadline()
        located = await self._locator.locate(place, deadline)
        kept = await self._open_meteo.forecast(located.best, days, hourly, deadline)
        of_days, of_hours = kept.value.weather
        return Forecast(
            **self._about(located, kept, CREDIT, kept.value.timezone),
            units=unit_names(units, precipitation_chance="%"),
            days=tuple(day.in_units(units) for day in of_days),
            hours=tuple(hour.in_units(units) for hour in of_hours),
        )

    async def history(self, place: str, start: str, end: str, units: Units = "metric") -> History:
        """The days from `start` to `end`, both included."""
        first, last = self._span(start, end)
        deadline = self._deadline()
        located = await self._locator.locate(place, deadline)
        kept = await self._open_meteo.history(located.best, first, last, deadline)
        days = kept.value.weather
        empty = sum(day.temperature_max is None for day in days)
        missing = (f"{empty} of the {len(days)} days have no values yet or none at all.",) if empty else ()
        return History(
            **self._about(located, kept, CREDIT, kept.value.timezone, missing),
            units=unit_names(units),
            days=tuple(day.in_units(units) for day in days),
        )

    async def alerts(self, place: str) -> Alerts:
        """What is in force at a place, that nothing is, or that nobody who covers it is asked."""
        deadline = self._deadline()
        located = await self._locator.locate(place, deadline)
        kept = await self._nws.active(located.best, deadline)
        if kept is None:
            notice = f"No source of alerts covers {located.best}: only the {NWS_CREDIT} is asked."
            here = self._about(located, Kept(None, self._clock()), "", located.best.timezone, (notice,))
            return Alerts(**here, state="not covered", alerts=())
        alerts, cut = kept.value
        return Alerts(
            **self._about(located, kept, NWS_CREDIT, located.best.timezone, cut),
            state="alerts" if alerts else "none issued",
            alerts=alerts,
        )

    async def air_quality(self, place: str) -> AirQuality:
        """Pollutants and two indexes of a place now."""
        deadline = self._deadline()
        located = await self._locator.locate(place, deadline)
        kept = await self._open_meteo.air(located.best, deadline)
        return AirQuality(
            **self._about(located, kept, AIR_CREDIT, kept.value.timezone),
            **dict(kept.value.weather),
            units=AIR_UNITS,
        )

    async def health(self, probe: bool = False) -> Health:
        """How the domain is, from what is known; `probe` asks each provider first."""
        if probe:
            await self._probe()
        services = (*self._open_meteo.services, self._nws.service)
        providers = tuple(Provider(name=s.name, state=s.state, note=s.note) for s in services)
        failing = [service for service in services if service.state == "failing"]
        try:
            places = f"{await self._places.size():,} places are found offline"
        except NoDatabase:
            return Health(
                state="degraded",
                summary="The offline list of places is missing, so a geocoder is asked for every name.",
                mend="Restore data/world.db from the repository, or point the setting weather.places at it.",
                providers=providers,
            )
        if failing:
            return Health(
                state="degraded",
                summary=f"{places}; " + "; ".join(f"{s.name} {s.note}" for s in failing) + ".",
                mend="Check this machine's way to the internet and the addresses of the weather services.",
                providers=providers,
            )
        return Health(state="ready", summary=f"{places}.", providers=providers)

    async def _probe(self) -> None:
        """Ask what answers; each service remembers how it went."""
        deadline = deadline_in(min(PROBE_S, self._settings.timeout))
        asked = [*self._open_meteo.probes(deadline), self._nws.probe(deadline)]
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, Unavailable):
                raise outcome

    def completers(self) -> Mapping[str, Any]:
        """Completion of what a prompt's or a template's argument may be."""
        return {"place": self._complete_place, "city": self._complete_place}

    async def _complete_place(self, typed: str, given: Mapping[str, str]) -> list[str]:
        try:
            return await self._places.complete(typed)
        except NoDatabase:
            return []

    def _deadline(self) -> float:
        return deadline_in(self._settings.timeout)

    def _about(
        self,
        located: Located,
        kept: Kept[Any],
        source: str,
        timezone: str,
        notices: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """The fields of an `Answer`; the time zone is the provider's, who is right at sea too."""
        return {
            "place": _place(located.best).model_copy(update={"timezone": timezone}),
            "others": located.others,
            "notices": located.notices + notices,
            "source": source,
            "age_s": max(0, round(self._clock() - kept.at)),
        }

    def _span(self, start: str, end: str) -> tuple[date, date]:
        first, last = _day("start", start), _day("end", end)
        # Somewhere it is already tomorrow.
        today = (datetime.fromtimestamp(self._clock(), UTC) + timedelta(hours=14)).date()
        if first > last:
            raise Unknown(f"start {first} is after end {last}; start comes first.")
        if first < FIRST_DAY:
            raise Unknown(f"The archive begins on {FIRST_DAY}; start {first} is before that.")
        if last > today:
            raise Unknown(f"end {last} is in the future; weather_forecast has up to 16 days ahead.")
        if (last - first).days >= MOST_DAYS:
            raise TooMuch(
                f"{(last - first).days + 1} days are too many; ask for at most {MOST_DAYS} at once."
            )
        return first, last


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unknown(f"{name} takes a date such as '2026-01-31', not {quote(text)}.") from None


def _place(city: City) -> Place:
    return Place(
        name=city.name,
        region=city.region,
        country=city.country,
        latitude=round(city.latitude, 4),
        longitude=round(city.longitude, 4),
        timezone=city.timezone,
    )
