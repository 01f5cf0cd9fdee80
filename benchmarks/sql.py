"""sql_query through the whole server, against a raw loop over `sqlite3`, mcp-server-sqlite and datasette."""

import contextlib
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.contenders import SHIPPED, Bench
from benchmarks.goals import DATASETTE, RAW, ROWS, ROWS_HTTP, SQLITE3, SQLITE_SERVER
from benchmarks.rounds import OURS, Absent, Line, Work, compare
from benchmarks.wire import checked

CALLS = {1: 200, 100: 200, 10_000: 7}  # by rows


def make_database(path: Path) -> None:
    """100,000 rows of six columns, the same every time."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, x REAL, y REAL, n INTEGER, note TEXT)"
        )
        database.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)",
            ((i, f"name {i}", i / 7, i * 1.5, i * i, "note " * (i % 5)) for i in range(100_000)),
        )
        database.commit()


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    path = bench.directory / "bench.db"
    make_database(path)
    served = {"ALMANAC_SQL_DATABASES": f"bench={path}"}
    ours = bench.stdio(bench.script(SHIPPED), served)
    peer = bench.peer(bench.pip("mcp-server-sqlite", "--db-path", str(path)))
    raw = bench.stdio(bench.script("raw_sqlite.py", str(path)), handshake=False)
    port = bench.http(bench.script(SHIPPED, "http", "--port", "PORT"), served)
    most = ("--setting", "max_returned_rows", str(max(CALLS)))
    datasette = bench.peer_http(bench.pip("datasette", "serve", str(path), "--port", "PORT", *most))
    with contextlib.closing(sqlite3.connect(path)) as database:
        for rows, calls in CALLS.items():
            sql = f"SELECT * FROM t WHERE id >= 500 LIMIT {rows}"
            last = f"name {499 + rows}".encode()
            asked = {"sql": sql, "limit": rows}
            contenders: dict[str, Work | Absent] = {
                OURS: ours.calls("sql_query", asked, last),
                SQLITE_SERVER: peer.calls("read_query", {"query": sql}, last),
            }
            if rows == max(CALLS):
                contenders[RAW] = raw.calls("query", {"sql": sql}, last)
                contenders[SQLITE3] = _fetching(database, sql, last)
            yield from compare(ROWS.format(rows), contenders, bench.rounds, bench.many(calls))
            path_of = f"/bench.json?{urlencode({'sql': sql, '_shape': 'arrays'})}"
            contenders = {
                OURS: port.calls("sql_query", asked, last),
                DATASETTE: datasette.gets(path_of, last),
            }
            yield from compare(ROWS_HTTP.format(rows), contenders, bench.rounds, bench.many(calls))


def _fetching(database: sqlite3.Connection, sql: str, last: bytes) -> Work:
    def fetch() -> float:
        start = time.perf_counter()
        database.execute(sql).fetchall()
        return (time.perf_counter() - start) * 1000

    checked(str(database.execute(sql).fetchall()).encode(), last)
    return fetch
