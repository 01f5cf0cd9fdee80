"""Tools that span the domains, registered on the root."""

from collections.abc import Mapping
from typing import Protocol

from fastmcp import FastMCP

from backends import Health, Result
from tools import READS_HERE


class HasHealth(Protocol):
    async def health(self, probe: bool = False) -> Health: ...


class Status(Result):
    """Every domain that is served, by name."""

    version: str
    domains: dict[str, Health]


async def status_of(version: str, backends: Mapping[str, HasHealth]) -> Status:
    """How each domain is, from what is known now; no provider is asked."""
    return Status(
        version=version, domains={name: await backend.health() for name, backend in backends.items()}
    )


def register(server: FastMCP, version: str, backends: Mapping[str, HasHealth]) -> None:
    @server.tool(title="Status", tags={"hub", "read", "local"}, annotations=READS_HERE)
    async def status() -> Status:
        """Whether each domain is ready, or why not, with its providers and their state."""
        return await status_of(version, backends)
