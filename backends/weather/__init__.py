"""weather: not built yet."""

from typing import Any, Self

from backends import Health
from config import WeatherSettings


class Weather:
    def __init__(self, settings: WeatherSettings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def health(self, probe: bool = False) -> Health:
        return Health(state="unavailable", summary="Not built yet.")

    def completers(self) -> dict[str, Any]:
        return {}
