"""Resources of the whole application: its status, and its settings without their secrets."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from pydantic import SecretStr

from config import Settings, variables
from tools.hub import HasHealth, status_of


def register(server: FastMCP, version: str, backends: Mapping[str, HasHealth], settings: Settings) -> None:
    @server.resource(
        "almanac://status", title="Status", mime_type="application/json", tags={"hub", "read", "local"}
    )
    async def status() -> str:
        """Whether each domain is ready, or why not, with its providers and their state."""
        return (await status_of(version, backends)).model_dump_json()

    @server.resource(
        "almanac://settings", title="Settings", mime_type="application/json", tags={"hub", "read", "local"}
    )
    def current() -> str:
        """What the server runs with; secrets are shown as stars, directories by their last name."""
        return json.dumps({variable.name: _shown(settings, variable.path) for variable in variables()})


def _shown(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    match value:
        case SecretStr():
            return str(value)
        case Path():
            return value.name
        case dict():
            return {name: item.name for name, item in value.items()}
    return value
