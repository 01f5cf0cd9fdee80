"""Weather alerts of the US National Weather Service: some, none issued, or a place it does not cover.

Alert texts are written by others; they are cut, cleaned of control characters and never acted on.
"""

import re
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from backends.weather.gazetteer import City
from backends.weather.results import Alert
from backends.weather.texts import cleaned, one_line

Told = tuple[tuple[Alert, ...], tuple[str, ...]]  # alerts, and what was cut from them

# The last three are independent, and it issues their forecasts and alerts by treaty.
COUNTRIES = {"US", "PR", "GU", "VI", "AS", "MP", "FM", "MH", "PW"}
# (south, north, west, east) of what it covers: a point elsewhere needs no question.
BOXES = (
    (24, 50, -125, -66),  # the 48 states
    (50, 72, -180, -129),  # Alaska
    (50, 56, 172, 180),  # the western Aleutians
    (18, 29, -179, -154),  # Hawaii
    (17, 19, -68, -64),  # Puerto Rico and the Virgin Islands
    (13, 21, 144, 147),  # Guam and the Northern Marianas
    (-15, -10, -172, -168),  # American Samoa
    (0, 15, 131, 173),  # Palau, Micronesia and the Marshall Islands
)
SEVERITIES = ("Extreme", "Severe", "Moderate", "Minor")  # and Unknown, last

MOST = 20  # alerts in one answer; a point rarely has five
LONGEST = {"description": 1000, "instruction": 500, "event": 100, "headline": 300, "area": 300}
ADDRESS = re.compile(r"https://api\.weather\.gov/[!-~]{1,270}")


class _Properties(BaseModel):
    status: str = "Actual"  # or Exercise, System, Test, Draft
    messageType: str = "Alert"  # noqa: N815 - the service's own name; or Update, Cancel
    event: str | None = None
    severity: str | None = None
    urgency: str | None = None
    certainty: str | None = None
    headline: str | None = None
    areaDesc: str | None = None  # noqa: N815
    onset: str | None = None
    effective: str | None = None
    ends: str | None = None
    expires: str | None = None
    description: str | None = None
    instruction: str | None = None


class _Feature(BaseModel):
    id: str
    properties: _Properties


class _Collection(BaseModel):
    features: list[_Feature]


def covers(city: City) -> bool:
    """Whether the place is in its area for certain."""
    return city.country_code in COUNTRIES


def may_cover(city: City) -> bool:
    """Whether the place is in its area, or near enough that only the service can tell."""
    if city.country_code:
        return city.country_code in COUNTRIES
    return any(
        south <= city.latitude <= north and west <= city.longitude <= east
        for south, north, west, east in BOXES
    )


def read_alerts(body: Any) -> Told:
    """The alerts, worst first, and what was cut from them."""
    features = [
        feature
        for feature in _Collection.model_validate(body).features
        if feature.properties.status == "Actual" and feature.properties.messageType != "Cancel"
    ]
    features.sort(key=lambda feature: _rank(feature.properties.severity))
    notices = []
    if len(features) > MOST:
        notices.append(f"{len(features)} alerts are active; these are the {MOST} most severe.")
    alerts = tuple(_alert(feature) for feature in features[:MOST])
    if any(text.endswith("…") for alert in alerts for text in (alert.description, alert.instruction)):
        notices.append("A text that ends in … is cut; the whole alert is at its url.")
    return alerts, tuple(notices)


def _rank(severity: str | None) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _alert(feature: _Feature) -> Alert:
    told = feature.properties
    return Alert(
        event=_text("event", told.event),
        severity=told.severity if told.severity in SEVERITIES else "Unknown",
        urgency=_text("event", told.urgency),
        certainty=_text("event", told.certainty),
        headline=_text("headline", told.headline),
        area=_text("area", told.areaDesc),
        onset=_time(told.onset or told.effective),
        ends=_time(told.ends or told.expires),
        description=_text("description", told.description),
        instruction=_text("instruction", told.instruction),
        url=feature.id if ADDRESS.fullmatch(feature.id) else "",
    )


def _text(field: str, text: str | None) -> str:
    one = one_line if field in ("event", "headline", "area") else cleaned
    return one(text or "", LONGEST[field])


def _time(text: str | None) -> str:
    return datetime.fromisoformat(text).isoformat(timespec="minutes") if text else ""
