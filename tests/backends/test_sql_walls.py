"""Each wall against writing alone, the others taken down: no wall leans on another."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backends.sql import connection as walls
from backends.sql.connection import ReadOnlyConnection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "real.db")) as made:
        made.executescript("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x');")
    return tmp_path / "real.db"


@pytest.fixture
def writable(path: Path) -> Iterator[ReadOnlyConnection]:
    """A connection as a child has it, but open to write and without an authorizer."""
    with closing(ReadOnlyConnection(f"{path.as_uri()}?mode=rw", 2**40)) as opened:
        opened.set_authorizer(None)
        yield opened


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "CREATE TABLE u (a)", "CREATE TEMP TABLE u (a)"])
def test_query_only_alone_refuses_what_writes(writable: ReadOnlyConnection, sql: str) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        writable.execute(sql)


@pytest.mark.parametrize("sql", ["ATTACH 'made.db' AS m", "VACUUM INTO 'made.db'"])
def test_the_limit_of_attached_databases_alone_refuses_another_file(
    writable: ReadOnlyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.chdir(tmp_path)
    writable.execute("PRAGMA query_only=0")
    with pytest.raises(sqlite3.OperationalError, match=r"too many attached|unable"):
        writable.execute(sql)
    assert [file.name for file in tmp_path.iterdir()] == ["real.db"]


def test_opening_read_only_alone_refuses_what_writes(path: Path) -> None:
    with closing(ReadOnlyConnection(f"{path.as_uri()}?mode=ro", 2**40)) as opened:
        opened.set_authorizer(None)
        opened.execute("PRAGMA query_only=0")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            opened.execute("INSERT INTO t VALUES (1)")


def test_the_authorizer_alone_refuses_what_writes(path: Path) -> None:
    with closing(ReadOnlyConnection(f"{path.as_uri()}?mode=rw", 2**40)) as opened:
        for sql in ("INSERT INTO t VALUES (1)", "PRAGMA query_only=0", "ATTACH 'x' AS y", "DROP TABLE t"):
            with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
                opened.execute(sql)


def test_a_schema_is_not_trusted_with_functions(writable: ReadOnlyConnection, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.executescript("CREATE VIEW v AS SELECT load_it(a) FROM t;")
    writable.create_function("load_it", 1, lambda value: value)
    with pytest.raises(sqlite3.OperationalError, match="unsafe use of load_it"):
        writable.execute("SELECT * FROM v").fetchall()


def test_the_limits_are_set_on_the_connection(writable: ReadOnlyConnection) -> None:
    for limit, value in walls._LIMITS.items():
        assert writable.getlimit(limit) == value
    for pragma, value in (("cell_size_check", 1), ("temp_store", 2), ("mmap_size", 0), ("trusted_schema", 0)):
        assert writable.execute(f"PRAGMA {pragma}").fetchone() in ((value,), None)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python sets it from 3.12 on")
def test_defensive_mode_alone_refuses_to_write_the_schema(writable: ReadOnlyConnection) -> None:
    writable.execute("PRAGMA query_only=0")
    writable.execute("PRAGMA writable_schema=1")
    with pytest.raises(sqlite3.OperationalError, match="may not be modified"):
        writable.execute("UPDATE sqlite_schema SET sql = ''")


def test_depth_terms_and_columns_are_bounded(writable: ReadOnlyConnection) -> None:
    deep = "(" * 1_100 + "1" + ")" * 1_100
    with pytest.raises(sqlite3.OperationalError, match=r"too large|too deep|overflow"):
        writable.execute(f"SELECT {deep.replace('(', '(1+')}")
    with pytest.raises(sqlite3.OperationalError, match="too many terms"):
        writable.execute(" UNION ALL ".join(["SELECT 1"] * 501))
    with pytest.raises(sqlite3.OperationalError, match="too many columns"):
        writable.execute(f"SELECT {', '.join(['1'] * 2_001)}")
