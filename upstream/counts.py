"""How often a source was asked and what became of it, as plain numbers, for who watches the server."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from upstream.breaker import Breaker


class ProviderStats(NamedTuple):
    """One source since the start."""

    provider: str
    resting: bool  # it is left alone after failures
    hits: int  # questions answered from memory, or by another's that was being asked
    shared: int  # from what processes share
    misses: int  # questions that had to be asked
    requests: int
    retries: int  # of these
    failures: int  # questions without a usable answer


@dataclass(slots=True)
class Counts:
    """What is counted where it happens: an addition each."""

    hits: int = 0
    shared: int = 0
    misses: int = 0
    requests: int = 0
    retries: int = 0
    failures: int = 0

    def asks(self, again: bool) -> None:
        """A request is sent."""
        self.requests += 1
        self.retries += again


class Counted(Protocol):
    """What has counts: `client.Upstream` is one."""

    @property
    def name(self) -> str: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def breaker(self) -> Breaker: ...


def stats_of(sources: Iterable[Counted]) -> list[ProviderStats]:
    """What each source was asked; one with two addresses stands there once."""
    several: dict[str, list[Counted]] = {}
    for source in sources:
        several.setdefault(source.name, []).append(source)
    return [
        ProviderStats(
            name,
            any(one.breaker.wait_s() > 0 for one in ones),
            sum(one.counts.hits for one in ones),
            sum(one.counts.shared for one in ones),
            sum(one.counts.misses for one in ones),
            sum(one.counts.requests for one in ones),
            sum(one.counts.retries for one in ones),
            sum(one.counts.failures for one in ones),
        )
        for name, ones in several.items()
    ]
