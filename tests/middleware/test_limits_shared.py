"""Every limit is exact for many callers at the same time, over HTTP and replicas that share a Redis."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from counters import Counters
from tests.test_counters import redis  # noqa: F401 - a fixture
from tests.wire.conftest import Http

CALLERS, REPLICAS = 200, 3
MCP = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
SLOW = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


async def call(client: httpx2.AsyncClient, server: Http, who: str, tool: str, arguments: Any) -> str:
    """How one call of one caller ended: `ok`, or what limited it."""
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}
    }  # fmt: skip
    answer = await client.post(server.url, json=body, headers={**MCP, "X-Forwarded-For": who})
    assert answer.status_code == 200
    assert "Limits cannot be checked" not in answer.text
    signs = ("is limited to", "Your quota for", "of the credits", "calls are running")
    return next((sign for sign in signs if sign in answer.text), "ok")


async def outcomes(
    servers: list[Http], callers: list[str], tool: str, **arguments: str
) -> Counter[tuple[str, str]]:
    """A call of each of these at the same time, each to the next of the servers."""
    limits = httpx2.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        found = [call(client, servers[n % REPLICAS], who, tool, arguments) for n, who in enumerate(callers)]
        return Counter(zip(callers, await asyncio.gather(*found), strict=True))


def replicas(stack: ExitStack, url: str, directory: Path, **limits: str) -> list[Http]:
    env = {
        "ALMANAC_STATE_URL": url,
        "ALMANAC_AUTH_MODE": "none",
        "ALMANAC_TRUSTED_PROXIES": "127.0.0.1",  # so that each request may say whose it is
        "ALMANAC_SERVERS": "sql",
        "ALMANAC_SQL_TIMEOUT": "2",
        **{f"ALMANAC_LIMITS_{name.upper()}": value for name, value in limits.items()},
    }
    return [
        stack.enter_context(Http({**env, "ALMANAC_STATE_DIR": str(directory / str(number))}))
        for number in range(REPLICAS)
    ]


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_each_limit_is_exact_for_two_hundred_callers_of_three_replicas(
    tmp_path: Path,
    redis: str,  # noqa: F811
) -> None:
    limits = {
        "at_once": "1000",
        "rate": "60/hour",
        "quotas": "sql_explain=1/day,sql_list_tables=41/day",
        "budget": "100/day",
        "costs": "sql=0,sql_describe_table=3",
    }
    everybody = [f"192.0.2.{number}" for number in range(CALLERS)]
    ann = ["198.51.100.1"] * 100
    with ExitStack() as stack:
        servers = await asyncio.to_thread(replicas, stack, redis, tmp_path, **limits)
        each = await outcomes(servers, everybody * 2, "sql_explain", sql="SELECT 1")
        rate = await outcomes(servers, ann, "sql_query", sql="SELECT 1")
        quota = await outcomes(servers, ann[:50], "sql_list_tables")
        credit = await outcomes(servers, ann[:50], "sql_describe_table", table="countries")
    assert each == {(who, how): 1 for who in everybody for how in ("ok", "Your quota for")}
    assert rate == {(ann[0], "ok"): 60, (ann[0], "is limited to"): 40}
    assert quota == {(ann[0], "ok"): 41, (ann[0], "Your quota for"): 9}
    assert credit == {(ann[0], "ok"): 33, (ann[0], "of the credits"): 17}


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_calls_at_once_are_counted_by_all_replicas_together(
    tmp_path: Path,
    redis: str,  # noqa: F811
) -> None:
    with ExitStack() as stack:
        servers = await asyncio.to_thread(replicas, stack, redis, tmp_path, at_once="4")
        ann = "198.51.100.1"
        found = await outcomes(servers, [ann] * 30, "sql_query", sql=SLOW)
        assert found == {(ann, "ok"): 4, (ann, "calls are running"): 26}
        assert await outcomes(servers, [ann] * 4, "sql_query", sql="SELECT 1") == {(ann, "ok"): 4}, "all left"


async def test_a_place_is_kept_by_its_call_and_free_again_when_its_process_was_killed(
    tmp_path: Path,
    redis: str,  # noqa: F811
) -> None:
    async with Counters(tmp_path, redis, "refuse") as ours, Counters(tmp_path, redis, "refuse") as theirs:
        assert [await ours.enter("ann", call, 2) for call in ("a", "b", "c")] == [True, True, False]
        assert await ours.enter("ann", "a", 2), "it has its place already"
        assert await theirs.enter("bob", "a", 1)
        await ours.leave("ann", "b")
        assert await theirs.enter("ann", "c", 2)
        assert not await theirs.enter("ann", "d", 2)
        async with Redis.from_url(redis) as client:
            await client.zadd("almanac:running:ann", {"a": 1})  # as if it had been kept long ago
        assert [await theirs.enter("ann", call, 2) for call in ("d", "e")] == [True, False]


async def test_without_its_storage_calls_at_once_are_refused_or_counted_here(tmp_path: Path) -> None:
    async with Counters(tmp_path, "redis://127.0.0.1:9/0", "local") as counters:
        assert await counters.enter("ann", "a", 1)
        await counters.leave("ann", "a")
    async with Counters(tmp_path, "redis://127.0.0.1:9/0", "refuse") as counters:
        with pytest.raises(Exception, match="cannot be checked"):
            await counters.enter("ann", "a", 1)
