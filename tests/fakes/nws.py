"""The US National Weather Service's points, hourly forecasts and alerts as documented."""

from datetime import datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.open_meteo import NOW, value
from tests.fakes.troubles import Troubled


def period(time: datetime, **over: Any) -> dict[str, Any]:
    """An hour of a forecast as the service sends it."""
    return {
        "number": 1,
        "name": "",
        "startTime": time.isoformat(),
        "endTime": (time + timedelta(hours=1)).isoformat(),
        "isDaytime": True,
        "temperature": 21,
        "temperatureUnit": "C",
        "probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": 30},
        "relativeHumidity": {"unitCode": "wmoUnit:percent", "value": 60},
        "windSpeed": "9 to 19 km/h",
        "windDirection": "W",
        "shortForecast": "Partly Sunny",
        "detailedForecast": "",
        **over,
    }


def alert(**over: Any) -> dict[str, Any]:
    """An alert as the service sends it."""
    properties = {
        "event": "Heat Advisory",
        "severity": "Moderate",
        "certainty": "Likely",
        "urgency": "Expected",
        "headline": "Heat Advisory issued June 1 at 3:00AM PDT until June 2 at 8:00PM PDT",
        "areaDesc": "Inland Valleys; Foothills",
        "onset": "2026-06-01T11:00:00-07:00",
        "ends": "2026-06-02T20:00:00-07:00",
        "expires": "2026-06-01T20:00:00-07:00",
        "description": "* WHAT...Temperatures up to 102.\n\n* WHERE...Valleys.",
        "instruction": "Drink plenty of fluids.",
        **over,
    }
    return {
        "id": "https://api.weather.gov/alerts/urn:oid:2.49.0.1.840.0.1",
        "type": "Feature",
        "geometry": None,
        "properties": properties,
    }


class Nws(Troubled):
    """The fake; `alerts` is what it has issued, everywhere in its area.

    `periods` is told instead of the values that follow from the coordinates, `late_h` is how many hours
    old the forecast is that its caches hand out, `host` is where it says that its forecasts are.
    """

    def __init__(self) -> None:
        self.fresh()
        routes = [
            Route("/alerts/active", self._active),
            Route("/points/{point}", self._point),
            Route("/gridpoints/SGX/{grid}/forecast/hourly", self._hourly),
        ]
        super().__init__(Starlette(routes=routes))

    def fresh(self) -> None:
        """As it is without orders."""
        self.alerts: list[dict[str, Any]] = []
        self.periods: list[dict[str, Any]] | None = None
        self.now = NOW
        self.late_h = 0
        self.host = "https://api.weather.gov"
        self.timezone = "America/Los_Angeles"

    async def _hourly(self, request: Request) -> Response:
        if unknown := set(request.query_params) - {"units"}:
            return _problem(400, f"Query parameter {unknown.pop()} is not recognized")
        if "geo+json" not in request.headers.get("accept", ""):
            self.late_h = 24  # seen without it
        y, x = (int(part) / 4 - 180 for part in request.path_params["grid"].split(","))
        start = self.now.replace(minute=0, second=0) - timedelta(hours=self.late_h)
        periods = self.periods or [
            period(time, number=n + 1, temperature=round(value("temperature_2m", y, x, time.hour)))
            for n in range(156)
            for time in [start + timedelta(hours=n)]
        ]
        body = {
            "type": "Feature",
            "properties": {"units": "si", "generatedAt": start.isoformat(), "periods": periods},
        }
        answer = _geo(body)
        answer.headers["cache-control"] = "public, max-age=900, s-maxage=3600"
        return answer

    async def _active(self, request: Request) -> Response:
        if unknown := set(request.query_params) - {"point", "area", "zone"}:
            return _problem(400, f"Query parameter {unknown.pop()} is not recognized")
        return self._screen(request, request.query_params["point"]) or _geo(
            {"type": "FeatureCollection", "features": self.alerts, "updated": "2026-06-01T12:00:00+00:00"}
        )

    async def _point(self, request: Request) -> Response:
        if refusal := self._screen(request, request.path_params["point"]):
            return refusal
        y, x = (round((float(part) + 180) * 4) for part in request.path_params["point"].split(","))
        grid = f"{self.host}/gridpoints/SGX/{y},{x}"
        where = {
            "gridId": "SGX",
            "gridX": x,
            "gridY": y,
            "forecast": f"{grid}/forecast",
            "forecastHourly": f"{grid}/forecast/hourly",
            "timeZone": self.timezone,
        }
        return _geo({"type": "Feature", "properties": where})

    def _screen(self, request: Request, point: str) -> Response | None:
        if not request.headers.get("user-agent", "").count("("):
            return _problem(403, "A User-Agent with contact is required")
        latitude, _, longitude = point.partition(",")
        if any(len(part.partition(".")[2]) > 4 for part in (latitude, longitude)):
            return _problem(400, "At most 4 decimals")
        y, x = float(latitude), float(longitude)
        quebec = y > 45 and x > -75
        if not (18 <= y <= 49 and -125 <= x <= -66) or quebec:
            return _problem(404, f"Unable to provide data for requested point {point}")
        return None


def _geo(body: dict[str, Any]) -> Response:
    return JSONResponse(body, media_type="application/geo+json")


def _problem(status: int, detail: str) -> Response:
    body = {
        "correlationId": "abc",
        "title": "Problem",
        "type": "https://api.weather.gov/problems/X",
        "status": status,
        "detail": detail,
    }
    return JSONResponse(body, status, media_type="application/problem+json")
