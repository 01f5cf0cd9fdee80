"""What a database holds and how a statement would run: tables, columns, samples, plans and advice."""

import re
import time
from pathlib import Path

import pytest

from backends.sql import catalogue
from errors import Forbidden, TooMuch, Unavailable, Unknown
from tests.databases import ENDLESS, STUCK, Open, serving


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    return serving(tmp_path)


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


async def test_a_table_whose_count_gets_stuck_holds_up_the_list_no_longer_than_it_may(opened: Open) -> None:
    async with opened(f"CREATE VIEW stuck AS SELECT id FROM city WHERE ({STUCK}) > 0") as databases:
        await databases.query("SELECT 1")
        started = time.perf_counter()
        listed = await databases.list_tables()
        assert time.perf_counter() - started < 5  # not the minute that it takes
    rows = {entry.name: entry.rows for entry in listed.tables}
    assert (rows["stuck"], rows["city"]) == (None, 3)


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


async def test_a_sample_that_takes_too_long_says_so(opened: Open) -> None:
    async with opened(f"CREATE VIEW endless AS {ENDLESS}") as databases:
        assert (await databases.describe_table("endless")).notices == ("No sample: it took too long.",)


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


async def test_databases_and_tables_complete_from_what_was_typed(opened: Open, tmp_path: Path) -> None:
    async with opened(others={"sales": tmp_path / "sales.db"}) as databases:
        complete = databases.completers()
        assert await complete["database"]("", {}) == ["main", "sales"]
        assert await complete["database"]("SA", {}) == ["sales"]
        assert sorted(await complete["table"]("c", {"database": "main"})) == ["city", "country"]
        assert await complete["table"]("", {"database": "sales"}) == []
        assert await complete["table"]("", {"database": "nowhere"}) == []


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
        correlated = await databases.explain(
            "SELECT (SELECT count(*) FROM bill b WHERE b.total > c.id) FROM client c"
        )
        none = await databases.explain("SELECT 1")
    assert correlated.rows_read == 2_000 + 2_000**2
    assert (one.rows_read, whole.rows_read, nested.rows_read) == (1, 2_000, 2_000 + 2_000**2)
    assert none.rows_read is None


async def test_a_plan_names_an_index_that_sqlite_would_use_and_no_other(opened: Open) -> None:
    async with opened(ORDERS) as databases:
        wanting = await databases.explain("SELECT * FROM client c WHERE town = 'a' AND name LIKE 'b'")
        served = await databases.explain("SELECT * FROM city WHERE population > 3")
        hopeless = await databases.explain("SELECT * FROM client WHERE name LIKE '%a%'")
        joined = await databases.explain("SELECT * FROM client c JOIN bill b ON b.client_id = c.id")
        bound = await databases.explain("SELECT * FROM client c WHERE town = ? AND name LIKE ?", ["a", "b"])
        again = await databases.explain("SELECT * FROM client c WHERE town = 'a' AND name LIKE 'b'")
    assert wanting == again
    assert wanting.rows_read == 2_000
    assert wanting.helpful_indexes == bound.helpful_indexes == ("client(town)",)
    assert served.helpful_indexes == hopeless.helpful_indexes == joined.helpful_indexes == ()


async def test_the_advice_heeds_what_analyze_found_out(opened: Open) -> None:
    served = "CREATE INDEX bill_by_total ON bill(total); ANALYZE;"  # no two bills have the same total
    sql = "SELECT * FROM bill a JOIN bill b ON b.total = a.total AND b.client_id = a.client_id"
    async with opened(ORDERS + served) as databases:
        plan = await databases.explain(sql)
    assert plan.scans == ("bill",)
    assert plan.helpful_indexes == ()  # without the statistics SQLite would try bill(client_id)


async def test_a_plan_too_long_to_tell_is_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.sql.databases.MOST_STEPS", 5)
    async with opened() as databases:
        assert len((await databases.explain("SELECT 1 FROM city UNION ALL SELECT 2 FROM city")).steps) == 5
        with pytest.raises(TooMuch, match="too long to tell"):
            await databases.explain(" UNION ALL ".join(["SELECT id FROM city"] * 3))


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


async def test_a_plan_for_what_is_not_allowed_is_refused_too(opened: Open) -> None:
    async with opened() as databases:
        with pytest.raises(Forbidden, match="DELETE is not allowed"):
            await databases.explain("DELETE FROM city")
        with pytest.raises(Unknown, match="without EXPLAIN"):
            await databases.explain("EXPLAIN SELECT 1")
        with pytest.raises(Unknown, match=r"near 'FROM' \(character 8\)"):
            await databases.explain("SELECT FROM city")
