"""What a database holds: its tables, and what a query needs to know of one."""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from backends.sql.connection import quoted
from backends.sql.pool import Pool
from backends.sql.results import Column, TableDetail, TableDocument, TableEntry
from backends.sql.rows import Row
from errors import Unavailable, Unknown, did_you_mean, quote

# Of the catalogue itself: the settings bound a caller's query, not what a table is found to have.
MOST_ROWS = 50_000
MOST_BYTES = 8_000_000
SECONDS = 10.0
COUNT_SECONDS = 0.1  # for one table that has no statistics; 1,000,000 rows take about 0.02
ALL_COUNTS_SECONDS = 1.0
MOST_LISTED = 1_000  # tables: 100 KB
MOST_LISTED_CHARS = 500_000  # of their names; one may be a megabyte long
SAMPLE_ROWS = 3
SAMPLE_CHARS = 200
DEFINITION_CHARS = 10_000
SCHEMA_CHARS = 20_000  # of a prompt that shows the whole schema: about 5,000 tokens

# Shadow tables are the insides of an FTS or rtree index, sqlite_% the engine's own.
_TABLES = """
SELECT name, type, ncol FROM pragma_table_list
WHERE schema = 'main' AND type <> 'shadow' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"""
_TABLE = f"SELECT name, type FROM ({_TABLES}) WHERE name = ? COLLATE NOCASE"  # noqa: S608 - our own
# The pragma looks into every view, and views that double end it: these are what the file alone tells.
_BARE_TABLES = """
SELECT CAST(name AS TEXT) AS name, iif(type = 'table' AND rootpage = 0, 'virtual', type) AS type,
iif(rootpage > 0, (SELECT count(*) FROM pragma_table_info(one.name)), 0)
FROM sqlite_schema AS one WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
AND NOT EXISTS (SELECT 1 FROM sqlite_schema AS virtual WHERE virtual.type = 'table' AND virtual.rootpage = 0
AND substr(one.name, 1, length(virtual.name) + 1) = virtual.name || '_') ORDER BY name"""
_BARE_TABLE = f"SELECT name, type FROM ({_BARE_TABLES}) WHERE name = ? COLLATE NOCASE"  # noqa: S608 - our own
# A hostile database may hold anything, of any size, where SQLite itself writes a line of text.
_DEFINITION = f"""
SELECT CAST(substr(sql, 1, {DEFINITION_CHARS + 1}) AS TEXT) FROM sqlite_schema
WHERE name = ? AND type IN ('table', 'view')"""  # noqa: S608 - a number
_DEFINITIONS = f"""
SELECT CAST(name AS TEXT), CAST(substr(sql, 1, {DEFINITION_CHARS + 1}) AS TEXT) FROM sqlite_schema
WHERE type IN ('table', 'view')"""  # noqa: S608 - a number
_STATISTICS = """
SELECT tbl, max(CAST(stat AS INTEGER)) FROM sqlite_stat1
WHERE typeof(tbl) = 'text' AND length(tbl) < 1000 AND length(stat) < 1000 GROUP BY tbl"""
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
_BARE_NAMES = """
SELECT CAST(one.name AS TEXT), info.name
FROM sqlite_schema AS one, pragma_table_info(one.name) AS info
WHERE one.type = 'table' AND one.rootpage > 0"""


async def _read(
    pool: Pool, sql: str, params: Sequence[Any] = (), may_fail: bool = False
) -> tuple[list[Any], bool]:
    """Rows of our own SQL, and whether there are more.

    Args:
        pool: The database.
        sql: A statement of this module.
        params: Its values.
        may_fail: A broken view, a missing module or a table that is not there means no rows.

    Raises:
        Unavailable: It could not be read, which is not the same as holding nothing.
    """
    reply = await pool.ask(sql, params, limit=MOST_ROWS, seconds=SECONDS, most_bytes=MOST_BYTES)
    if "failed" not in reply:
        return reply["rows"], bool(reply["cut"])
    if may_fail and (reply["denied"] or reply["code"] & 0xFF == sqlite3.SQLITE_ERROR):
        return [], False
    raise Unavailable(f"The tables could not be read from {quote(pool.name)}; try again in a moment.")


async def _rows(pool: Pool, sql: str, params: Sequence[Any] = (), may_fail: bool = False) -> list[Any]:
    return (await _read(pool, sql, params, may_fail))[0]


async def _found(
    pool: Pool, sql: str, bare: str, params: Sequence[Any] = ()
) -> tuple[list[Any], bool, tuple[str, ...]]:
    """Rows, whether there are more, and a notice where only the second statement could be run."""
    try:
        return *await _read(pool, sql, params), ()
    except Unavailable:
        told = "Some view takes too much to look at: views are listed without their columns."
        return *await _read(pool, bare, params), (told,)


def _told(cut: bool, count: int, what: str) -> tuple[str, ...]:
    return (f"Only the first {count:,} {what} are listed.",) if cut else ()


async def tables(pool: Pool) -> tuple[list[TableEntry], tuple[str, ...]]:
    """Tables and views with their rows: from the statistics, else counted if that is quick. And notices."""
    deadline = time.monotonic() + ALL_COUNTS_SECONDS
    estimates = dict(await _rows(pool, _STATISTICS, may_fail=True))
    listed, cut, notices = await _found(pool, _TABLES, _BARE_TABLES)
    entries: list[TableEntry] = []
    room = MOST_LISTED_CHARS
    for name, kind, columns in listed[:MOST_LISTED]:
        room -= len(name)
        if room < 0:
            break
        rows = estimates.get(name)
        approximate = rows is not None
        if not approximate and time.monotonic() < deadline:
            rows = await _count(pool, name)
        # Of a virtual table the engine counts the hidden columns too.
        hides = kind == "virtual" and time.monotonic() < deadline
        shown = len(await _rows(pool, _COLUMNS, (name,), may_fail=True)) if hides else 0
        entries.append(
            TableEntry(name=name, kind=kind, columns=shown or columns, rows=rows, approximate=approximate)
        )
    if cut or len(listed) > len(entries):
        rest = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') lists all"
        notices += (f"Only the first {len(entries):,} tables are listed; {rest}.",)
    return entries, notices


async def _count(pool: Pool, name: str) -> int | None:
    reply = await pool.ask(f"SELECT count(*) FROM {quoted(name)}", seconds=COUNT_SECONDS)  # noqa: S608 - quoted
    return int(reply["rows"][0][0]) if reply["rows"] else None


async def names(pool: Pool) -> dict[str, list[str]]:
    """Columns by table, for the nearest names; of tables alone if a broken view stands in the way."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    try:
        columns = await _rows(pool, _NAMES, may_fail=True)
    except Unavailable:
        columns = []
    if not columns:
        found |= {name: [] for name, *_ in await _rows(pool, _BARE_TABLES)}
        columns = await _rows(pool, _BARE_NAMES, may_fail=True)
    for table, column in columns:
        found[table].append(column)
    return found


async def describe(pool: Pool, table: str) -> TableDetail:
    """A table's columns, keys, indexes and references, and three of its rows.

    Raises:
        Unknown: There is no such table.
    """
    found, *_ = await _found(pool, _TABLE, _BARE_TABLE, (table,))
    if not found:
        near = did_you_mean(table, [name for name, *_ in (await _found(pool, _TABLES, _BARE_TABLES))[0]])
        raise Unknown(
            f"There is no table {quote(table)} in {quote(pool.name)}.{near} sql_list_tables shows the tables."
        )
    name, kind = found[0]
    rows = dict(await _rows(pool, _STATISTICS, may_fail=True)).get(name)
    approximate = rows is not None
    columns, cut = await _read(pool, _COLUMNS, (name,), may_fail=True)
    sample, notices = await _sample(pool, name)
    return TableDetail(
        database=pool.name,
        name=name,
        kind=kind,
        columns=tuple(
            Column(name=column, type=of, required=bool(required), key=key, default=default)
            for column, of, required, key, default in columns
        ),
        indexes=await _indexes(pool, name),
        references=await _references(pool, name),
        rows=rows if approximate else await _count(pool, name),
        approximate=approximate,
        sample=sample,
        notices=_told(cut, len(columns), "columns") + notices,
    )


async def document(pool: Pool, table: str) -> TableDocument:
    """The same, with the statement that made it.

    Raises:
        Unknown: There is no such table.
    """
    detail = await describe(pool, table)
    made = await _rows(pool, _DEFINITION, (detail.name,))
    definition, told = _short_definition(made[0][0] if made else None)
    return TableDocument(
        **detail.model_dump(exclude={"notices"}), definition=definition, notices=detail.notices + told
    )


async def schema(pool: Pool) -> str:
    """Every table and view as the statement that made it, under its number of rows; the start of very many.

    Raises:
        Unavailable: The database cannot be read.
    """
    entries, _ = await tables(pool)
    made = dict(await _rows(pool, _DEFINITIONS))
    told, room = [], SCHEMA_CHARS
    for number, entry in enumerate(entries):
        rows = "rows not counted" if entry.rows is None else f"{entry.rows:,} rows"
        text = f"-- {entry.kind} {entry.name}: {rows}\n{_short_definition(made.get(entry.name))[0]}"
        room -= len(text)
        if room < 0:
            told.append(f"-- and {len(entries) - number:,} more: sql_list_tables shows all")
            break
        told.append(text)
    return "\n".join(told)


def _short_definition(sql: str | None) -> tuple[str, tuple[str, ...]]:
    if sql and len(sql) > DEFINITION_CHARS:
        return sql[:DEFINITION_CHARS] + "…", (f"The definition is cut at {DEFINITION_CHARS:,} characters.",)
    return sql or "", ()


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
        why = "it took too long" if reply["late"] else " ".join(reply["message"].split())
        return [], (f"No sample: {why or 'it needs too much memory'}.",)
    if reply["cut"] in ("bytes", "names") and not reply["rows"]:
        return [], ("No sample: one row alone is over the bytes a result may hold.",)
    return [tuple(_short(value) for value in row) for row in reply["rows"]], ()


def _short(value: Any) -> Any:
    return value[:SAMPLE_CHARS] + "…" if isinstance(value, str) and len(value) > SAMPLE_CHARS else value
