"""Sunrise and sunset, for the providers that do not say them: NOAA's equations, good to a minute or two."""

import functools
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from math import acos, asin, cos, degrees, radians, sin, tan
from zoneinfo import ZoneInfo

ZENITH = 90.833  # the sun's upper edge on the horizon, seen through the air
DAY = timedelta(days=1)


@functools.lru_cache(maxsize=512)
def zone_of(name: str, longitude: float = 0) -> tzinfo:
    """The time zone of that name; by the longitude, as ships do, where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # whichever, by how wrong the name is
        return timezone(timedelta(hours=round(longitude / 15)))


def sun(day: date, latitude: float, longitude: float, zone: tzinfo) -> tuple[str, str]:
    """Local times at which the sun rises and sets; "" where it does not that day."""
    noon = _event(day, latitude, longitude, 0)
    if noon is None:
        return "", ""
    # Where the zone is far from the sun's time, as in Kiribati, noon would fall on another day.
    day -= timedelta(days=(noon.astimezone(zone).date() - day).days)
    return _shown(_event(day, latitude, longitude, -1), zone), _shown(
        _event(day, latitude, longitude, 1), zone
    )


def is_up(when: datetime, latitude: float, longitude: float) -> bool:
    """Whether the sun is above the horizon."""
    declination, equation = _sun_at(when)
    minutes = when.astimezone(UTC).hour * 60 + when.astimezone(UTC).minute + equation + 4 * longitude
    hour_angle = radians(minutes / 4 - 180)
    height = sin(radians(latitude)) * sin(declination) + cos(radians(latitude)) * cos(declination) * cos(
        hour_angle
    )
    return degrees(asin(height)) > 90 - ZENITH


def _shown(when: datetime | None, zone: tzinfo) -> str:
    half = timedelta(seconds=30)
    return "" if when is None else (when + half).astimezone(zone).isoformat(timespec="minutes")


def _event(day: date, latitude: float, longitude: float, side: int) -> datetime | None:
    """Sunrise (-1), noon (0) or sunset (1), found in two steps: the sun moves while the day goes on."""
    start = datetime.combine(day, time(), UTC)
    when = start + timedelta(minutes=720 - 4 * longitude)
    for _ in range(2):
        declination, equation = _sun_at(when)
        angle = 0.0
        if side:
            low = cos(radians(ZENITH)) / (cos(radians(latitude)) * cos(declination) or 1e-9)
            angle_cos = low - tan(radians(latitude)) * tan(declination)
            if not -1 <= angle_cos <= 1:
                return None
            angle = degrees(acos(angle_cos))
        when = start + timedelta(minutes=720 - 4 * (longitude - side * angle) - equation)
    return when


def _sun_at(when: datetime) -> tuple[float, float]:
    """The sun's declination in radians, and the equation of time in minutes."""
    century = (when.timestamp() / 86_400 + 2_440_587.5 - 2_451_545) / 36_525
    longitude = radians((280.46646 + century * (36_000.76983 + century * 0.0003032)) % 360)
    anomaly = radians(357.52911 + century * (35_999.05029 - 0.0001537 * century))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = (
        sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + sin(3 * anomaly) * 0.000289
    )
    node = radians(125.04 - 1934.136 * century)
    apparent = longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    tilt = radians(
        23 + (26 + (21.448 - century * (46.815 + century * (0.00059 - century * 0.001813))) / 60) / 60
        + 0.00256 * cos(node)
    )  # fmt: skip
    y = tan(tilt / 2) ** 2
    equation = 4 * degrees(
        y * sin(2 * longitude)
        - 2 * eccentricity * sin(anomaly)
        + 4 * eccentricity * y * sin(anomaly) * cos(2 * longitude)
        - 0.5 * y * y * sin(4 * longitude)
        - 1.25 * eccentricity * eccentricity * sin(2 * anomaly)
    )
    return asin(sin(tilt) * sin(apparent)), equation
