"""Finds cities in world.db: exact, then prefix, then misspelt; on one read-only connection, synchronously."""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backends.weather.names import normalise
from backends.weather.regions import Area, Regions
from backends.weather.spelling import distance, one_slip_away, slips_allowed, trigrams

# How many times larger a city has to be to win by an alternate name over one that is called just that.
# A variant of its own name (Odessa, Hull, León) counts almost as the name; one of another word (Calcutta,
# but also Bridgetown for Portland and Islamabad for Chattogram) does not. Read off all 231 such clashes.
VARIANT = 4
OTHER_WORD = 30
WELL_KNOWN = 250_000  # people from which a near name is taken for the one meant, without asking a geocoder
SAME_NAME = 300  # more cities than share any name; San Antonio, the commonest, has 52
REACH = 3  # degrees around a point in which the nearest city is looked for
COMPARED = 80  # names measured against a misspelt one, those with the most trigrams in common
CANDIDATES = 4000  # names read for that; they come largest city first

Accepts = Callable[["City"], bool]


@dataclass(frozen=True, slots=True)
class City:
    """A place: a city of the database, one a geocoder found, or a point."""

    name: str
    region: str
    country: str
    country_code: str
    region_code: str
    latitude: float
    longitude: float
    timezone: str
    population: int

    def __str__(self) -> str:
        parts = (self.name, self.region if self.region != self.name else "", self.country)
        return ", ".join(part for part in parts if part)

    def within(self, areas: Iterable[Area]) -> bool:
        """Whether it lies in any of the areas."""
        return any(self.country_code == code and region in ("", self.region_code) for code, region in areas)


FIELDS = (
    "d.name, coalesce(d.region, ''), d.country, d.country_code, coalesce(d.region_code, ''), "
    "d.latitude, d.longitude, d.timezone, d.population"
)
EXACT = (
    f"SELECT {FIELDS}, n.is_main FROM city_name n JOIN city_detail d ON d.id = n.city_id "  # noqa: S608 - constants
    "WHERE n.norm = ? LIMIT ?"
)
PREFIX = (
    f"SELECT n.city_id, max(c.population * iif(n.is_main, {OTHER_WORD}, 1)) FROM city_name n "  # noqa: S608
    "JOIN city c ON c.id = n.city_id WHERE n.norm >= ? AND n.norm < ? AND n.is_main >= ? "
    "GROUP BY 1 ORDER BY 2 DESC LIMIT ?"
)
SIMILAR = "SELECT norm, city_id FROM city_trgm WHERE city_trgm MATCH ? LIMIT ?"
LARGEST = "SELECT id, population FROM city ORDER BY population DESC LIMIT ?"
LARGEST_IN = (
    "SELECT id FROM city WHERE country_code = ? AND (? = '' OR region_code = ?) "
    "ORDER BY population DESC LIMIT 1"
)


class Gazetteer:
    """The cities of one database file, which is only read.

    Raises:
        sqlite3.Error: The file is missing, or is no such database.
    """

    def __init__(self, path: Path) -> None:
        uri = path.as_uri() + "?mode=ro"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self.size: int = self._database.execute("SELECT count(*) FROM city").fetchone()[0]

    def close(self) -> None:
        self._database.close()

    @cached_property
    def regions(self) -> Regions:
        return Regions(self._database)  # 80 ms, once, when the first name comes with a comma

    def exact(self, name: str, accepts: Accepts) -> list[City]:
        """Cities with exactly this name in any language, the likeliest first."""
        norm = normalise(name)
        weighed: list[tuple[float, City]] = []
        for *fields, is_main in self._database.execute(EXACT, (norm, SAME_NAME)):
            if accepts(city := City(*fields)):
                weighed.append((city.population / (1 if is_main else _handicap(norm, city)), city))
        weighed.sort(key=lambda pair: -pair[0])
        return [city for _, city in weighed]

    def beginning(self, start: str, accepts: Accepts, most: int = 200, main_only: bool = False) -> list[City]:
        """Cities of which a name begins like this, the largest first."""
        norm = normalise(start)
        rows = self._database.execute(PREFIX, (norm, norm + "\U0010ffff", int(main_only), most)).fetchall()
        return [city for city in self._cities(number for number, _ in rows) if accepts(city)]

    def misspelt(self, name: str, accepts: Accepts) -> list[City]:
        """Cities with a name a few slips away, the nearest and largest first."""
        norm = normalise(name)
        slips = slips_allowed(norm)
        if not slips:
            return []
        near = self._one_slip(norm)
        found = self._ranked(near, accepts)
        if slips == 1 or (found and found[0].population >= WELL_KNOWN):
            return found
        for number, away in self._similar(norm, slips).items():
            near[number] = min(away, near.get(number, away))
        return self._ranked(near, accepts)

    def _ranked(self, slips: dict[int, int], accepts: Accepts) -> list[City]:
        cities = zip(slips.values(), self._cities(slips), strict=True)
        # A slip weighs as much as a city a thousand times smaller.
        ranked = sorted(cities, key=lambda pair: pair[0] * 3 - math.log10(max(pair[1].population, 1)))
        return [city for _, city in ranked if accepts(city)]

    def _one_slip(self, norm: str) -> dict[int, int]:
        spellings = list(one_slip_away(norm))
        marks = ",".join("?" * len(spellings))
        rows = self._database.execute(
            f"SELECT city_id, norm FROM city_name WHERE norm IN ({marks})",  # noqa: S608 - question marks
            spellings,
        )
        return {number: max(1, distance(norm, other, 2)) for number, other in rows}

    def _similar(self, norm: str, slips: int) -> dict[int, int]:
        wanted = trigrams(norm)
        query = " OR ".join(f'"{part}"' for part in sorted(wanted))  # no quote survives normalise()
        rows = self._database.execute(SIMILAR, (query, CANDIDATES)).fetchall()
        rows = [row for row in rows if abs(len(row[0]) - len(norm)) <= slips]
        rows.sort(key=lambda row: -len(wanted & trigrams(row[0])))
        found: dict[int, int] = {}
        for other, number in rows[:COMPARED]:
            away = distance(norm, other, slips)
            if away <= slips:
                found[number] = min(away, found.get(number, away))
        return found

    def nearest(self, latitude: float, longitude: float) -> tuple[City, float] | None:
        """The nearest city within some 300 km, with its distance in km."""
        row, column = math.floor(latitude), math.floor(longitude)
        wide = min(180, math.ceil(REACH / max(math.cos(math.radians(latitude)), 0.02)))
        near = [
            (kilometres(latitude, longitude, lat, lon), number)
            for y in range(row - REACH, row + REACH + 1)
            for x in range(column - wide, column + wide)
            for number, lat, lon in self._grid.get((y, (x + 180) % 360 - 180), ())
        ]
        if not near:
            return None
        away, number = min(near)
        return self._cities([number])[0], away

    @cached_property
    def _grid(self) -> dict[tuple[int, int], list[tuple[int, float, float]]]:
        """Every city by its degree square: 0.2 ms a point instead of 30 by a scan of the table."""
        grid: dict[tuple[int, int], list[tuple[int, float, float]]] = defaultdict(list)
        for number, lat, lon in self._database.execute("SELECT id, latitude, longitude FROM city"):
            grid[math.floor(lat), math.floor(lon)].append((number, lat, lon))
        return dict(grid)

    def largest(self, most: int) -> list[City]:
        """The largest cities of all."""
        return self._cities(number for number, _ in self._database.execute(LARGEST, (most,)))

    def largest_in(self, areas: Iterable[Area]) -> City | None:
        """The largest city of all these areas."""
        best: City | None = None
        for country, region in areas:
            rows = self._database.execute(LARGEST_IN, (country, region, region)).fetchall()
            for city in self._cities(number for (number,) in rows):
                best = city if best is None or city.population > best.population else best
        return best

    def _cities(self, numbers: Iterable[int]) -> list[City]:
        """The cities with these numbers, in this order."""
        wanted: Sequence[int] = list(numbers)
        marks = ",".join("?" * len(wanted))
        rows = self._database.execute(
            f"SELECT d.id, {FIELDS} FROM city_detail d WHERE d.id IN ({marks})",  # noqa: S608 - question marks
            wanted,
        )
        by_number = {number: City(*fields) for number, *fields in rows}
        return [by_number[number] for number in wanted]


def _handicap(norm: str, city: City) -> int:
    """What an alternate name costs a city."""
    own = normalise(city.name)
    akin = f" {norm} " in f" {own} " or (len(norm) > 5 and distance(norm, own, 1) <= 1)
    return VARIANT if akin else OTHER_WORD


def kilometres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The great-circle distance between two points."""
    one, other = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((one - other) / 2) ** 2
    half += math.cos(one) * math.cos(other) * math.sin(math.radians(longitude - other_longitude) / 2) ** 2
    return 12_742 * math.asin(math.sqrt(min(1.0, half)))
