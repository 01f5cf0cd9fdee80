"""Rows of a query over real SQLite files: what comes back, how it is cut, and refusals that teach."""

import base64
import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backends.sql import Databases, refusals
from backends.sql.connection import FUNCTIONS, ReadOnlyConnection
from backends.sql.exporting import export
from backends.sql.rows import read_page
from config import SqlSettings
from errors import Forbidden, Refusal, TooMuch, Unknown
from tests.databases import ENDLESS, ROOT, Open, make, serving


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    return serving(tmp_path)


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


@pytest.mark.parametrize(
    ("limit", "most"), [(1, 7), (2, 7), (3, 7), *((n, 300) for n in (127, 128, 129, 255, 256, 257, 999))]
)
async def test_pages_of_any_size_join_to_the_whole(opened: Open, limit: int, most: int) -> None:
    sql = f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {most}) SELECT x FROM n"
    seen: list[Any] = []
    offset: int | None = 0
    async with opened() as databases:
        while offset is not None:
            page = await databases.query(sql, limit=limit, offset=offset)
            seen += page.rows
            offset = page.next_offset
    assert seen == [(x,) for x in range(1, most + 1)]


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


@pytest.mark.parametrize("of", ["hex(zeroblob(50000))", "zeroblob(100000)"])
def test_an_export_of_large_rows_leaves_the_child_in_small_pieces(tmp_path: Path, of: str) -> None:
    sql = f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 90) SELECT {of} FROM n"
    sent: list[dict[str, Any]] = []
    with closing(ReadOnlyConnection(f"{make(tmp_path / 'a.db').as_uri()}?mode=ro", 2**40)) as connection:
        reply = export(connection, {"sql": sql, "params": (), "way": "jsonl"}, sent.append)
    assert reply["count"] == sent[-1]["rows"] == 90
    assert max(len(part["piece"]) for part in sent) < 3_000_000


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
