"""What may stand after the comma: countries and their regions, by name, code or a common other name."""

import sqlite3
from collections import defaultdict

from backends.weather.names import normalise
from backends.weather.spelling import distance

COUNTRY_ALIASES = {
    "AE": ("UAE", "Emirates"),
    "BA": ("Bosnia",),
    "BR": ("Brasil",),
    "CD": ("DRC", "DR Congo", "Congo Kinshasa", "Congo", "Congo DR", "Congo Democratic Republic"),
    "CG": ("Congo Brazzaville", "Congo"),
    "CH": ("Schweiz", "Suisse", "Svizzera"),
    "CI": ("Côte d'Ivoire",),
    "CN": ("PRC", "People's Republic of China"),
    "CV": ("Cabo Verde",),
    "CZ": ("Czech Republic",),
    "DE": ("Deutschland",),
    "DO": ("Dominican Rep",),
    "ES": ("España",),
    "FM": ("Federated States of Micronesia",),
    "GB": ("UK", "Great Britain", "Britain"),
    "HK": ("China",),
    "IT": ("Italia",),
    "JP": ("Nippon", "日本"),
    "KP": ("DPRK", "Korea", "Korea North"),
    "KR": ("Korea", "Republic of Korea", "Korea South"),
    "LA": ("Lao",),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "MO": ("China",),
    "MX": ("México",),
    "NL": ("Holland", "Netherlands", "The Netherlands"),
    "PS": ("Palestine",),
    "RU": ("Russian Federation", "Россия"),
    "SZ": ("Swaziland",),
    "TL": ("East Timor",),
    "TR": ("Turkey", "Türkiye", "Turkiye"),
    "TZ": ("Tanzania",),
    "US": ("USA", "America", "United States of America", "the US", "the USA", "the States"),
    "VA": ("Vatican", "Holy See"),
    "VN": ("Viet Nam",),
}

# What people write for a region whose code in GeoNames is a number.
REGION_ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "AU": {
        "01": ("ACT",), "02": ("NSW",), "03": ("NT",), "04": ("QLD",), "05": ("SA",), "06": ("TAS",),
        "07": ("VIC",), "08": ("WA",),
    },
    "CA": {
        "01": ("AB",), "02": ("BC",), "03": ("MB",), "04": ("NB",), "05": ("NL", "Newfoundland"),
        "07": ("NS",), "08": ("ON",), "09": ("PE", "PEI"), "10": ("QC", "PQ"), "11": ("SK",), "12": ("YT",),
        "13": ("NT",), "14": ("NU",),
    },
    "US": {"DC": ("D.C.",)},
}  # fmt: skip

# Words that say what kind of region it is; "Cuzco Department" is asked for as "Cuzco".
KINDS = {
    "state", "city", "of", "the", "province", "region", "department", "departamento", "prefecture", "oblast",
    "krai", "governorate", "district", "municipality", "county", "canton", "autonomous", "republic",
    "freistaat", "kraj", "kray", "provincia", "provincie", "comunidad", "de", "changwat", "area",
    "voivodeship", "division", "territory", "capital", "federal",
}  # fmt: skip

AKIN = 5  # letters of a region's name that its other form has to begin with

Area = tuple[str, str]  # a country's code, and a region's in it or "" for the whole country


class Regions:
    """Every country and region of the database, by every spelling of its name."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._areas: dict[str, set[Area]] = defaultdict(set)
        self.names: list[str] = []  # of countries, for suggestions
        for code, code3, name, official in database.execute(
            "SELECT code, code3, name, official_name FROM country"
        ):
            self.names.append(name)
            for spelling in (code, code3, name, official or "", *COUNTRY_ALIASES.get(code, ())):
                self._add(spelling, (code, ""))
        for country, code, name in database.execute("SELECT country_code, code, name FROM region"):
            self._add(name, (country, code))
            self._add(_without_kind(name), (country, code))
            if code.isalpha():  # the numbers are GeoNames' own, and "08" says nothing to anyone
                self._add(code, (country, code))
            for alias in REGION_ALIASES.get(country, {}).get(code, ()):
                self._add(alias, (country, code))

        for norm, country, code in database.execute(
            "SELECT norm, country_code, region_code FROM region_name"
        ):
            self._areas[norm.replace(" ", "")].add((country, code))  # spelt so already: 0.2 s less

    def _add(self, spelling: str, area: Area) -> None:
        if key := squeezed(spelling):
            self._areas[key].add(area)

    def called(self, name: str) -> frozenset[Area]:
        """Every area of exactly this name or code."""
        return frozenset(self._areas.get(squeezed(name), ()))

    def areas(self, qualifier: str) -> frozenset[Area]:
        """Every area a qualifier may mean, such as California and Canada for "CA"; empty if it is unknown."""
        return self.called(qualifier) or self.called(_without_kind(qualifier)) or self._abroad(qualifier)

    def _abroad(self, qualifier: str) -> frozenset[Area]:
        """A country by its name in any language of CLDR, such as "Deutschland" or "中国"."""
        from language_data import names  # type: ignore[import-untyped]  # it ships no types

        code = names.name_to_code("territory", qualifier, "und")
        return self.called(code or "") & {(code, "")}


def _without_kind(name: str) -> str:
    return " ".join(word for word in normalise(name).split() if word not in KINDS)


def akin(qualifier: str, region: str) -> bool:
    """Whether it is another form of the region's name: "Tyumenskaya", "Chuvashia", "Jaroslavl"."""
    one, other = squeezed(_without_kind(qualifier)), squeezed(_without_kind(region))
    if min(len(one), len(other)) < AKIN:
        return False
    return (
        one.startswith(other) or other.startswith(one) or (len(one) > AKIN and distance(one, other, 1) <= 1)
    )


def squeezed(text: str) -> str:
    """The normal spelling without spaces, so that "U.S.A." is "USA"."""
    return normalise(text).replace(" ", "")


def spells(qualifier: str, *names: str, country_code: str) -> bool:
    """Whether a qualifier is one of these names, or a name of the country; for want of the database."""
    known = (*names, country_code, *COUNTRY_ALIASES.get(country_code, ()))
    return squeezed(qualifier) in {squeezed(name) for name in known}
