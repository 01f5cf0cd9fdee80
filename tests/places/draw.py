"""Draws names of places from lists that world.db was not made of, to see how many of them are found.

    python -m pip install airportsdata==20260905 babel==2.18.0 rdata==1.1.0
    apt-get download r-cran-maps tzdata    # unpack both with dpkg -x into one directory
    python tests/places/draw.py mixed DIRECTORY SEED > tests/places/mixed.csv
    python tests/places/draw.py cities DIRECTORY SEED > tests/places/cities.csv

docs/places.md says what the lists are and why these. They alone decide what is right: nothing here asks
Almanac, and the seed of the committed sample was used once, before anything was changed.
"""

import csv
import heapq
import math
import random
import re
import struct
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TOWN = 15_000  # people from which a place is one that the offline list claims to have
CITY = 100_000  # people from which a misspelt name may come without its country
SAME_PLACE_KM = 60  # a zone's point this near a town of its name is that town's
SAME_REGION_KM = 15  # an airport further out may lie in another region: Tokyo's in Chiba, Seoul's in Incheon
DISSOLVED = {"Serbia and Montenegro", "Netherlands Antilles"}  # the list is of 2006
ENOUGH = 6  # letters; a slip in a shorter name is as likely to spell another one
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
KEYS = {key: row[max(0, n - 1) : n] + row[n + 1 : n + 2] for row in ROWS for n, key in enumerate(row)}
# CLDR's languages of other scripts than Latin.
SCRIPTS = (
    *("am", "ar", "be", "bg", "bn", "el", "fa", "gu", "he", "hi", "hy", "ja", "ka", "kk", "km", "kn", "ko"),
    *("ky", "lo", "mk", "ml", "mn", "mr", "my", "ne", "pa", "ru", "si", "sr", "ta", "te", "th", "uk", "ur"),
    *("zh", "zh_Hant"),
)


@dataclass(frozen=True)
class Row:
    """What is typed, and where the list that it comes from says the place is."""

    kind: str
    typed: str
    latitude: float
    longitude: float
    place: str
    population: int


Towns = list[Row]  # `typed` is the name, `place` the country


def towns(unpacked: Path) -> Towns:
    """world.cities of R's maps package, those of 15,000 people and more."""
    import rdata  # type: ignore[import-not-found, unused-ignore]

    folder = unpacked / "usr/lib/R/site-library/maps/data"
    parsed = rdata.parser.parse_data(zlib.decompress((folder / "Rdata.rdx").read_bytes(), wbits=47))
    start, length = rdata.conversion.convert(parsed)["variables"]["world.cities"]
    packed = (folder / "Rdata.rdb").read_bytes()[int(start) : int(start + length)]
    (size,) = struct.unpack(">I", packed[:4])
    unzipped = zlib.decompress(packed[4:])
    assert len(unzipped) == size
    table: Any = rdata.conversion.convert(rdata.parser.parse_data(unzipped))
    rows = table[["name", "country.etc", "pop", "lat", "long"]].itertuples(index=False)
    return [
        Row("", str(name), float(lat), float(lon), str(country), int(people))
        for name, country, people, lat, lon in rows
        if people >= TOWN
    ]


def largest(rows: Iterable[Row], key: Callable[[Row], Any]) -> Towns:
    """Of the rows with one key the one with the most people."""
    best: dict[Any, Row] = {}
    for row in rows:
        if key(row) not in best or row.population > best[key(row)].population:
            best[key(row)] = row
    return list(best.values())


def plain(name: str) -> str:
    """Only to match two lists: letters without accents."""
    return re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", name).casefold())


def by_region(listed: Towns) -> Towns:
    """Airports' cities with their region, where it is a town of that name that the airport is near."""
    import airportsdata  # type: ignore[import-not-found, unused-ignore]

    named = index(listed)
    found = {
        (near.typed, near.place): replace(near, typed=f"{airport['city']}, {airport['subd']}")
        for _, airport in sorted(airportsdata.load("IATA").items())
        if airport["subd"]
        and (near := nearest(named, airport["city"], airport["lat"], airport["lon"], SAME_REGION_KM))
    }
    return list(found.values())


def by_zone(listed: Towns, unpacked: Path) -> Iterator[Row]:
    """Zones called after a town, with its point; `typed` is the zone's name."""
    named = index(listed)
    for line in (unpacked / "usr/share/zoneinfo/zone.tab").read_text().splitlines():
        if line.startswith("#"):
            continue
        _, point, zone, *_ = line.split("\t")
        latitude, longitude = re.fullmatch(r"([+-]\d{4,6})([+-]\d{5,7})", point).groups()
        y, x = degrees(latitude, 2), degrees(longitude, 3)
        if near := nearest(named, zone.rpartition("/")[2], y, x, SAME_PLACE_KM):
            yield Row("", zone, y, x, near.place, near.population)


def degrees(text: str, digits: int) -> float:
    """The tz database's ±DDMM[SS] or ±DDDMM[SS]."""
    whole, minutes, seconds = text[1 : 1 + digits], text[1 + digits : 3 + digits], text[3 + digits :] or "0"
    return round((1 if text[0] == "+" else -1) * (int(whole) + int(minutes) / 60 + int(seconds) / 3600), 4)


def index(listed: Towns) -> dict[str, Towns]:
    named: dict[str, Towns] = {}
    for town in listed:
        named.setdefault(plain(town.typed), []).append(town)
    return named


def nearest(
    named: dict[str, Towns], name: str, latitude: float, longitude: float, within_km: float
) -> Row | None:
    near = [
        (kilometres(latitude, longitude, town.latitude, town.longitude), number, town)
        for number, town in enumerate(named.get(plain(name), ()))
    ]
    away, _, town = min(near, default=(math.inf, 0, None))
    return town if away <= within_km else None


def kilometres(y: float, x: float, other_y: float, other_x: float) -> float:
    """Good enough for distances of some kilometres."""
    east = ((x - other_x + 180) % 360 - 180) * math.cos(math.radians((y + other_y) / 2))
    return 111.2 * math.hypot(y - other_y, east)


def slip(name: str, chance: random.Random) -> str:
    """One slip after the first letter: a letter left out, doubled, swapped, or the key beside it."""
    while True:
        at = chance.choice([n for n, letter in enumerate(name) if n and letter.lower() in KEYS])
        head, letter, tail = name[:at], name[at], name[at + 1 :]
        beside = chance.choice(KEYS[letter.lower()])
        changed = chance.choice(
            [
                head + tail,
                head + letter + letter + tail,
                head + beside + tail,
                head + tail[:1] + letter + tail[1:],
            ]
        )
        if plain(changed) != plain(name):
            return changed


def weighed(rows: Iterable[Row], most: int, chance: random.Random) -> Towns:
    """So many of the rows, each as likely as people live there: the more of them, the oftener asked for."""
    return heapq.nlargest(most, rows, key=lambda row: math.log(1 - chance.random()) / row.population)


def draw(unpacked: Path, seed: int) -> Iterator[Row]:
    """Two hundred rows; the numbers of each kind were chosen before the first was drawn."""
    from babel import Locale  # type: ignore[import-not-found, import-untyped, unused-ignore]

    chance = random.Random(seed)
    listed = towns(unpacked)
    alone = largest(listed, lambda row: plain(row.typed))
    in_country = largest(listed, lambda row: (plain(row.typed), row.place))
    in_country = [row for row in in_country if row.place not in DISSOLVED]
    names = {plain(row.typed) for row in listed}

    def misspelt(rows: Iterable[Row]) -> Towns:
        """A slip that makes another town's name is no misspelt one."""
        slips = (
            replace(row, typed=slip(row.typed, chance)) for row in rows if len(plain(row.typed)) >= ENOUGH
        )
        return [row for row in slips if plain(row.typed) not in names]

    def shown(kind: str, rows: Towns, most: int, qualified: bool = False) -> Iterator[Row]:
        for row in weighed(rows, most, chance):
            typed = f"{row.typed}, {row.place}" if qualified else row.typed
            yield replace(row, kind=kind, typed=typed)

    yield from shown("name", alone, 60)
    yield from shown("with its country", in_country, 30, qualified=True)
    yield from shown("with its region", by_region(listed), 30)
    yield from shown("misspelt", misspelt([row for row in alone if row.population >= CITY]), 20)
    yield from shown("misspelt, with its country", misspelt(in_country), 20, qualified=True)
    zones = [
        replace(row, typed=city)
        for row in by_zone(listed, unpacked)
        if (city := Locale.parse(chance.choice(SCRIPTS)).time_zones.get(row.typed, {}).get("city"))
        and not re.search("[A-Za-z]", city)
    ]
    yield from shown("in another script", zones, 40)


def draw_cities(unpacked: Path, seed: int) -> Iterator[Row]:
    """Two hundred cities of 100,000 people and more, by nothing but their name."""
    alone = largest(towns(unpacked), lambda row: plain(row.typed))
    for row in weighed([row for row in alone if row.population >= CITY], 200, random.Random(seed)):
        yield replace(row, kind="name")


def main() -> None:
    drawn = {"mixed": draw, "cities": draw_cities}[sys.argv[1]]
    unpacked, seed = Path(sys.argv[2]), int(sys.argv[3])
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["kind", "typed", "latitude", "longitude", "country", "population"])
    for row in drawn(unpacked, seed):
        writer.writerow([row.kind, row.typed, row.latitude, row.longitude, row.place, row.population])


if __name__ == "__main__":
    main()
