"""MET Norway's locationforecast as documented: its rules about who asks, how exactly, and how often."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.open_meteo import NOW, value
from tests.fakes.troubles import Troubled

HOURLY = 60  # hours that are told one by one; then come six at a time


def entry(time: datetime, span: str, code: str, instant: dict[str, Any], details: Any) -> dict[str, Any]:
    """One entry of a series."""
    data: dict[str, Any] = {"instant": {"details": instant}}
    if span:
        data[f"next_{span}_hours"] = {"summary": {"symbol_code": code}, "details": details}
    return {"time": f"{time:%Y-%m-%dT%H:%M:%SZ}", "data": data}


class MetNorway(Troubled):
    """The fake; `series` is told instead of the values that follow from the coordinates.

    `holds_s` is how far away Expires is, `changed` when it was last modified, `status` 203 says that what
    is asked will end, `outside` that the place is not in its area.
    """

    def __init__(self) -> None:
        self.fresh()
        path = "/weatherapi/locationforecast/2.0/complete"
        super().__init__(Starlette(routes=[Route(path, self._forecast)]))

    def fresh(self) -> None:
        """As it is without orders."""
        self.now = NOW
        self.series: list[dict[str, Any]] | None = None
        self.holds_s = 1800
        self.changed = "Mon, 01 Jun 2026 10:04:26 GMT"
        self.status = 200
        self.outside = False
        self.unchanged = 0  # answers that said nothing had changed

    async def _forecast(self, request: Request) -> Response:
        query = request.query_params
        if "(" not in request.headers.get("user-agent", "") or any(
            len(query[name].partition(".")[2]) > 4 for name in ("lat", "lon")
        ):
            return Response("403 Forbidden", 403)
        if set(query) - {"lat", "lon", "altitude"}:
            return Response("400 Bad Request", 400)
        if self.outside:
            return Response("422 Unprocessable Entity: outside of the area", 422)
        headers = {
            "Date": format_datetime(self.now.astimezone(UTC), usegmt=True),
            "Expires": format_datetime(
                self.now.astimezone(UTC) + timedelta(seconds=self.holds_s), usegmt=True
            ),
            "Last-Modified": self.changed,
        }
        if request.headers.get("if-modified-since") == self.changed:
            self.unchanged += 1
            return Response(status_code=304, headers=headers)
        latitude, longitude = float(query["lat"]), float(query["lon"])
        body = {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [longitude, latitude, 100]},
            "properties": {
                "meta": {
                    "updated_at": "2026-06-01T10:04:26Z",
                    "units": {
                        "air_temperature": "celsius",
                        "wind_speed": "m/s",
                        "precipitation_amount": "mm",
                    },
                },
                "timeseries": self.series or self._series(latitude, longitude),
            },
        }
        return JSONResponse(body, self.status, headers)

    def _series(self, latitude: float, longitude: float) -> list[dict[str, Any]]:
        start = self.now.replace(minute=0, second=0, microsecond=0)
        hours = [*range(HOURLY), *range(HOURLY, 9 * 24, 6)]
        entries = []
        for hour in hours:
            time = start + timedelta(hours=hour)
            instant = {
                "air_temperature": value("temperature_2m", latitude, longitude, time.hour),
                "relative_humidity": 60.0,
                "cloud_area_fraction": 40.0,
                "air_pressure_at_sea_level": 1013.2,
                "wind_from_direction": 210.0,
                "wind_speed": 5.0,
                "wind_speed_of_gust": 9.0,
            }
            span = "1" if hour < HOURLY else "6"
            details = {"precipitation_amount": 0.2, "probability_of_precipitation": 30.0}
            entries.append(entry(time, span, "partlycloudy_day", instant, details))
        entries.append(entry(start + timedelta(days=9), "", "", {"air_temperature": 9.0}, None))
        return entries
