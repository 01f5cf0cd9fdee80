"""The weather domain: each question finds its place, asks its provider, and answers in the units wanted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

import httpx2

from backends import Health, Provider
from backends.weather.asked import span, wanted
from backends.weather.forecasters import Answered, Forecaster, Forecasters, Report, Steps, old, unheard
from backends.weather.locate import Located, Locator
from backends.weather.met_norway import MetNorway
from backends.weather.nws import CREDIT as NWS_CREDIT
from backends.weather.nws import Nws
from backends.weather.open_meteo import AIR_CREDIT, ARCHIVE_CREDIT, OpenMeteo
from backends.weather.places import NoDatabase, Places
from backends.weather.results import (
    AIR_UNITS,
    AirQuality,
    Alerts,
    Candidate,
    Candidates,
    Current,
    Forecast,
    Here,
    History,
    Units,
    unit_names,
)
from backends.weather.sun import zone_of
from config import WeatherSettings
from errors import Unavailable
from state import State
from upstream import Kept, ProviderStats, Upstream, deadline_in, stats_of

T = TypeVar("T")

PLACES_CREDIT = "GeoNames, CC BY 4.0"
GEOCODER_CREDIT = "Open-Meteo.com"
PROBE_S = 4


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
        connect = partial(
            Upstream,
            agent=f"Almanac ({contact})",  # without one, or with a library's, MET Norway answers 403
            timeout_s=settings.timeout,
            transport=transport,
            clock=clock,
            store=state,
            collection="weather",
        )
        self._settings = settings
        self._clock = clock
        self._places = Places(settings.places)
        self._open_meteo = OpenMeteo(settings, connect, clock)
        self._met_norway = MetNorway(settings, connect, clock)
        self._nws = Nws(settings, connect, clock)
        every: dict[str, Forecaster] = {
            "open_meteo": self._open_meteo,
            "met_norway": Steps(self._met_norway, clock),
            "nws": Steps(self._nws, clock),
        }
        self._forecasters = Forecasters([every[name] for name in dict.fromkeys(settings.providers)], clock)
        self._locator = Locator(self._places, self._open_meteo)

    async def __aenter__(self) -> Self:
        services = (*self._open_meteo.services, self._met_norway.service, *self._nws.services)
        async with AsyncExitStack() as opened:
            for part in (self._places, *services):
                await opened.enter_async_context(part)
            self._stack = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def find_place(self, name: str, country: str | None = None, limit: int = 5) -> Candidates:
        """The places a name may mean, likeliest first."""
        located = await self._locator.locate(name, self._deadline(), country)
        shown = tuple(Candidate.of(city, population=city.population) for city in located.cities[:limit])
        more = len(located.cities) - len(shown)
        are = "is" if more == 1 else "are"
        cut = (f"{more} more {are} possible; raise limit or add a country or region.",) if more else ()
        source = f"{GEOCODER_CREDIT}, {PLACES_CREDIT}" if located.searched else PLACES_CREDIT
        return Candidates(places=shown, notices=located.notices + cut, source=source)

    async def current(self, place: str, units: Units = "metric", report: Report = unheard) -> Current:
        """The weather of a place now."""
        deadline = self._deadline()
        located = await self._located(place, deadline, report)
        answer = await self._forecasters.now(located.best, deadline, report)
        return Current(
            **self._about(located, answer, answer.kept.value.timezone),
            **dict(answer.kept.value.weather.in_units(units)),
            units=unit_names(units, pressure="hPa", humidity="%", cloud_cover="%", wind_direction="°"),
        )

    async def forecast(
        self,
        place: str,
        days: int = 3,
        hourly: bool = False,
        units: Units = "metric",
        report: Report = unheard,
    ) -> Forecast:
        """The days from today on, and the hours from this one on if asked."""
        deadline = self._deadline()
        located = await self._located(place, deadline, report)
        answer = await self._forecasters.ahead(located.best, hourly, deadline, report)
        told = answer.kept.value
        now = datetime.fromtimestamp(self._clock(), zone_of(told.timezone, located.best.longitude))
        of_days, of_hours, short = wanted(told.weather, now, days, hourly)
        return Forecast(
            **self._about(located, answer, told.timezone, (*told.weather.notices, *short)),
            units=unit_names(units, precipitation_chance="%"),
            days=tuple(day.in_units(units) for day in of_days),
            hours=tuple(hour.in_units(units) for hour in of_hours),
        )

    async def history(
        self, place: str, start: str, end: str, units: Units = "metric", report: Report = unheard
    ) -> History:
        """The days from `start` to `end`, both included."""
        first, last = span(start, end, self._clock())
        deadline = self._deadline()
        located = await self._located(place, deadline, report)
        kept, notices = await self._or_last(
            self._open_meteo.history(located.best, first, last, deadline),
            lambda: self._open_meteo.last_history(located.best, first, last),
        )
        days = kept.value.weather
        empty = sum(day.temperature_max is None for day in days)
        missing = (f"{empty} of the {len(days)} days have no values yet or none at all.",) if empty else ()
        return History(
            **self._about(located, Answered(kept, ARCHIVE_CREDIT, notices + missing), kept.value.timezone),
            units=unit_names(units),
            days=tuple(day.in_units(units) for day in days),
        )

    async def alerts(self, place: str, report: Report = unheard) -> Alerts:
        """What is in force at a place, that nothing is, or that nobody who covers it is asked."""
        deadline = self._deadline()
        located = await self._located(place, deadline, report)
        kept = await self._nws.active(located.best, deadline)
        if kept is None:
            notice = f"No source of alerts covers {located.best}: only the {NWS_CREDIT} is asked."
            nobody = Answered(Kept(None, self._clock()), "", (notice,))
            return Alerts(
                **self._about(located, nobody, located.best.timezone), state="not covered", alerts=()
            )
        alerts, cut = kept.value
        return Alerts(
            **self._about(located, Answered(kept, NWS_CREDIT, cut), located.best.timezone),
            state="alerts" if alerts else "none issued",
            alerts=alerts,
        )

    async def air_quality(self, place: str, report: Report = unheard) -> AirQuality:
        """Pollutants and two indexes of a place now."""
        deadline = self._deadline()
        located = await self._located(place, deadline, report)
        kept, notices = await self._or_last(
            self._open_meteo.air(located.best, deadline), lambda: self._open_meteo.last_air(located.best)
        )
        air = kept.value.weather
        silent = not air.pollutants and air.european_aqi is None and air.us_aqi is None
        nothing = ("No pollutants are known for this place and time.",) if silent else ()
        return AirQuality(
            **self._about(located, Answered(kept, AIR_CREDIT, notices + nothing), kept.value.timezone),
            **dict(air),
            units=AIR_UNITS,
        )

    async def health(self, probe: bool = False) -> Health:
        """How the domain is, from what is known; `probe` asks each provider first."""
        if probe:
            await self._probe()
        named = {service.name: service for service in self._services()}
        # The US service stands there twice, for alerts and forecasts; the worse tells how it is.
        named |= {service.name: service for service in self._services() if service.state == "failing"}
        services = tuple(named.values())
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

    def stats(self) -> list[ProviderStats]:
        """What each service was asked."""
        return stats_of(self._services())

    def _services(self) -> tuple[Upstream, ...]:
        """Those that are asked, whatever for."""
        used = set(self._settings.providers)
        return (
            *(self._open_meteo.services if "open_meteo" in used else self._open_meteo.services[1:]),
            *((self._met_norway.service,) if "met_norway" in used else ()),
            *(self._nws.services if "nws" in used else self._nws.services[:1]),
        )

    async def _probe(self) -> None:
        """Ask what answers; each service remembers how it went."""
        deadline = deadline_in(min(PROBE_S, self._settings.timeout))
        used = set(self._settings.providers)
        asked = [self._nws.probe(deadline), *self._open_meteo.probes(deadline, "open_meteo" in used)]
        if "met_norway" in used:
            asked.append(self._met_norway.probe(deadline))
        if "nws" in used:
            asked.append(self._nws.probe_forecast(deadline))
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

    async def _or_last(
        self, fresh: Awaitable[Kept[T]], last: Callable[[], Awaitable[Kept[T] | None]]
    ) -> tuple[Kept[T], tuple[str, ...]]:
        """What the only service there is says now, or the last it said, marked as that."""
        try:
            return await fresh, ()
        except Unavailable as error:
            kept = await last()
            if kept is None:
                raise
            return kept, (old(str(error), self._open_meteo.name, self._clock() - kept.at),)

    async def _located(self, place: str, deadline: float, report: Report) -> Located:
        located = await self._locator.locate(place, deadline)
        await report(f"Found {located.best}.")
        return located

    def _deadline(self) -> float:
        return deadline_in(self._settings.timeout)

    def _about(
        self, located: Located, answer: Answered[Any], timezone: str, notices: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The fields of an `Answer`; the time zone is the provider's, who is right at sea too."""
        now = datetime.fromtimestamp(self._clock(), zone_of(timezone, located.best.longitude))
        return {
            "place": Here.of(located.best, timezone=timezone, local_time=now.isoformat(timespec="minutes")),
            "others": located.others,
            "notices": located.notices + answer.notices + notices,
            "source": answer.credit,
            "age_s": max(0, round(self._clock() - answer.kept.at)),
        }
