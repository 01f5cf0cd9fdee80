"""Files of databases: missing, broken, locked, replaced or written to by others, and what health says."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from backends.sql import Databases
from config import SqlSettings
from errors import Forbidden, TooMuch, Unavailable
from tests.databases import ENDLESS, ROOT, Open, make, serving


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    return serving(tmp_path)


async def test_a_missing_and_a_broken_database_say_so_and_the_others_still_serve(
    opened: Open, tmp_path: Path
) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "folder.db").mkdir()
    others = {name: tmp_path / f"{name}.db" for name in ("missing", "broken", "folder")}
    async with opened(others=others) as databases:
        for name, says in [
            ("missing", "is not there"),
            ("broken", "not a SQLite"),
            ("folder", "not a SQLite"),
        ]:
            with pytest.raises(Unavailable) as refused:
                await databases.query("SELECT 1", database=name)
            assert says in str(refused.value)
            assert "'main'" in str(refused.value)
            assert str(tmp_path) not in str(refused.value)
        assert (await databases.query("SELECT 1")).rows == [(1,)]
        health = await databases.health()
        assert health.state == "degraded"
        assert {p.name: p.state for p in health.providers} == {
            "main": "ready",
            "missing": "missing",
            "broken": "failing",
            "folder": "failing",
        }
        assert str(tmp_path) not in health.model_dump_json()
        assert health.mend


async def test_a_database_that_appears_is_served_from_then_on(tmp_path: Path) -> None:
    settings = SqlSettings.model_validate({"databases": {"late": tmp_path / "late.db"}})
    async with Databases(settings) as databases:
        with pytest.raises(Unavailable):
            await databases.query("SELECT 1")
        assert (await databases.health()).state == "unavailable"
        make(tmp_path / "late.db")
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(3,)]
        assert (await databases.health()).state == "ready"


async def test_a_file_put_in_place_of_another_is_the_one_that_is_read(opened: Open, tmp_path: Path) -> None:
    async with opened() as databases:
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(3,)]
        slow = ENDLESS.replace("FROM n)", "FROM n LIMIT 1000000)")
        in_flight = asyncio.create_task(databases.query(slow))
        await asyncio.sleep(0.02)
        make(tmp_path / "new.db", "DELETE FROM city;").replace(tmp_path / "main.db")
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(0,)]
        await in_flight
        again = await asyncio.gather(*(databases.query("SELECT count(*) FROM city") for _ in range(3)))
        assert [answer.rows for answer in again] == [[(0,)]] * 3


async def test_a_damaged_page_is_unavailable_not_a_crash(opened: Open, tmp_path: Path) -> None:
    script = (
        "CREATE TABLE big (t); WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500) "
    )
    async with opened(script + "INSERT INTO big SELECT hex(randomblob(500)) FROM n;") as databases:
        with (tmp_path / "main.db").open("r+b") as file:
            file.seek(20 * 4096)
            file.write(b"\xff" * 4096 * 20)
        with pytest.raises(Unavailable, match="damaged"):
            await databases.query("SELECT sum(length(t)) FROM big")


async def test_a_locked_database_is_unavailable_until_it_is_free(opened: Open, tmp_path: Path) -> None:
    hold = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1]); held.execute('BEGIN EXCLUSIVE'); "
        "print('held', flush=True); input()"
    )
    async with opened() as databases:
        command = [sys.executable, "-c", hold, str(tmp_path / "main.db")]
        # Another program: within ours, closing any handle of a file drops the locks that we hold on it.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:  # noqa: ASYNC220 - it is awaited by nobody
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"held\n"
            with pytest.raises(Unavailable, match="locked"):
                await databases.query("SELECT * FROM city")
            assert (await databases.health()).state == "unavailable"
            writer.communicate(b"\n")
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(3,)]
        assert (await databases.health()).state == "ready"


async def test_what_another_program_writes_is_seen_at_once_with_a_write_ahead_log_too(
    opened: Open, tmp_path: Path
) -> None:
    async with opened("PRAGMA journal_mode = WAL;") as databases:
        with closing(sqlite3.connect(tmp_path / "main.db", isolation_level=None)) as writer:
            for count in (4, 5, 6):
                writer.execute("INSERT INTO city(name) VALUES ('new')")
                assert (await databases.query("SELECT count(*) FROM city")).rows == [(count,)]
            writer.execute("ALTER TABLE city ADD COLUMN mayor")
            assert "mayor" in (await databases.query("SELECT * FROM city")).columns


async def test_a_page_that_was_cut_or_refused_holds_no_lock_against_a_writer(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(max_bytes=10_000, timeout=0.2) as databases:
        with closing(sqlite3.connect(tmp_path / "main.db", isolation_level=None, timeout=0)) as writer:
            page = await databases.query("SELECT * FROM city a, city b", limit=1)
            writer.execute("INSERT INTO city(name) VALUES ('one')")
            with pytest.raises(TooMuch, match="One row"):
                await databases.query("SELECT hex(zeroblob(20000)) FROM city")
            writer.execute("INSERT INTO city(name) VALUES ('two')")
            with pytest.raises(TooMuch, match="Stopped after"):
                await databases.query(f"SELECT *, ({ENDLESS}) FROM city")
            writer.execute("INSERT INTO city(name) VALUES ('three')")
        assert (await databases.query("SELECT count(*) FROM city")).rows == [(6,)]
    assert page.truncated


async def test_virtual_tables_still_answer_after_another_program_changed_the_schema(
    opened: Open, tmp_path: Path
) -> None:
    script = "CREATE VIRTUAL TABLE box USING rtree(id, a, b); INSERT INTO box VALUES (1, 2, 3);"
    async with opened(script) as databases:
        assert (await databases.query("SELECT id FROM box")).rows == [(1,)]
        with closing(sqlite3.connect(tmp_path / "main.db")) as writer:
            writer.execute("CREATE TABLE other (a)")
            writer.executescript("CREATE VIRTUAL TABLE story USING fts5(t); INSERT INTO story VALUES ('a');")
        assert (await databases.query("SELECT id FROM box")).rows == [(1,)]
        assert (await databases.query("SELECT t FROM story WHERE story MATCH 'a'")).rows == [("a",)]
        with pytest.raises(Forbidden):
            await databases.query("INSERT INTO box VALUES (2, 2, 3)")


def _read_only_mount(place: Path) -> list[str]:
    """A command that runs another with `place` mounted read-only, or a skip where that is not permitted."""
    mount = f"mount --bind '{place}' '{place}' && mount -o remount,ro,bind '{place}' && exec \"$@\""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
    try:
        permitted = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        permitted = False
    if not permitted:
        if os.environ.get("TEST_REQUIRE_ALL") == "1":
            pytest.fail("a read-only mount needs unshare and the right to mount")
        pytest.skip("a read-only mount needs unshare and the right to mount")
    return command


def test_a_wal_database_on_a_read_only_mount_opens_and_health_says_how(tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    make(place / "wal.db", "PRAGMA journal_mode = WAL;")
    for beside in ("wal.db-wal", "wal.db-shm"):
        (place / beside).unlink(missing_ok=True)
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql import Databases
from backends.sql.connection import ReadOnlyConnection
from backends.sql.rows import read_page
from config import SqlSettings
async def main():
    settings = SqlSettings.model_validate(dict(databases=dict(wal={str(place / "wal.db")!r})))
    async with Databases(settings) as databases:
        print((await databases.query("SELECT count(*) FROM city")).rows)
        print((await databases.query("SELECT count(*) FROM country")).rows)
        print((await databases.health()).model_dump_json())
asyncio.run(main())
"""
    run = subprocess.run(
        [*_read_only_mount(place), sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    city, country, health = run.stdout.splitlines()
    assert (city, country) == ("[(3,)]", "[(2,)]")
    assert json.loads(health)["state"] == "ready"
    assert "read-only (immutable=1, authorizer, child process)" in json.loads(health)["summary"]


async def test_health_is_cheap_and_asks_only_when_told_to(opened: Open) -> None:
    async with opened() as databases:
        health = await databases.health()
        mode = "read-only (mode=ro, authorizer, child process)"
        assert (health.state, health.summary) == ("ready", f"main: {mode}.")
        assert health.providers[0].state == "untried"
        probed = await databases.health(probe=True)
        assert probed.providers[0].state == "ready"
