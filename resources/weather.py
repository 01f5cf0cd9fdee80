"""Resources of the weather domain: the same answers as the tools', in metric units."""

from fastmcp import FastMCP

from backends.weather import Weather

TAGS = {"weather", "read", "network"}


def register(server: FastMCP, backend: Weather) -> None:
    @server.resource(
        "almanac://{place}/current", title="Current weather", mime_type="application/json", tags=TAGS
    )
    async def current(place: str) -> str:
        """The weather at a place now, in metric units; a place is "Lima, Peru" or "48.85,2.35"."""
        return (await backend.current(place)).model_dump_json()

    @server.resource(
        "almanac://{place}/forecast", title="Weather forecast", mime_type="application/json", tags=TAGS
    )
    async def forecast(place: str) -> str:
        """The next seven days at a place, in metric units; a place is "Lima, Peru" or "48.85,2.35"."""
        return (await backend.forecast(place, days=7)).model_dump_json()
