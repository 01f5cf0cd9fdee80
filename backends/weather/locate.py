"""From what was typed to one place: the offline list first, a geocoder for what it lacks, else a refusal."""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from backends.weather.gazetteer import City
from backends.weather.names import normalise
from backends.weather.open_meteo import OpenMeteo
from backends.weather.places import Found, NoDatabase, Places, Question, read
from backends.weather.regions import spells
from errors import Unavailable, Unknown, quote

T = TypeVar("T")

RUNNERS_UP = 3


@dataclass(frozen=True, slots=True)
class Located:
    """The places a text may mean, likeliest first, and what the caller should know about that."""

    cities: tuple[City, ...]
    notices: tuple[str, ...] = ()
    searched: bool = False  # by the geocoder

    @property
    def best(self) -> City:
        return self.cities[0]

    @property
    def others(self) -> tuple[str, ...]:
        names = dict.fromkeys(str(city) for city in self.cities[1:])
        names.pop(str(self.best), None)
        return tuple(names)[:RUNNERS_UP]


class Locator:
    """Asks the offline list, then the geocoder."""

    def __init__(self, places: Places, geocoder: OpenMeteo) -> None:
        self._places = places
        self._geocoder = geocoder

    async def locate(self, text: str, deadline: float, country: str | None = None) -> Located:
        """The places a text may mean.

        Raises:
            Unknown: There is no such place, or a qualifier that is no country or region.
            Unavailable: The offline list does not have it, and the geocoder did not answer.
        """
        question = read(text, country)
        if question.point:
            return Located((await self._offline(self._places.at(*question.point), deadline),))
        try:
            found = await self._offline(self._places.find(question), deadline)
        except NoDatabase:
            found = None
        if found and found.sure:
            return _located(question, found)
        try:
            cities = await self._search(question, found, deadline)
        except Unavailable as error:
            if found and found.likely:
                return _located(question, found)
            raise Unavailable(_not_found_offline(question, found, error)) from error
        if cities:
            return Located(cities, searched=True)
        if found and found.cities:
            return _located(question, found)
        raise Unknown(_unknown(question, found))

    async def _offline(self, answer: Awaitable[T], deadline: float) -> T:
        try:
            async with asyncio.timeout_at(deadline):
                return await answer
        except TimeoutError as error:
            raise Unavailable("The list of places did not answer in time; try again.") from error

    async def _search(self, question: Question, found: Found | None, deadline: float) -> tuple[City, ...]:
        """What the geocoder has, of it only what lies where the qualifiers say."""
        codes = [{code for code, _ in areas} for areas in found.areas] if found else []
        common = set.intersection(*codes) if codes else set()
        only = next(iter(common)) if len(common) == 1 else ""
        if found and found.likely:  # an answer there is already: wait for a better one, not for all the time
            now = asyncio.get_running_loop().time()
            deadline = now + (deadline - now) / 3
        cities = await self._geocoder.search(question.name, only, deadline)
        if found:
            placed = await self._offline(self._places.placed(cities), deadline)
            cities = tuple(city for city in placed if all(city.within(areas) for areas in found.areas))
        else:  # without the list of regions a qualifier has to be spelt as the geocoder does
            cities = tuple(city for city in cities if _spelt(question.qualifiers, city))
        norm = normalise(question.name)  # it takes the name for a beginning, too
        named = tuple(city for city in cities if normalise(city.name) == norm)
        if found and found.likely:
            return named
        return named + tuple(city for city in cities if city not in named)


def _spelt(qualifiers: Iterable[str], city: City) -> bool:
    return all(spells(q, city.region, city.country, country_code=city.country_code) for q in qualifiers)


def _located(question: Question, found: Found) -> Located:
    if found.exact:
        return Located(found.cities, (found.also,) if found.also else ())
    notice = f"No place is called {quote(question.name)}; {found.cities[0]} is the nearest name."
    return Located(found.cities, (notice,))


def _unknown(question: Question, found: Found | None) -> str:
    where = "".join(f" in {quote(qualifier)}" for qualifier in question.qualifiers)
    elsewhere = f" There is {_listed(found.elsewhere)}." if found and found.elsewhere else ""
    return (
        f"No place called {quote(question.name)} is known{where}.{elsewhere} Check the spelling with "
        "weather_find_place, name a larger place nearby, or send coordinates such as '48.85,2.35'."
    )


def _not_found_offline(question: Question, found: Found | None, error: Unavailable) -> str:
    if found is None:
        return f"{error} The offline list of places is missing too; coordinates such as '48.85,2.35' work."
    near = found.cities[:RUNNERS_UP] or found.elsewhere
    nearest = f" The nearest in it: {_listed(near)}." if near else ""
    return (
        f"{error} Without it {quote(question.text)} is not found: the offline list has places of 15,000 "
        f"people and more.{nearest} Coordinates such as '48.85,2.35' work as well."
    )


def _listed(cities: Iterable[City]) -> str:
    return " and ".join(quote(str(city)) for city in cities)
