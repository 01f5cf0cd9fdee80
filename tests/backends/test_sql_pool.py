"""Children and their turns: time that is up, calls that are cancelled, company, and what is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from backends.sql import Databases
from backends.sql.worker import Worker
from config import SqlSettings
from errors import TooMuch
from tests.databases import ENDLESS, ROOT, STUCK, Open, make, serving
from tests.processes import children, has_ended


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    return serving(tmp_path)


def file_size_limit(process: int) -> list[str]:
    limits = Path(f"/proc/{process}/limits").read_text().splitlines()
    return next(line for line in limits if line.startswith("Max file size")).split()[3:5]


@pytest.mark.parametrize("sql", [ENDLESS, STUCK])
async def test_a_statement_ends_at_its_time_even_inside_one_opcode(opened: Open, sql: str) -> None:
    async with opened(timeout=0.3) as databases:
        await databases.query("SELECT 1")
        started = time.perf_counter()
        with pytest.raises(TooMuch, match="Stopped after"):
            await databases.query(sql)
        assert time.perf_counter() - started < 1
        assert (await databases.query("SELECT 1")).rows == [(1,)]


async def test_an_export_ends_at_its_time_when_its_file_takes_nothing_more(opened: Open) -> None:
    async def write(piece: bytes, rows: int) -> None:
        await asyncio.sleep(20)

    async with opened(export_timeout=0.2) as databases:
        started = time.perf_counter()
        with pytest.raises(TooMuch, match=r"Stopped after 0\.2 s"):
            await databases.export("SELECT * FROM city", None, "csv", write)
        assert time.perf_counter() - started < 5
        assert (await databases.query("SELECT 1")).rows == [(1,)]


async def seconds_until_the_next_is_answered(databases: Databases, sql: str) -> float:
    """After a call was cancelled, on a database with one connection."""
    await databases.query("SELECT 1")
    call = asyncio.create_task(databases.query(sql))
    await asyncio.sleep(0.15)  # long enough to count as a long one
    call.cancel()
    started = time.perf_counter()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await databases.query("SELECT 2")).rows == [(2,)]
    return time.perf_counter() - started


async def test_a_cancelled_call_stops_its_statement_within_50_ms_and_its_child_takes_the_next(
    opened: Open,
) -> None:
    async with opened(timeout=20, connections=1) as databases:
        await databases.query("SELECT 1")
        child = children()
        # The best of three, since the machine may have other things to do.
        assert min([await seconds_until_the_next_is_answered(databases, ENDLESS) for _ in range(3)]) < 0.05
        assert children() == child


async def test_a_call_cancelled_while_its_rows_come_in_parts_leaves_its_child_to_the_next(
    opened: Open,
) -> None:
    large = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 90) "
    async with opened(timeout=20, connections=1, max_bytes=9_000_000) as databases:
        await databases.query("SELECT 1")
        child = children()
        for wait in range(8):
            call = asyncio.create_task(databases.query(large + "SELECT printf('%080000d', i) FROM n"))
            await asyncio.sleep(0.002 + wait * 0.004)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert (await databases.query("SELECT 2")).rows == [(2,)]
        assert children() == child


async def test_a_cancelled_call_that_heeds_nothing_ends_with_its_child(opened: Open) -> None:
    async with opened(timeout=20, connections=1) as databases:
        await databases.query("SELECT 1")
        child = children()
        # 50 ms until it is killed, 30 for a new one.
        assert min([await seconds_until_the_next_is_answered(databases, STUCK) for _ in range(3)]) < 0.2
        assert not set(children()) & set(child)


@pytest.mark.slow
async def test_cancelling_a_hundred_calls_at_odd_times_leaves_children_that_answer_rightly(
    opened: Open,
) -> None:
    async with opened(timeout=20, connections=2) as databases:
        rows = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        for number in range(100):
            call = asyncio.create_task(databases.query(f"{rows} SELECT i, {number} FROM n", limit=9999))
            await asyncio.sleep(number % 25 / 1000)
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            if not number % 10:
                page = await databases.query(f"{rows} SELECT i, {number} FROM n", limit=9999)
                assert (page.row_count, page.rows[0], page.rows[-1]) == (5000, (1, number), (5000, number))


async def test_slow_queries_leave_a_turn_to_a_fast_one(opened: Open) -> None:
    async with opened(timeout=3, connections=3) as databases:
        slow = [asyncio.create_task(databases.query(ENDLESS)) for _ in range(8)]
        await asyncio.sleep(1)
        took = []
        for _ in range(5):
            started = time.perf_counter()
            await databases.query("SELECT 1")
            took.append(time.perf_counter() - started)
        for call in slow:
            call.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
    assert sorted(took)[2] < 0.1


async def test_a_slow_query_that_had_to_wait_begins_anew_and_is_answered_whole(opened: Open) -> None:
    rows = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 900000)"
    async with opened(timeout=20, connections=2) as databases:
        calls = (databases.query(f"{rows} SELECT {number}, count(*) FROM n") for number in range(5))
        pages = await asyncio.gather(*calls)
    assert [page.rows for page in pages] == [[(number, 900_000)] for number in range(5)]


async def test_a_call_cancelled_before_its_child_has_started_leaves_none(opened: Open) -> None:
    async with opened() as databases:
        for wait in (0, 0.001, 0.005, 0.02):
            call = asyncio.create_task(databases.query(ENDLESS))
            await asyncio.sleep(wait)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await databases.query("SELECT 1")).rows == [(1,)]
    assert children() == []


async def test_a_slow_query_does_not_delay_a_fast_one(opened: Open) -> None:
    async with opened(timeout=20, connections=4) as databases:
        slow = [asyncio.create_task(databases.query(sql)) for sql in (ENDLESS, STUCK, ENDLESS)]
        await databases.query("SELECT 1")
        started = time.perf_counter()
        for _ in range(10):
            await databases.query("SELECT 1")
        assert time.perf_counter() - started < 1  # 0.01 on a machine of its own
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_a_query_too_many_waits_its_time_and_is_then_told_to_come_back(opened: Open) -> None:
    async with opened(timeout=0.4, connections=1) as databases:
        running = asyncio.create_task(databases.query(ENDLESS))
        await asyncio.sleep(0.05)
        waiting = await asyncio.gather(*(databases.query(STUCK) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, TooMuch) for outcome in waiting)
        assert any("already" in str(outcome) for outcome in waiting)
        with pytest.raises(TooMuch):
            await running


async def test_many_callers_at_once_all_get_their_own_answer(opened: Open) -> None:
    async with opened(connections=3) as databases:
        answers = await asyncio.gather(*(databases.query("SELECT ? AS n", [n]) for n in range(200)))
        assert [answer.rows for answer in answers] == [[(n,)] for n in range(200)]
        assert len(children()) <= 3


async def test_progress_is_reported_while_a_statement_runs(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.sql.databases.REPORT_SECONDS", 0.05)
    told: list[tuple[float, float]] = []

    async def report(gone: float, all_there_is: float) -> None:
        told.append((gone, all_there_is))

    async with opened(timeout=0.3) as databases:
        with pytest.raises(TooMuch):
            await databases.query(ENDLESS, report=report)
    assert len(told) >= 3
    assert told[0] == (0.05, 0.3)


async def test_no_child_starts_before_the_first_question_and_none_is_left(opened: Open) -> None:
    async with opened() as databases:
        await databases.health()
        assert children() == []
        await databases.query("SELECT 1")
        assert len(children()) == 1
    assert children() == []


async def test_it_can_be_entered_again(tmp_path: Path) -> None:
    databases = Databases(SqlSettings.model_validate({"databases": {"main": make(tmp_path / "a.db")}}))
    for _ in range(2):
        async with databases:
            assert (await databases.query("SELECT 1")).rows == [(1,)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_kernel_lets_a_child_write_to_no_file(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        assert file_size_limit(children()[0]) == ["0", "0"]


async def test_one_long_value_in_two_thousand_columns_is_too_much(opened: Open) -> None:
    async with opened(timeout=5) as databases:  # 8 GB of text, of which SQLite itself holds 4 MB
        with pytest.raises(TooMuch, match="memory"):
            await databases.query("SELECT " + ", ".join(["?1"] * 2_000), ["a" * 4_000_000])


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
async def test_a_ctrl_c_at_the_terminal_does_not_reach_a_child(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        assert os.getpgid(children()[0]) != os.getpgid(0)


async def test_a_child_that_is_killed_is_replaced(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        os.kill(children()[0], signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert (await databases.query("SELECT 1")).rows == [(1,)]


def test_a_child_that_is_killed_just_before_it_is_asked_is_no_failure_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uvloop = pytest.importorskip("uvloop")  # the server's loop, which does not write to a closed pipe

    async def ask() -> None:
        async with serving(tmp_path)() as databases:
            await databases.query("SELECT 1")
            os.kill(children()[0], signal.SIGKILL)
            await asyncio.sleep(0.1)
            with monkeypatch.context() as patched:
                patched.setattr(Worker, "alive", True)
                with pytest.raises(TooMuch):
                    await databases.query("SELECT 1")
            assert (await databases.query("SELECT 1")).rows == [(1,)]
            assert len(databases._pools["main"]._workers) == 1

    uvloop.run(ask())


async def test_a_child_that_has_swollen_is_replaced(opened: Open) -> None:
    async with opened() as databases:
        await databases.query("SELECT 1")
        before = children()
        doubled = ", ".join(f"c{n}(x) AS (SELECT a.x FROM c{n - 1} a, c{n - 1} b)" for n in range(1, 30))
        with pytest.raises(TooMuch, match="memory"):
            await databases.query(f"WITH c0(x) AS (SELECT 1), {doubled} SELECT * FROM c29")
        await databases.query("SELECT 1")
        assert children() != before


@pytest.mark.slow
def test_sqlite_keeps_to_its_memory_where_the_kernel_sets_no_limit(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql.connection import ReadOnlyConnection
connection = ReadOnlyConnection({path.as_uri()!r} + "?mode=ro", 20_000_000)
try:
    connection.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 2000) "
        "SELECT randomblob(100000) AS r FROM n ORDER BY r").fetchone()
except MemoryError:
    print("stopped")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "stopped\n"


def test_children_end_when_the_server_is_killed(tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql import Databases
from backends.sql.connection import ReadOnlyConnection
from backends.sql.rows import read_page
from config import SqlSettings
async def main():
    settings = SqlSettings.model_validate(dict(databases=dict(a={str(tmp_path / "a.db")!r}), timeout=30))
    async with Databases(settings) as databases:
        await databases.query("SELECT 1")
        worker, = databases._pools["a"]._workers
        print(worker._process.pid, flush=True)
        await asyncio.sleep(30)
asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    child = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.close()
    assert has_ended(child)


def test_a_child_in_the_middle_of_a_statement_ends_with_its_killed_server(tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.sql import Databases
from config import SqlSettings
async def main():
    settings = SqlSettings.model_validate(dict(databases=dict(a={str(tmp_path / "a.db")!r}), timeout=30))
    async with Databases(settings) as databases:
        await databases.query("SELECT 1")
        worker, = databases._pools["a"]._workers
        asking = asyncio.create_task(databases.query({ENDLESS!r}))
        await asyncio.sleep(0.3)
        print(worker._process.pid, flush=True)
        await asking
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        server.kill()
    if not (ended := has_ended(child)):
        os.kill(child, signal.SIGKILL)
    assert ended
