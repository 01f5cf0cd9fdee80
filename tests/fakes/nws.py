"""The US National Weather Service's alerts and points as documented."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.troubles import Troubled


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
    """The fake; `alerts` is what it has issued, everywhere in its area."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        routes = [Route("/alerts/active", self._active), Route("/points/{point}", self._point)]
        super().__init__(Starlette(routes=routes))

    async def _active(self, request: Request) -> Response:
        if unknown := set(request.query_params) - {"point", "area", "zone"}:
            return _problem(400, f"Query parameter {unknown.pop()} is not recognized")
        return self._screen(request, request.query_params["point"]) or _geo(
            {"type": "FeatureCollection", "features": self.alerts, "updated": "2026-06-01T12:00:00+00:00"}
        )

    async def _point(self, request: Request) -> Response:
        return self._screen(request, request.path_params["point"]) or _geo(
            {"type": "Feature", "properties": {"gridId": "SGX", "timeZone": "America/Los_Angeles"}}
        )

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
