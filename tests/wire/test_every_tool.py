"""Every tool of the contract, over both transports, in both eras, with no network behind it."""

import sys
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from tests.test_server import ARGUMENTS
from tests.wire.conftest import ENVIRON, SERVER, Http

REAL: dict[str, dict[str, Any]] = {
    **ARGUMENTS,
    "files_read": {"path": "README.md"},
    "files_read_json": {"path": "tables/scales.json"},
    "files_read_media": {"path": "images/daylight.png"},
    "files_info": {"path": "README.md"},
    "sql_query": {"sql": "SELECT name FROM city ORDER BY population DESC LIMIT 10"},
}


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_every_tool_answers_or_refuses_in_its_own_words(transport: str, era: str, http: Http) -> None:
    spawned = StdioTransport(sys.executable, [str(SERVER)], env=ENVIRON)
    async with Client(spawned if transport == "stdio" else http.url, mode=era) as client:
        assert {tool.name for tool in await client.list_tools()} == set(REAL)
        for tool, arguments in REAL.items():
            result = await client.call_tool(tool, arguments, raise_on_error=False)
            text = result.content[0].text if result.content and result.content[0].type == "text" else ""
            assert not text.startswith(("The server failed", "There is no tool")), f"{tool}: {text}"
            local = tool.partition("_")[0] in ("sql", "files", "status") or tool == "weather_find_place"
            if local:
                assert not result.is_error, f"{tool}: {text}"
