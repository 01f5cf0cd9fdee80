"""Counting calls: exact over processes and restarts, in SQLite and in a real Redis, and when these fail."""

import asyncio
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from counters import Counters
from counters.file import MOST_IN_MEMORY, PURGE_EVERY, SqliteCounters
from errors import Unavailable

HERE = Path(__file__).resolve().parents[1]
TAKE = """
import asyncio, sys
from pathlib import Path
from counters import Counters

async def main():
    async with Counters(Path(sys.argv[1]), sys.argv[2], "refuse") as counters:
        print("ready", flush=True)
        sys.stdin.readline()
        for rate in sys.argv[3:]:
            left = await asyncio.gather(*(counters.take(rate, "quota", "somebody") for _ in range(200)))
            print(sum(not seconds for seconds in left))

asyncio.run(main())
"""


@pytest.fixture
def redis() -> Iterator[str]:
    """A Redis of its own on a free port, and on a socket."""
    program = shutil.which("redis-server")
    if not program:
        assert "TEST_REQUIRE_ALL" not in os.environ, "redis-server is not installed"
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    directory = tempfile.TemporaryDirectory()  # a socket's path has few characters
    command += ["--unixsocket", f"{directory.name}/redis"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
        directory.cleanup()


def taken_by_three_processes(directory: Path, url: str) -> list[int]:
    """How many of 600 calls at once three processes let through, of a window that slides and of a day."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, str(directory), url, "123/hour", "123/day"],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [map(int, process.communicate()[0].split()) for process in processes]
    return [sum(each) for each in zip(*found, strict=True)]


@pytest.mark.slow
def test_three_processes_with_one_file_let_exactly_the_limit_through(tmp_path: Path) -> None:
    assert taken_by_three_processes(tmp_path, "") == [123, 123]


@pytest.mark.slow
def test_three_processes_with_one_redis_let_exactly_the_limit_through(tmp_path: Path, redis: str) -> None:
    assert taken_by_three_processes(tmp_path, redis) == [123, 123]


async def test_one_redis_counts_the_same_by_its_port_and_by_its_socket(tmp_path: Path, redis: str) -> None:
    async with Redis.from_url(redis, decode_responses=True) as asked:
        socket_of_it = (await asked.config_get("unixsocket"))["unixsocket"]
    for url in (redis, f"unix://{socket_of_it}"):
        async with Counters(tmp_path, url, "refuse") as counters:
            assert await counters.take("2/day", "a") == 0
    async with Counters(tmp_path, redis, "refuse") as counters:
        assert await counters.left("2/day", "a") == 0


def test_no_other_user_of_the_machine_reads_who_called(tmp_path: Path) -> None:
    counters = SqliteCounters(tmp_path / "counters.db")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    counters.close()
    assert modes == dict.fromkeys(("counters.db", "counters.db-wal", "counters.db-shm"), 0o600)


async def test_a_restart_forgives_nothing(tmp_path: Path) -> None:
    async with Counters(tmp_path, "", "refuse") as counters:
        assert [await counters.take("2/day", "a") for _ in range(2)] == [0, 0]
    async with Counters(tmp_path, "", "refuse") as counters:
        assert 0 < await counters.take("2/day", "a") <= 86_400
        assert await counters.take("2/day", "b") == 0
        assert (await counters.left("2/day", "a"), await counters.left("2/day", "b")) == (0, 1)


async def test_what_is_too_dear_takes_nothing_from_what_is_left(tmp_path: Path) -> None:
    async with Counters(tmp_path, "", "refuse") as counters:
        assert await counters.take("10/day", "a", cost=8) == 0
        assert await counters.take("10/day", "a", cost=5) > 0
        assert await counters.take("10/day", "a", cost=2) == 0
        assert await counters.take("10/hour", "a", cost=8) == 0
        assert await counters.take("10/hour", "a", cost=5) > 0
        assert await counters.take("10/hour", "a", cost=2) == 0


async def test_a_window_slides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0 - 1_800_000_000.0 % 60
    monkeypatch.setattr(time, "time", lambda: now)
    counters = SqliteCounters(tmp_path / "c.db")

    async def room() -> int:
        count = 0
        while await counters.acquire_sliding_window_entry("k", 100, 60):
            count += 1
        return count

    assert await room() == 100
    now += 60
    assert await room() == 0  # the window before weighs as a whole still
    now += 30
    assert await room() == 50
    now += 120
    assert await room() == 100
    counters.close()


async def test_a_count_that_has_expired_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = SqliteCounters(tmp_path / "c.db")
    assert [await counters.incr("k", 60), await counters.incr("k", 60)] == [1, 2]
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert await counters.get("k") == 0
    assert await counters.incr("k", 60) == 1
    counters.close()


async def test_counters_that_have_expired_are_purged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = SqliteCounters(tmp_path / "c.db")
    for number in range(PURGE_EVERY - 1):
        await counters.incr(f"old {number}", 1)
    later = time.time() + 10
    monkeypatch.setattr(time, "time", lambda: later)
    await counters.incr("new", 1)
    assert await counters.reset() == 1
    counters.close()


async def test_a_directory_that_cannot_be_written_leaves_counting_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with Counters(tmp_path / "file" / "state", "", "refuse") as counters:
        assert "in memory" in counters.note
        assert await counters.take("1/day", "a") == 0
        assert await counters.take("1/day", "a") > 0


async def test_a_redis_that_is_gone_refuses_or_leaves_each_to_count_for_itself(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"redis://127.0.0.1:{free.getsockname()[1]}/0"
    async with Counters(tmp_path, nobody, "refuse") as counters:
        with pytest.raises(Unavailable, match="cannot be checked"):
            await asyncio.wait_for(counters.take("1/day", "a"), 5)
        assert counters.note
        assert await counters.left("1/day", "a") is None
    async with Counters(tmp_path, nobody, "local") as counters:
        assert await counters.take("1/day", "a") == 0
        assert await counters.take("1/day", "a") > 0


async def test_a_file_that_fails_for_a_while_is_told_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counters.PAUSE_SECONDS", 0.0)
    async with Counters(tmp_path, "", "local") as counters:
        assert await counters.take("1/day", "a") == 0
        with monkeypatch.context() as patched:

            def full(*_: object) -> None:
                raise sqlite3.OperationalError("database or disk is full")

            patched.setattr(counters._storage, "_write", full)
            assert [await counters.take("1/day", "b") > 0 for _ in range(2)] == [False, True]
            assert counters.note == "cannot be counted in the state directory"
        assert await counters.take("1/day", "a") > 0
        assert counters.note == ""


async def test_a_storage_that_does_not_answer_holds_one_call_up_and_not_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counters.ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with Counters(tmp_path, f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "local") as counters:
            started = time.monotonic()
            for _ in range(50):
                await counters.take("100/day", "a")
            assert time.monotonic() - started < 1


async def test_a_million_callers_take_little_memory_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counters.file.MOST_IN_MEMORY", 50)
    counters = SqliteCounters(None)
    for number in range(3 * PURGE_EVERY):
        assert await counters.incr(f"caller {number}", 1_000 + number) == 1
        assert await counters.acquire_sliding_window_entry(f"caller {number}", 1, 1_000)
    assert await counters.get(f"caller {3 * PURGE_EVERY - 1}") == 1, "those that last longest stay"
    assert (await counters.reset() or 0) < 100 + 2 * PURGE_EVERY
    counters.close()
    assert MOST_IN_MEMORY <= 100_000
    # While the shared storage fails, the file does, which takes no memory.
    async with Counters(tmp_path, "redis://127.0.0.1:9/0", "local") as local:
        assert await local.take("1/day", "a") == 0
    async with Counters(tmp_path, "", "refuse") as after:
        assert await after.take("1/day", "a") > 0


async def test_a_redis_that_comes_back_is_used_again(tmp_path: Path, redis: str) -> None:
    async with Counters(tmp_path, redis, "local") as counters:
        counters.note = "cannot be counted in their shared storage"
        assert await counters.take("1/day", "a") == 0
        assert counters.note == ""
