"""What stands after the comma, in other languages and forms, and names in scripts that nobody listed."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from backends.weather.places import Places, read
from config import Settings
from errors import Unknown

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def places() -> AsyncIterator[Places]:
    async with Places(Settings().weather.places) as opened:
        yield opened


@pytest.mark.parametrize(
    ("typed", "name", "country"),
    [
        ("München, Bayern", "Munich", "DE"),
        ("München, Freistaat Bayern", "Munich", "DE"),
        ("Köln, Nordrhein-Westfalen", "Köln", "DE"),
        ("Köln, NW", "Köln", "DE"),
        ("Paris, Île-de-France", "Paris", "FR"),
        ("Paris, Ile de France", "Paris", "FR"),
        ("Coyoacán, CDMX", "Coyoacán", "MX"),
        ("Córdoba, Andalucía", "Córdoba", "ES"),
        ("Barcelona, Catalunya", "Barcelona", "ES"),
        ("Barcelona, Cataluña", "Barcelona", "ES"),
        ("Madrid, Comunidad de Madrid", "Madrid", "ES"),
        ("Milano, Lombardia", "Milan", "IT"),
        ("Firenze, Toscana", "Florence", "IT"),
        ("Praha, Hlavní město Praha", "Prague", "CZ"),
        ("Kharkiv, Kharkivska oblast", "Kharkiv", "UA"),
        ("Zagreb, Zagrebacka", "Zagreb", "HR"),
        ("Seoul, Korea South", "Seoul", "KR"),
        ("Sapporo, 北海道", "Sapporo", "JP"),
        ("القاهرة, مصر", "Cairo", "EG"),
        ("北京, 中国", "Beijing", "CN"),
        ("Wien, Österreich", "Vienna", "AT"),
        ("Tbilisi, Georgien", "Tbilisi", "GE"),
    ],
)
async def test_a_country_or_region_is_known_by_its_own_names_and_codes(
    places: Places, typed: str, name: str, country: str
) -> None:
    best = (await places.find(read(typed))).cities[0]
    assert (best.name, best.country_code) == (name, country)


async def test_a_country_in_another_language_is_no_region_of_its_code(places: Places) -> None:
    """GE is Georgia, Geneva and Genoa."""
    assert (await places.find(read("Genève, Georgien"))).cities == ()


@pytest.mark.parametrize("typed", ["Paris, Texs", "Lima, Ohoi", "München, Beyern", "Lima, Atlantis"])
async def test_a_region_that_is_only_nearly_one_is_refused(places: Places, typed: str) -> None:
    with pytest.raises(Unknown, match="is no country or region I know"):
        await places.find(read(typed))


@pytest.mark.parametrize("typed", ["Jersey City", "Kansas City", "Oklahoma City", "Mexico City", "Sana'a"])
async def test_a_city_whose_name_has_a_countrys_or_regions_in_it_is_the_city(
    places: Places, typed: str
) -> None:
    assert (await places.find(read(typed))).sure


@pytest.mark.parametrize(
    ("typed", "country"),
    [("Orléans", "FR"), ("Gorakhpur", "IN"), ("Birmingham", "GB"), ("Puno", "PE"), ("Santiago", "CL")],
)
async def test_of_two_cities_of_one_name_the_widely_known_comes_first(
    places: Places, typed: str, country: str
) -> None:
    best = (await places.find(read(typed))).cities[0]
    assert best.country_code == country
    assert best.region not in ("Ontario", "Haryana")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ನ್ಯೂಯಾರ್ಕ್", "New York City"),
        ("యెరెవాన్", "Yerevan"),
        ("ቡጁምብራ", "Bujumbura"),
        ("ကာဘူးလ်", "Kabul"),
        ("გუაიაკილი", "Guayaquil"),
    ],
)
async def test_a_name_in_a_script_nobody_listed_is_found_by_its_sound_and_said_to_be_near(
    places: Places, typed: str, name: str
) -> None:
    found = await places.find(read(typed))
    assert (found.cities[0].name, found.exact) == (name, False)


async def test_ideographs_are_not_read_aloud(places: Places) -> None:
    assert not (await places.find(read("龘靐齉"))).cities
