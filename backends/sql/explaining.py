"""The child's side of explaining: SQLite's plan, which columns it reads, how large its tables are, and which
index would help.

An index is advised by trying it: on a copy of the schema in memory, without a row but with the statistics,
each column that the statement reads of a table it scans gets an index, and SQLite says whether it would use
it. Nothing is guessed from the text of the statement.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backends.sql.connection import ReadOnlyConnection, quoted
from backends.sql.rows import Send, read_page

MOST_TRIED = 24  # indexes; each costs a prepare, 0.1 ms for a plain statement
MOST_COUNTED = 100_000  # rows of a table that has neither statistics nor a rowid
EXPLAIN = "EXPLAIN QUERY PLAN "
_TRIED = "almanac_tried"
_USED = re.compile(rf"SEARCH \S+.* USING (?:COVERING )?INDEX {_TRIED} \(.*")
# Of the tables and views that the statement reads, whose names stand in {}. A hostile database may hold
# anything there, and any amount of it.
_COPIED = """
SELECT sql FROM sqlite_schema
WHERE tbl_name IN ({}) AND typeof(sql) = 'text' AND length(sql) < 100000
AND (sql LIKE 'CREATE TABLE %' OR sql LIKE 'CREATE INDEX %' OR sql LIKE 'CREATE UNIQUE INDEX %'
OR sql LIKE 'CREATE VIEW %')
ORDER BY type = 'view', type = 'index'"""
_STATISTICS = """
SELECT tbl, idx, stat FROM sqlite_stat1
WHERE tbl IN ({}) AND typeof(stat) = 'text' AND length(stat) < 1000 LIMIT 10000"""
_TABLES = "SELECT name FROM sqlite_schema WHERE name IN ({}) AND rootpage > 0"
_VIEWS = (
    "SELECT name, CAST(substr(sql, 1, 10000) AS TEXT) FROM sqlite_schema WHERE name IN ({}) AND type = 'view'"
)
_LEADING = """
SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_index_list(tables.name) AS indexes,
pragma_index_info(indexes.name) AS columns WHERE tables.type = 'table' AND columns.seqno = 0"""


def explain(connection: ReadOnlyConnection, ask: dict[str, Any], send: Send) -> dict[str, Any]:
    """The plan of a statement as rows, and what it takes to put it into words."""
    connection.reads = set()
    connection.set_authorizer(connection.authorize)  # expires kept statements, so that it is asked anew
    try:
        page = read_page(connection, ask | {"sql": EXPLAIN + ask["sql"]}, send)
        reads = sorted(connection.reads)
    finally:
        connection.reads = None
    with contextlib.suppress(sqlite3.Error, sqlite3.Warning, MemoryError):
        names = sorted({name for name, _ in reads if name})
        tables = {name for (name,) in _about(connection, _TABLES, names)}
        # A view has no size: to count its rows would be to run it.
        page["sizes"] = {name: _size(connection, name) if name in tables else None for name in names}
        page["views"] = dict(_about(connection, _VIEWS, names))
        page["statistics"] = _statistics(connection, names)
        page["indexes"] = _helpful(connection, ask, reads, page)
    return page


def _about(connection: ReadOnlyConnection, sql: str, names: Sequence[str]) -> list[Any]:
    return connection.execute(sql.format(",".join("?" * len(names))), names).fetchall()


def _size(connection: ReadOnlyConnection, table: str) -> int | None:
    """About how many rows: the largest rowid costs one look, where there is one."""
    name = quoted(table)
    for sql in (
        f"SELECT max(rowid) FROM {name}",  # noqa: S608 - a quoted name
        f"SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT {MOST_COUNTED})",  # noqa: S608 - a quoted name
    ):
        with contextlib.suppress(sqlite3.OperationalError, sqlite3.DatabaseError):
            found = connection.execute(sql).fetchone()[0]
            return int(found) if isinstance(found, int) else 0
    return None


def _statistics(connection: ReadOnlyConnection, names: Sequence[str]) -> list[tuple[str, str | None, str]]:
    """What ANALYZE left: table, index (None for the table itself), rows and rows for each leading column."""
    with contextlib.suppress(sqlite3.OperationalError):
        return _about(connection, _STATISTICS, names)
    return []


def _helpful(
    connection: ReadOnlyConnection,
    ask: dict[str, Any],
    reads: Iterable[tuple[str, str]],
    known: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """Table and column of each index that SQLite would use if it were there."""
    helpful: list[tuple[str, str]] = []
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        _copy_schema(connection, copy, known)
        there = set(copy.execute(_LEADING).fetchall())
        for table, column in [read for read in reads if read[1] and read not in there][:MOST_TRIED]:
            if any(table == other for other, _ in helpful):
                continue
            if connection.overdue():  # the plan is there: advice is not worth losing it
                break
            with contextlib.suppress(sqlite3.Error):
                copy.execute(f"CREATE INDEX {_TRIED} ON {quoted(table)} ({quoted(column)})")
                copy.execute("ANALYZE sqlite_schema")  # the planner reads the statistics anew
                plan = copy.execute(EXPLAIN + ask["sql"], ask["params"]).fetchall()
                if any(_USED.fullmatch(step[3]) for step in plan):
                    helpful.append((table, column))
            copy.execute(f"DROP INDEX IF EXISTS {_TRIED}")
    return helpful


def _copy_schema(connection: ReadOnlyConnection, copy: sqlite3.Connection, known: Mapping[str, Any]) -> None:
    for (sql,) in _about(connection, _COPIED, list(known["sizes"])):
        with contextlib.suppress(sqlite3.Error, sqlite3.Warning):  # its plan will then not use it
            copy.execute(sql)
    copy.execute("ANALYZE")  # makes sqlite_stat1
    copy.execute("DELETE FROM sqlite_stat1")
    sizes = known["sizes"].items()
    statistics = known["statistics"] or [
        (table, None, str(size)) for table, size in sizes if size is not None
    ]
    copy.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", statistics)
