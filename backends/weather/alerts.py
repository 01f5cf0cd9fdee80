"""Weather alerts of the US National Weather Service: some, none issued, or a place it does not cover.

Alert texts are written by others; they are cut, cleaned of control characters and never acted on.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

import httpx2
from pydantic import BaseModel

from backends.weather.gazetteer import City
from backends.weather.results import Alert
from backends.weather.texts import cleaned, one_line
from config import WeatherSettings
from errors import Unavailable
from upstream import Declined, Kept, Upstream

CREDIT = "US National Weather Service"

ALERTS_S = 60
POINTS_S = 7 * 86_400

COUNTRIES = {"US", "PR", "GU", "VI", "AS", "MP"}
# (south, north, west, east) of what it covers: a point elsewhere needs no question.
BOXES = (
    (24, 50, -125, -66),  # the 48 states
    (50, 72, -180, -129),  # Alaska
    (50, 56, 172, 180),  # the western Aleutians
    (18, 29, -179, -154),  # Hawaii
    (17, 19, -68, -64),  # Puerto Rico and the Virgin Islands
    (13, 21, 144, 147),  # Guam and the Northern Marianas
    (-15, -10, -172, -168),  # American Samoa
)
SEVERITIES = ("Extreme", "Severe", "Moderate", "Minor")  # and Unknown, last

MOST = 20  # alerts in one answer; a point rarely has five
LONGEST = {"description": 1000, "instruction": 500, "event": 100, "headline": 300, "area": 300}
ADDRESS = re.compile(r"https://api\.weather\.gov/[!-~]{1,270}")


class _Properties(BaseModel):
    event: str | None = None
    severity: str | None = None
    urgency: str | None = None
    certainty: str | None = None
    headline: str | None = None
    areaDesc: str | None = None  # noqa: N815 - the service's own name
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


class _Point(BaseModel):
    properties: dict[str, Any]


class Nws:
    """The service's active alerts at a point."""

    def __init__(
        self,
        settings: WeatherSettings,
        agent: str,
        transport: httpx2.AsyncBaseTransport | None,
        clock: Callable[[], float],
    ) -> None:
        self.service = Upstream(
            name="The US National Weather Service",
            url=settings.nws_url,
            agent=agent,
            timeout_s=settings.timeout,
            otherwise="weather_forecast works without it.",
            headers={"Accept": "application/geo+json"},  # without it old answers were seen
            retry_on=frozenset({500, 502, 503, 504}),  # its 500s come and go
            transport=transport,
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        await self.service.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.__aexit__()

    async def active(
        self, city: City, deadline: float
    ) -> Kept[tuple[tuple[Alert, ...], tuple[str, ...]]] | None:
        """The alerts with what was cut from them; None if the place is not covered."""
        if not _may_cover(city):
            return None
        point = f"{city.latitude:.4f},{city.longitude:.4f}"  # a fifth decimal is refused
        try:
            if not city.country_code:
                await self.service.get(
                    f"/points/{point}", {}, _Point.model_validate, key="", ttl_s=POINTS_S, deadline=deadline
                )
            return await self.service.get(
                "/alerts/active", {"point": point}, _read, key=point, ttl_s=ALERTS_S, deadline=deadline
            )
        except Declined as error:
            if error.status == 404:  # the sea, or the other side of a border
                return None
            raise Unavailable(f"{self.service.name} did not accept the question.") from error

    async def probe(self, deadline: float) -> None:
        """Ask something small, whatever is remembered."""
        point = {"point": "38.8951,-77.0364"}
        await self.service.get("/alerts/active", point, _read, key="probe", ttl_s=0, deadline=deadline)


def _may_cover(city: City) -> bool:
    """Whether the place is in its area, or near enough that only the service can tell."""
    if city.country_code:
        return city.country_code in COUNTRIES
    return any(
        south <= city.latitude <= north and west <= city.longitude <= east
        for south, north, west, east in BOXES
    )


def _read(body: Any) -> tuple[tuple[Alert, ...], tuple[str, ...]]:
    features = _Collection.model_validate(body).features
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
