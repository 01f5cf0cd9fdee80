"""Other names of regions, from the iso3166-2 package: local, official and codes. Read by build_world.py."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

Region = tuple[str, str]  # country and code

# Words that only say what kind of region it is, in the languages that regions are called in.
KINDS = {
    "state", "city", "of", "the", "province", "region", "department", "departamento", "prefecture", "oblast",
    "krai", "kray", "kraj", "governorate", "district", "municipality", "county", "canton", "autonomous",
    "republic", "respublika", "voivodeship", "wojewodztwo", "division", "territory", "capital", "federal",
    "parish", "atoll", "oblysy", "oblisi", "obcina", "opstina", "muhafazat", "muhafazah", "regional",
    "corporation", "borough", "changwat", "comunidad", "de", "provincia", "provincie", "provinz", "aimak",
    "aymag", "aimag", "area", "islands", "gouvernorat", "rayon", "raion", "zupanija", "megye", "lan", "fylke",
}  # fmt: skip
NO_NAMES = {"", "atlantis"}  # the latter is listed for Atlántida in Honduras; it is no place to anyone else
LANGUAGE = re.compile(r"\s*\([^()]*\)?\s*$")  # "Bavaria (eng)"
SAME = 0.25  # of the letters may differ in two transliterations of one name: Khammouane, Khammuan
LEAST = 5  # letters of a name that may differ at all


def other_names(
    regions: dict[Region, str], normalise: Callable[[str], str]
) -> Iterator[tuple[str, str, str]]:
    """Each other name of a region, normalised, with its country and code."""
    # Importing the package needs others; only its data file is wanted.
    located = metadata.distribution("iso3166-2").locate_file("iso3166_2/iso3166-2.json")
    listed: dict[str, dict[str, Any]] = json.loads(Path(str(located)).read_bytes())
    by_country: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for (country, code), name in sorted(regions.items()):
        by_country[country][code] = name

    def key(name: str) -> str:
        words = normalise(name).split()
        return "".join(word for word in words if word not in KINDS) or "".join(words)

    for country, ours in by_country.items():
        theirs = {code: list(_names(entry)) for code, entry in sorted(listed.get(country, {}).items())}
        for code, same in _matched(ours, theirs, normalise, key).items():
            spellings = {normalise(n) for number in same for n in theirs[number]}
            codes = (number.partition("-")[2] for number in same)
            spellings |= {normalise(number) for number in codes if number.isalpha()}
            yield from ((norm, country, code) for norm in spellings - {normalise(ours[code]), *NO_NAMES})


def _matched(
    ours: dict[str, str], theirs: dict[str, list[str]], *spellings: Callable[[str], str]
) -> dict[str, list[str]]:
    """Which of theirs each of ours is: by its whole name, else without the words for kinds, else nearly.

    In this order for all, or Mexico City were the State of Mexico.
    """
    found: dict[str, list[str]] = {}
    for same in (_equal, _near):
        for spelt in spellings if same is _equal else spellings[-1:]:
            left = {code: {spelt(name) for name in names} for code, names in theirs.items()}
            for taken in found.values():
                for number in taken:
                    left.pop(number, None)
            new = {code: same(spelt(name), left) for code, name in ours.items() if code not in found}
            found |= {code: numbers for code, numbers in new.items() if numbers}
    return found


def _names(entry: dict[str, Any]) -> Iterator[str]:
    """Its main name, of which "Catalunya [Cataluña]" and "Madrid, Comunidad de" have two, and the others."""
    for part in re.split(r"[\[\]]", entry["name"]):
        short, comma, kind = part.partition(", ")
        yield from (short, f"{kind} {short}") if comma else (part,)
    for part in (entry["localOtherName"] or "").split(","):
        if name := LANGUAGE.sub("", part).strip():
            yield name


def _equal(name: str, theirs: dict[str, set[str]]) -> list[str]:
    return [code for code, names in theirs.items() if name in names]


def _near(name: str, theirs: dict[str, set[str]]) -> list[str]:
    """The one whose name differs by few letters, if it is the only one."""
    if len(name) < LEAST:
        return []
    return only if len(only := [c for c, names in theirs.items() if _slips(name, names) <= SAME]) == 1 else []


def _slips(name: str, others: set[str]) -> float:
    return min(_distance(name, other) for other in others) / len(name)


def _distance(one: str, other: str) -> int:
    above = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]
