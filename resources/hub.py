"""Resources of the whole application: its status, and its settings without their secrets."""

import json
from collections.abc import Callable, Mapping

from fastmcp import FastMCP

from config import Settings, shown, variables
from tools.hub import HasHealth, status_of


def register(
    server: FastMCP,
    version: str,
    backends: Mapping[str, HasHealth],
    settings: Settings,
    details: Callable[[], bool],
) -> None:
    @server.resource(
        "almanac://status", title="Status", mime_type="application/json", tags={"hub", "read", "local"}
    )
    async def status() -> str:
        """Whether each domain is ready, or why not, with its providers and their state."""
        return (await status_of(version, backends, details())).model_dump_json()

    @server.resource(
        "almanac://settings",
        title="Settings",
        mime_type="application/json",
        tags={"hub", "read", "local", "admin"},
    )
    def current() -> str:
        """What the server runs with; secrets are shown as stars, directories by their last name."""
        return json.dumps({variable.name: shown(variable.of(settings)) for variable in variables()})
