"""Forecast services behind one face: each in its turn within one call, then the last good answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from backends.weather.gazetteer import City
from backends.weather.outlook import Outlook, ahead_of, now_of
from backends.weather.replies import Ahead, Local
from backends.weather.results import Now
from errors import Unavailable
from upstream import Kept, Upstream

T = TypeVar("T")
V = TypeVar("V")
Report = Callable[[str], Awaitable[None]]  # told what a call is at, a sentence a step
Connect = Callable[..., Upstream]  # makes a connection of what sets it apart from the others

OTHERWISE = "weather_find_place works without it."


class NotCovered(Exception):
    """The service has no weather for this place."""


@dataclass(frozen=True, slots=True)
class Point:
    """Coordinates as they are sent, and as answers are kept: a kilometre away the weather is the same."""

    latitude: str
    longitude: str
    near: str

    @classmethod
    def of(cls, city: City) -> "Point":
        """A city's."""
        return cls(
            f"{city.latitude:.4f}", f"{city.longitude:.4f}", f"{city.latitude:.2f},{city.longitude:.2f}"
        )


class Forecaster(Protocol):
    """A service that knows the present and what is ahead; all of them may raise `NotCovered`."""

    @property
    def name(self) -> str: ...
    @property
    def credit(self) -> str: ...
    def covers(self, city: City) -> bool: ...
    async def now(self, city: City, deadline: float) -> Kept[Local[Now]]: ...
    async def ahead(self, city: City, hourly: bool, deadline: float) -> Kept[Local[Ahead]]: ...
    async def last_now(self, city: City) -> Kept[Local[Now]] | None: ...
    async def last_ahead(self, city: City, hourly: bool) -> Kept[Local[Ahead]] | None: ...


class Stepwise(Protocol):
    """A service whose one answer is a series of steps."""

    name: str
    credit: str
    service: Upstream

    def covers(self, city: City) -> bool: ...
    async def outlook(self, city: City, deadline: float) -> Kept[Outlook]: ...
    async def last(self, city: City) -> Kept[Outlook] | None: ...


class Steps:
    """A stepwise service as a forecaster."""

    def __init__(self, source: Stepwise, clock: Callable[[], float]) -> None:
        self._source, self._clock = source, clock
        self.name, self.credit, self.covers = source.name, source.credit, source.covers

    async def now(self, city: City, deadline: float) -> Kept[Local[Now]]:
        """The step of this hour."""
        return self._read(await self._source.outlook(city, deadline), city, now_of)

    async def ahead(self, city: City, hourly: bool, deadline: float) -> Kept[Local[Ahead]]:
        """The days it covers."""
        return self._read(await self._source.outlook(city, deadline), city, self._ahead)

    async def last_now(self, city: City) -> Kept[Local[Now]] | None:
        """The step of this hour of its last answer."""
        kept = await self._source.last(city)
        return self._read(kept, city, now_of) if kept else None

    async def last_ahead(self, city: City, hourly: bool) -> Kept[Local[Ahead]] | None:
        """The days of its last answer."""
        kept = await self._source.last(city)
        return self._read(kept, city, self._ahead) if kept else None

    def _ahead(self, outlook: Outlook, city: City, when: datetime) -> Local[Ahead]:
        return ahead_of(outlook, city, when, self.name)

    def _read(
        self, kept: Kept[Outlook], city: City, reader: Callable[[Outlook, City, datetime], Local[V]]
    ) -> Kept[Local[V]]:
        when = datetime.fromtimestamp(self._clock(), UTC)
        return Kept(reader(kept.value, city, when), kept.at, kept.until, kept.modified)


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """What was found, whose it is, and what the caller should know of how."""

    kept: Kept[T]
    credit: str
    notices: tuple[str, ...] = ()


class Forecasters:
    """All that are set, best first."""

    def __init__(self, forecasters: Sequence[Forecaster], clock: Callable[[], float]) -> None:
        self._all, self._clock = tuple(forecasters), clock

    async def now(self, city: City, deadline: float, report: Report) -> Answered[Local[Now]]:
        """The weather now, of the first that answers."""
        return await self._ask(
            city,
            deadline,
            report,
            lambda service, until: service.now(city, until),
            lambda service: service.last_now(city),
        )

    async def ahead(
        self, city: City, hourly: bool, deadline: float, report: Report
    ) -> Answered[Local[Ahead]]:
        """The days to come, of the first that answers."""
        return await self._ask(
            city,
            deadline,
            report,
            lambda service, until: service.ahead(city, hourly, until),
            lambda service: service.last_ahead(city, hourly),
        )

    async def _ask(
        self,
        city: City,
        deadline: float,
        report: Report,
        fresh: Callable[[Forecaster, float], Awaitable[Kept[T]]],
        last: Callable[[Forecaster], Awaitable[Kept[T] | None]],
    ) -> Answered[T]:
        covering = [service for service in self._all if service.covers(city)]
        failed: list[tuple[Forecaster, Unavailable]] = []
        for number, service in enumerate(covering):
            now = asyncio.get_running_loop().time()
            # Half of what is left, so that a slow one leaves the next its time.
            until = now + (deadline - now) / 2 if number < len(covering) - 1 else deadline
            if failed:
                await report(f"{failed[-1][1]} Asking {service.name}.")
            try:
                kept = await fresh(service, until)
            except NotCovered:
                continue
            except Unavailable as error:
                failed.append((service, error))
                continue
            stepped_in = f"{_told(failed)} {service.name} answers instead." if failed else ""
            return Answered(kept, service.credit, (stepped_in,) if failed else ())
        if not failed:
            raise Unavailable(
                f"No weather service that is set covers {city}; `status` names those that are. {OTHERWISE}"
            )
        return await self._stale(failed, last)

    async def _stale(
        self,
        failed: Sequence[tuple[Forecaster, Unavailable]],
        last: Callable[[Forecaster], Awaitable[Kept[T] | None]],
    ) -> Answered[T]:
        """The newest of the last good answers, marked as what it is."""
        found = [(kept, service) for service, _ in failed if (kept := await last(service))]
        why = _told(failed)
        if not found:
            raise Unavailable(f"{why} {OTHERWISE}") from failed[0][1]
        kept, service = max(found, key=lambda pair: pair[0].at)
        return Answered(kept, service.credit, (old(why, service.name, self._clock() - kept.at),))


async def unheard(step: str) -> None:
    """A report that nobody wants."""


def old(why: str, name: str, age_s: float) -> str:
    """The mark of an answer that is given for want of a newer one."""
    hours, minutes = divmod(int(age_s) // 60, 60)
    age = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"{why} This is what {name} said {age} ago."


def _told(failed: Sequence[tuple[Forecaster, Unavailable]]) -> str:
    return " ".join(str(error) for _, error in failed)
