"""Tools of the weather domain."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol, TypeVar

from fastmcp import Context, FastMCP
from pydantic import Field

from backends.weather import Weather
from backends.weather.results import (
    AirQuality,
    Alerts,
    Candidates,
    Current,
    Forecast,
    History,
    Units,
)
from errors import quote
from tools import READS_NETWORK, may_be_left_out, telling, warn

# No length here: the backend refuses a long one, and the limits would be listed six times.
Place = Annotated[str, Field(description="Name ('Paris, Texas' if common) or 'lat,lon'.")]
Measure = Annotated[Units, Field(description="Unit system.")]
Day = Annotated[str, Field(description="YYYY-MM-DD, from 1940 on.", max_length=40)]


Report = Callable[[str], Awaitable[None]]


class Told(Protocol):
    @property
    def notices(self) -> tuple[str, ...]: ...


Answer = TypeVar("Answer", bound=Told)


async def _tell(ctx: Context, doing: str, ask: Callable[[Report], Awaitable[Answer]]) -> Answer:
    """The answer; what is done and what the caller should know is told on the way."""
    steps = 0

    async def report(step: str) -> None:
        nonlocal steps
        steps += 1
        await ctx.report_progress(steps, message=step)

    await ctx.report_progress(0, message=doing)
    async with telling(ctx, doing):
        result = await ask(report)
    await warn(ctx, result.notices)
    await ctx.report_progress(steps + 1, steps + 1)
    return result


def register(server: FastMCP, backend: Weather) -> None:
    tags = {"weather", "read", "network"}  # find_place too: a name the offline list lacks goes to a geocoder

    @server.tool(title="Find a place", tags=tags, annotations=READS_NETWORK)
    async def find_place(
        name: Place,
        ctx: Context,
        country: Annotated[
            str | None,
            Field(description="Country or region, name or code.", json_schema_extra=may_be_left_out),
        ] = None,
        limit: Annotated[int, Field(description="Most candidates.", ge=1, le=50)] = 5,
    ) -> Candidates:
        """Places of a name, likeliest first, with coordinates, time zone and population."""
        return await _tell(
            ctx,
            f"Looking for {quote(name)}",
            lambda _: backend.find_place(name, country or None, limit),
        )

    @server.tool(title="Current weather", tags=tags, annotations=READS_NETWORK)
    async def current(place: Place, ctx: Context, units: Measure = "metric") -> Current:
        """The weather at a place now, in its local time."""
        return await _tell(
            ctx, f"Current weather of {quote(place)}", lambda report: backend.current(place, units, report)
        )

    @server.tool(title="Weather forecast", tags=tags, annotations=READS_NETWORK)
    async def forecast(
        place: Place,
        ctx: Context,
        days: Annotated[int, Field(description="Days, today included.", ge=1, le=16)] = 3,
        hourly: Annotated[bool, Field(description="Give the hours too.")] = False,
        units: Measure = "metric",
    ) -> Forecast:
        """Daily forecast with sunrise and sunset, and hourly if asked."""
        doing = f"Forecast for {quote(place)}, days: {days}"
        return await _tell(ctx, doing, lambda report: backend.forecast(place, days, hourly, units, report))

    @server.tool(title="Past weather", tags=tags, annotations=READS_NETWORK)
    async def history(place: Place, start: Day, end: Day, ctx: Context, units: Measure = "metric") -> History:
        """Daily weather from start to end, at most 366 days."""
        doing = f"Weather of {quote(place)} from {quote(start)} to {quote(end)}"
        return await _tell(ctx, doing, lambda report: backend.history(place, start, end, units, report))

    @server.tool(title="Weather alerts", tags=tags, annotations=READS_NETWORK)
    async def alerts(place: Place, ctx: Context) -> Alerts:
        """Alerts in force: some, none issued, or a place that no source covers (outside the US)."""
        return await _tell(ctx, f"Alerts for {quote(place)}", lambda report: backend.alerts(place, report))

    @server.tool(title="Air quality", tags=tags, annotations=READS_NETWORK)
    async def air_quality(place: Place, ctx: Context) -> AirQuality:
        """Pollutants now, with the European and the US index and their scales."""
        return await _tell(
            ctx, f"Air quality of {quote(place)}", lambda report: backend.air_quality(place, report)
        )
