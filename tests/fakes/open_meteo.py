"""Open-Meteo's four services as documented: forecast, archive, air quality and geocoding, on one host.

Values follow from the coordinates and the hour alone, so a test can compute what it expects.
"""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.troubles import Troubled

NOW = datetime(2026, 6, 1, 12, 5, tzinfo=UTC)

UNITS = {
    "time": "iso8601",
    "temperature_2m": "°C",
    "apparent_temperature": "°C",
    "temperature_2m_max": "°C",
    "temperature_2m_min": "°C",
    "temperature_2m_mean": "°C",
    "relative_humidity_2m": "%",
    "precipitation": "mm",
    "precipitation_sum": "mm",
    "precipitation_probability": "%",
    "precipitation_probability_max": "%",
    "weather_code": "wmo code",
    "cloud_cover": "%",
    "pressure_msl": "hPa",
    "wind_speed_10m": "km/h",
    "wind_speed_10m_max": "km/h",
    "wind_direction_10m": "°",
    "wind_gusts_10m": "km/h",
    "wind_gusts_10m_max": "km/h",
    "is_day": "",
    "uv_index": "",
    "uv_index_max": "",
    "sunrise": "iso8601",
    "sunset": "iso8601",
    "european_aqi": "EAQI",
    "us_aqi": "USAQI",
    "pm10": "μg/m³",
    "pm2_5": "μg/m³",
    "ozone": "μg/m³",
    "nitrogen_dioxide": "μg/m³",
    "sulphur_dioxide": "μg/m³",
    "carbon_monoxide": "μg/m³",
}

TOWNS = (
    {
        "id": 3117735,
        "name": "Madrid",
        "latitude": 40.4165,
        "longitude": -3.7026,
        "elevation": 665.0,
        "feature_code": "PPLC",
        "country_code": "ES",
        "timezone": "Europe/Madrid",
        "population": 3255944,
        "country": "Spain",
        "admin1": "Madrid",
    },
    {
        "id": 3939168,
        "name": "Ollantaytambo",
        "latitude": -13.2588,
        "longitude": -72.2633,
        "country_code": "PE",
        "timezone": "America/Lima",
        "population": 2848,
        "country": "Peru",
        "admin1": "Cuzco Department",
    },
    {
        "id": 4717560,
        "name": "Marfa",
        "latitude": 30.3095,
        "longitude": -104.0206,
        "country_code": "US",
        "timezone": "America/Chicago",
        "population": 1819,
        "country": "United States",
        "admin1": "Texas",
    },
    {"id": 1, "name": "Nowhere", "latitude": 10.0, "longitude": 10.0},  # whatever may be absent is
)


def value(variable: str, latitude: float, longitude: float, hour: int) -> float:
    """What the fake says about a variable, `hour` hours from the first one it gives."""
    seed = round(abs(latitude) * 3 + abs(longitude) + hour)
    match variable:
        case "weather_code":
            return (0, 1, 2, 3, 45, 61, 80, 95)[seed % 8]
        case "is_day":
            return int(6 <= hour % 24 < 18)
        case "pressure_msl":
            return 1000 + seed % 30
    if variable.startswith("temperature") or variable == "apparent_temperature":
        extra = {"temperature_2m_max": 5.0, "temperature_2m_min": -5.0, "apparent_temperature": 1.0}
        return round(30 - abs(latitude) / 2 + hour % 24 / 10 + extra.get(variable, 0), 1)
    return seed % 100 + 0.5


class OpenMeteo(Troubled):
    """The fake; `key`, when set, is demanded of every request, `gaps` turns every value into null.

    `reply` is told instead of a forecast.
    """

    def __init__(self) -> None:
        self.fresh()
        routes = [
            Route("/v1/forecast", self._forecast),
            Route("/v1/archive", self._archive),
            Route("/v1/air-quality", self._air),
            Route("/v1/search", self._search),
        ]
        super().__init__(Starlette(routes=routes))

    def fresh(self) -> None:
        """As it is without orders."""
        self.key = ""
        self.gaps = False
        self.reply: dict[str, Any] | None = None

    async def _forecast(self, request: Request) -> Response:
        if self.reply is not None:
            return JSONResponse(self.reply)
        days = int(request.query_params.get("forecast_days", "7"))
        if not 0 <= days <= 16:
            return _bad(f"Forecast days is invalid. Allowed range 0 to 16. Given {days}.")
        return self._weather(request.query_params, NOW.date(), days)

    async def _archive(self, request: Request) -> Response:
        query = request.query_params
        if "start_date" not in query or "end_date" not in query:
            return _bad("Parameter 'start_date' and 'end_date' must be set")
        start, end = (date.fromisoformat(query[name]) for name in ("start_date", "end_date"))
        if end > NOW.date() or start < date(1940, 1, 1):
            return _bad("Parameter 'end_date' is out of allowed range from 1940-01-01 to 2026-06-01")
        return self._weather(query, start, (end - start).days + 1)

    async def _air(self, request: Request) -> Response:
        if "daily" in request.query_params:
            return _bad("Data corrupted at path ''. Unknown parameter daily")
        return self._weather(request.query_params, NOW.date(), 5)

    def _weather(self, query: Any, first: date, days: int) -> Response:
        if refusal := self._refusal(query):
            return refusal
        latitude, longitude = float(query["latitude"]), float(query["longitude"])
        if not -90 <= latitude <= 90:
            return _bad(f"Latitude must be in range of -90 to 90°. Given: {latitude}.")
        if not -180 <= longitude <= 180:
            return _bad(f"Longitude must be in range of -180 to 180°. Given: {longitude}.")
        if "daily" in query and "timezone" not in query:
            return _bad("Timezone is required")
        offset = round(longitude / 15) * 3600 if query.get("timezone") == "auto" else 0
        reply: dict[str, Any] = {
            "latitude": round(latitude * 16) / 16,
            "longitude": round(longitude * 16) / 16,
            "generationtime_ms": 0.2,
            "utc_offset_seconds": offset,
            "timezone": f"Etc/GMT{-offset // 3600:+d}" if offset else "GMT",
            "timezone_abbreviation": "GMT",
        }
        steps = {"hourly": days * 24, "daily": days}
        for block in ("current", *steps):
            if block not in query:
                continue
            names = query[block].split(",")
            if unknown := [name for name in names if name not in UNITS]:
                return _bad(
                    f"Data corrupted at path ''. Cannot initialize from invalid String value {unknown[0]}."
                )
            reply[f"{block}_units"] = {name: UNITS[name] for name in ("time", *names)}
            if block == "current":
                local = NOW.replace(minute=0) + timedelta(seconds=offset)
                reply[block] = {"time": f"{local:%Y-%m-%dT%H:%M}", "interval": 900}
                reply[block] |= {
                    name: self._value(name, latitude, longitude, 12, local.date()) for name in names
                }
                continue
            step = timedelta(hours=1 if block == "hourly" else 24)
            times = [datetime.combine(first, datetime.min.time()) + step * n for n in range(steps[block])]
            shape = "%Y-%m-%dT%H:%M" if block == "hourly" else "%Y-%m-%d"
            reply[block] = {"time": [time.strftime(shape) for time in times]}
            reply[block] |= {
                name: [self._value(name, latitude, longitude, n, time.date()) for n, time in enumerate(times)]
                for name in names
            }
        return Response(json.dumps(reply, ensure_ascii=False), media_type="application/json; charset=utf-8")

    def _value(self, name: str, latitude: float, longitude: float, hour: int, day: date) -> Any:
        if self.gaps:
            return None
        if name in ("sunrise", "sunset"):
            return f"{day}T{'06:12' if name == 'sunrise' else '18:30'}"
        return value(name, latitude, longitude, hour)

    async def _search(self, request: Request) -> Response:
        query = request.query_params
        if refusal := self._refusal(query):
            return refusal
        name, country = query.get("name", "").casefold(), query.get("countryCode", "")
        count = int(query.get("count", "10"))
        if not 1 <= count <= 100:
            return _bad("Parameter count must be between 1 and 100.")
        found = [
            town
            for town in TOWNS
            if len(name) >= 2
            and (str(town["name"]).casefold().startswith(name) if len(name) > 2 else town["name"] == name)
            and country in ("", town.get("country_code"))
        ][:count]
        # Nothing found means no `results` at all.
        return JSONResponse(
            {"results": found, "generationtime_ms": 0.6} if found else {"generationtime_ms": 0.6}
        )

    def _refusal(self, query: Any) -> Response | None:
        if self.key and "apikey" not in query:
            return _bad("API key is required", 401)
        if self.key and query["apikey"] != self.key:
            return _bad("The supplied API key is invalid.")
        return None


def _bad(reason: str, status: int = 400) -> Response:
    return JSONResponse({"error": True, "reason": reason}, status)
