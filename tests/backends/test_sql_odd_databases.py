"""Databases that are hostile themselves, or large where none is expected to be; each through the backend."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from backends.sql import Databases
from config import SqlSettings
from errors import Refusal, TooMuch, Unavailable, Unknown


def made(path: Path, script: str) -> Path:
    """A database in which SQLite's own tables may have been written to."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    return path


def of(path: Path, **settings: object) -> Databases:
    return Databases(SqlSettings.model_validate({"databases": {"odd": path}, **settings}))


async def longest_hold(work: Callable[[], object]) -> float:
    """Seconds for which the event loop stood still at most while `work` was awaited."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    try:
        await work()  # type: ignore[misc]  # whatever can be awaited
    finally:
        watching.cancel()
    return worst


NORMAL = "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y');"
HOSTILE = {
    "a blob for a table in the statistics": "ANALYZE; INSERT INTO sqlite_stat1 VALUES (x'00ff', NULL, '5');",
    "a digit that is none in the statistics": "ANALYZE; INSERT INTO sqlite_stat1 VALUES ('t', NULL, '²');",
    "a blob for numbers in the statistics": "ANALYZE; INSERT INTO sqlite_stat1 VALUES ('t', NULL, x'ff');",
    "a virtual table whose name is a blob": "PRAGMA writable_schema=1; INSERT INTO sqlite_schema "
    "VALUES ('table', x'6161', 'aa', 0, 'CREATE VIRTUAL TABLE aa USING fts5(x)');",
    "a view over nothing": "CREATE VIEW v AS SELECT * FROM gone;",
    "a view over itself": "CREATE VIEW v AS SELECT * FROM w; CREATE VIEW w AS SELECT * FROM v;",
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_schema_leaves_the_other_tables_readable(tmp_path: Path, script: str) -> None:
    async with of(made(tmp_path / "odd.db", NORMAL + script)) as databases:
        assert (await databases.query("SELECT a FROM t ORDER BY a")).rows == [(1,), (2,)]
        assert "t" in [table.name for table in (await databases.list_tables()).tables]
        assert (await databases.describe_table("t")).columns[1].name == "b"
        assert "reads every row of t" in (await databases.explain("SELECT * FROM t")).steps[0]
        assert "CREATE TABLE t" in (await databases.document_table("t")).definition
        assert "CREATE TABLE t" in await databases.schema()


ENDLESS = (
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'a' || x AS k, x AS v FROM n"
)
# Views that prepare to 2^40 selects: it ends with the child that tries.
DOUBLING = "CREATE VIEW v0 AS SELECT 1 AS a;" + "".join(
    f"CREATE VIEW v{n} AS SELECT a.a FROM v{n - 1} a, v{n - 1} b;" for n in range(1, 40)
)
LARGE = {
    "views that double": DOUBLING,
    "megabytes of statistics": "ANALYZE; INSERT INTO sqlite_stat1 SELECT 't', NULL, hex(zeroblob(7000000)) "
    "FROM (VALUES (1), (2), (3), (4), (5), (6));",
    "a virtual table that connects without end": "CREATE VIRTUAL TABLE f USING fts5(x); DROP TABLE f_config; "
    f"CREATE VIEW f_config AS {ENDLESS} WHERE x < 0;",
    "megabytes of names": "".join(f'CREATE TABLE "{"n" * 30_000}{n}" (a);' for n in range(150)),
}
SLOW = ("views that double", "a virtual table that connects without end", "megabytes of names")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(script, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, script in LARGE.items()
    ],
)
async def test_what_takes_too_much_in_a_schema_does_not_hide_the_rest(tmp_path: Path, script: str) -> None:
    async with of(made(tmp_path / "odd.db", NORMAL + script), max_memory=32_000_000) as databases:
        started = time.monotonic()
        assert (await databases.query("SELECT a FROM t ORDER BY a")).rows == [(1,), (2,)]
        listed = await databases.list_tables()
        assert len(listed.model_dump_json()) < 1_500_000
        assert "t" in [table.name for table in listed.tables] or listed.notices
        described = await databases.describe_table("T")
        assert (described.name, len(described.columns), described.sample) == ("t", 2, [(1, "x"), (2, "y")])
        assert "reads every row of t" in (await databases.explain("SELECT * FROM t WHERE a = 1")).steps[0]
        with pytest.raises(Unknown, match="There is no table 'tt'"):
            await databases.query("SELECT * FROM tt")
        with pytest.raises(Unknown, match="There is no column 'bb'"):
            await databases.query("SELECT bb FROM t")
        with pytest.raises(Unknown, match="There is no table 'tt'"):
            await databases.describe_table("tt")
        assert "CREATE TABLE t" in await databases.schema() or listed.notices
        assert time.monotonic() - started < 30


async def test_a_plan_among_thousands_of_tables_comes_at_once(tmp_path: Path) -> None:
    tables = "".join(f"CREATE TABLE m{n} (a, b); CREATE INDEX i{n} ON m{n}(b);" for n in range(3_000))
    async with of(made(tmp_path / "odd.db", f"{NORMAL} BEGIN; {tables} COMMIT;")) as databases:
        took = []
        for _ in range(3):
            started = time.monotonic()
            plan = await databases.explain("SELECT * FROM t JOIN m7 ON m7.a = t.a")
            took.append(time.monotonic() - started)
    assert min(took) < 0.5
    assert plan.helpful_indexes == ("t(a)",)


async def test_a_view_that_is_explained_is_not_run(tmp_path: Path) -> None:
    async with of(made(tmp_path / "odd.db", f"{NORMAL} CREATE VIEW endless AS {ENDLESS}")) as databases:
        await databases.query("SELECT 1")
        started = time.monotonic()
        for sql in ("SELECT k FROM endless", "SELECT count(*) FROM endless, t WHERE t.a = 1"):
            await databases.explain(sql)
        assert time.monotonic() - started < 3  # not the 5 s that each of them may take


async def test_a_schema_larger_than_the_memory_makes_the_database_unavailable(tmp_path: Path) -> None:
    views = "".join(f"CREATE VIEW w{n} AS SELECT 1 /* {'x' * 900_000} */;" for n in range(20))
    async with of(made(tmp_path / "odd.db", NORMAL + views), max_memory=16_000_000) as databases:
        with pytest.raises(Unavailable, match="'odd' has a schema too large"):
            await databases.query("SELECT a FROM t")


async def test_a_definition_that_is_a_blob_is_shown_as_text(tmp_path: Path) -> None:
    script = "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql = CAST(sql AS BLOB) WHERE name = 't';"
    async with of(made(tmp_path / "odd.db", NORMAL + script)) as databases:
        try:
            document = await databases.document_table("t")
        except Refusal:  # a release of SQLite that takes no such schema
            return
        assert "CREATE TABLE t" in document.definition


async def test_names_of_columns_are_bounded_too(tmp_path: Path) -> None:
    stars = ", ".join(["*"] * 1_500)
    async with of(made(tmp_path / "odd.db", NORMAL)) as databases:
        with pytest.raises(TooMuch, match="names of the columns"):
            await databases.query(f'SELECT {stars} FROM (SELECT 1 AS "{"x" * 2_000}")')
        assert (await databases.query(f'SELECT {stars} FROM (SELECT 1 AS "{"x" * 100}")')).row_count == 1


async def test_a_column_whose_name_is_not_utf_8_is_refused_in_sql_words(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE t (zz INTEGER); INSERT INTO t VALUES (7); PRAGMA writable_schema=1;"
        )
        database.execute(
            "UPDATE sqlite_schema SET sql = CAST(replace(CAST(sql AS BLOB), x'7a7a', x'fffe') AS TEXT)"
        )
        database.commit()
    async with of(path) as databases:
        with pytest.raises(Unknown, match="not UTF-8: name the columns"):
            await databases.query("SELECT * FROM t")


async def test_a_misspelt_name_among_twenty_thousand_holds_nobody(tmp_path: Path) -> None:
    columns = ", ".join(f"column_{n}" for n in range(1_990))
    tables = "".join(f"CREATE TABLE t{n} ({columns});" for n in range(10))
    async with of(made(tmp_path / "odd.db", f"BEGIN; {tables} COMMIT;")) as databases:

        async def misspelt() -> None:
            with pytest.raises(Unknown, match=r"no column 'colunm_777'. Did you mean 'column_777'"):
                await databases.query("SELECT colunm_777 FROM " + ", ".join(f"t{n}" for n in range(10)))

        await misspelt()
        assert min([await longest_hold(misspelt) for _ in range(3)]) < 0.1


async def test_a_schema_that_is_no_text_makes_the_database_unavailable_not_the_server(tmp_path: Path) -> None:
    script = (
        "PRAGMA writable_schema=1; INSERT INTO sqlite_schema VALUES ('table', CAST(x'61ff' AS TEXT), "
        "CAST(x'61ff' AS TEXT), 0, 'CREATE VIRTUAL TABLE a USING fts5(x)');"
    )
    async with of(made(tmp_path / "odd.db", NORMAL + script)) as databases:
        with pytest.raises(Unavailable, match="'odd'"):
            await databases.query("SELECT a FROM t")


async def test_a_plan_of_five_hundred_arms_holds_nobody(tmp_path: Path) -> None:
    arms = " UNION ALL ".join(f"SELECT a{n}.a FROM t AS a{n} JOIN t AS b{n} USING (b)" for n in range(240))
    async with of(made(tmp_path / "odd.db", NORMAL)) as databases:

        async def explain() -> None:
            plan = await databases.explain(arms)
            assert "t" in plan.scans

        await explain()
        assert min([await longest_hold(explain) for _ in range(3)]) < 0.1


async def test_an_export_of_two_thousand_columns_of_one_name_starts_at_once(tmp_path: Path) -> None:
    stars = ", ".join(["a"] * 1_990)
    pieces: list[bytes] = []

    async def write(piece: bytes, rows: int) -> None:
        pieces.append(piece)

    async with of(made(tmp_path / "odd.db", NORMAL), timeout=5, export_timeout=5) as databases:
        await databases.export(f"SELECT {stars} FROM t", None, "jsonl", write)
    assert b'"a":1,"a_2":1,"a_3":1' in pieces[0]


@pytest.mark.parametrize("tail", range(-8, 9))
async def test_a_page_that_holds_every_row_is_not_called_cut(tmp_path: Path, tail: int) -> None:
    async with of(made(tmp_path / "odd.db", NORMAL), max_bytes=10_000) as databases:
        try:
            page = await databases.query(
                f"SELECT substr(hex(zeroblob(9999)), 1, {9_985 + tail}) UNION ALL SELECT 1"
            )
        except TooMuch:
            return
        assert page.truncated == (page.row_count < 2)
        assert (page.next_offset is None) == (page.row_count == 2)
        assert page.types == (("integer|text",) if page.row_count == 2 else ("text",))


async def test_types_and_notices_speak_of_the_rows_that_are_given(tmp_path: Path) -> None:
    sql = (
        "SELECT 'short' AS a UNION ALL SELECT hex(zeroblob(5000)) UNION ALL SELECT x'00' || 9007199254740993"
    )
    big = "SELECT 1 AS n, 'a' AS t UNION ALL SELECT 9007199254740993, hex(zeroblob(6000))"
    async with of(made(tmp_path / "odd.db", NORMAL), max_bytes=10_000) as databases:
        page = await databases.query(big)
        assert (page.row_count, page.types, page.truncated) == (1, ("integer", "text"), True)
        assert not any("2^53" in notice for notice in page.notices)
        assert (await databases.query(sql)).row_count == 1


async def test_values_that_are_missing_are_asked_for_in_words_of_the_tool(tmp_path: Path) -> None:
    async with of(made(tmp_path / "odd.db", NORMAL)) as databases:
        with pytest.raises(Unknown, match=r"The SQL has 2 places for values, and params holds 0\."):
            await databases.query("SELECT ?, ?")
        with pytest.raises(Unknown, match=r"params holds no value for the SQL's :name\."):
            await databases.query("SELECT :name", {"other": 1})


async def test_a_sample_over_the_bytes_says_why_it_is_not_there(tmp_path: Path) -> None:
    script = "CREATE TABLE wide (a TEXT); INSERT INTO wide VALUES (hex(zeroblob(6000)));"
    async with of(made(tmp_path / "odd.db", script), max_bytes=10_000) as databases:
        described = await databases.describe_table("wide")
    assert described.sample == []
    assert described.notices == ("No sample: one row alone is over the bytes a result may hold.",)


async def test_a_child_that_was_killed_while_idle_is_replaced_unseen(tmp_path: Path) -> None:
    async with of(made(tmp_path / "odd.db", NORMAL)) as databases:
        for _ in range(5):
            await databases.query("SELECT 1")
            (worker,) = databases._pools["odd"]._workers
            os.kill(worker._process.pid, signal.SIGKILL)
            time.sleep(0.02)  # noqa: ASYNC251 - so that the loop does not hear of it
            assert (await databases.query("SELECT 2")).rows == [(2,)]


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def wal(path: Path) -> sqlite3.Connection:
    """A database in WAL mode with one row, and the program that has it open to write."""
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);")
    return database


async def test_reading_a_wal_database_makes_no_file_beside_it(tmp_path: Path) -> None:
    wal(tmp_path / "odd.db").close()
    async with of(tmp_path / "odd.db") as databases:
        assert (await databases.query("SELECT a FROM t")).rows == [(1,)]
        assert (await databases.health()).state == "ready"
        assert names_in(tmp_path) == ["odd.db"]
    assert names_in(tmp_path) == ["odd.db"]


async def test_a_wal_database_that_is_written_to_shows_each_change_at_once(tmp_path: Path) -> None:
    wal(tmp_path / "odd.db").close()
    async with of(tmp_path / "odd.db") as databases:
        for count in range(1, 6):
            assert (await databases.query("SELECT count(*) FROM t")).rows == [(count,)]
            with closing(sqlite3.connect(tmp_path / "odd.db", isolation_level=None)) as writer:
                writer.execute("INSERT INTO t VALUES (2)")
                assert (await databases.query("SELECT count(*) FROM t")).rows == [(count + 1,)]


async def test_a_writer_that_came_and_went_between_two_questions_is_seen(tmp_path: Path) -> None:
    wal(tmp_path / "odd.db").close()
    async with of(tmp_path / "odd.db") as databases:
        for count in range(1, 4):
            assert (await databases.query("SELECT count(*) FROM t")).rows == [(count,)]
            with closing(sqlite3.connect(tmp_path / "odd.db", isolation_level=None)) as writer:
                writer.execute("INSERT INTO t VALUES (2)")
            assert names_in(tmp_path) == ["odd.db"]


async def test_a_page_read_while_the_file_was_rewritten_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    with closing(wal(path)) as writer:
        writer.executescript(
            "WITH RECURSIVE n(i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
            "INSERT INTO t SELECT i FROM n;"
        )
    slow = "SELECT count(*), sum(x.a <> 0 OR y.a <> 0) FROM t x, t y WHERE abs(x.a) + abs(y.a) >= 0"
    async with of(path, timeout=20) as databases:
        reading = asyncio.create_task(databases.query(slow))
        await asyncio.sleep(0.3)
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("DELETE FROM t WHERE a > 2000")
            writer.execute("VACUUM")
        page = await reading
    assert page.rows in ([(4_000_000, 4_000_000)], [(9_000_000, 9_000_000)])
