"""Rates, quotas, credits and calls at once, as a caller meets them, in both eras."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client, FastMCP
from mcp import MCPError

from config import LimitsSettings, Settings
from counters import Counters
from middleware.caller import Caller
from middleware.limits import Limits
from tests.conftest import Connect
from tests.web.served import Served

SQL = {"sql": "SELECT 1"}


async def said(client: Client[Any], tool: str, arguments: dict[str, Any] | None = None) -> str:
    """What a call was refused with; nothing if it was not."""
    result = await client.call_tool(tool, arguments or {}, raise_on_error=False)
    return result.content[0].text if result.is_error else ""


async def test_a_rate_holds_for_each_tool_and_a_refusal_says_when_to_come_back(
    client: Connect, tmp_path: Path
) -> None:
    async with client(state_dir=tmp_path, limits={"rate": "3/minute"}) as c:
        answers = [await said(c, "sql_query", SQL) for _ in range(5)]
        assert answers[:3] == ["", "", ""]
        for refusal in answers[3:]:
            assert refusal.startswith("sql_query is limited to 3/minute; try again in ")
        assert await said(c, "sql_list_tables") == ""


async def test_listings_take_nothing(client: Connect, tmp_path: Path) -> None:
    async with client(state_dir=tmp_path, limits={"rate": "1/hour", "quotas": {"sql": "1/day"}}) as c:
        for _ in range(5):
            await c.list_tools()
            await c.list_resources()
            await c.list_prompts()
        assert await said(c, "sql_query", SQL) == ""


async def test_a_quota_of_a_domain_counts_its_tools_and_resources_and_one_of_a_tool_that_alone(
    client: Connect, tmp_path: Path
) -> None:
    quotas = {"sql": "3/day", "sql_query": "1/day"}
    async with client(state_dir=tmp_path, limits={"quotas": quotas}) as c:
        assert await said(c, "sql_query", SQL) == ""
        assert (await said(c, "sql_query", SQL)).startswith(
            "Your quota for sql_query, 1/day, is used up; try"
        )
        assert await said(c, "sql_list_tables") == ""
        status = (await c.call_tool("status", {})).structured_content
        assert status["limits"] == {"sql": "1 of 3/day", "sql_query": "0 of 1/day"}
        await c.read_resource("almanac://sql/world/tables")
        with pytest.raises(MCPError, match="quota for sql, 3/day, is used up; try again in"):
            await c.read_resource("almanac://sql/world/tables")
        assert "quota for sql, 3/day" in await said(c, "sql_list_tables")
        assert await said(c, "files_list") == ""


async def test_a_refused_call_takes_nothing_from_another_quota(client: Connect, tmp_path: Path) -> None:
    quotas = {"sql": "10/day", "sql_query": "1/day"}
    async with client(state_dir=tmp_path, limits={"quotas": quotas}) as c:
        for _ in range(4):
            await said(c, "sql_query", SQL)
        assert (await c.call_tool("status", {})).structured_content["limits"]["sql"] == "9 of 10/day"


async def test_a_call_that_one_quota_refuses_takes_nothing_from_any(client: Connect, tmp_path: Path) -> None:
    limits = {
        "quotas": {"sql_query": "9/day", "sql_list_tables": "9/day", "sql": "2/day"},
        "budget": "9/day",
        "costs": {"sql": 0, "files_list": 10},
    }
    async with client(state_dir=tmp_path, limits=limits) as c:
        for _ in range(4):
            await said(c, "sql_query", SQL)
        assert "costs 10 of the credits" in await said(c, "files_list")
        left = (await c.call_tool("status", {})).structured_content["limits"]
    assert left == {
        "sql_query": "7 of 9/day", "sql_list_tables": "9 of 9/day", "sql": "0 of 2/day",
        "credits": "8 of 9/day",
    }  # fmt: skip


async def test_names_of_no_tool_are_counted_as_one(client: Connect, tmp_path: Path) -> None:
    async with client(state_dir=tmp_path, limits={"rate": "3/hour"}) as c:
        answers = [await said(c, f"sql_{number}" * 40) for number in range(5)]
    assert ["no such tool is limited" in answer for answer in answers] == [False] * 3 + [True] * 2
    assert max(map(len, answers)) < 200


async def test_a_storage_that_fails_is_told_in_status_whatever_is_limited(
    client: Connect, tmp_path: Path
) -> None:
    limits = {"rate": "9/hour", "on_failure": "local"}
    async with client(state_dir=tmp_path, state_url="redis://127.0.0.1:9/0", limits=limits) as c:
        status = (await c.call_tool("status", {})).structured_content
    assert "cannot be counted in their shared storage" in status["limits"]["note"]


async def test_each_call_costs_its_credits(client: Connect, tmp_path: Path) -> None:
    limits = {"budget": "10/day", "costs": {"sql": 4, "sql_list_tables": 1, "status": 0}}
    async with client(state_dir=tmp_path, limits=limits) as c:
        assert await said(c, "sql_query", SQL) == ""
        assert await said(c, "sql_query", SQL) == ""
        refusal = await said(c, "sql_query", SQL)
        assert refusal.startswith("sql_query costs 4 of the credits you have, 10/day, and too few are left;")
        assert await said(c, "sql_list_tables") == ""
        assert (await c.call_tool("status", {})).structured_content["limits"] == {"credits": "1 of 10/day"}


async def test_only_so_many_calls_of_one_caller_run_at_once(client: Connect, tmp_path: Path) -> None:
    slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    async with client(state_dir=tmp_path, limits={"at_once": 2}, sql={"timeout": 1}) as c:
        running = [asyncio.create_task(said(c, "sql_query", {"sql": slow})) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert "2 of your calls are running" in await said(c, "sql_query", SQL)
        await asyncio.gather(*running)
        assert await said(c, "sql_query", SQL) == ""


async def test_callers_whose_calls_are_done_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (f"address:{number}" for number in range(10_000))
    monkeypatch.setattr("middleware.limits.caller", lambda: Caller(next(names)))
    limits = Limits(LimitsSettings(), Counters(tmp_path, "", "refuse"))
    server = FastMCP("toy", middleware=[limits])

    @server.tool
    async def say() -> str:
        return "x"

    for _ in range(50):
        await server.call_tool("say", {})
    assert len(limits._running) == 0
    assert next(names) == "address:50", "it was asked for each"


async def test_a_restart_forgives_no_quota(client: Connect, tmp_path: Path) -> None:
    for expected in (True, False):
        async with client(state_dir=tmp_path, limits={"quotas": {"sql": "1/day"}}) as c:
            assert (await said(c, "sql_query", SQL) == "") == expected


def served(directory: Path, **limits: Any) -> Served:
    given = {"servers": ["sql"], "state_dir": directory, "transport": "http", "limits": limits}
    return Served(Settings.model_validate(given))


async def test_a_call_over_http_counts_once_in_either_era(tmp_path: Path, era: str) -> None:
    with served(tmp_path, rate="3/hour", quotas={"sql": "3/day"}) as server:
        async with Client(server.url, mode=era) as c:
            refusals = [await said(c, "sql_query", SQL) for _ in range(5)]
    assert [bool(refusal) for refusal in refusals] == [False] * 3 + [True] * 2


async def test_a_call_that_asks_the_user_counts_once(client: Connect, tmp_path: Path) -> None:
    async def yes(*_: Any) -> dict[str, bool]:
        return {"confirm": True}

    root = tmp_path / "files"
    root.mkdir()
    for number in range(2):
        (root / f"{number}.txt").touch()
    limits = {"quotas": {"files_delete": "2/day"}}
    files = {"root": root, "write": True}
    async with client(state_dir=tmp_path / "state", limits=limits, files=files, elicitation_handler=yes) as c:
        for number in range(2):
            await c.call_tool("files_delete", {"path": f"{number}.txt"})
        status = (await c.call_tool("status", {})).structured_content
    assert status["limits"] == {"files_delete": "0 of 2/day"}
    assert not list(root.iterdir())


async def test_an_answer_that_nobody_asked_for_is_no_way_past_a_quota(tmp_path: Path) -> None:
    with served(tmp_path, quotas={"sql": "1/day"}) as server:
        refused = [modern_call(server.url, {"inputResponses": {"x": {"action": "accept"}}}) for _ in range(2)]
    assert refused == [False, True]


def modern_call(url: str, more: dict[str, Any]) -> bool:
    """Whether a raw call of 2026-07-28 was refused."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "sql_query", "arguments": SQL, "_meta": meta, **more}
    answer = httpx2.post(
        url,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "sql_query",
        },
        timeout=20,
    )
    found = re.search(r'\{"jsonrpc".*\}', answer.text)
    assert found, answer.text
    return bool(json.loads(found[0])["result"].get("isError"))
