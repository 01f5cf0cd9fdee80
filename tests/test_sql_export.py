"""Exports of a query into a file of the sandbox, as a client sees them, in both eras of the protocol."""

import asyncio
import base64
import csv
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from tests.conftest import Connect
from tests.processes import memory

COUNTING = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {most}) SELECT i, {of} FROM n"
)
ENDLESS = COUNTING.format(most=-1, of="hex(randomblob(500))")
BLOB = bytes(range(256))


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    place = tmp_path / "sandbox"
    place.mkdir()
    (place / "there.csv").write_text("mine")
    return place


@pytest.fixture
async def asked(client: Connect, tmp_path: Path, sandbox: Path) -> AsyncIterator[Client[Any]]:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, photo BLOB, price);")
        connection.executemany(
            "INSERT INTO item VALUES (?, ?, ?, ?)",
            [
                (1, 'a "quoted", name\nof two lines', BLOB, 0.5),
                (2**60 + 1, None, None, float("inf")),
                (3, "=1+1 ñ 🦊", b"", 2),
            ],
        )
        connection.commit()
    sql = {"databases": {"shop": path}, "export_timeout": 1}
    async with client(servers=["sql", "files"], sql=sql, files={"root": sandbox, "write": True}) as c:
        yield c


def names(sandbox: Path) -> set[str]:
    return {path.name for path in sandbox.iterdir()}


async def test_an_export_is_not_there_unless_files_may_be_written(client: Connect, sandbox: Path) -> None:
    for over in (
        {"servers": ["sql", "files"], "files": {"root": sandbox}},
        {"servers": ["sql"]},
        {"files": {"root": sandbox, "write": True}, "exclude_tags": ["write"]},
    ):
        async with client(**over) as c:
            assert "sql_export" not in {tool.name for tool in await c.list_tools()}


async def test_an_export_says_that_it_makes_something_and_destroys_nothing(asked: Client[Any]) -> None:
    (tool,) = [tool for tool in await asked.list_tools() if tool.name == "sql_export"]
    assert tool.annotations is not None
    assert (tool.annotations.read_only_hint, tool.annotations.destructive_hint) == (False, False)
    assert list(tool.input_schema["properties"]) == ["sql", "save_as", "params", "database"]


async def test_a_csv_export_reads_back_as_the_rows(asked: Client[Any], sandbox: Path) -> None:
    call = {"sql": "SELECT * FROM item WHERE id > ? ORDER BY price", "params": [0], "save_as": "out.csv"}
    done = (await asked.call_tool("sql_export", call)).structured_content
    assert done is not None
    assert {key: done[key] for key in ("path", "columns", "row_count", "size", "notices")} == {
        "path": "out.csv",
        "columns": ["id", "name", "photo", "price"],
        "row_count": 3,
        "size": (sandbox / "out.csv").stat().st_size,
        "notices": [],
    }
    with (sandbox / "out.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["id", "name", "photo", "price"],
            ["1", 'a "quoted", name\nof two lines', base64.b64encode(BLOB).decode(), "0.5"],
            ["3", "=1+1 ñ 🦊", "", "2"],
            [str(2**60 + 1), "", "", "Infinity"],
        ]


async def test_a_json_lines_export_reads_back_as_the_rows(asked: Client[Any], sandbox: Path) -> None:
    call = {"sql": "SELECT *, id, id AS id_2 FROM item ORDER BY price", "save_as": "out.JSONL"}
    await asked.call_tool("sql_export", call)
    lines = (sandbox / "out.JSONL").read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[2])
    assert first["name"] == 'a "quoted", name\nof two lines'
    assert list(first) == ["id", "name", "photo", "price", "id_2", "id_2_2"]
    assert last == dict.fromkeys(("id", "id_2", "id_2_2"), 2**60 + 1) | {
        "name": None,
        "photo": None,
        "price": "Infinity",
    }


async def test_an_export_without_rows_is_a_header(asked: Client[Any], sandbox: Path) -> None:
    await asked.call_tool("sql_export", {"sql": "SELECT id FROM item WHERE 0", "save_as": "none.csv"})
    await asked.call_tool("sql_export", {"sql": "SELECT id FROM item WHERE 0", "save_as": "none.jsonl"})
    assert (sandbox / "none.csv").read_bytes() == b"id\r\n"
    assert (sandbox / "none.jsonl").read_bytes() == b""


async def test_text_that_is_not_utf_8_is_exported_and_said(asked: Client[Any], sandbox: Path) -> None:
    call = {"sql": "SELECT CAST(x'61ff62' AS TEXT) AS t", "save_as": "odd.csv"}
    done = await asked.call_tool("sql_export", call)
    assert (sandbox / "odd.csv").read_text(encoding="utf-8") == "t\na\ufffdb\n"
    assert done.structured_content is not None
    assert done.structured_content["notices"] == [
        "Some text is not UTF-8: what could not be read is shown as \ufffd."
    ]


@pytest.mark.parametrize(
    ("sql", "save_as", "told"),
    [
        ("SELECT 1", "out.xlsx", "has to end in .csv or .jsonl"),
        ("SELECT 1", "there.csv", "'there.csv'"),
        ("SELECT 1", "../out.csv", "'../out.csv'"),
        ("SELECT 1", "nowhere/out.csv", "'nowhere"),
        ("DELETE FROM item", "out.csv", "DELETE is not allowed"),
        ("SELECT 1; SELECT 2", "out.csv", "One statement a call"),
        ("SELECT nme FROM item", "out.csv", "no column 'nme'"),
        ("", "out.csv", "no statement that returns rows"),
        (ENDLESS, "out.csv", "Stopped after 1 s"),
        ("SELECT hex(zeroblob(9000000))", "out.csv", "memory|Too large"),
    ],
)
async def test_a_refused_export_says_why_and_leaves_no_file(
    asked: Client[Any], sandbox: Path, sql: str, save_as: str, told: str
) -> None:
    with pytest.raises(ToolError, match=told):
        await asked.call_tool("sql_export", {"sql": sql, "save_as": save_as})
    assert names(sandbox) == {"there.csv"}
    assert (sandbox / "there.csv").read_text() == "mine"
    assert (await asked.call_tool("sql_query", {"sql": "SELECT 1"})).structured_content is not None


async def test_a_second_export_is_refused_while_one_runs_and_a_query_is_not(
    client: Connect, sandbox: Path
) -> None:
    files = {"root": sandbox, "write": True}
    async with client(servers=["sql", "files"], sql={"export_timeout": 25}, files=files) as asked:
        first = asyncio.create_task(asked.call_tool("sql_export", {"sql": ENDLESS, "save_as": "a.csv"}))
        for _ in range(1_000):
            if names(sandbox) != {"there.csv"}:  # it writes
                break
            await asyncio.sleep(0.01)
        await asked.call_tool("sql_query", {"sql": "SELECT 1"})
        with pytest.raises(ToolError, match="An export of the database 'world' runs already"):
            await asked.call_tool("sql_export", {"sql": "SELECT 1", "save_as": "b.csv"})
        assert not first.done()
        first.cancel()


async def test_a_cancelled_export_leaves_no_file_and_the_next_may_begin(
    client: Connect, sandbox: Path
) -> None:
    async with client(servers=["sql", "files"], files={"root": sandbox, "write": True}) as c:
        for name in ("a.csv", "there.csv", "b.jsonl"):
            export = asyncio.create_task(c.call_tool("sql_export", {"sql": ENDLESS, "save_as": name}))
            await asyncio.sleep(0.1)
            export.cancel()
            with suppress(asyncio.CancelledError, ToolError):
                await export
        for _ in range(500):  # 5 s of the 300 it has: it is not the time that ends it
            if names(sandbox) == {"there.csv"}:
                break
            await asyncio.sleep(0.01)
        await c.call_tool("sql_export", {"sql": "SELECT 1", "save_as": "a.csv"})
    assert names(sandbox) == {"there.csv", "a.csv"}
    assert (sandbox / "there.csv").read_text() == "mine"


async def test_a_long_export_tells_how_far_it_is(client: Connect, sandbox: Path) -> None:
    told: list[tuple[float, str | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    sql = {"export_timeout": 1.6}
    async with client(servers=["sql", "files"], sql=sql, files={"root": sandbox, "write": True}) as c:
        call = {"sql": ENDLESS, "save_as": "out.csv"}
        with pytest.raises(ToolError, match="Stopped after"):
            await c.call_tool("sql_export", call, progress_handler=heard)
    assert told
    assert told[0][0] > 1_000
    assert str(told[0][1]).startswith(f"{int(told[0][0]):,} rows, ")


@pytest.mark.slow
async def test_a_large_export_takes_no_more_memory_than_a_small_one(client: Connect, sandbox: Path) -> None:
    rows = partial(COUNTING.format, of="hex(zeroblob(500))")
    async with client(servers=["sql", "files"], files={"root": sandbox, "write": True}) as c:
        await c.call_tool("sql_export", {"sql": rows(most=2_000), "save_as": "small.csv"})
        before, most = memory(), 0
        call = {"sql": rows(most=100_000), "save_as": "large.csv"}
        large = asyncio.create_task(c.call_tool("sql_export", call))
        while not large.done():
            most = max(most, memory())
            await asyncio.sleep(0.02)
        assert (await large).structured_content is not None
    assert (sandbox / "large.csv").stat().st_size > 100_000_000
    assert most - before < 16_000_000
