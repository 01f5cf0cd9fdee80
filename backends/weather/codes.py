"""One vocabulary for whoever answers: WMO codes and their words, and the levels of the two air indexes."""

from bisect import bisect_left

MOST_VALUE = 1e6  # of anything that is told: carbon monoxide has reached 50,000 μg/m³

WMO = {
    0: "clear",
    1: "mainly clear",
    2: "partly cloudy",
    3: "overcast",
    4: "smoke",
    5: "haze",
    6: "dust",
    45: "fog",
    48: "rime fog",
    51: "light drizzle",
    53: "drizzle",
    55: "dense drizzle",
    56: "light freezing drizzle",
    57: "dense freezing drizzle",
    61: "light rain",
    63: "rain",
    65: "heavy rain",
    66: "light freezing rain",
    67: "heavy freezing rain",
    68: "light sleet",
    69: "sleet",
    71: "light snow",
    73: "snow",
    75: "heavy snow",
    77: "snow grains",
    80: "light rain showers",
    81: "rain showers",
    82: "violent rain showers",
    83: "light sleet showers",
    84: "sleet showers",
    85: "light snow showers",
    86: "heavy snow showers",
    95: "thunderstorm",
    96: "thunderstorm with light hail",
    99: "thunderstorm with heavy hail",
}


def weather_words(code: float | None) -> str:
    """What a WMO code means; "" when there is none, and the number for one that is not in use today."""
    if code is None:
        return ""
    return WMO.get(int(code), f"WMO code {int(code)}")


# Upper ends of the bands: European AQI from the European Environment Agency, US AQI from the US EPA.
EUROPEAN_BANDS = (20, 40, 60, 80, 100)
EUROPEAN_LEVELS = ("good", "fair", "moderate", "poor", "very poor", "extremely poor")
US_BANDS = (50, 100, 150, 200, 300)
US_LEVELS = (
    "good",
    "moderate",
    "unhealthy for sensitive groups",
    "unhealthy",
    "very unhealthy",
    "hazardous",
)


def european_level(index: float | None) -> str:
    """The European AQI's word for a value."""
    return "" if index is None else EUROPEAN_LEVELS[bisect_left(EUROPEAN_BANDS, round(index))]


def us_level(index: float | None) -> str:
    """The US AQI's word for a value."""
    return "" if index is None else US_LEVELS[bisect_left(US_BANDS, round(index))]
