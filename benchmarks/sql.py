"""sql_query through the whole server, against a raw loop over `sqlite3` and mcp-server-sqlite."""

import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import Any

from benchmarks.rounds import Line, compare
from benchmarks.wire import Stdio

HERE = Path(__file__).parent
GOALS = {  # by rows: against the raw loop, against mcp-server-sqlite
    1: {"mcp-server-sqlite": 0.8},
    100: {"mcp-server-sqlite": 0.8},
    10_000: {"mcp-server-sqlite": 0.6, "raw loop": 2.0},
}


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


def run(directory: Path, peers: Path, rounds: int) -> list[Line]:
    """Every line of the comparison.

    Args:
        directory: Where the database may be made.
        peers: The Python of the environment in which the peers are installed.
    """
    path = directory / "bench.db"
    make_database(path)
    servers = {
        "almanac": Stdio(
            [sys.executable, str(HERE.parent / "server.py")], {"ALMANAC_SQL_DATABASES": f"bench={path}"}
        ),
        "mcp-server-sqlite": Stdio([str(peers.with_name("mcp-server-sqlite")), "--db-path", str(path)]),
        "raw loop": Stdio([sys.executable, str(HERE / "peers/raw_sqlite.py"), str(path)], handshake=False),
    }
    lines = []
    with contextlib.ExitStack() as stack:
        for server in servers.values():
            stack.enter_context(server)
        for rows, goals in GOALS.items():
            sql = f"SELECT * FROM t WHERE id >= 500 LIMIT {rows}"
            asked: dict[str, tuple[str, dict[str, Any]]] = {
                "almanac": ("sql_query", {"sql": sql, "limit": rows}),
                "mcp-server-sqlite": ("read_query", {"query": sql}),
                "raw loop": ("query", {"sql": sql}),
            }
            for name, (tool, arguments) in asked.items():
                answer = servers[name].call(tool, arguments)
                last = f"name {499 + rows}".encode()
                if last not in answer:
                    raise RuntimeError(f"{name} did not answer with {rows} rows: {answer[:300]!r}")
            calls = 200 if rows < 1000 else 7
            work = {
                name: (lambda server=servers[name], asked=asked[name]: server.timed(*asked)) for name in asked
            }
            lines += compare(f"sql_query {rows:,} rows", work, goals, rounds, calls)
    return lines
