"""WMO codes for what MET Norway and the US National Weather Service call the weather, and for their winds."""

import re

SKIES = {"clearsky": 0, "fair": 1, "partlycloudy": 2, "cloudy": 3, "fog": 45}
# Light, plain, heavy; sleet has no heavier code, and the light one of showers is the only other there is.
FALLS = {
    "rain": (61, 63, 65),
    "rainshowers": (80, 81, 82),
    "sleet": (68, 69, 69),
    "sleetshowers": (83, 84, 84),
    "snow": (71, 73, 75),
    "snowshowers": (85, 86, 86),
}
# The service itself misspells lightssleetshowersandthunder and lightssnowshowersandthunder.
SYMBOL = re.compile(r"(light|heavy)?s?((?:rain|sleet|snow)(?:showers)?)(andthunder)?")
TIMES = re.compile(r"_(day|night|polartwilight)$")

# What a US forecast says, the first that is found; a number stands for itself, a name for one of FALLS.
PHRASES: tuple[tuple[str, int | str], ...] = (
    (r"thunder|t-?storm", 95),
    (r"freezing rain|ice", 66),
    (r"freezing (drizzle|spray)", 56),
    (r"(sleet|wintry mix|(rain|drizzle).*snow|snow.*(rain|drizzle)).*shower", "sleetshowers"),
    (r"sleet|wintry mix|(rain|drizzle).*snow|snow.*(rain|drizzle)", "sleet"),
    (r"blizzard", 75),
    (r"flurries", 85),
    (r"snow.*shower", "snowshowers"),
    (r"snow", "snow"),
    (r"shower", "rainshowers"),
    (r"rain", "rain"),
    (r"drizzle|sprinkle", 51),
    (r"freezing fog", 48),
    (r"fog|mist", 45),
    (r"smoke", 4),
    (r"haze", 5),
    (r"dust|sand|ash", 6),
    (r"mostly cloudy|overcast", 3),
    (r"part(ly|ial)|increasing|decreasing|becoming", 2),
    (r"mostly (clear|sunny)", 1),
    (r"cloud", 3),
    (r"clear|sunny|fair|hot|cold", 0),
)
POINTS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
SPEED = re.compile(r"(?:([0-9]{1,3}) to )?([0-9]{1,3}) (km/h|mph|kt|m/s)")
KMH = {"km/h": 1.0, "mph": 1.609344, "kt": 1.852, "m/s": 3.6}


def code_of_symbol(symbol: str) -> tuple[int | None, bool | None]:
    """The code of one of MET Norway's symbols, and whether it shows the day."""
    time = TIMES.search(symbol)
    is_day = None if time is None or time[1] == "polartwilight" else time[1] == "day"
    bare = TIMES.sub("", symbol)
    if bare in SKIES:
        return SKIES[bare], is_day
    found = SYMBOL.fullmatch(bare)
    if found is None:
        return None, is_day
    strength, fall, thunder = found.groups()
    return 95 if thunder else FALLS[fall][_strength(strength)], is_day


def code_of_words(words: str) -> int | None:
    """The code of a short forecast of the US National Weather Service."""
    text = words.casefold()
    for pattern, meaning in PHRASES:
        if not re.search(pattern, text):
            continue
        if isinstance(meaning, int):
            return meaning
        strength = re.search(r"\b(light|heavy)\b", text)
        return FALLS[meaning][_strength(strength[1] if strength else None)]
    return None


def _strength(word: str | None) -> int:
    return {"light": 0, None: 1, "heavy": 2}[word]


def kmh_of(words: str) -> float | None:
    """The stronger end of a wind such as '9 to 19 km/h'."""
    found = SPEED.fullmatch(words)
    return round(float(found[2]) * KMH[found[3]], 1) if found else None


def degrees_of(point: str) -> float | None:
    """Degrees of a point of the compass."""
    return POINTS.index(point) * 22.5 if point in POINTS else None
