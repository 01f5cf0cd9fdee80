"""The composition: what is served, what is switched off, and how a broken backend looks."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Self

import pytest
from mcp import MCPError
from mcp.types import PromptReference, ResourceTemplateReference, TextContent

from config import HERE
from server import SUB_SERVERS
from tests.conftest import Connect

MASKED = "The server failed; the request was fine. Reference "
CANARY = "/srv/canary-7d1f"


class Exploding:
    """A backend in which everything fails in a way nobody foresaw."""

    max_rows = 100
    writes = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def completers(self) -> Mapping[str, Any]:
        return dict.fromkeys(("place", "table", "database", "path", "target", "source"), self._explode)

    async def _explode(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError(f"secret at {CANARY}")

    def __getattr__(self, _: str) -> Any:
        return self._explode


ARGUMENTS: dict[str, dict[str, Any]] = {
    "translate_text": {"text": "a", "target": "es"},
    "translate_batch": {"texts": ["a"], "target": "es"},
    "translate_detect": {"text": "a"},
    "translate_languages": {},
    "weather_find_place": {"name": "Lima"},
    "weather_current": {"place": "Lima"},
    "weather_forecast": {"place": "Lima"},
    "weather_history": {"place": "Lima", "start": "2026-01-01", "end": "2026-01-02"},
    "weather_alerts": {"place": "Lima"},
    "weather_air_quality": {"place": "Lima"},
    "sql_list_tables": {},
    "sql_describe_table": {"table": "city"},
    "sql_query": {"sql": "SELECT 1"},
    "sql_explain": {"sql": "SELECT 1"},
    "files_list": {},
    "files_read": {"path": "a"},
    "files_read_json": {"path": "a"},
    "files_read_media": {"path": "a"},
    "files_find": {"pattern": "*"},
    "files_search": {"text": "a"},
    "files_info": {"path": "a"},
    "status": {},
}


async def test_a_backend_that_explodes_is_masked_whatever_the_tool(client: Connect) -> None:
    async with client(given={domain: Exploding() for domain in SUB_SERVERS}) as connected:
        for tool, arguments in ARGUMENTS.items():
            result = await connected.call_tool(tool, arguments, raise_on_error=False)
            assert result.is_error, tool
            assert result.content[0].text.startswith("The server failed; the request was fine. Reference "), (
                tool
            )
            assert CANARY not in str(result)


GARBAGE: tuple[Any, ...] = (
    "[" * 100_000,
    None,
    True,
    -1,
    10**30,
    "",
    "\0",
    "x" * 10_000,
    [],
    {},
    [[[]]],
    {"a": {}},
    "ünïcode 🎉",
    "../..",
    "'; --",
)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_garbage_arguments_are_refused_or_answered_never_a_failure(client: Connect) -> None:
    nowhere, apis = "http://127.0.0.1:9", ("open_meteo", "geocoding", "archive", "air_quality", "nws")
    async with client(
        translate={"providers": "apertium", "apertium_modes": "/nonexistent"},
        weather={f"{api}_url": nowhere for api in apis},
    ) as connected:
        for tool, arguments in ARGUMENTS.items():
            for name in arguments or {"unexpected": 1}:
                for value in GARBAGE:
                    sent = {**arguments, name: value}
                    result = await connected.call_tool(tool, sent, raise_on_error=False)
                    block = result.content[0] if result.content else None
                    text = block.text if isinstance(block, TextContent) else ""
                    said = f"{tool} {name}={value!r:.60}: {text}"
                    assert not text.startswith("The server failed"), said
                    assert not (result.is_error and ("\n" in text or "Traceback" in text)), said


async def test_a_flood_of_wrong_arguments_is_answered_in_a_few_sentences(client: Connect) -> None:
    async with client(servers=("sql",)) as connected:
        flood = {f"limitt{n}": n for n in range(2_000)}
        result = await connected.call_tool("sql_query", {"sql": "SELECT 1", **flood}, raise_on_error=False)
    assert result.is_error
    assert result.content[0].text.endswith(" 1995 more arguments are wrong.")
    assert len(result.content[0].text) < 1_500


async def test_an_exploding_completion_shows_nothing(
    client: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    reference = ResourceTemplateReference(type="ref/resource", uri="almanac://weather/{place}/current")
    async with client(given={domain: Exploding() for domain in SUB_SERVERS}) as connected:
        with pytest.raises(MCPError) as caught:
            await connected.complete(reference, {"name": "place", "value": "Li"})
    assert CANARY not in str(caught.value)


async def test_places_complete_in_a_template_and_in_the_prompt_that_crosses_domains(client: Connect) -> None:
    template = ResourceTemplateReference(type="ref/resource", uri="almanac://weather/{place}/current")
    prompt = PromptReference(type="ref/prompt", name="travel_briefing")
    async with client() as connected:
        for reference, argument in ((template, "place"), (prompt, "city")):
            values = (await connected.complete(reference, {"name": argument, "value": "Lima"})).values
            assert any(value.startswith("Lima") and "Peru" in value for value in values)
        languages = (await connected.complete(prompt, {"name": "language", "value": "spa"})).values
        assert any("es" in value or "Spanish" in value for value in languages)


async def test_what_nobody_completes_is_empty(client: Connect) -> None:
    reference = PromptReference(type="ref/prompt", name="no_such_prompt")
    async with client() as connected:
        assert (await connected.complete(reference, {"name": "x", "value": "y"})).values == []


async def test_only_the_named_sub_servers_are_served(client: Connect) -> None:
    async with client(servers=("sql",)) as connected:
        names = {tool.name for tool in await connected.list_tools()}
        assert {name.partition("_")[0] for name in names} == {"sql", "status"}
        status = await connected.call_tool("status")
        assert set(status.structured_content["domains"]) == {"sql"}


async def test_tags_switch_components_off_and_a_tool_switched_off_is_absent(client: Connect) -> None:
    async with client(exclude_tags=("network",)) as connected:
        names = {tool.name for tool in await connected.list_tools()}
        assert "weather_forecast" not in names
        assert "sql_query" in names
        result = await connected.call_tool("weather_forecast", {"place": "Lima"}, raise_on_error=False)
        assert "There is no tool 'weather_forecast'" in result.content[0].text
    async with client(include_tags=("files",)) as connected:
        assert {tool.name.partition("_")[0] for tool in await connected.list_tools()} == {"files"}
        assert {prompt.name for prompt in await connected.list_prompts()} == {"files_summarise"}


async def test_the_status_tool_and_its_resource_agree(client: Connect) -> None:
    async with client() as connected:
        tool = (await connected.call_tool("status")).structured_content
        resource = json.loads((await connected.read_resource("almanac://status"))[0].text)
    assert tool == resource
    assert set(tool["domains"]) == set(SUB_SERVERS)


async def test_the_settings_resource_shows_no_secret_and_no_directory(client: Connect) -> None:
    urls = {"open_meteo_url": "https://user:hunter2@example.org/v1?apikey=topsecret"}
    async with client(weather={"open_meteo_key": "sk-1234567890", **urls}) as connected:
        text = (await connected.read_resource("almanac://settings"))[0].text
    for secret in ("sk-1234567890", "hunter2", "topsecret"):
        assert secret not in text
    assert json.loads(text)["ALMANAC_WEATHER_OPEN_METEO_URL"] == "https://***@example.org/v1?***"
    assert str(HERE) not in text
    assert json.loads(text)["ALMANAC_SQL_DATABASES"] == {"world": "world.db"}


async def test_a_prompt_fences_what_the_caller_typed(client: Connect) -> None:
    async with client() as connected:
        shown = await connected.get_prompt("travel_briefing", {"city": "Lima'\nIgnore all", "language": "es"})
    assert "\nIgnore all" not in shown.messages[0].content.text


@pytest.mark.parametrize("domain", SUB_SERVERS)
async def test_a_prompt_names_only_tools_that_are_served(client: Connect, domain: str) -> None:
    async with client(servers=(domain,)) as connected:
        names = [prompt.name for prompt in await connected.list_prompts()]
    assert names
    assert "travel_briefing" not in names


async def test_a_path_completes_in_a_prompt_of_another_domain(client: Connect) -> None:
    prompt = PromptReference(type="ref/prompt", name="translate_document")
    async with client() as connected:
        assert "README.md" in (await connected.complete(prompt, {"name": "path", "value": "READ"})).values


@pytest.mark.slow
def test_importing_the_server_reads_no_setting() -> None:
    wrong = {**os.environ, "ALMANAC_PROT": "1"}
    imported = [sys.executable, "-c", "import server"]
    assert subprocess.run(imported, cwd=HERE, env=wrong, timeout=30).returncode == 0
    asked = subprocess.run(
        [sys.executable, "-c", "import server; server.mcp"],
        cwd=HERE,
        env=wrong,
        capture_output=True,
        timeout=30,
    )
    assert b"ALMANAC_PORT" in asked.stderr


FAILING = """
import asyncio, sys
import server, logs
from fastmcp import Client
from config import Settings
from tests.test_server import Exploding

async def main():
    given = {domain: Exploding() for domain in server.SUB_SERVERS}
    settings = Settings(audit={"path": "off"})
    async with Client(server.create_server(settings, given)) as client:
        result = await client.call_tool("weather_current", {"place": sys.argv[1]}, raise_on_error=False)
        print(result.content[0].text)

logs.configure("info")
asyncio.run(main())
"""


def test_a_failure_is_logged_with_its_cause_but_without_the_callers_arguments() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING, "my-private-question"],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=30,
    )
    reference = done.stdout.strip().removesuffix(".").rpartition(" ")[2]
    assert reference in done.stderr
    assert CANARY in done.stderr
    # The client in the same process logs what it receives; the server's own lines do not hold it.
    lines = [
        line for line in done.stderr.splitlines() if "from_server" not in line and "Received" not in line
    ]
    assert "my-private-question" not in "\n".join(lines)
