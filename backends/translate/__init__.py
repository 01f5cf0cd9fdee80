"""translate: not built yet."""

from typing import Any, Self

from backends import Health
from config import TranslateSettings


class Translator:
    def __init__(self, settings: TranslateSettings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def health(self, probe: bool = False) -> Health:
        return Health(state="unavailable", summary="Not built yet.")

    def completers(self) -> dict[str, Any]:
        return {}
