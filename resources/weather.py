"""weather: not built yet."""

from fastmcp import FastMCP

from backends.weather import Weather


def register(server: FastMCP, backend: Weather) -> None: ...
