"""Both weather fakes, served, with the settings that lead to them."""

from types import TracebackType
from typing import Any, Self

from tests.fakes import Upstream
from tests.fakes.nws import Nws
from tests.fakes.open_meteo import NOW, OpenMeteo


class Sky:
    """Entered, it serves `open_meteo` and `nws`; `settings` is the weather section that leads there."""

    def __init__(self) -> None:
        self.open_meteo = OpenMeteo()
        self.nws = Nws()
        self._servers = (Upstream(self.open_meteo), Upstream(self.nws))

    def __enter__(self) -> Self:
        for server in self._servers:
            server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.__exit__(kind, error, trace)

    def fresh(self) -> None:
        """Forget every trouble and request."""
        for fake in (self.open_meteo, self.nws):
            fake.trouble, fake.times, fake.retry_after = "", 1_000_000, "60"
            fake.seen.clear()
        self.open_meteo.key, self.open_meteo.gaps, self.nws.alerts = "", False, []

    @property
    def settings(self) -> dict[str, Any]:
        open_meteo, nws = (server.url for server in self._servers)
        return {
            "open_meteo_url": open_meteo,
            "geocoding_url": open_meteo,
            "archive_url": open_meteo,
            "air_quality_url": open_meteo,
            "nws_url": nws,
        }

    @staticmethod
    def clock() -> float:
        """The time at which the fakes' answers were made."""
        return NOW.timestamp()
