"""Databases over real SQLite files: what comes back, how it is cut, and what happens when things go wrong."""

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from backends.sql import Databases, catalogue, refusals
from backends.sql.connection import FUNCTIONS, ReadOnlyConnection
from backends.sql.rows import read_page
from config import SqlSettings
from errors import Forbidden, Refusal, TooMuch, Unavailable, Unknown
from tests.processes import has_ended

ROOT = Path(__file__).parents[2]
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
# One opcode of about a minute: neither a progress handler nor an interrupt stops it.
STUCK = (
    "SELECT length(trim(a, b || 'a')) FROM (SELECT replace(hex(zeroblob(500000)), '0', 'a') a, "
    "replace(hex(zeroblob(100000)), '0', 'b') b)"
)
Open = Callable[..., AbstractAsyncContextManager[Databases]]


def make(path: Path, script: str = "") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE country (code TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
            CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x',
                               country_code TEXT REFERENCES country, population INTEGER);
            CREATE INDEX city_by_population ON city(population DESC);
            CREATE VIEW big_city AS SELECT name FROM city WHERE population > 9;
            INSERT INTO country VALUES ('PE', 'Peru'), ('FR', 'France');
            INSERT INTO city VALUES (1, 'Lima', 'PE', 10), (2, 'Cusco', 'PE', 4), (3, 'Paris', 'FR', 11);
            """
            + script
        )
    return path


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """A factory: `async with opened("CREATE TABLE ...", timeout=1) as databases` serves one made database."""

    @asynccontextmanager
    async def enter(
        script: str = "", others: dict[str, Path] | None = None, **over: Any
    ) -> AsyncIterator[Databases]:
        path = make(tmp_path / "main.db", script)
        settings = SqlSettings.model_validate({"databases": {"main": path, **(others or {})}, **over})
        async with Databases(settings) as databases:
            yield databases

    return enter


def children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end while we look
            found += map(int, (task / "children").read_text().split())
    return found


def file_size_limit(process: int) -> list[str]:
    limits = Path(f"/proc/{process}/limits").read_text().splitlines()
    return next(line for line in limits if line.startswith("Max file size")).split()[3:5]


# What comes back


async def test_rows_come_as_lists_with_the_columns_and_types_beside_them(opened: Open) -> None:
    async with opened() as databases:
        rows = await databases.query("SELECT name, population, 1.5 AS half, NULL AS n FROM city ORDER BY id")
    assert rows.columns == ("name", "population", "half", "n")
    assert rows.types == ("text", "integer", "real", "null")
    assert rows.rows[0] == ("Lima", 10, 1.5, None)
    assert (rows.row_count, rows.truncated, rows.next_offset) == (3, False, None)
    assert rows.elapsed_ms > 0


async def test_a_column_of_several_types_names_them_all(opened: Open) -> None:
    async with opened() as databases:
        rows = await databases.query("VALUES (1), ('a'), (NULL), (x'00'), (2.5)")
    assert rows.types == ("integer|real|text|blob",)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT name FROM city WHERE id = ?", [3]),
        ("SELECT name FROM city WHERE id = ?2 AND ?1 IS NULL", [None, 3]),
        ("SELECT name FROM city WHERE id = :id", {"id": 3}),
        ("SELECT name FROM city WHERE id = @id AND $flag", {"id": 3, "flag": True}),
    ],
)
async def test_parameters_are_bound_by_place_or_by_name(opened: Open, sql: str, params: Any) -> None:
    async with opened() as databases:
        assert (await databases.query(sql, params)).rows == [("Paris",)]


@pytest.mark.parametrize(
    ("sql", "params", "says"),
    [
        ("SELECT ?", [], "1"),
        ("SELECT ?", [1, 2], "1"),
        ("SELECT :a", {"b": 1}, "a"),
        ("SELECT ?", [[1]], "Parameter 1 "),
        ("SELECT :a", {"a": {}}, "Parameter 'a'"),
        ("SELECT ?", [2**63], "64 bits"),
    ],
)
async def test_parameters_that_do_not_fit_are_refused_in_words(
    opened: Open, sql: str, params: Any, says: str
) -> None:
    async with opened() as databases:
        with pytest.raises(Unknown, match=says):
            await databases.query(sql, params)


async def test_a_full_page_says_there_is_more_only_if_there_is(opened: Open) -> None:
    async with opened() as databases:
        sql = "SELECT id FROM city ORDER BY id"
        first = await databases.query(sql, limit=2)
        assert (first.rows, first.truncated, first.next_offset) == ([(1,), (2,)], True, 2)
        rest = await databases.query(sql, limit=2, offset=first.next_offset or 0)
        assert (rest.rows, rest.truncated, rest.next_offset) == ([(3,)], False, None)
        exact = await databases.query(sql, limit=3)
        assert (exact.row_count, exact.truncated) == (3, False)
        past = await databases.query(sql, offset=99)
        assert (past.rows, past.columns, past.truncated) == ([], ("id",), False)


@pytest.mark.parametrize("limit", [1, 2, 3, 127, 128, 129, 255, 256, 257, 999])
async def test_pages_of_any_size_join_to_the_whole(opened: Open, limit: int) -> None:
    async with opened() as databases:
        sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300) SELECT x FROM n"
        seen, offset = [], 0
        while True:
            page = await databases.query(sql, limit=limit, offset=offset)
            seen += page.rows
            if limit < 50 and offset > 20:
                break
            if page.next_offset is None:
                break
            offset = page.next_offset
    assert seen == [(x,) for x in range(1, len(seen) + 1)]
    assert len(seen) == 300 or limit < 50


async def test_more_rows_than_the_setting_allows_are_refused(opened: Open) -> None:
    async with opened(max_rows=5) as databases:
        with pytest.raises(TooMuch, match="at most 5"):
            await databases.query("SELECT 1", limit=6)


async def test_a_page_over_the_byte_budget_is_cut_and_goes_on_at_next_offset(opened: Open) -> None:
    rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 90)"
    sql = f"{rows} SELECT x, hex(zeroblob(500)) FROM n"
    async with opened(max_bytes=10_000) as databases:
        page = await databases.query(sql)
        assert 5 < page.row_count < 10
        assert page.truncated
        assert page.next_offset == page.row_count
        assert any("10,000 bytes" in notice for notice in page.notices)
        assert len(page.json_text()) < 11_000
        following = await databases.query(sql, offset=page.next_offset or 0)
        assert following.rows[0][0] == page.row_count + 1


async def test_text_that_grows_in_json_still_keeps_to_the_byte_budget(opened: Open) -> None:
    sql = "SELECT replace(hex(zeroblob(500)), '0', char(1)) FROM city, city b, city c"
    async with opened(max_bytes=20_000) as databases:
        page = await databases.query(sql)
    assert page.truncated
    assert 0 < len(page.json_text()) < 21_000


def test_no_more_than_the_byte_budget_leaves_the_child(tmp_path: Path) -> None:
    ask = {
        "sql": ENDLESS.replace("count(*)", "hex(zeroblob(x % 999))"),
        "params": (),
        "limit": 10**6,
        "offset": 0,
    }
    with closing(ReadOnlyConnection(f"{make(tmp_path / 'a.db').as_uri()}?mode=ro", 2**40)) as connection:
        parts: list[dict[str, Any]] = []
        page = read_page(connection, {**ask, "bytes": 350_000}, parts.append)
    assert page["cut"] == "bytes"
    assert len(parts) >= 2
    assert 340_000 < sum(len(piece) for part in [*parts, page] for piece in part["pieces"]) < 351_000


async def test_a_long_page_with_text_that_is_not_utf_8_at_its_end_has_each_row_once(opened: Open) -> None:
    sql = "SELECT id, CASE id WHEN 9000 THEN CAST(x'ff' AS TEXT) ELSE 'name' END FROM t ORDER BY id"
    rows = "WITH RECURSIVE t(id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM t LIMIT 9000) "
    async with opened() as databases:
        page = await databases.query(rows + sql, limit=10_000)
    assert [row[0] for row in page.rows] == list(range(1, 9001))
    assert page.rows[-1][1] == "�"
    assert json.loads(page.json_text())["rows"] == [list(row) for row in page.rows]


async def test_one_row_over_the_byte_budget_is_refused(opened: Open) -> None:
    async with opened(max_bytes=10_000) as databases:
        with pytest.raises(TooMuch, match="One row"):
            await databases.query("SELECT hex(zeroblob(50000))")


async def test_integers_beyond_2_53_are_text_and_named(opened: Open) -> None:
    async with opened() as databases:
        rows = await databases.query(
            f"SELECT {2**53} AS last, {2**53 + 1} AS long, {-(2**63) + 1} AS low, 5 AS short"
        )
    assert rows.rows == [(2**53, str(2**53 + 1), str(-(2**63) + 1), 5)]
    assert rows.notices == ("Integers beyond 2^53 are given as text, in 'long', 'low'.",)


async def test_a_blob_is_its_size_and_its_first_bytes(opened: Open) -> None:
    async with opened() as databases:
        rows = await databases.query("SELECT x'00ff', zeroblob(1000), x''")
    assert rows.rows == [
        ({"blob": 2, "hex": "00ff"}, {"blob": 1000, "hex": "00" * 32}, {"blob": 0, "hex": ""})
    ]
    json.loads(rows.json_text())


async def test_infinity_and_a_nul_stay_valid_json(opened: Open) -> None:
    async with opened() as databases:
        rows = await databases.query("SELECT 9e999, -9e999, 9e999 - 9e999, 'a' || char(0) || 'b', 1e308")
    assert json.loads(rows.json_text())["rows"] == [["Infinity", "-Infinity", None, "a\0b", 1e308]]


async def test_text_that_is_not_utf_8_is_shown_with_a_notice(opened: Open) -> None:
    async with opened("INSERT INTO country VALUES ('XX', CAST(x'4dfc6e6368656e' AS TEXT))") as databases:
        rows = await databases.query("SELECT name FROM country ORDER BY code")
        assert rows.rows == [("France",), ("Peru",), ("M�nchen",)]
        assert "not UTF-8" in rows.notices[0]
        assert (await databases.query("SELECT 'é'")).notices == ()


# Refusals that teach


@pytest.mark.parametrize(
    ("sql", "kind", "says"),
    [
        ("SELECT * FROM citys", Unknown, "no table 'citys'. Did you mean 'city'"),
        ("SELECT nme FROM city", Unknown, "no column 'nme'. Did you mean 'name'"),
        ("SELECT c.populaton FROM city c", Unknown, "Did you mean 'population'"),
        ("SELECT upperr(name) FROM city", Unknown, "no function 'upperr'. Did you mean 'upper'"),
        ("SELECT name FORM city", Unknown, "near 'city' (character 18)"),
        ("SELECT name FROM", Unknown, "ends too early"),
        ("SELECT count(*, 2) FROM city", Unknown, "Syntax error near ','"),
        ("SELECT id FROM city a, city b", Unknown, "ambiguous column name: id"),
        ("ATTACH 'x' AS y", Forbidden, "ATTACH is not allowed: this database is read-only"),
        ("vacuum", Forbidden, "VACUUM is not allowed"),
        ("/* x */ create table t(a)", Forbidden, "CREATE is not allowed"),
        ("WITH a AS (SELECT 1) DELETE FROM city", Forbidden, "DELETE is not allowed"),
        ("PRAGMA journal_mode = WAL", Forbidden, "PRAGMA journal_mode with a value is not allowed"),
        ("SELECT load_extension('x')", Forbidden, "function load_extension() is not allowed"),
        ("SELECT * FROM sqlite_stmt", Forbidden, "'sqlite_stmt' may not be read"),
        ("SELECT file FROM pragma_database_list", Forbidden, "engine's own may not be read"),
        ("BEGIN", Forbidden, "A transaction is not allowed"),
        ("SELECT 1; SELECT 2", Forbidden, "One statement a call"),
        ("", Unknown, "no statement"),
        ("  -- nothing\n", Unknown, "no statement"),
        ("SELECT '" + "a" * 100_000 + "'", TooMuch, "100,000"),
        (ENDLESS, TooMuch, "Stopped after 0.2 s"),
    ],
)
async def test_a_refusal_names_what_was_wrong_and_what_to_do(
    opened: Open, sql: str, kind: type[Refusal], says: str
) -> None:
    async with opened(timeout=0.2) as databases:
        with pytest.raises(kind) as refused:
            await databases.query(sql)
    assert says in str(refused.value)


async def test_an_unknown_database_is_refused_with_those_there_are(opened: Open, tmp_path: Path) -> None:
    async with opened(others={"sales": tmp_path / "sales.db"}) as databases:
        with pytest.raises(
            Unknown, match=r"no database 'sale'\. Did you mean 'sales'\? There are: 'main', 'sales'"
        ):
            await databases.query("SELECT 1", database="sale")


# Time, cancelling and company


@pytest.mark.parametrize("sql", [ENDLESS, STUCK])
async def test_a_statement_ends_at_its_time_even_inside_one_opcode(opened: Open, sql: str) -> None:
    async with opened(timeout=0.3) as databases:
        await databases.query("SELECT 1")
        started = time.perf_counter()
        with pytest.raises(TooMuch, match="Stopped after"):
            await databases.query(sql)
        assert time.perf_counter() - started < 1
        assert (await databases.query("SELECT 1")).rows == [(1,)]


async def seconds_until_the_next_is_answered(databases: Databases, sql: str) -> float:
    """After a call was cancelled, on a database with one connection."""
    await databases.query("SELECT 1")
    call = asyncio.create_task(databases.query(sql))
    await asyncio.sleep(0.15)  # long enough to count as a long one
    call.cancel()
    started = time.perf_counter()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await databases.query("SELECT 2")).rows == [(2,)]
    return time.perf_counter() - started


async def test_a_cancelled_call_stops_its_statement_within_50_ms_and_its_child_takes_the_next(
    opened: Open,
) -> None:
    async with opened(timeout=20, connections=1) as databases:
        await databases.query("SELECT 1")
        child = children()
        # The best of three, since the machine may have other things to do.
        assert min([await seconds_until_the_next_is_answered(databases, ENDLESS) for _ in range(3)]) < 0.05
        assert children() == child


async def test_a_cancelled_call_that_heeds_nothing_ends_with_its_child(opened: Open) -> None:
    async with opened(timeout=20, connections=1) as databases:
        await databases.query("SELECT 1")
        child = children()
        # 50 ms until it is killed, 30 for a new one.
        assert min([await seconds_until_the_next_is_answered(databases, STUCK) for _ in range(3)]) < 0.2
        assert not set(children()) & set(child)


async def test_cancelling_a_hundred_calls_at_odd_times_leaves_children_that_answer_rightly(
    opened: Open,
) -> None:
    async with opened(timeout=20, connections=2) as databases:
        rows = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        for number in range(100):
            call = asyncio.create_task(databases.query(f"{rows} SELECT i, {number} FROM n", limit=9999))
            await asyncio.sleep(number % 25 / 1000)
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            if not number % 10:
                page = await databases.query(f"{rows} SELECT i, {number} FROM n", limit=9999)
                assert (page.row_count, page.rows[0], page.rows[-1]) == (5000, (1, number), (5000, number))


async def test_slow_queries_leave_a_turn_to_a_fast_one(opened: Open) -> None:
    async with opened(timeout=3, connections=3) as databases:
        slow = [asyncio.create_task(databases.query(ENDLESS)) for _ in range(8)]
        await asyncio.sleep(1)
        took = []
        for _ in range(5):
            started = time.perf_counter()
            await databases.query("SELECT 1")
            took.append(time.perf_counter() - started)
        for call in slow:
            call.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
    assert sorted(took)[2] < 0.1


async def test_a_slow_query_that_had_to_wait_begins_anew_and_is_answered_whole(opened: Open) -> None:
    rows = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 900000)"
    async with opened(timeout=20, connections=2) as databases:
        calls = (databases.query(f"{rows} SELECT {number}, count(*) FROM n") for number in range(5))
        pages = await asyncio.gather(*calls)
    assert [page.rows for page in pages] == [[(number, 900_000)] for number in range(5)]


async def test_a_call_cancelled_before_its_child_has_started_leaves_none(opened: Open) -> None:
    async with opened() as databases:
        for wait in (0, 0.001, 0.005, 0.02):
            call = asyncio.create_task(databases.query(ENDLESS))
            await asyncio.sleep(wait)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await databases.query("SELECT 1")).rows == [(1,)]
    assert children() == []


async def test_a_slow_query_does_not_delay_a_fast_one(opened: Open) -> None:
    async with opened(timeout=20, connections=4) as databases:
        slow = [asyncio.create_task(databases.query(sql)) for sql in (ENDLESS, STUCK, ENDLESS)]
        await databases.query("SELECT 1")
        started = time.perf_counter()
        for _ in range(10):
            await databases.query("SELECT 1")
        assert time.perf_counter() - started < 1  # 0.01 on a machine of its own
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_a_query_too_many_waits_its_time_and_is_then_told_to_come_back(opened: Open) -> None:
    async with opened(timeout=0.4, connections=1) as databases:
        running = asyncio.create_task(databases.query(ENDLESS))
        await asyncio.sleep(0.05)
        waiting = await asyncio.gather(*(databases.query(STUCK) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, TooMuch) for outcome in waiting)
        assert any("already" in str(outcome) for outcome in waiting)
        with pytest.raises(TooMuch):
            await running


async def test_many_callers_at_once_all_get_their_own_answer(opened: Open) -> None:
    async with opened(connections=3) as databases:
        answers = await asyncio.gather(*(databases.query("SELECT ? AS n", [n]) for n in range(200)))
        assert [answer.rows for answer in answers] == [[(n,)] for n in range(200)]
        assert len(children()) <= 3


async def test_progress_is_reported_while_a_statement_runs(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.sql.databases.REPORT_SECONDS", 0.05)
    told: list[tuple[float, float]] = []

    async def report(gone: float, all_there_is: float) -> None:
        told.append((gone, all_there_is))

    async with opened(timeout=0.3) as databases:
        with pytest.raises(TooMuch):
            await databases.query(ENDLESS, report=report)
    assert len(told) >= 3
    assert told[0] == (0.05, 0.3)


# The child


async def test_no_child_starts_before_the_first_question_and_none_is_left(opened: Open) -> None:
    async with opened() as databases:
        await databases.health()
        assert children() == []
        await databases.query("SELECT 1")
        assert len(children()) == 1
    assert children() == []


async def test_it_can_be_entered_again(tmp_path: Path) -> None:
    databases = Databases(SqlSettings.model_validate({"databases": {"main": make(tmp_path / "a.db")}}))
    for _ in range(2):
        async with databases:
            assert (await databases.query("SELECT 1")).rows == [(1,)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_kernel_lets_a_child_write_to_no_file(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        assert file_size_limit(children()[0]) == ["0", "0"]


async def test_one_long_value_in_two_thousand_columns_is_too_much(opened: Open) -> None:
    async with opened(timeout=5) as databases:  # 8 GB of text, of which SQLite itself holds 4 MB
        with pytest.raises(TooMuch, match="memory"):
            await databases.query("SELECT " + ", ".join(["?1"] * 2_000), ["a" * 4_000_000])


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
async def test_a_ctrl_c_at_the_terminal_does_not_reach_a_child(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        assert os.getpgid(children()[0]) != os.getpgid(0)


async def test_a_child_that_is_killed_is_replaced(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        os.kill(children()[0], signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert (await databases.query("SELECT 1")).rows == [(1,)]


async def test_a_child_that_has_swollen_is_replaced(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        before = children()
        doubled = ", ".join(f"c{n}(x) AS (SELECT a.x FROM c{n - 1} a, c{n - 1} b)" for n in range(1, 30))
        with pytest.raises(TooMuch, match="memory"):
            await databases.query(f"WITH c0(x) AS (SELECT 1), {doubled} SELECT * FROM c29")
        await databases.query("SELECT 1")
        assert children() != before


def test_sqlite_keeps_to_its_memory_where_the_kernel_sets_no_limit(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql.connection import ReadOnlyConnection
connection = ReadOnlyConnection({path.as_uri()!r} + "?mode=ro", 20_000_000)
try:
    connection.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 2000) "
        "SELECT randomblob(100000) AS r FROM n ORDER BY r").fetchone()
except MemoryError:
    print("stopped")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "stopped\n"


def test_children_end_when_the_server_is_killed(tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql import Databases
from backends.sql.connection import ReadOnlyConnection
from backends.sql.rows import read_page
from config import SqlSettings
async def main():
    settings = SqlSettings.model_validate(dict(databases=dict(a={str(tmp_path / "a.db")!r}), timeout=30))
    async with Databases(settings) as databases:
        await databases.query("SELECT 1")
        worker, = databases._pools["a"]._workers
        print(worker._process.pid, flush=True)
        await asyncio.sleep(30)
asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    child = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.close()
    assert has_ended(child)


# What there is


async def test_tables_are_listed_with_columns_and_rows_and_without_the_insides_of_indexes(
    opened: Open,
) -> None:
    script = """
        CREATE VIRTUAL TABLE story USING fts5(title, body); INSERT INTO story VALUES ('a', 'b');
        CREATE TABLE counted (a); INSERT INTO counted VALUES (1), (2); CREATE INDEX i ON counted(a);
        ANALYZE counted; INSERT INTO counted VALUES (3);
    """
    async with opened(script) as databases:
        listed = await databases.list_tables()
    told = {entry.name: (entry.kind, entry.columns, entry.rows, entry.approximate) for entry in listed.tables}
    assert told == {
        "big_city": ("view", 1, 2, False),
        "city": ("table", 4, 3, False),
        "country": ("table", 2, 2, False),
        "counted": ("table", 1, 2, True),
        "story": ("virtual", 2, 1, False),
    }
    assert (listed.database, listed.other_databases) == ("main", ())


async def test_a_table_too_long_to_count_is_listed_without_its_rows(opened: Open) -> None:
    async with opened(f"CREATE VIEW endless AS {ENDLESS}") as databases:
        listed = await databases.list_tables()
    assert {entry.name: entry.rows for entry in listed.tables}["endless"] is None


async def test_a_table_whose_count_gets_stuck_is_listed_without_its_rows_too(opened: Open) -> None:
    async with opened(f"CREATE VIEW stuck AS {STUCK}") as databases:
        listed = await databases.list_tables()
    assert {entry.name: entry.rows for entry in listed.tables}["stuck"] in (None, 1)


async def test_a_broken_view_does_not_hide_the_rest(opened: Open) -> None:
    async with opened("CREATE VIEW broken AS SELECT * FROM gone") as databases:
        assert {entry.name for entry in (await databases.list_tables()).tables} > {"broken", "city"}
        with pytest.raises(Unknown, match=r"no table 'main\.gone'"):
            await databases.query("SELECT * FROM broken")
        detail = await databases.describe_table("broken")
        assert detail.columns == ()
        assert "gone" in detail.notices[0]
        with pytest.raises(Unknown, match="Did you mean 'city'"):
            await databases.query("SELECT * FROM citty")


async def test_a_table_is_described_with_keys_indexes_references_and_a_sample(opened: Open) -> None:
    async with opened() as databases:
        city = await databases.describe_table("CITY")
    assert [(c.name, c.type, c.required, c.key, c.default) for c in city.columns] == [
        ("id", "INTEGER", False, 1, None),
        ("name", "TEXT", True, 0, "'x'"),
        ("country_code", "TEXT", False, 0, None),
        ("population", "INTEGER", False, 0, None),
    ]
    assert city.indexes == ("city_by_population (population)",)
    assert city.references == ("(country_code) REFERENCES country",)
    assert city.sample == [(1, "Lima", "PE", 10), (2, "Cusco", "PE", 4), (3, "Paris", "FR", 11)]
    assert (city.name, city.kind, city.rows, city.approximate) == ("city", "table", 3, False)


async def test_composite_keys_and_expression_indexes_are_told(opened: Open) -> None:
    script = """
        CREATE TABLE part (a, b, c, PRIMARY KEY (b, a), UNIQUE (c));
        CREATE INDEX part_lower ON part(lower(c), a);
        CREATE TABLE holds (x, y, FOREIGN KEY (x, y) REFERENCES part(b, a));
    """
    async with opened(script) as databases:
        part, holds = await databases.describe_table("part"), await databases.describe_table("holds")
    assert {column.name: column.key for column in part.columns} == {"a": 2, "b": 1, "c": 0}
    assert "part_lower ((expression), a)" in part.indexes
    assert any(index.startswith("UNIQUE ") and index.endswith("(c)") for index in part.indexes)
    assert holds.references == ("(x, y) REFERENCES part (b, a)",)


@pytest.mark.parametrize(
    "name", ['a"b', "odd name", "[x]", "t; DROP TABLE city; --", "é", "select", "a'b", "%s"]
)
async def test_a_table_of_any_name_can_be_listed_described_and_asked(opened: Open, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    async with opened(f"CREATE TABLE {quoted} ({quoted} INT); INSERT INTO {quoted} VALUES (7);") as databases:
        assert name in {entry.name for entry in (await databases.list_tables()).tables}
        detail = await databases.describe_table(name)
        assert detail.columns[0].name == name
        assert detail.sample == [(7,)]
        assert (await databases.query(f"SELECT * FROM {quoted}")).columns == (name,)


async def test_a_sample_shortens_long_text(opened: Open) -> None:
    async with opened("CREATE TABLE long (t); INSERT INTO long VALUES (hex(zeroblob(5000)))") as databases:
        ((text,),) = (await databases.describe_table("long")).sample
    assert text == "0" * 200 + "…"


async def test_an_unknown_table_is_refused_with_the_nearest(opened: Open) -> None:
    async with opened() as databases:
        with pytest.raises(
            Unknown, match=r"no table 'contry' in 'main'\. Did you mean 'country' or 'city'\? sql_list"
        ):
            await databases.describe_table("contry")


@pytest.mark.parametrize(
    ("sql", "steps", "scans", "sorts"),
    [
        (
            "SELECT name FROM city WHERE id = 1",
            ["finds rows of city by its primary key (rowid=?)"],
            (),
            False,
        ),
        ("SELECT name FROM city", ["reads every row of city (about 3)"], ("city",), False),
        (
            "SELECT name FROM city ORDER BY name",
            ["reads every row of city (about 3)", "sorts for ORDER BY"],
            ("city",),
            True,
        ),
        (
            "SELECT name FROM city WHERE population > ?",
            ["finds rows of city by index city_by_population (population>?)"],
            (),
            False,
        ),
        (
            "SELECT name FROM city ORDER BY population",
            ["reads every row of city (about 3) in the order of index city_by_population"],
            ("city",),
            False,
        ),
        (
            "SELECT k.name FROM city c JOIN country k ON k.code = c.country_code",
            [
                "reads every row of city (c) (about 3)",
                "finds rows of country (k) by its primary key (code=?)",
            ],
            ("city",),
            False,
        ),
    ],
)
async def test_a_plan_is_told_in_words(
    opened: Open, sql: str, steps: list[str], scans: tuple[str, ...], sorts: bool
) -> None:
    async with opened() as databases:
        plan = await databases.explain(sql, [1] if "?" in sql else None)
    assert (list(plan.steps), plan.scans, plan.sorts) == (steps, scans, sorts)


ORDERS = """
CREATE TABLE client (id INTEGER PRIMARY KEY, name TEXT, town TEXT);
CREATE TABLE bill (id INTEGER PRIMARY KEY, client_id INTEGER, total REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)
INSERT INTO client SELECT i, 'name ' || i, 'town ' || (i % 100) FROM n;
INSERT INTO bill SELECT id, id % 50, id * 1.5 FROM client;
"""
SLOW = "SELECT count(*) FROM client a, client b, client c WHERE a.town > b.town AND b.town > c.town"


@pytest.mark.parametrize("script", [ORDERS, ORDERS + "ANALYZE;"], ids=["counted", "analysed"])
async def test_a_plan_estimates_the_rows_it_looks_at(opened: Open, script: str) -> None:
    async with opened(script) as databases:
        one = await databases.explain("SELECT * FROM client WHERE id = 7")
        whole = await databases.explain("SELECT * FROM client WHERE name LIKE '%7'")
        nested = await databases.explain(
            "SELECT * FROM client a CROSS JOIN client b WHERE a.name < b.name ORDER BY a.name"
        )
        none = await databases.explain("SELECT 1")
    assert (one.rows_read, whole.rows_read, nested.rows_read) == (1, 2_000, 2_000 + 2_000**2)
    assert none.rows_read is None


async def test_a_plan_names_an_index_that_sqlite_would_use_and_no_other(opened: Open) -> None:
    async with opened(ORDERS) as databases:
        wanting = await databases.explain("SELECT * FROM client c WHERE town = ? AND name LIKE ?", ["a", "b"])
        served = await databases.explain("SELECT * FROM city WHERE population > 3")
        hopeless = await databases.explain("SELECT * FROM client WHERE name LIKE '%a%'")
        joined = await databases.explain("SELECT * FROM client c JOIN bill b ON b.client_id = c.id")
        twice = await databases.explain("SELECT * FROM client c WHERE town = ? AND name LIKE ?", ["a", "b"])
    assert wanting.helpful_indexes == twice.helpful_indexes == ("client(town)",)
    assert served.helpful_indexes == hopeless.helpful_indexes == joined.helpful_indexes == ()


async def test_a_plan_through_a_view_names_the_tables_behind_it(opened: Open) -> None:
    view = """CREATE VIEW debtor AS
    SELECT k.town AS place, b.total FROM client AS k JOIN bill b ON b.client_id = k.id;"""
    async with opened(ORDERS + view) as databases:
        plan = await databases.explain("SELECT * FROM debtor WHERE total > 5")
    assert plan.steps == (
        "reads every row of bill (b) (about 2,000)",
        "finds rows of client (k) by its primary key (rowid=?)",
    )


async def test_a_statement_that_took_too_long_is_told_what_it_scanned_and_which_index_would_help(
    opened: Open,
) -> None:
    async with opened(ORDERS, timeout=0.2) as databases:
        with pytest.raises(TooMuch) as scanned:
            await databases.query(SLOW)
        with pytest.raises(TooMuch) as stuck:
            await databases.query(STUCK)
    assert str(scanned.value).startswith("Stopped after 0.2 s. It reads every row of ")
    assert "(about 2,000)" in str(scanned.value)
    assert re.search(r"An index on client\(town\) would help", str(scanned.value))
    assert str(stuck.value).startswith("Stopped after 0.2 s. Ask for less")


async def test_a_schema_that_cannot_be_copied_costs_the_advice_only(opened: Open) -> None:
    odd = """CREATE TABLE "odd ""name" ("a b" TEXT, c GENERATED ALWAYS AS (length("a b")));
    CREATE VIEW broken AS SELECT a FROM nowhere; CREATE VIRTUAL TABLE note USING fts5(text);"""
    async with opened(odd) as databases:
        plan = await databases.explain('SELECT * FROM "odd ""name" WHERE "a b" = ?', ["x"])
        found = await databases.explain("SELECT * FROM note WHERE note MATCH 'x'")
    assert plan.scans == ('odd "name',)
    assert plan.helpful_indexes == ('odd "name(a b)',)
    assert found.helpful_indexes == ()


async def test_a_very_long_schema_is_cut_and_says_so(opened: Open) -> None:
    script = "".join(f"CREATE TABLE t{n} (a TEXT /* {'x' * 1000} */);" for n in range(60))
    wide = f"CREATE TABLE wide (a TEXT /* {'y' * 30_000} */);"
    async with opened(script + wide) as databases:
        schema = await databases.schema()
        document = await databases.document_table("wide")
    assert len(schema) < 25_000
    assert re.search(r"\n-- and \d+ more: sql_list_tables shows all$", schema)
    assert len(document.definition) == 10_001
    assert document.notices == ("The definition is cut at 10,000 characters.",)


async def test_a_blob_comes_whole_as_base64_when_asked_for(opened: Open) -> None:
    raw = bytes(range(256)) * 40
    async with opened() as databases:
        rows = await databases.query(f"SELECT base64(x'{raw.hex()}'), base64(NULL), base64('é')")
        short = await databases.query(f"SELECT x'{raw.hex()}' AS photo")
        with pytest.raises(TooMuch):
            await databases.query("SELECT base64(zeroblob(15000000))")
        for odd in ("12", "1e15", "CAST(x'ff' AS TEXT)"):  # SQLite's own text of them is not ours to know
            with pytest.raises(Unknown, match=r"base64\(CAST\(value AS BLOB\)\)"):
                await databases.query(f"SELECT base64({odd})")
    assert rows.rows == [(base64.b64encode(raw).decode(), None, "w6k=")]
    assert short.rows == [({"blob": len(raw), "hex": raw[:32].hex()},)]
    assert short.notices == ("Blobs are given as size and first bytes; base64(column) gives one whole.",)


async def test_a_plan_for_what_is_not_allowed_is_refused_too(opened: Open) -> None:
    async with opened() as databases:
        with pytest.raises(Forbidden, match="DELETE is not allowed"):
            await databases.explain("DELETE FROM city")
        with pytest.raises(Unknown, match="without EXPLAIN"):
            await databases.explain("EXPLAIN SELECT 1")
        with pytest.raises(Unknown, match=r"near 'FROM' \(character 8\)"):
            await databases.explain("SELECT FROM city")


# Databases that are not well


async def test_a_missing_and_a_broken_database_say_so_and_the_others_still_serve(
    opened: Open, tmp_path: Path
) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "folder.db").mkdir()
    others = {name: tmp_path / f"{name}.db" for name in ("missing", "broken", "folder")}
    async with opened(others=others) as databases:
        for name, says in [
            ("missing", "is not there"),
            ("broken", "not a SQLite"),
            ("folder", "not a SQLite"),
        ]:
            with pytest.raises(Unavailable) as refused:
                await databases.query("SELECT 1", database=name)
            assert says in str(refused.value)
            assert "'main'" in str(refused.value)
            assert str(tmp_path) not in str(refused.value)
        assert (await databases.query("SELECT 1")).rows == [(1,)]
        health = await databases.health()
        assert health.state == "degraded"
        assert {p.name: p.state for p in health.providers} == {
            "main": "ready",
            "missing": "missing",
            "broken": "failing",
            "folder": "failing",
        }
        assert str(tmp_path) not in health.model_dump_json()
        assert health.mend


async def test_a_database_that_appears_is_served_from_then_on(tmp_path: Path) -> None:
    settings = SqlSettings.model_validate({"databases": {"late": tmp_path / "late.db"}})
    async with Databases(settings) as databases:
        with pytest.raises(Unavailable):
            await databases.query("SELECT 1")
        assert (await databases.health()).state == "unavailable"
        make(tmp_path / "late.db")
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(3,)]
        assert (await databases.health()).state == "ready"


async def test_a_file_put_in_place_of_another_is_the_one_that_is_read(opened: Open, tmp_path: Path) -> None:
    async with opened() as databases:
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(3,)]
        slow = ENDLESS.replace("FROM n)", "FROM n LIMIT 1000000)")
        in_flight = asyncio.create_task(databases.query(slow))
        await asyncio.sleep(0.02)
        make(tmp_path / "new.db", "DELETE FROM city;").replace(tmp_path / "main.db")
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(0,)]
        await in_flight
        again = await asyncio.gather(*(databases.query("SELECT count(*) FROM city") for _ in range(3)))
        assert [answer.rows for answer in again] == [[(0,)]] * 3


async def test_a_damaged_page_is_unavailable_not_a_crash(opened: Open, tmp_path: Path) -> None:
    script = (
        "CREATE TABLE big (t); WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500) "
    )
    async with opened(script + "INSERT INTO big SELECT hex(randomblob(500)) FROM n;") as databases:
        with (tmp_path / "main.db").open("r+b") as file:
            file.seek(20 * 4096)
            file.write(b"\xff" * 4096 * 20)
        with pytest.raises(Unavailable, match="damaged"):
            await databases.query("SELECT sum(length(t)) FROM big")


async def test_a_locked_database_is_unavailable_until_it_is_free(opened: Open, tmp_path: Path) -> None:
    hold = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1]); held.execute('BEGIN EXCLUSIVE'); "
        "print('held', flush=True); input()"
    )
    async with opened() as databases:
        command = [sys.executable, "-c", hold, str(tmp_path / "main.db")]
        # Another program: within ours, closing any handle of a file drops the locks that we hold on it.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:  # noqa: ASYNC220 - it is awaited by nobody
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"held\n"
            with pytest.raises(Unavailable, match="locked"):
                await databases.query("SELECT * FROM city")
            assert (await databases.health()).state == "unavailable"
            writer.communicate(b"\n")
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(3,)]
        assert (await databases.health()).state == "ready"


async def test_what_another_program_writes_is_seen_at_once_with_a_write_ahead_log_too(
    opened: Open, tmp_path: Path
) -> None:
    async with opened("PRAGMA journal_mode = WAL;") as databases:
        with closing(sqlite3.connect(tmp_path / "main.db", isolation_level=None)) as writer:
            for count in (4, 5, 6):
                writer.execute("INSERT INTO city(name) VALUES ('new')")
                assert (await databases.query("SELECT count(*) FROM city")).rows == [(count,)]
            writer.execute("ALTER TABLE city ADD COLUMN mayor")
            assert "mayor" in (await databases.query("SELECT * FROM city")).columns


async def test_virtual_tables_still_answer_after_another_program_changed_the_schema(
    opened: Open, tmp_path: Path
) -> None:
    script = "CREATE VIRTUAL TABLE box USING rtree(id, a, b); INSERT INTO box VALUES (1, 2, 3);"
    async with opened(script) as databases:
        assert (await databases.query("SELECT id FROM box")).rows == [(1,)]
        with closing(sqlite3.connect(tmp_path / "main.db")) as writer:
            writer.execute("CREATE TABLE other (a)")
            writer.executescript("CREATE VIRTUAL TABLE story USING fts5(t); INSERT INTO story VALUES ('a');")
        assert (await databases.query("SELECT id FROM box")).rows == [(1,)]
        assert (await databases.query("SELECT t FROM story WHERE story MATCH 'a'")).rows == [("a",)]
        with pytest.raises(Forbidden):
            await databases.query("INSERT INTO box VALUES (2, 2, 3)")


def _read_only_mount(place: Path) -> list[str]:
    """A command that runs another with `place` mounted read-only, or a skip where that is not permitted."""
    mount = f"mount --bind '{place}' '{place}' && mount -o remount,ro,bind '{place}' && exec \"$@\""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
    try:
        permitted = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        permitted = False
    if not permitted:
        if os.environ.get("TEST_REQUIRE_ALL") == "1":
            pytest.fail("a read-only mount needs unshare and the right to mount")
        pytest.skip("a read-only mount needs unshare and the right to mount")
    return command


def test_a_wal_database_on_a_read_only_mount_opens_and_health_says_how(tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    make(place / "wal.db", "PRAGMA journal_mode = WAL;")
    for beside in ("wal.db-wal", "wal.db-shm"):
        (place / beside).unlink(missing_ok=True)
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql import Databases
from backends.sql.connection import ReadOnlyConnection
from backends.sql.rows import read_page
from config import SqlSettings
async def main():
    settings = SqlSettings.model_validate(dict(databases=dict(wal={str(place / "wal.db")!r})))
    async with Databases(settings) as databases:
        print((await databases.query("SELECT count(*) FROM city")).rows)
        print((await databases.query("SELECT count(*) FROM country")).rows)
        print((await databases.health()).model_dump_json())
asyncio.run(main())
"""
    run = subprocess.run(
        [*_read_only_mount(place), sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    city, country, health = run.stdout.splitlines()
    assert (city, country) == ("[(3,)]", "[(2,)]")
    assert json.loads(health)["state"] == "ready"
    assert "read-only (immutable=1, authorizer, child process)" in json.loads(health)["summary"]


# Health and completion


async def test_health_is_cheap_and_asks_only_when_told_to(opened: Open) -> None:
    async with opened() as databases:
        health = await databases.health()
        mode = "read-only (mode=ro, authorizer, child process)"
        assert (health.state, health.summary) == ("ready", f"main: {mode}.")
        assert health.providers[0].state == "untried"
        probed = await databases.health(probe=True)
        assert probed.providers[0].state == "ready"


async def test_databases_and_tables_complete_from_what_was_typed(opened: Open, tmp_path: Path) -> None:
    async with opened(others={"sales": tmp_path / "sales.db"}) as databases:
        complete = databases.completers()
        assert await complete["database"]("", {}) == ["main", "sales"]
        assert await complete["database"]("SA", {}) == ["sales"]
        assert sorted(await complete["table"]("c", {"database": "main"})) == ["city", "country"]
        assert await complete["table"]("", {"database": "sales"}) == []
        assert await complete["table"]("", {"database": "nowhere"}) == []


async def test_the_shipped_database_answers(tmp_path: Path) -> None:
    shutil.copy(ROOT / "data/world.db", tmp_path)
    settings = SqlSettings.model_validate({"databases": {"world": tmp_path / "world.db"}})
    async with Databases(settings) as databases:
        rows = await databases.query(
            "SELECT name FROM city WHERE country_code = 'PE' ORDER BY population DESC", limit=1
        )
        assert rows.rows == [("Lima",)]
        found = await databases.query("SELECT norm FROM city_trgm WHERE city_trgm MATCH 'lim' LIMIT 5")
        assert len(found.rows) == 5


# Looking and not finding, and failing to look


async def test_the_catalogue_keeps_to_its_own_limits_not_to_a_page_s(opened: Open) -> None:
    tables = "".join(f"CREATE TABLE t{n} (a, b);" for n in range(600))
    wide = f"CREATE TABLE wide ({', '.join(f'a_rather_long_name_{n}' for n in range(1_500))});"
    async with opened(tables + wide, max_bytes=10_000, max_rows=3, timeout=0.1) as databases:
        listed = await databases.list_tables()
        assert len(listed.tables) == 604
        assert listed.notices == ()
        assert len((await databases.describe_table("WIDE")).columns) == 1_500
        plan = await databases.explain(
            "SELECT * FROM t1, t2, t3, t4, t5 WHERE t1.a = t2.a AND t2.a = t3.a ORDER BY t5.b, t4.b, t1.b"
        )
        assert plan.sorts


async def test_a_catalogue_cut_at_its_own_limit_says_so(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MOST_ROWS", 2)
    monkeypatch.setattr(catalogue, "MOST_LISTED", 1)
    async with opened() as databases:
        listed = await databases.list_tables()
        assert len(listed.tables) == 1
        (notice,) = listed.notices
        assert notice.startswith("Only the first 1 tables are listed; SELECT name FROM sqlite_schema")
        country = await databases.describe_table("country")
        assert country.notices == ()
        city = await databases.describe_table("city")
        assert city.notices == ("Only the first 2 columns are listed.",)


async def test_a_catalogue_that_cannot_be_read_is_not_an_empty_one(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "SECONDS", 1e-9)
    async with opened() as databases:
        for asking in (databases.list_tables(), databases.describe_table("city")):
            with pytest.raises(Unavailable, match="could not be read from 'main'"):
                await asking


# Names in double quotes


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            'SELECT count(*) FROM city WHERE "populaton" > 9',
            "no column 'populaton'. Did you mean 'population'? Text is written in single quotes.",
        ),
        ('SELECT id FROM city WHERE name = "Lima"', "Text is written in single quotes."),
        ('SELECT id FROM city WHERE name <> ""', "Text is written in single quotes."),
        ('SELECT \'"a"\', "it""s `x`" FROM city', "There is no column"),
    ],
)
@pytest.mark.parametrize("how", ["query", "explain"])
async def test_an_unknown_name_in_double_quotes_is_not_read_as_text(
    opened: Open, how: str, sql: str, told: str
) -> None:
    async with opened() as databases:
        with pytest.raises(Unknown) as caught:
            await getattr(databases, how)(sql)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "name" AS "the name", \'"none"\' FROM "city" AS "c" WHERE "c"."id" = 1 ORDER BY "the name"',
        'WITH "w" AS (SELECT "id" "n" FROM main."city") SELECT "n" FROM "w" -- "none"',
        'SELECT "odd `name`""" FROM odd /* "none" */',
        'PRAGMA table_info("city")',
        "SELECT [name], `name`, '\"' FROM city",
        "SELECT * FROM leaning",
    ],
)
async def test_names_in_double_quotes_that_are_names_work(opened: Open, sql: str) -> None:
    odd = 'CREATE TABLE odd ("odd `name`""" TEXT); CREATE VIEW leaning AS SELECT name = "Lima" FROM city;'
    async with opened(odd) as databases:
        await databases.query(sql)
        assert (await databases.query('SELECT "id" + 1 FROM city')).columns == ('"id" + 1',)


@pytest.mark.parametrize("sql", ["SELECT 1;;", "SELECT 1 ; ;\n ;"])
async def test_semicolons_too_many_are_no_second_statement(opened: Open, sql: str) -> None:
    async with opened() as databases:
        assert (await databases.query(sql)).rows == [(1,)]


async def test_a_function_that_this_sqlite_lacks_is_not_suggested(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FUNCTIONS", FUNCTIONS | {"qqxyzzy"})
    async with opened() as databases:
        for name in ("qqxyzzy", "qqxyzzyy"):
            with pytest.raises(Unknown, match=f"There is no function '{name}'.$"):
                await databases.query(f"SELECT {name}(id) FROM city")
        with pytest.raises(Unknown, match="Did you mean 'lower'"):
            await databases.query("SELECT lowr(name) FROM city")


async def test_a_parameter_of_any_name_is_refused_on_one_line(opened: Open) -> None:
    async with opened() as databases:
        unfit: tuple[Any, ...] = ([], 2**70)
        for value in unfit:
            with pytest.raises(Unknown, match=r"^Parameter 'a b \[31m' is an? "):
                await databases.query("SELECT 1", {"a\nb\x1b[31m": value})


async def test_a_sample_that_takes_too_long_says_so(opened: Open) -> None:
    async with opened(f"CREATE VIEW endless AS {ENDLESS}") as databases:
        assert (await databases.describe_table("endless")).notices == ("No sample: it took too long.",)


# What is left behind


def test_a_child_in_the_middle_of_a_statement_ends_with_its_killed_server(tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql import Databases
from config import SqlSettings
async def main():
    settings = SqlSettings.model_validate(dict(databases=dict(a={str(tmp_path / "a.db")!r}), timeout=30))
    async with Databases(settings) as databases:
        await databases.query("SELECT 1")
        worker, = databases._pools["a"]._workers
        asking = asyncio.create_task(databases.query({ENDLESS!r}))
        await asyncio.sleep(0.3)
        print(worker._process.pid, flush=True)
        await asking
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        server.kill()
    if not (ended := has_ended(child)):
        os.kill(child, signal.SIGKILL)
    assert ended
