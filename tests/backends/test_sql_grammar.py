"""Statements made by a grammar: each gives sqlite3's own rows, or one sentence, and leaves nothing behind."""

import asyncio
import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.sql import Databases
from backends.sql.rows import EXACT_INTEGER, HEX_BYTES
from config import SqlSettings
from errors import Refusal

# fmt: off
COLUMNS = (
    "id", "name", "score", "raw", "c.id", "c.name", '"name"', "[score]", "`raw`", "rowid", "nmae", '"nope"',
)
LITERALS = ("1", "-0.0", "9e999", "9007199254740993", "'it''s'", "x'00ff'", "NULL", "'%a%'", "?1", ":p", "''")
FUNCTIONS = (
    "abs({0})", "length({0})", "upper({0})", "coalesce({0}, {1})", "json_array({0}, {1})", "typeof({0})",
    "max({0}, {1})", "hex({0})", "base64({0})", "printf('%d %s', {0}, {1})", "substr({0}, 1, 3)", "count(*)",
    "sum({0})", "group_concat({0})", "row_number() OVER (ORDER BY {0})", "zeroblob(20)", "quote({0})",
    "randomblob(99999999)", "load_extension({0})", "readfile({0})", "writefile({0}, {1})", "fts5({0})",
    "instr({0}, {1})", "iif({0}, {1}, 2)", "round({0}, 1)", "json_extract('[1,2]', '$[0]')",
)
NOT_SERVED = ("load_extension", "readfile", "writefile")
OPERATORS = ("+", "||", "=", "<", "IS", "AND", "LIKE", "GLOB", "&", "/", "%", "->>", "MATCH")
SOURCES = (
    "item c", "item", "note", "box", "(SELECT 1 AS id, 'x' AS name, 2.5 AS score, x'01' AS raw) c", "big c",
    "json_each('[1,2,3]') AS c", "item c JOIN item d ON c.id = d.id", "item c LEFT JOIN note ON 1", "nowhere",
    "pragma_table_info('item') AS c", "sqlite_schema AS c", "generate_series(1, 3) AS c",
    "item AS c, item AS d, item AS e",
)
WRITES = (
    "DELETE FROM item", "INSERT INTO item VALUES (9, 9, 9, 9)", "UPDATE item SET id = 1", "DROP TABLE item",
    "VACUUM", "VACUUM INTO 'made.db'", "ATTACH 'made.db' AS m", "DETACH m", "PRAGMA journal_mode=WAL",
    "BEGIN", "PRAGMA user_version=3", "PRAGMA writable_schema=1", "CREATE TABLE x (a)",
    "CREATE TEMP TABLE x (a)", "REINDEX", "ANALYZE", "SAVEPOINT s", "COMMIT", "ALTER TABLE item ADD z",
    "PRAGMA query_only=0", "REPLACE INTO item VALUES (1, 2, 3, 4)", "CREATE VIRTUAL TABLE v USING fts5(a)",
    "CREATE TRIGGER t", "PRAGMA temp_store_directory='.'", "INSERT INTO note(note) VALUES ('rebuild')",
    "EXPLAIN DELETE FROM item",
)
# What sqlite3 runs and we do not: writes, what may not be called, names that are none, large values.
MAY_BE_REFUSED = re.compile(
    "|".join((*map(re.escape, (*WRITES, *NOT_SERVED)), '"', r"base64\(", r"randomblob\(", "fts5"))
)
COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT i, i * i FROM n"
ENDS = (" -- end", " /* open", ";", ";;", "\n;\t", " '", ' "', ")", "\0")
SETS = ("UNION", "UNION ALL", "EXCEPT", "INTERSECT")
# fmt: on

expressions = st.recursive(
    st.sampled_from(COLUMNS) | st.sampled_from(LITERALS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(FUNCTIONS), inner, inner).map(lambda t: t[0].format(t[1], t[2])),
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map("(SELECT {})".format),
        inner.map("CASE WHEN {} THEN 1 ELSE 'no' END".format),
    ),
    max_leaves=5,
)


@st.composite
def selects(draw: st.DrawFn) -> str:
    sql = f"SELECT {', '.join(draw(st.lists(expressions | st.just('*'), min_size=1, max_size=4)))}"
    if draw(st.booleans()) or "*" in sql or "c." in sql:
        sql += f" FROM {draw(st.sampled_from(SOURCES))}"
    for clause in ("WHERE", "GROUP BY", "ORDER BY"):
        if draw(st.integers(0, 3)) == 0:
            sql += f" {clause} {draw(expressions)}"
    if draw(st.integers(0, 3)) == 0:
        sql += f" LIMIT {draw(st.sampled_from(('3', '-1', '0', '2 OFFSET 1')))}"
    return sql


statements = st.one_of(
    selects(),
    st.sampled_from(WRITES),
    st.tuples(selects(), st.sampled_from(SETS), selects()).map(" ".join),
    selects().map("WITH w AS ({}) SELECT * FROM w".format),
    selects().map("EXPLAIN QUERY PLAN {}".format),
    st.tuples(selects(), st.sampled_from(WRITES)).map("; ".join),
    st.integers(0, 300).map(COUNTING.format),
    st.lists(expressions, min_size=1, max_size=3).map(lambda row: f"VALUES ({', '.join(row)})"),
    st.tuples(selects(), st.sampled_from(ENDS)).map("".join),
    st.text(max_size=40),
)


class Served:
    """One database and its server, on a loop of their own, since what Hypothesis calls is not async."""

    def __init__(self, place: Path) -> None:
        self.path = place / "real.db"
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript("""
                CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, score REAL, raw BLOB);
                INSERT INTO item VALUES (1, 'apple', 0.5, x'0102'), (2, NULL, 9e999, NULL),
                    (3, '', -1, 'text'), (9007199254740993, 'ñ🦊', 2, zeroblob(100));
                CREATE VIEW big AS SELECT * FROM item WHERE id > 2;
                CREATE VIRTUAL TABLE note USING fts5(name, body);
                CREATE VIRTUAL TABLE box USING rtree(id, low, high);
                INSERT INTO note VALUES ('a', 'one dog'), ('b', 'two dogs');
            """)
        self._loop = asyncio.new_event_loop()
        bounds = SqlSettings.model_validate({"databases": {"real": self.path}, "timeout": 2})
        self._databases = Databases(bounds)
        self._loop.run_until_complete(self._databases.__aenter__())
        self.there = self.seen()

    def seen(self) -> dict[str, str]:
        files = self.path.parent.rglob("*")
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def ask(self, sql: str) -> list[tuple[Any, ...]] | str:
        """The rows, or the words of the refusal."""
        try:
            return self._loop.run_until_complete(self._databases.query(sql, params_of(sql), 1000)).rows
        except Refusal as refusal:
            return str(refusal)

    def explain(self, sql: str) -> tuple[bool, str]:
        """Whether there is a plan, and the plan, or the words of the refusal."""
        try:
            plan = self._loop.run_until_complete(self._databases.explain(sql, params_of(sql)))
        except Refusal as refusal:
            return False, str(refusal)
        return True, "; ".join(plan.steps)

    def reference(self, sql: str) -> list[tuple[Any, ...]] | None:
        """What sqlite3 alone gives, None if it fails; on a copy in memory, which a write cannot harm."""
        with closing(sqlite3.connect(":memory:")) as copy, closing(sqlite3.connect(self.path)) as real:
            real.backup(copy)
            copy.create_function("base64", 1, lambda _: None)
            copy.text_factory = lambda raw: raw.decode("utf-8", "replace")
            try:
                cursor = copy.execute(sql.rstrip("; \t\r\n"), params_of(sql) or ())
                rows = cursor.fetchmany(1000)
            except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError):
                return None
            return None if cursor.description is None else [tuple(map(shown, row)) for row in rows]

    def close(self) -> None:
        self._loop.run_until_complete(self._databases.__aexit__())
        self._loop.close()


def params_of(sql: str) -> Any:
    return {"p": "a"} if ":p" in sql else [5] if "?1" in sql else None


def shown(value: Any) -> Any:
    """A value as a result shows it."""
    match value:
        case bytes():
            return {"blob": len(value), "hex": value[:HEX_BYTES].hex()}
        case int() if abs(value) > EXACT_INTEGER:
            return str(value)
        case float() if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
    return value


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("grammar"))
    yield made
    made.close()


def check(served: Served, sql: str) -> None:
    found = served.ask(sql)
    assert served.seen() == served.there
    if isinstance(found, str):
        assert found
        assert len(found) < 600
        assert "\n" not in found
        assert str(served.path.parent) not in found
        assert "sqlite3." not in found
        assert MAY_BE_REFUSED.search(sql) or served.reference(sql) is None
        return
    assert not any(f"{name}(" in sql for name in NOT_SERVED)
    expected = served.reference(sql)
    assert expected is not None
    # These differ by what the copy is: its functions, its page numbers.
    if not any(word in sql for word in ("base64", "randomblob", "EXPLAIN", "sqlite_schema")):
        assert found == expected


quick = settings(max_examples=150, derandomize=True, deadline=None)


@quick
@given(sql=statements)
def test_a_generated_statement_gives_sqlites_rows_or_one_sentence(served: Served, sql: str) -> None:
    check(served, sql)


@pytest.mark.slow
@pytest.mark.timeout(180)
@settings(quick, max_examples=2_000)
@given(sql=statements)
def test_many_generated_statements_give_sqlites_rows_or_one_sentence(served: Served, sql: str) -> None:
    check(served, sql)


@quick
@given(sql=selects())
def test_a_generated_statement_is_explained_or_refused_and_not_run(served: Served, sql: str) -> None:
    explained, said = served.explain(sql)
    assert said
    assert explained or MAY_BE_REFUSED.search(sql) or served.reference(f"EXPLAIN QUERY PLAN {sql}") is None
    assert "\n" not in said
    assert "sqlite3." not in said
    assert served.seen() == served.there
