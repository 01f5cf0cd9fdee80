"""Finds cities in world.db: exact, then prefix, then misspelt; on one read-only connection, synchronously."""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from backends.weather.names import normalise
from backends.weather.regions import Area, Regions
from backends.weather.sounds import romanised, sound, sound_alikes, unlikeness
from backends.weather.spelling import distance, one_slip_away, slips_allowed, trigrams

# How many times larger a city has to be to win by an alternate name over one that is called just that.
# A variant of its own name (Odessa, Hull, León) counts almost as the name; one of another word (Calcutta,
# but also Bridgetown for Portland and Islamabad for Chattogram) does not. Read off all 231 such clashes.
VARIANT = 4
OTHER_WORD = 30
WELL_KNOWN = 250_000  # people from which a near name is taken for the one meant, without asking a geocoder
UNLIKE = 0.5  # of the letters may differ in two scripts' spellings: Arabic leaves vowels out
UNLIKE_WEIGHT = 16  # a sixteenth of the letters weighs as much as a city ten times smaller
FAME = 0.5  # the power of the number of names; 0 and 1 each find fewer of other lists' cities first
NAMES = 9  # that a city has, in the middle
LONGEST = 60  # letters of a name in the database
BEGUN = 200  # cities read of which a name begins as asked
SAME_NAME = 300  # more cities than share any name; San Antonio, the commonest, has 52
REACH = 3  # degrees around a point in which the nearest city is looked for
COMPARED = 80  # names measured against a misspelt one, those with the most trigrams in common
CANDIDATES = 1500  # names read for that; they come largest city first

Accepts = Callable[["City"], bool]
Meant = tuple[int, str]  # a city's number, and that name of it


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
    number: int = 0  # the database's, if it is from there
    names: int = 1  # that it has in all scripts

    @property
    def weight(self) -> float:
        """How likely it is meant: by its people, and by how many bothered to name it.

        People alone put Orléans in Ontario before the one in France, and trust a slip in the count.
        """
        return float(max(self.population, 1) * self.names**FAME)

    def __str__(self) -> str:
        parts = (self.name, self.region if self.region != self.name else "", self.country)
        return ", ".join(part for part in parts if part)

    def within(self, areas: Iterable[Area]) -> bool:
        """Whether it lies in any of the areas."""
        return any(self.country_code == code and region in ("", self.region_code) for code, region in areas)


FIELDS = (
    "d.name, coalesce(d.region, ''), d.country, d.country_code, coalesce(d.region_code, ''), "
    "d.latitude, d.longitude, d.timezone, d.population, d.id, d.names"
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


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path.as_uri() + "?mode=ro", uri=True, check_same_thread=False)


@lru_cache(maxsize=1)
def _regions(path: Path, changed_ns: int) -> Regions:
    """80 ms, when the first name comes with a comma, and once for each state of the file."""
    with closing(_connected(path)) as database:
        return Regions(database)


class Gazetteer:
    """The cities of one database file, which is only read.

    Raises:
        sqlite3.Error: The file is missing, or is no such database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = _connected(path)
        self.size: int = self._database.execute("SELECT count(*) FROM city").fetchone()[0]

    def close(self) -> None:
        self._database.close()

    @cached_property
    def regions(self) -> Regions:
        return _regions(self._path, self._path.stat().st_mtime_ns)

    def exact(self, name: str, accepts: Accepts) -> list[City]:
        """Cities with exactly this name in any language, the likeliest first."""
        norm = normalise(name)
        weighed: list[tuple[float, City]] = []
        for *fields, is_main in self._database.execute(EXACT, (norm, SAME_NAME)):
            if accepts(city := City(*fields)):
                weighed.append((city.weight if is_main else _by_another_name(norm, city), city))
        weighed.sort(key=lambda pair: -pair[0])
        return [city for _, city in weighed]

    def beginning(self, start: str, accepts: Accepts, main_only: bool = False) -> list[City]:
        """Cities of which a name begins like this, the largest first."""
        norm = normalise(start)
        rows = self._database.execute(PREFIX, (norm, norm + "\U0010ffff", int(main_only), BEGUN)).fetchall()
        return [city for city in self._cities(number for number, _ in rows) if accepts(city)]

    def misspelt(self, name: str, accepts: Accepts, letters: int = 4) -> list[City]:
        """Cities with a name a few slips away, the nearest and largest first."""
        norm = normalise(name)
        slips = slips_allowed(norm, letters)
        if not slips or len(norm) > LONGEST:
            return []
        near = self._one_slip(norm)
        found = self._ranked(norm, near, accepts)
        if slips == 1 or (found and (letters < 4 or found[0].population >= WELL_KNOWN)):
            return found
        return self._ranked(norm, near | self._similar(norm, slips), accepts)

    def sounding(self, name: str, accepts: Accepts) -> list[tuple[City, float]]:
        """Larger cities whose name sounds like one in another script, the likeliest first, and how near."""
        latin = normalise(romanised(name))
        heard = sound(latin)
        if not 2 <= len(heard) <= LONGEST // 2:  # one consonant is in too many names
            return []
        near = sound_alikes(heard)
        marks = ",".join("?" * len(near))
        rows = self._database.execute(f"SELECT city_id FROM city_sound WHERE sound IN ({marks})", near)  # noqa: S608
        cities = (city for city in self._cities({n for (n,) in rows}) if accepts(city))
        found = [(city, unlikeness(latin, normalise(city.name))) for city in cities]
        found = [pair for pair in found if pair[1] <= UNLIKE]
        return sorted(found, key=lambda pair: UNLIKE_WEIGHT * pair[1] - math.log10(pair[0].weight))

    def _ranked(self, norm: str, near: Iterable[Meant], accepts: Accepts) -> list[City]:
        cities = {city.number: city for city in self._cities({number for number, _ in near})}
        best: dict[int, float] = {}
        for number, other in near:
            worth = _worth(norm, other, cities[number])
            best[number] = max(worth, best.get(number, worth))
        ranked = sorted(best, key=lambda number: (-best[number], number))
        return [cities[number] for number in ranked if accepts(cities[number])]

    def _one_slip(self, norm: str) -> set[Meant]:
        spellings = list(one_slip_away(norm))
        marks = ",".join("?" * len(spellings))
        rows = self._database.execute(
            f"SELECT city_id, norm FROM city_name WHERE norm IN ({marks})",  # noqa: S608 - question marks
            spellings,
        )
        return set(rows)

    def _similar(self, norm: str, slips: int) -> set[Meant]:
        wanted = trigrams(norm)
        query = " OR ".join(f'"{part}"' for part in sorted(wanted))  # no quote survives normalise()
        rows = self._database.execute(SIMILAR, (query, CANDIDATES)).fetchall()
        rows = [row for row in rows if abs(len(row[0]) - len(norm)) <= slips]
        rows.sort(key=lambda row: -len(wanted & trigrams(row[0])))
        return {(number, other) for other, number in rows[:COMPARED] if distance(norm, other, slips) <= slips}

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
            f"SELECT {FIELDS} FROM city_detail d WHERE d.id IN ({marks})",  # noqa: S608 - question marks
            wanted,
        )
        by_number = {city.number: city for city in (City(*fields) for fields in rows)}
        return [by_number[number] for number in wanted]


def _worth(norm: str, other: str, city: City) -> float:
    """How likely a city is meant by a name that is near one of its names."""
    away = max(1, distance(norm, other, 9))
    # A slip weighs as much as a city a thousand times smaller.
    people = city.weight if other == normalise(city.name) else _by_another_name(other, city)
    return math.log10(people) - 3 * away


def _by_another_name(norm: str, city: City) -> float:
    """How likely a city is meant by a name that is not its main one."""
    own = normalise(city.name)
    akin = f" {norm} " in f" {own} " or (len(norm) > 5 and distance(norm, own, 1) <= 1)
    return float(max(city.population, 1) * NAMES**FAME / (VARIANT if akin else OTHER_WORD))


def kilometres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The great-circle distance between two points."""
    one, other = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((one - other) / 2) ** 2
    half += math.cos(one) * math.cos(other) * math.sin(math.radians(longitude - other_longitude) / 2) ** 2
    return 12_742 * math.asin(math.sqrt(min(1.0, half)))
