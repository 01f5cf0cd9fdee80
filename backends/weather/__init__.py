"""Weather: places found offline, what forecast services know of them, and the US alerts."""

from backends.weather.service import Weather

__all__ = ["Weather"]
