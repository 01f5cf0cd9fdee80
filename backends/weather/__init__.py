"""Weather: places found offline, what Open-Meteo knows of them, and the US alerts."""

from backends.weather.service import Weather

__all__ = ["Weather"]
