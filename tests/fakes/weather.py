"""The weather fakes, served, with the settings that lead to them."""

from types import TracebackType
from typing import Any, Self

from tests.fakes import Upstream
from tests.fakes.met_norway import MetNorway
from tests.fakes.nws import Nws
from tests.fakes.open_meteo import NOW, OpenMeteo


class Sky:
    """Entered, it serves `open_meteo`, `met_norway` and `nws`; `settings` is the section that leads there."""

    def __init__(self) -> None:
        self.open_meteo = OpenMeteo()
        self.met_norway = MetNorway()
        self.nws = Nws()
        self.all = (self.open_meteo, self.met_norway, self.nws)
        self._servers = tuple(Upstream(fake) for fake in self.all)

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
        for fake in self.all:
            fake.trouble, fake.times, fake.retry_after = "", 1_000_000, "60"
            fake.seen.clear()
            fake.fresh()

    @property
    def settings(self) -> dict[str, Any]:
        open_meteo, met_norway, nws = (server.url for server in self._servers)
        return {
            "open_meteo_url": open_meteo,
            "geocoding_url": open_meteo,
            "archive_url": open_meteo,
            "air_quality_url": open_meteo,
            "met_norway_url": met_norway,
            "nws_url": nws,
        }

    @staticmethod
    def clock() -> float:
        """The time at which the fakes' answers were made."""
        return NOW.timestamp()
