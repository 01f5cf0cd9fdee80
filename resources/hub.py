"""Resources of the whole application: its status, and its settings without their secrets."""

import json

from fastmcp import FastMCP

from config import Settings
from config.variables import shown, variables
from tools.hub import Now


def register(server: FastMCP, now: Now, settings: Settings) -> None:
    @server.resource(
        "almanac://status", title="Status", mime_type="application/json", tags={"hub", "read", "local"}
    )
    async def status() -> str:
        """Whether each domain is ready, or why not, and what is left of your quotas."""
        return (await now()).model_dump_json()

    @server.resource(
        "almanac://settings",
        title="Settings",
        mime_type="application/json",
        tags={"hub", "read", "local", "admin"},
    )
    def current() -> str:
        """What the server runs with; secrets are shown as stars, directories by their last name."""
        return json.dumps({variable.name: shown(variable.of(settings)) for variable in variables()})
