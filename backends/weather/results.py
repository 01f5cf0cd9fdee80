"""What the weather tools return: compact records, the units named once beside them."""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import GetJsonSchemaHandler, SerializerFunctionWrapHandler, WithJsonSchema, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from backends import Result
from backends.weather.gazetteer import City

Units = Literal["metric", "imperial"]
Number = float | None  # None: the provider has no value, and the answer leaves it out

# By quantity: its unit, and the factor and offset that turn a metric value into it.
SCALES: dict[Units, dict[str, tuple[str, float, float]]] = {
    "metric": {"temperature": ("°C", 1, 0), "wind": ("km/h", 1, 0), "precipitation": ("mm", 1, 0)},
    "imperial": {
        "temperature": ("°F", 1.8, 32),
        "wind": ("mph", 1 / 1.609344, 0),
        "precipitation": ("inch", 1 / 25.4, 0),
    },
}
QUANTITIES = {
    "temperature": "temperature", "feels_like": "temperature", "temperature_max": "temperature",
    "temperature_min": "temperature", "wind": "wind", "wind_gusts": "wind", "wind_max": "wind",
    "precipitation": "precipitation",
}  # fmt: skip
AIR_UNITS = {
    "pollutants": "μg/m³",
    "european_aqi": "0-20 good, -40 fair, -60 moderate, -80 poor, -100 very poor, above extremely poor",
    "us_aqi": "0-50 good, -100 moderate, -150 unhealthy for sensitive groups, -200 unhealthy, "
    "-300 very unhealthy, above hazardous",
}


def unit_names(units: Units, **others: str) -> dict[str, str]:
    """The unit of each quantity in a result."""
    return {quantity: unit for quantity, (unit, _, _) in SCALES[units].items()} | others


class Record(Result):
    """A result that leaves out what there is no value for, and whose schema says names and types alone.

    The schema is paid for in every `tools/list`, gaps and nulls in every answer.
    """

    @model_serializer(mode="wrap")
    def _without_gaps(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        plain = {key: value for key, value in core_schema.items() if key != "serialization"}
        schema = handler(cast("CoreSchema", plain))
        record = handler.resolve_ref_schema(schema)
        record.pop("required", None)
        for field in record.get("properties", {}).values():
            field.pop("additionalProperties", None)
            if isinstance(field.get("type"), list):
                field["type"] = field["type"][0]
            if "$ref" in field.get("items", {}):  # each record is used in one place
                field["items"] = handler.resolve_ref_schema(field["items"])
        return schema

    def in_units(self, units: Units) -> Self:
        """The same record with its metric values in other units."""
        if units == "metric":
            return self
        changed: dict[str, Any] = {}
        for name, quantity in QUANTITIES.items():
            value = getattr(self, name, None)
            if value is not None:
                _, factor, offset = SCALES[units][quantity]
                changed[name] = round(value * factor + offset, 3 if quantity == "precipitation" else 1)
        return self.model_copy(update=changed)


class Place(Record):
    name: str
    region: str
    country: str
    latitude: float
    longitude: float
    timezone: str

    @classmethod
    def of(cls, city: City, **more: Any) -> Self:
        """A city's, with what is known besides or better."""
        known = {
            "name": city.name,
            "region": city.region,
            "country": city.country,
            "latitude": round(city.latitude, 4),
            "longitude": round(city.longitude, 4),
            "timezone": city.timezone,
        }
        return cls(**known | more)


class Here(Place):
    local_time: str


class Candidate(Place):
    population: int


class Candidates(Record):
    places: tuple[Candidate, ...]
    notices: tuple[str, ...]
    source: str


class Answer(Record):
    """What every answer about a place begins with."""

    # Its fields stand in weather_find_place's schema; here they would cost 1,300 characters more.
    place: Annotated[Here, WithJsonSchema({"type": "object"})]
    others: tuple[str, ...]  # runners-up of the same name
    notices: tuple[str, ...]
    source: str
    age_s: int


class Now(Record):
    time: str
    weather: str
    weather_code: int | None
    is_day: bool | None
    temperature: Number
    feels_like: Number
    humidity: Number
    precipitation: Number
    cloud_cover: Number
    pressure: Number
    wind: Number
    wind_gusts: Number
    wind_direction: Number


class Current(Now, Answer):
    units: dict[str, str]


class Hour(Record):
    time: str
    weather: str
    temperature: Number
    precipitation: Number
    precipitation_chance: Number
    wind: Number


class Day(Record):
    date: str
    weather: str
    weather_code: int | None
    temperature_max: Number
    temperature_min: Number
    precipitation: Number
    wind_max: Number
    sunrise: str
    sunset: str


class ForecastDay(Day):
    precipitation_chance: Number


class Forecast(Answer):
    units: dict[str, str]
    days: tuple[ForecastDay, ...]
    hours: tuple[Hour, ...]


class History(Answer):
    units: dict[str, str]
    days: tuple[Day, ...]


class Air(Record):
    time: str
    european_aqi: Number
    european_level: str
    us_aqi: Number
    us_level: str
    pollutants: dict[str, float]


class AirQuality(Air, Answer):
    units: dict[str, str]


class Alert(Record):
    event: str
    severity: str
    urgency: str
    certainty: str
    headline: str
    area: str
    onset: str
    ends: str
    description: str
    instruction: str
    url: str


class Alerts(Answer):
    state: Literal["alerts", "none issued", "not covered"]
    alerts: tuple[Alert, ...]
