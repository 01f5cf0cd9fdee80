"""What a database holds: its tables, and what a query needs to know of one."""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from backends.sql.connection import quoted
from backends.sql.pool import Pool
from backends.sql.results import Column, TableDetail, TableEntry
from backends.sql.rows import Row
from errors import Unknown, did_you_mean, quote

COUNT_SECONDS = 0.1  # for one table that has no statistics; 1,000,000 rows take about 0.02
ALL_COUNTS_SECONDS = 1.0
SAMPLE_ROWS = 3
SAMPLE_CHARS = 200

# Shadow tables are the insides of an FTS or rtree index, sqlite_% the engine's own.
_TABLES = """
SELECT name, type, ncol FROM pragma_table_list
WHERE schema = 'main' AND type <> 'shadow' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"""
_STATISTICS = "SELECT tbl, max(CAST(stat AS INTEGER)) FROM sqlite_stat1 GROUP BY tbl"
_COLUMNS = """
SELECT name, type, "notnull", pk, dflt_value FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid"""
_INDEXES = """
SELECT list.name, list."unique", coalesce(info.name, '(expression)')
FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS info ORDER BY list.seq, info.seqno"""
_REFERENCES = """
SELECT id, "table", "from", coalesce("to", '') FROM pragma_foreign_key_list(?) ORDER BY id, seq"""
_NAMES = """
SELECT list.name, info.name FROM pragma_table_list AS list, pragma_table_xinfo(list.name) AS info
WHERE list.schema = 'main' AND list.type <> 'shadow' AND info.hidden <> 1"""


async def _rows(pool: Pool, sql: str, params: Sequence[Any] = ()) -> list[Any]:
    """Rows of our own SQL, or none where a broken view or a missing module makes even that fail."""
    rows: list[Any] = (await pool.ask(sql, params))["rows"]
    return rows


async def tables(pool: Pool) -> list[TableEntry]:
    """Every table and view, with its rows: from the statistics, else counted if that is quick."""
    deadline = time.monotonic() + ALL_COUNTS_SECONDS
    estimates = dict(await _rows(pool, _STATISTICS))
    entries = []
    for name, kind, columns in await _rows(pool, _TABLES):
        rows = estimates.get(name)
        approximate = rows is not None
        if not approximate and time.monotonic() < deadline:
            rows = await _count(pool, name)
        # Of a virtual table the engine counts the hidden columns too.
        shown = len(await _rows(pool, _COLUMNS, (name,))) if kind == "virtual" else 0
        entries.append(
            TableEntry(name=name, kind=kind, columns=shown or columns, rows=rows, approximate=approximate)
        )
    return entries


async def _count(pool: Pool, name: str) -> int | None:
    reply = await pool.ask(f"SELECT count(*) FROM {quoted(name)}", seconds=COUNT_SECONDS)  # noqa: S608 - quoted
    return int(reply["rows"][0][0]) if reply["rows"] else None


async def names(pool: Pool) -> dict[str, list[str]]:
    """Columns by table, for the nearest names; without them if a broken view stands in the way."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for table, column in await _rows(pool, _NAMES):
        found[table].append(column)
    return found or {name: [] for name, *_ in await _rows(pool, _TABLES)}


async def describe(pool: Pool, table: str) -> TableDetail:
    """A table's columns, keys, indexes and references, and three of its rows.

    Raises:
        Unknown: There is no such table.
    """
    listed = {name: kind for name, kind, _ in await _rows(pool, _TABLES)}
    name = table if table in listed else next((n for n in listed if n.casefold() == table.casefold()), None)
    if name is None:
        raise Unknown(
            f"There is no table {quote(table)} in {quote(pool.name)}.{did_you_mean(table, listed)} "
            "sql_list_tables shows the tables."
        )
    estimates = dict(await _rows(pool, _STATISTICS))
    rows = estimates.get(name)
    approximate = rows is not None
    sample, notices = await _sample(pool, name)
    return TableDetail(
        database=pool.name,
        name=name,
        kind=listed[name],
        columns=tuple(
            Column(name=column, type=kind, required=bool(required), key=key, default=default)
            for column, kind, required, key, default in await _rows(pool, _COLUMNS, (name,))
        ),
        indexes=await _indexes(pool, name),
        references=await _references(pool, name),
        rows=rows if approximate else await _count(pool, name),
        approximate=approximate,
        sample=sample,
        notices=notices,
    )


async def _indexes(pool: Pool, table: str) -> tuple[str, ...]:
    found: dict[str, list[str]] = {}
    for name, unique, column in await _rows(pool, _INDEXES, (table,)):
        found.setdefault(f"UNIQUE {name}" if unique else name, []).append(column)
    return tuple(f"{name} ({', '.join(columns)})" for name, columns in found.items())


async def _references(pool: Pool, table: str) -> tuple[str, ...]:
    found: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for number, target, column, to in await _rows(pool, _REFERENCES, (table,)):
        found.setdefault((number, target), []).append((column, to))
    return tuple(
        f"({', '.join(column for column, _ in pairs)}) REFERENCES {target}"
        # A reference to the primary key may leave its columns out.
        + (f" ({', '.join(to for _, to in pairs)})" if all(to for _, to in pairs) else "")
        for (_, target), pairs in found.items()
    )


async def _sample(pool: Pool, table: str) -> tuple[list[Row], tuple[str, ...]]:
    reply = await pool.ask(f"SELECT * FROM {quoted(table)}", limit=SAMPLE_ROWS, seconds=1)  # noqa: S608 - quoted
    if "failed" in reply:
        return [], (f"No sample: {' '.join(reply['message'].split()) or 'it took too long'}.",)
    return [tuple(_short(value) for value in row) for row in reply["rows"]], ()


def _short(value: Any) -> Any:
    return value[:SAMPLE_CHARS] + "…" if isinstance(value, str) and len(value) > SAMPLE_CHARS else value
