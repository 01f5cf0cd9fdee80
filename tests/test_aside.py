"""Rows that go past the walks between a tool and the wire arrive as if they had not."""

import asyncio
import json
from collections.abc import Callable

import pytest
from mcp.types import JSONRPCResponse

import tools
from config import Settings
from server import create_server
from tests.conftest import Connect
from tools import aside

NUMBERS = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "


async def test_many_rows_arrive_both_as_text_and_as_structured_content(client: Connect) -> None:
    async with client(sql={"max_rows": 3000}) as c:
        sql = f"{NUMBERS} SELECT i, i / 2.0, 'text ' || i, NULL FROM n"
        result = await c.call_tool("sql_query", {"sql": sql, "limit": 3000})
    assert result.structured_content["rows"] == [[i, i / 2, f"text {i}", None] for i in range(1, 3001)]
    assert json.loads(result.content[0].text) == result.structured_content


async def test_calls_at_the_same_time_keep_their_rows_apart(client: Connect) -> None:
    async with client() as c:
        calls = (c.call_tool("sql_query", {"sql": f"SELECT {number}"}) for number in range(20))
        results = await asyncio.gather(*calls)
    assert [result.structured_content["rows"] for result in results] == [[[n]] for n in range(20)]


async def test_a_refusal_holds_no_rows(client: Connect) -> None:
    async with client() as c:
        result = await c.call_tool("sql_query", {"sql": "SELECT nothing"}, raise_on_error=False)
    assert result.is_error
    assert result.structured_content is None


def test_where_nobody_puts_rows_back_none_are_laid_aside() -> None:
    structured = {"rows": [(1,)], "notices": ()}
    assert aside.lay_aside(structured, "rows", b"[[1]]") is structured


def test_rows_that_are_json_already_go_into_the_line_as_they_are() -> None:
    rows = aside.Encoded([(1, "a")], b'[[1 ,"a"]]')  # no encoder writes that space
    result = {"content": [], "structuredContent": {"rows": rows, "more": "rows"}}
    line = aside.as_json(JSONRPCResponse(jsonrpc="2.0", id=1, result=result))
    assert b'"structuredContent":{"rows":[[1 ,"a"]],"more":"rows"}' in line
    assert json.loads(line)["result"]["structuredContent"] == {"rows": [[1, "a"]], "more": "rows"}


def test_a_served_application_lays_rows_aside(settings: Callable[..., Settings]) -> None:
    server = create_server(settings())
    assert aside.put_back in server._mcp_server.middleware


@pytest.mark.parametrize(
    "value",
    ["half \ud800 a character", 2**70, -(2**64), float("nan"), "\u2028\x00\x7f\N{GRINNING FACE}", 1e300],
)
def test_a_value_that_json_can_hold_arrives_as_it_is(value: object) -> None:
    rows = aside.Encoded([(1,)], b"[[1]]")
    result = {"content": [], "structuredContent": {"rows": rows, "value": value}}
    line = aside.as_json(JSONRPCResponse(jsonrpc="2.0", id="x", result=result))
    assert b"\n" not in line
    found = json.loads(line)["result"]["structuredContent"]
    assert found["rows"] == [[1]]
    assert found["value"] == value or (value != value and found["value"] is None)


@pytest.mark.parametrize("beside", ["half \ud800", 2**70])
def test_what_is_no_number_is_null_whatever_stands_beside_it(beside: object) -> None:
    rows = aside.Encoded([(float("inf"), "a")], b'[[null,"a"]]')
    result = {"structuredContent": {"rows": rows, "value": float("nan"), "beside": beside}}
    line = aside.as_json(JSONRPCResponse(jsonrpc="2.0", id=1, result=result))
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["result"]["structuredContent"] == {"rows": [[None, "a"]], "value": None, "beside": beside}


@pytest.mark.parametrize("structured", [[1, 2], "text", 5, None])
def test_structured_content_that_is_no_object_arrives_as_it_is(structured: object) -> None:
    line = aside.as_json(JSONRPCResponse(jsonrpc="2.0", id=1, result={"structuredContent": structured}))
    assert json.loads(line)["result"] == {"structuredContent": structured}


async def test_a_client_that_cannot_be_told_still_gets_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        async def info(self, _: str) -> None:
            raise ConnectionError

    monkeypatch.setattr("tools.TELL_S", 0.0)
    async with tools.telling(Gone(), "Doing it."):  # type: ignore[arg-type]  # all that it asks of a Context
        await asyncio.sleep(0.02)
