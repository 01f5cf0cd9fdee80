"""The child's side of explaining: SQLite's plan, which columns it reads, how large its tables are, and which
index would help.

An index is advised by trying it: on a copy of the schema in memory, without a row but with the statistics,
each column that the statement reads of a table it scans gets an index, and SQLite says whether it would use
it. Nothing is guessed from the text of the statement.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterable
from typing import Any

from backends.sql.connection import ReadOnlyConnection, quoted
from backends.sql.rows import Send, read_page

MOST_TRIED = 24  # indexes; each costs a prepare, 0.1 ms for a plain statement
MOST_COUNTED = 100_000  # rows of a table that has neither statistics nor a rowid
EXPLAIN = "EXPLAIN QUERY PLAN "
_TRIED = "almanac_tried"
_USED = re.compile(rf"SEARCH \S+.* USING (?:COVERING )?INDEX {_TRIED} \(.*")
_COPIED = """
SELECT type, sql FROM sqlite_schema
WHERE typeof(sql) = 'text' AND type IN ('table', 'index', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
ORDER BY type = 'view', type = 'index'"""
# A hostile database may hold anything there.
_STATISTICS = "SELECT tbl, idx, stat FROM sqlite_stat1 WHERE typeof(tbl) = 'text' AND typeof(stat) = 'text'"
_VIEWS = "SELECT CAST(name AS TEXT), CAST(sql AS TEXT) FROM sqlite_schema WHERE type = 'view'"
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
    with contextlib.suppress(sqlite3.Error, sqlite3.Warning):
        tables = {table for table, _ in reads}
        page |= {
            "sizes": {table: _size(connection, table) for table in tables},
            "statistics": _statistics(connection),
            "views": _views(connection),
        }
        page["indexes"] = _helpful(connection, ask, reads)
    return page


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


def _statistics(connection: ReadOnlyConnection) -> list[tuple[str, str | None, str]]:
    """What ANALYZE left: table, index (None for the table itself), rows and rows for each leading column."""
    with contextlib.suppress(sqlite3.OperationalError):
        return connection.execute(_STATISTICS).fetchall()
    return []


def _views(connection: ReadOnlyConnection) -> dict[str, str]:
    return dict(connection.execute(_VIEWS).fetchall())


def _helpful(
    connection: ReadOnlyConnection, ask: dict[str, Any], reads: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Table and column of each index that SQLite would use if it were there."""
    helpful: list[tuple[str, str]] = []
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        _copy_schema(connection, copy)
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


def _copy_schema(connection: ReadOnlyConnection, copy: sqlite3.Connection) -> None:
    for kind, sql in connection.execute(_COPIED).fetchall():
        if kind == "table" and sql[:14].upper() == "CREATE VIRTUAL":
            continue
        with contextlib.suppress(sqlite3.Error, sqlite3.Warning):  # its plan will then not use it
            copy.execute(sql)
    copy.execute("ANALYZE")  # makes sqlite_stat1
    statistics = _statistics(connection) or [
        (table, None, str(_size(connection, table) or 0)) for table in _tables(copy)
    ]
    copy.execute("DELETE FROM sqlite_stat1")
    copy.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", statistics)


def _tables(copy: sqlite3.Connection) -> list[str]:
    found = copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    return [name for (name,) in found]
