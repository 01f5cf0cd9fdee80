"""Finding places offline: names in every script, typos, qualifiers, points, and what is refused."""

import random
import re
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from backends.weather.places import Found, NoDatabase, Places, read
from backends.weather.spelling import distance, one_slip_away
from config import Settings
from errors import Unknown, quote

WORLD = Settings().weather.places


@pytest.fixture
async def places() -> AsyncIterator[Places]:
    async with Places(WORLD) as opened:
        yield opened


async def find(places: Places, text: str) -> Found:
    return await places.find(read(text))


# Typed, the city's own name in the database, its country and, where it matters, its region.
EXACT = [
    ("Lima", "Lima", "PE", ""),
    ("lima", "Lima", "PE", ""),
    ("  LIMA  ", "Lima", "PE", ""),
    ("Lima, Peru", "Lima", "PE", ""),
    ("Lima,PER", "Lima", "PE", ""),
    ("Lima, Ohio", "Lima", "US", "OH"),
    ("Lima, OH, USA", "Lima", "US", "OH"),
    ("Paris", "Paris", "FR", ""),
    ("Paris, Texas", "Paris", "US", "TX"),
    ("Paris, TX", "Paris", "US", "TX"),
    ("Hong Kong, China", "Hong Kong", "HK", ""),
    ("Paris, US", "Paris", "US", "TX"),
    ("Paris, Texas, United States", "Paris", "US", "TX"),
    ("Paris Texas", "Paris", "US", "TX"),
    ("Paris, France", "Paris", "FR", ""),
    ("Paris，France", "Paris", "FR", ""),
    ("London", "London", "GB", ""),
    ("London, Ontario", "London", "CA", "08"),
    ("London, ON, Canada", "London", "CA", "08"),
    ("London UK", "London", "GB", ""),
    ("London, England", "London", "GB", "ENG"),
    ("Toronto, CA", "Toronto", "CA", ""),
    ("Los Angeles, CA", "Los Angeles", "US", "CA"),
    ("Vancouver, BC", "Vancouver", "CA", "02"),
    ("Vancouver, WA", "Vancouver", "US", "WA"),
    ("Sydney, NSW", "Sydney", "AU", "02"),
    ("Athens", "Athens", "GR", ""),
    ("Athens, Georgia", "Athens", "US", "GA"),
    ("Tbilisi, Georgia", "Tbilisi", "GE", ""),
    ("Springfield, Illinois", "Springfield", "US", "IL"),
    ("Springfield, IL, U.S.A.", "Springfield", "US", "IL"),
    ("Washington, D.C.", "Washington", "US", "DC"),
    ("New York", "New York City", "US", "NY"),
    ("New York, NY", "New York City", "US", "NY"),
    ("Brooklyn, New York", "Brooklyn", "US", "NY"),
    ("München", "Munich", "DE", ""),
    ("Munchen", "Munich", "DE", ""),
    ("Köln", "Köln", "DE", ""),
    ("Cologne", "Köln", "DE", ""),
    ("Sao Paulo", "São Paulo", "BR", ""),
    ("Zurich", "Zürich", "CH", ""),
    ("Reykjavik", "Reykjavík", "IS", ""),
    ("Krakow, Poland", "Kraków", "PL", ""),
    ("Łódź", "Łódź", "PL", ""),
    ("İstanbul", "Istanbul", "TR", ""),
    ("Москва", "Moscow", "RU", ""),
    ("Αθήνα", "Athens", "GR", ""),
    ("東京", "Tokyo", "JP", ""),
    ("東京、日本", "Tokyo", "JP", ""),
    ("北京", "Beijing", "CN", ""),
    ("القاهرة", "Cairo", "EG", ""),
    ("ירושלים", "Jerusalem", "IL", ""),
    ("서울", "Seoul", "KR", ""),
    ("Seoul, Korea", "Seoul", "KR", ""),
    ("Bombay", "Mumbai", "IN", ""),
    ("Saigon", "Ho Chi Minh City", "VN", ""),
    ("Den Haag, Holland", "The Hague", "NL", ""),
    ("Cape Town, South Africa", "Cape Town", "ZA", ""),
    ("Cordoba, Spain", "Córdoba", "ES", ""),
    ("Birmingham", "Birmingham", "GB", ""),
    ("Birmingham, Alabama", "Birmingham", "US", "AL"),
    ("Cusco, Cuzco", "Cusco", "PE", ""),
    # A much larger city by another name does not take the name of a smaller one.
    ("Islamabad", "Islamabad", "PK", ""),
    ("Bridgetown", "Bridgetown", "BB", ""),
    ("Cancún", "Cancún", "MX", ""),
    ("Puno", "Puno", "PE", ""),
    # A variant of its own name does.
    ("Odessa", "Odesa", "UA", ""),
    ("Hull", "Kingston upon Hull", "GB", ""),
    ("Calcutta", "Kolkata", "IN", ""),
]


@pytest.mark.parametrize(("typed", "name", "country", "region"), EXACT)
async def test_a_name_that_is_known_is_found_for_certain(
    places: Places, typed: str, name: str, country: str, region: str
) -> None:
    found = await find(places, typed)
    assert found.exact
    assert found.sure
    best = found.cities[0]
    assert (best.name, best.country_code) == (name, country)
    assert region in ("", best.region_code)


NEAR = [
    ("Londonn", "London", "GB"),
    ("Barcelonna", "Barcelona", "ES"),
    ("San Fransisco", "San Francisco", "US"),
    ("Los Angelos", "Los Angeles", "US"),
    ("Amstredam", "Amsterdam", "NL"),
    ("Nwe York", "New York City", "US"),
    ("Nwe Yrok", "New York City", "US"),
    ("Melborne", "Melbourne", "AU"),
    ("Melborne, Australia", "Melbourne", "AU"),
    ("Lmia", "Lima", "PE"),
    ("Buenos Airs", "Buenos Aires", "AR"),
    ("Beijin", "Beijing", "CN"),
    ("Istambool", "Istanbul", "TR"),
    ("Kopenhagn", "Copenhagen", "DK"),
    ("Edimburg", "Edinburgh", "GB"),
    ("Johanesburg", "Johannesburg", "ZA"),
    ("Philadelpia", "Philadelphia", "US"),
    ("Phladelpia", "Philadelphia", "US"),
    ("Sant Petesburg, Russia", "Saint Petersburg", "RU"),
    ("Yekaterenberg", "Yekaterinburg", "RU"),
    ("Reykjavk, Iceland", "Reykjavík", "IS"),
]


@pytest.mark.parametrize(("typed", "name", "country"), NEAR)
async def test_a_misspelt_or_unfinished_name_is_found_and_said_to_be_near(
    places: Places, typed: str, name: str, country: str
) -> None:
    found = await find(places, typed)
    best = found.cities[0]
    assert (best.name, best.country_code) == (name, country)


@pytest.mark.parametrize(
    ("typed", "qualifier"),
    [
        ("Lima, Atlantis", "Atlantis"),
        ("Paris, Tejas Libre", "Tejas Libre"),
        ("Lima, Peru, Mars", "Mars"),
        ("Lima, Mars, Peru", "Mars"),
        ("London, XX", "XX"),
        ("London, 08", "08"),  # GeoNames' number for Ontario is nobody's word for it
        ("Lima, ' DROP TABLE city --", "' DROP TABLE city --"),
    ],
)
async def test_an_unknown_qualifier_is_refused_by_name(places: Places, typed: str, qualifier: str) -> None:
    with pytest.raises(Unknown, match="is no country or region I know") as caught:
        await find(places, typed)
    assert str(caught.value).startswith(quote(qualifier))


async def test_a_misspelt_country_is_refused_with_the_nearest_one(places: Places) -> None:
    with pytest.raises(Unknown, match=r"'Germny' .* Did you mean 'Germany'"):
        await find(places, "Hamburg, Germny")


@pytest.mark.parametrize("typed", ["Paris, Peru", "Lima, Texas, France", "Tokyo, US", "Paris, Texas, France"])
async def test_a_name_is_never_found_outside_its_qualifiers(places: Places, typed: str) -> None:
    found = await find(places, typed)
    assert found.cities == ()
    assert not found.sure
    assert found.elsewhere


@pytest.mark.parametrize(
    ("typed", "example"),
    [("Peru", "Lima"), ("France", "Paris"), ("Georgia", "Atlanta|Tbilisi"), ("Texas", "Houston")],
)
async def test_a_country_or_region_asks_for_a_place_in_it(places: Places, typed: str, example: str) -> None:
    with pytest.raises(Unknown, match=f"'{typed}' is a country or region; .*({example})"):
        await find(places, typed)


@pytest.mark.parametrize(
    ("typed", "city", "also"),
    [
        ("Columbia", "Columbia, South Carolina, United States", "region of United States; .*'Washington"),
        ("Savannah", "Savannah, Georgia, United States", "region of Ghana; "),
        ("Santander", "Santander, Cantabria, Spain", "region of Colombia; "),
        ("Ontario", "Ontario, California, United States", "region of Canada; .*'Toronto, Ontario, Canada'"),
        ("Virginia", "Virginia, Free State, South Africa", "region of United States; "),
        ("Parana", "Paraná, Entre Rios, Argentina", "region of Brazil; "),
        ("Santafé", "Santa Fe, New Mexico, United States", "region of Argentina; "),
        ("Bali", "Bāli, West Bengal, India", "region of Indonesia; .*'Denpasar, Bali, Indonesia'"),
    ],
)
async def test_a_city_that_shares_its_name_with_a_region_is_a_city_and_the_region_is_told(
    places: Places, typed: str, city: str, also: str
) -> None:
    found = await find(places, typed)
    assert (str(found.cities[0]), found.exact, found.sure) == (city, True, True)
    assert re.match(f"{quote(typed)} is also a {also}", found.also)


@pytest.mark.parametrize(
    ("typed", "example", "other"),
    [
        ("Lebanon", "Beirut, Beyrouth, Lebanon", "Lebanon, Pennsylvania, United States"),
        ("Armenia", "Yerevan, Armenia", "Armenia, Quindío Department, Colombia"),
        ("Colombia", "Bogotá, Bogota D.C., Colombia", "Colombia, Las Tunas Province, Cuba"),
    ],
)
async def test_a_countrys_name_is_not_answered_with_a_city_elsewhere_but_the_city_is_told(
    places: Places, typed: str, example: str, other: str
) -> None:
    with pytest.raises(Unknown, match=f"such as '{example}'. There is also '{other}'"):
        await find(places, typed)


async def test_no_city_is_refused_for_the_name_of_a_region(places: Places) -> None:
    with closing(sqlite3.connect(WORLD)) as database:
        names = {
            name
            for (name,) in database.execute(
                "SELECT city.name FROM city JOIN region USING (name) "
                "WHERE city.name NOT IN (SELECT name FROM country)"
            )
        }
    assert len(names) > 500
    for name in names:
        assert (await find(places, name)).cities


@pytest.mark.parametrize("typed", ["Mexico", "Singapore", "Luxembourg", "Quebec", "New York", "São Paulo"])
async def test_a_city_of_its_countrys_name_is_a_city(places: Places, typed: str) -> None:
    assert (await find(places, typed)).sure


@pytest.mark.parametrize(
    "typed", ["", "   ", ",", ", Peru", "../..", "🎉", "\0", "'--", "x" * 5000, "Li\ud800ma"]
)
def test_what_is_no_name_is_refused_before_anything_is_asked(typed: str) -> None:
    with pytest.raises(Unknown) as caught:
        read(typed)
    assert len(str(caught.value)) < 300
    str(caught.value).encode()


@pytest.mark.parametrize(
    "typed", ["xqzwvb", "Zzyzx Qqq", "qq", "Xx", "Ollantaytambo", "Pisac", "a%", "a" * 100, "١٢٣"]
)
async def test_what_the_list_lacks_is_not_guessed_for_certain(places: Places, typed: str) -> None:
    assert not (await find(places, typed)).sure


@pytest.mark.parametrize(
    ("typed", "point"),
    [
        ("48.85,2.35", (48.85, 2.35)),
        (" 48.85 , 2.35 ", (48.85, 2.35)),
        ("48.85 2.35", (48.85, 2.35)),
        ("-12.05,-77.04", (-12.05, -77.04)),
        ("+0,-0", (0, 0)),
        ("90,180", (90, 180)),
        ("12.05S, 77.04W", (-12.05, -77.04)),
        ("48.85° N, 2.35° E", (48.85, 2.35)),
    ],
)
def test_coordinates_are_read_as_a_point(typed: str, point: tuple[float, float]) -> None:
    assert read(typed).point == point


@pytest.mark.parametrize("typed", ["91,0", "0,181", "-90.1,0", "999,999", "0,-180.0001"])
def test_a_point_that_is_not_on_earth_is_refused(typed: str) -> None:
    with pytest.raises(Unknown, match="latitude comes first and goes from -90 to 90"):
        read(typed)


async def test_a_point_is_called_by_the_city_it_is_near(places: Places) -> None:
    paris = await places.at(48.85, 2.35)
    assert (paris.name, paris.timezone) == ("near Paris, Île-de-France, France", "Europe/Paris")
    sea = await places.at(0, -140)
    assert (sea.name, sea.timezone) == ("0.0000, -140.0000", "")
    fiji = await places.at(-17.5, -179.95)  # its cities are on the other side of the date line
    assert fiji.timezone == "Pacific/Fiji"
    assert (await places.at(90, 0)).timezone == ""


async def test_runners_up_are_of_the_same_name(places: Places) -> None:
    names = [str(city) for city in (await find(places, "Springfield")).cities]
    assert "Springfield, Illinois, United States" in names
    assert len(names) > 5


@pytest.mark.parametrize("seed", range(3))
async def test_every_place_is_found_again_by_the_words_it_is_shown_with(places: Places, seed: int) -> None:
    with closing(sqlite3.connect(f"{WORLD.as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT d.id, d.name, d.region, d.country, d.population FROM city_detail d WHERE d.region <> ''"
        ).fetchall()
    missed = []
    sample = random.Random(seed).sample(rows, 300)
    for _, name, region, country, population in sample:
        if "," in name:
            continue
        best = (await find(places, f"{name}, {region}, {country}")).cities[0]
        # A larger one of the same name in the same region may come first.
        if (best.region, best.country) != (region, country) or best.population < population:
            missed.append((name, region, country, str(best)))
    assert missed == []


async def test_what_is_completed_can_be_sent_back(places: Places) -> None:
    for typed in ("Lim", "L", "Paris, ", "Paris, Te", "Springf", "são", "東", ""):
        shown = await places.complete(typed)
        assert shown, typed
        assert len(shown) == len(set(shown)) <= 20
        for place in shown:
            found = await find(places, place)
            assert found.sure, place
            assert found.cities[0].name == place.split(",")[0]
    assert (await places.complete("Lim"))[0] == "Lima, Peru"
    assert await places.complete("Paris, Te") == ["Paris, Texas, United States"]
    assert await places.complete("zzzz") == []
    assert await places.complete("\0" * 10_000 + "'") != []  # nothing was typed that counts


async def test_a_name_is_found_in_under_a_millisecond(places: Places) -> None:
    await find(places, "Lima, Peru")  # the list of regions is read once
    taken = []
    for typed, *_ in EXACT:
        start = time.perf_counter()
        await find(places, typed)
        taken.append(time.perf_counter() - start)
    assert statistics.median(taken) < 0.001
    start = time.perf_counter()
    for typed, *_ in NEAR:
        await find(places, typed)
    assert (time.perf_counter() - start) / len(NEAR) < 0.1


@pytest.mark.parametrize("content", [None, b"", b"not a database at all" * 100])
async def test_a_missing_or_broken_list_is_said_and_found_when_it_is_back(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "world.db"
    if content is not None:
        path.write_bytes(content)
    async with Places(path) as places:
        with pytest.raises(NoDatabase):
            await places.size()
        with pytest.raises(NoDatabase):
            await find(places, "Lima")
        assert (await places.at(1, 2)).name == "1.0000, 2.0000"
        assert path.exists() == (content is not None)  # looking creates nothing
        path.unlink(missing_ok=True)
        path.symlink_to(WORLD)
        assert (await find(places, "Lima")).cities[0].country_code == "PE"


async def test_asking_changes_nothing_in_the_file(tmp_path: Path, places: Places) -> None:
    before = (WORLD.stat().st_mtime_ns, sorted(WORLD.parent.iterdir()))
    for typed, *_ in EXACT + NEAR:
        await find(places, typed)
    assert (WORLD.stat().st_mtime_ns, sorted(WORLD.parent.iterdir())) == before


@pytest.mark.parametrize(
    ("one", "other", "away"),
    [
        ("lima", "lima", 0),
        ("lima", "lmia", 1),
        ("lima", "limaa", 1),
        ("lima", "lia", 1),
        ("lima", "lina", 1),
        ("nwe yrok", "new york", 2),
        ("abcd", "efgh", 4),
        ("", "abc", 3),
        ("ca", "abc", 3),  # a swapped pair may not be split afterwards
    ],
)
def test_slips_are_counted(one: str, other: str, away: int) -> None:
    assert distance(one, other, 9) == distance(other, one, 9) == away
    for most in range(away):
        assert distance(one, other, most) == most + 1


def test_one_slip_spellings_are_one_slip_away() -> None:
    near = one_slip_away("lima")
    assert {"lma", "limq", "limma", "ilma", "xlima", "limax"} <= near
    assert "lima" not in near
    assert max(distance("lima", other, 4) for other in near) == 2  # two swaps
