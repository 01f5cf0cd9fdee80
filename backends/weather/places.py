"""Which place is meant: a name with what stands after its commas, or coordinates. Offline.

An unknown qualifier is refused and never ignored, so "Paris, Texas" is never answered with France.
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

from backends.weather.gazetteer import WELL_KNOWN, City, Gazetteer
from backends.weather.names import normalise
from backends.weather.regions import Area, akin, squeezed
from errors import Unknown, did_you_mean, quote

T = TypeVar("T")

LONGEST = 120  # characters; the longest name in the database with region and country has 81
COMMAS = re.compile("[,，、،;]")
NUMBER = r"([+-]?[0-9]{1,3}(?:\.[0-9]{1,20})?)\s*°?\s*"
POINT = re.compile(rf"\s*{NUMBER}([NS]?)\s*[,; ]\s*{NUMBER}([EW]?)\s*", re.IGNORECASE)
MOST_FOUND = 1_000  # questions whose answers are remembered, of some dozens of cities each
UNMISTAKABLE = 7  # letters from which a near name is a slip; a shorter one may be a village: Marfa, Pisac
ALIKE = 0.15  # of the letters may differ for a name in another script to be taken for it without asking
HEARD = 0.3  # of the letters may differ for a name that nothing else finds there
NEAR_KM = 50  # within this a point is called by its nearest city


class NoDatabase(Exception):
    """There is no usable database of places."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked for: a point, or a name and its qualifiers."""

    text: str
    name: str = ""
    qualifiers: tuple[str, ...] = ()
    point: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The cities a question may mean, likeliest first."""

    cities: tuple[City, ...] = ()
    exact: bool = True  # else the name is none of theirs, only near one
    sure: bool = True  # else someone who knows more places should be asked first
    likely: bool = False  # not sure, but good enough if nobody knows a place of exactly that name
    areas: tuple[frozenset[Area], ...] = ()  # what each qualifier may mean
    elsewhere: tuple[City, ...] = ()  # the same name outside the areas
    also: str = ""  # says which country or region has the name too


def read(text: str, country: str | None = None) -> Question:
    """Take a place apart as it was typed.

    Raises:
        Unknown: There is nothing to look for, or a point is not on Earth.
    """
    if match := POINT.fullmatch(text[:LONGEST]):
        return Question(text, point=_point(text, *match.groups()))
    name, *qualifiers = (part.strip() for part in (*COMMAS.split(text), country or ""))
    if len(text) > LONGEST or "\ud800" <= max(text, default="") <= "\udfff":
        raise Unknown(f"No place is called {quote(text)}. Send a name such as 'Lima, Peru'.")
    if not normalise(name):
        raise Unknown(f"{quote(text)} names no place. Send a name such as 'Lima, Peru', or '48.85,2.35'.")
    return Question(text, name, tuple(part for part in qualifiers if part))


def _point(text: str, latitude: str, north: str, longitude: str, east: str) -> tuple[float, float]:
    y = float(latitude) * (-1 if north.upper() == "S" else 1)
    x = float(longitude) * (-1 if east.upper() == "W" else 1)
    if abs(y) > 90 or abs(x) > 180:
        raise Unknown(
            f"{quote(text)} is not on Earth: latitude comes first and goes from -90 to 90, "
            "longitude from -180 to 180."
        )
    return y, x


class Places:
    """The offline list, asked in one thread of its own.

    Args:
        path: The database file; when it is missing every question raises NoDatabase.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gazetteer: Gazetteer | None = None
        self._found: dict[Question, Found] = {}

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="places")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._gazetteer is not None:
            self._thread.submit(self._gazetteer.close)
            self._gazetteer = None
        self._thread.shutdown()  # what it does takes milliseconds

    async def size(self) -> int:
        """How many cities it has."""
        return await self._ask(lambda gazetteer: gazetteer.size)

    async def find(self, question: Question) -> Found:
        """The cities that a name and its qualifiers may mean.

        Raises:
            Unknown: A qualifier is neither a country nor a region.
            NoDatabase: There is nothing to look in.
        """
        if (known := self._found.get(question)) is not None:  # it takes the thread 0.14 ms
            return known
        found = await self._ask(lambda gazetteer: _find(gazetteer, question))
        if len(self._found) == MOST_FOUND:
            del self._found[next(iter(self._found))]
        self._found[question] = found
        return found

    async def at(self, latitude: float, longitude: float) -> City:
        """A point, called by the nearest city if one is near."""
        name, timezone = f"{latitude:.4f}, {longitude:.4f}", ""
        try:
            nearest = await self._ask(lambda gazetteer: gazetteer.nearest(latitude, longitude))
        except NoDatabase:
            nearest = None
        if nearest:
            city, away = nearest
            timezone = city.timezone
            if away <= NEAR_KM:
                name = f"{away:.0f} km from {city}" if away >= 1 else f"near {city}"
        return City(name, "", "", "", "", latitude, longitude, timezone, 0)

    async def placed(self, cities: Sequence[City]) -> tuple[City, ...]:
        """The same cities with the codes of their regions, which a geocoder only names."""
        return await self._ask(lambda gazetteer: tuple(_placed(gazetteer, city) for city in cities))

    async def complete(self, typed: str, most: int = 20) -> list[str]:
        """Places that begin as typed, in the form in which they can be sent back."""
        return await self._ask(lambda gazetteer: _complete(gazetteer, typed[:LONGEST], most))

    async def _ask(self, question: Callable[[Gazetteer], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._asked, question)

    def _asked(self, question: Callable[[Gazetteer], T]) -> T:
        try:
            if self._gazetteer is None:
                self._gazetteer = Gazetteer(self._path)
            return question(self._gazetteer)
        except sqlite3.Error as error:
            raise NoDatabase from error


def _find(gazetteer: Gazetteer, question: Question) -> Found:
    areas = tuple(_areas(gazetteer, qualifier, question.name) for qualifier in question.qualifiers)

    def inside(city: City) -> bool:
        return all(city.within(area) for area in areas)

    cities = gazetteer.exact(question.name, inside)
    also = "" if areas else _also_an_area(gazetteer, question.name, cities)
    if cities:
        return Found(tuple(cities), areas=areas, also=also)
    if not areas and (found := _without_comma(gazetteer, question.name)):
        return found
    elsewhere = gazetteer.exact(question.name, _anywhere)[:3] if areas else []
    if elsewhere:  # the name is right and the place is not there, which no other spelling mends
        return Found(sure=False, areas=areas, elsewhere=tuple(elsewhere))
    norm = normalise(question.name)
    if not norm.isascii() and (heard := gazetteer.sounding(question.name, inside)):
        sure = heard[0][0].population >= WELL_KNOWN and heard[0][1] <= ALIKE
        return Found(tuple(city for city, _ in heard), exact=False, sure=sure, likely=not sure, areas=areas)
    # Two letters begin too many names, two ideographs are a name.
    near = gazetteer.beginning(norm, inside) if len(norm) > 2 or not norm.isascii() else []
    if not near or near[0].population < WELL_KNOWN:
        misspelt = gazetteer.misspelt(norm, inside, 3 if areas else 4)
        known = bool(misspelt) and misspelt[0].population >= WELL_KNOWN
        near = list(dict.fromkeys(misspelt + near if known else near + misspelt))
        if areas and not near:
            near = [city for city, unlike in gazetteer.sounding(norm, inside) if unlike <= HEARD]
            return Found(tuple(near), exact=False, sure=False, likely=bool(near), areas=areas)
    likely = bool(near) and near[0].population >= WELL_KNOWN
    sure = likely and len(norm) >= UNMISTAKABLE
    return Found(tuple(near), exact=False, sure=sure, likely=likely and not sure, areas=areas)


def _anywhere(_: City) -> bool:
    return True


def _areas(gazetteer: Gazetteer, qualifier: str, name: str) -> frozenset[Area]:
    """What a qualifier may mean: a country or region, or another form of a region's name."""
    if areas := gazetteer.regions.areas(qualifier):
        return areas
    there = gazetteer.exact(name, lambda city: akin(qualifier, city.region))
    if areas := frozenset((city.country_code, city.region_code) for city in there):
        return areas
    near = did_you_mean(qualifier, gazetteer.regions.names)
    raise Unknown(
        f"{quote(qualifier)} is no country or region I know, so the place is not guessed.{near} "
        "weather_find_place with the name alone lists where it is."
    )


def _also_an_area(gazetteer: Gazetteer, name: str, cities: Sequence[City]) -> str:
    """What to say of a region of the name, unless the city is well known or lies in it.

    Raises:
        Unknown: It is a country's name and no city in it has it, or a region's and no city anywhere has.
    """
    areas = gazetteer.regions.called(name) if len(name) > 3 else frozenset()  # a short one may be a code
    if any(city.within(areas) for city in cities) or not (largest := gazetteer.largest_in(areas)):
        return ""
    example = quote(str(largest))
    is_country = (largest.country_code, "") in areas
    named_so = next((city for city in cities if squeezed(city.name) == squeezed(name)), None)
    if not is_country and cities and cities[0].population >= max(WELL_KNOWN, largest.population):
        return ""
    if is_country or not named_so:
        # "Armenia" is hardly ever the city in Colombia: a wrong answer is worse than a question.
        other = f" There is also {quote(str(named_so))}." if named_so else ""
        raise Unknown(f"{quote(name)} is a country or region; name a place in it, such as {example}.{other}")
    if named_so.population >= max(WELL_KNOWN, largest.population):
        return ""
    return (
        f"{quote(name)} is also a region of {largest.country}; if that is meant, name a place in it, "
        f"such as {example}."
    )


def _without_comma(gazetteer: Gazetteer, name: str) -> Found | None:
    """ "Paris Texas" or "London UK": the last words taken for a qualifier, if they are one."""
    words = name.split()
    for cut in range(len(words) - 1, max(0, len(words) - 4), -1):
        areas = gazetteer.regions.areas(" ".join(words[cut:]))
        cities = gazetteer.exact(" ".join(words[:cut]), _anywhere) if areas else []
        if cities := [city for city in cities if city.within(areas)]:
            return Found(tuple(cities), areas=(areas,))
    return None


def _placed(gazetteer: Gazetteer, city: City) -> City:
    codes = [code for country, code in gazetteer.regions.areas(city.region) if country == city.country_code]
    return replace(city, region_code=max(codes, default=""))


def _complete(gazetteer: Gazetteer, typed: str, most: int) -> list[str]:
    name, *qualifiers = (part.strip() for part in typed.split(","))
    if normalise(name):
        tail = normalise(" ".join(qualifiers))

        def inside(city: City) -> bool:
            return tail in normalise(f"{city.region} {city.country}")

        # A city's own name is in Latin letters; what is typed in others can only begin another one.
        cities = gazetteer.beginning(name, inside, main_only=normalise(name).isascii())
    else:
        cities = gazetteer.largest(most)
    seen: set[tuple[str, str]] = set()
    shown: list[str] = []
    for city in cities[:most]:
        short = f"{city.name}, {city.country}"
        # The largest of its name in its country needs no region, unless that is what is being typed.
        plain = (city.name, city.country) not in seen and (
            not qualifiers or short.casefold().startswith(typed.casefold())
        )
        seen.add((city.name, city.country))
        shown.append(short if plain else str(city))
    return list(dict.fromkeys(shown))
