"""The store of caches: kept over restarts, shared by processes, and no call waits for it when it fails."""

import asyncio
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

import state.file
from state import State

ROOT = Path(__file__).resolve().parent.parent
PATIENT_S = 10.0  # so that a loaded machine makes no test fail
LONGEST_S = 1.0  # for calls while the store is in trouble: 0.08 s, or 2 s and more without patience


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Redis:
    """A Redis server of its own on a free loopback port, which keeps nothing on disk."""

    def __init__(self, program: str, directory: Path, password: str = "") -> None:
        self.port = free_port()
        self.url = SecretStr(f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0")
        self.command = [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", str(directory), *(["--requirepass", password] if password else []),
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError("redis-server did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis_program() -> str:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        if os.environ.get("TEST_REQUIRE_ALL") == "1":
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    return program


@pytest.fixture
def redis(redis_program: str, tmp_path: Path) -> Iterator[Redis]:
    server = Redis(redis_program, tmp_path)
    yield server
    server.stop()


Make = Callable[[], State]


@pytest.fixture(params=["file", "memory", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A factory of one kind of state, which asks the same store each time."""
    if request.param == "redis":
        url = request.getfixturevalue("redis").url
        return lambda: State(url=url, patience_s=PATIENT_S)
    directory = tmp_path / "state" if request.param == "file" else None
    return lambda: State(directory, patience_s=PATIENT_S)


@pytest.fixture
def kept(tmp_path: Path) -> State:
    return State(tmp_path / "state", patience_s=PATIENT_S)


async def test_what_was_put_last_is_given_back(make: Make) -> None:
    async with make() as state:
        assert await state.get("weather", "Lima") is None
        await state.put("weather", "Lima", b"\x00\xff warm", 60)
        await state.put("weather", "Lima", b"cold", 60)
        await state.put("air", "Lima", b"fair", 60)
        assert (await state.get("weather", "Lima"), await state.get("air", "Lima")) == (b"cold", b"fair")


async def test_what_has_ended_is_gone(make: Make) -> None:
    async with make() as state:
        await state.put("weather", "Lima", b"warm", 0.05)
        await state.put("weather", "Oslo", b"cold", -1)
        await asyncio.sleep(0.07)
        assert await state.get("weather", "Lima") is None
        assert await state.get("weather", "Oslo") is None


async def test_a_value_that_is_far_too_large_is_not_kept(make: Make) -> None:
    async with make() as state:
        await state.put("weather", "Lima", b"x" * 1_000_001, 60)
        assert await state.get("weather", "Lima") is None
        assert state.note == ""


async def test_a_hostile_key_is_a_key_like_any_other(make: Make) -> None:
    key = "'; DROP TABLE kept; --\r\nFLUSHALL\r\n\x00 🎉" + "x" * 2000
    async with make() as state:
        await state.put("weather", key, b"1", 60)
        assert await state.get("weather", key) == b"1"


async def test_a_hundred_callers_at_once_all_get_their_own(make: Make) -> None:
    async with make() as state:
        await asyncio.gather(*(state.put("weather", str(n), str(n).encode(), 60) for n in range(100)))
        found = await asyncio.gather(*(state.get("weather", str(n)) for n in range(100)))
        assert found == [str(n).encode() for n in range(100)]


@pytest.mark.parametrize("make", ["file", "redis"], indirect=True)
async def test_a_restart_finds_what_was_put(make: Make) -> None:
    async with make() as state:
        await state.put("weather", "Lima", b"warm", 60)
    async with make() as state:
        assert await state.get("weather", "Lima") == b"warm"


async def test_a_state_that_was_closed_can_be_used_again(make: Make) -> None:
    state = make()
    for _ in range(2):
        async with state:
            await state.put("weather", "Lima", b"warm", 60)
            assert await state.get("weather", "Lima") == b"warm"


async def test_nothing_is_left_running_after_closing(make: Make) -> None:
    async with make() as state:
        await state.put("weather", "Lima", b"warm", 60)
    assert not [thread for thread in threading.enumerate() if thread.name == "almanac-state"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_caller_who_leaves_takes_nothing_with_him(make: Make) -> None:
    async with make() as state:
        leaving = asyncio.create_task(state.put("weather", "Lima", b"warm", 60))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await state.put("weather", "Oslo", b"cold", 60)
        assert await state.get("weather", "Oslo") == b"cold"
        assert await state.get("weather", "Lima") == b"warm"


async def test_a_caller_who_leaves_a_store_that_rested_leaves_the_turn_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.PAUSE_S", 0.05)
    async with State(tmp_path / "state", patience_s=PATIENT_S) as state:
        await state.put("weather", "Lima", b"warm", 60)
        with monkeypatch.context() as broken:
            broken.setattr("state.file.SqliteStore._get", lambda *_: 1 / 0)
            assert await state.get("weather", "Lima") is None
        await asyncio.sleep(0.06)
        leaving = asyncio.create_task(state.get("weather", "Lima"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert await state.get("weather", "Lima") == b"warm"


WRITER = """
import asyncio, sys
from pathlib import Path
from pydantic import SecretStr
from state import State

async def main():
    directory, url = (Path(sys.argv[1]), None) if sys.argv[1] != "-" else (None, SecretStr(sys.argv[2]))
    async with State(directory, url, patience_s=10) as state:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(200):
            await state.put("theirs", str(number), b"x" * 100, 60)
            await state.put("common", str(number), b"theirs", 60)
        print(state.note, end="")

asyncio.run(main())
"""


@pytest.mark.parametrize("make", ["file", "redis"], indirect=True)
@pytest.mark.slow
async def test_two_processes_write_at_once_and_the_next_one_finds_it_all(
    make: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "redis" in request.node.name:
        shared = ["-", request.getfixturevalue("redis").url.get_secret_value()]
    else:
        shared = [str(tmp_path / "state"), "-"]
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, *shared, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert other.stdout
    assert await other.stdout.readline() == b"ready\n"
    async with make() as state:
        talking = asyncio.create_task(other.communicate(b"go\n"))
        for number in range(200):
            await state.put("mine", str(number), b"x" * 100, 60)
            await state.put("common", str(number), b"mine", 60)
        assert (await talking)[0] == b""
        assert state.note == ""
    async with make() as state:
        for whose in ("mine", "theirs"):
            assert [await state.get(whose, str(n)) for n in range(200)] == [b"x" * 100] * 200
        assert {await state.get("common", str(n)) for n in range(200)} <= {b"mine", b"theirs"}


# --- the file


async def test_nothing_is_made_before_something_is_written(tmp_path: Path, kept: State) -> None:
    async with kept as state:
        assert await state.get("weather", "Lima") is None
        assert not (tmp_path / "state").exists()
        await state.put("weather", "Lima", b"warm", 60)
        file = tmp_path / "state" / "cache.db"
        assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


@pytest.mark.parametrize("where", ["/dev/null/almanac", "a file"])
async def test_where_no_directory_can_be_made_memory_serves_and_the_log_says_so_once(
    tmp_path: Path, where: str
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    directory = Path(where) if where.startswith("/") else taken / "state"
    with structlog.testing.capture_logs() as logs:
        async with State(directory, patience_s=PATIENT_S) as state:
            for _ in range(3):
                await state.put("weather", "Lima", b"warm", 60)
                assert await state.get("weather", "Lima") == b"warm"
    assert [line["event"] for line in logs] == [
        "caches are kept in memory: the state directory cannot be used"
    ]


@pytest.mark.parametrize("how", ["no database", "a torn page", "empty"])
async def test_a_broken_file_is_put_aside_and_said_in_the_log(tmp_path: Path, how: str) -> None:
    file = tmp_path / "state" / "cache.db"
    async with State(file.parent, patience_s=PATIENT_S) as state:
        for number in range(500):
            await state.put("weather", str(number), os.urandom(200), 60)
    content = bytearray(file.read_bytes())
    match how:
        case "no database":
            content[:100] = b"not a database" + bytes(86)
        case "a torn page":
            content[4096:] = os.urandom(len(content) - 4096)
        case "empty":
            content.clear()
    file.write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        async with State(file.parent, patience_s=PATIENT_S) as state:
            assert await state.get("weather", "7") is None
            await state.put("weather", "Lima", b"warm", 60)
            assert await state.get("weather", "Lima") == b"warm"
            assert state.note == ""
    aside = file.with_suffix(".db.broken")
    if how == "empty":  # SQLite takes that for a new file, and so may we
        assert (logs, aside.exists()) == ([], False)
    else:
        assert [line["event"] for line in logs] == ["the cache file is broken and was put aside"]
        assert aside.read_bytes() == bytes(content)


async def test_of_two_that_find_a_file_broken_only_one_puts_it_aside(tmp_path: Path) -> None:
    file = tmp_path / "state" / "cache.db"
    one, two = (State(file.parent, patience_s=PATIENT_S) for _ in range(2))
    async with one, two:
        await one.put("weather", "Lima", b"warm" * 1000, 60)
        assert await two.get("weather", "Lima")
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        file.write_bytes(b"scribble" * 1000)
        with structlog.testing.capture_logs() as logs:
            for number in range(3):
                await one.put("weather", f"one {number}", b"1", 60)
                await two.put("weather", f"two {number}", b"2", 60)
        assert len([line for line in logs if "put aside" in line["event"]]) == 1
        assert await one.get("weather", "two 2") == b"2"
        assert await two.get("weather", "one 2") == b"1"


async def test_a_full_file_makes_room_by_dropping_what_ends_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state.file, "MOST_BYTES", 400_000)
    async with State(tmp_path / "state", patience_s=PATIENT_S) as kept:
        for number in range(400):
            await kept.put("weather", str(number), os.urandom(4000), 1000 + number)
        assert kept.note == ""
        assert await kept.get("weather", "399")
        assert await kept.get("weather", "0") is None
    assert (tmp_path / "state" / "cache.db").stat().st_size <= 400_000


async def test_a_file_another_process_holds_locked_delays_a_call_by_a_tenth_of_a_second(
    tmp_path: Path,
) -> None:
    async with State(tmp_path / "state", patience_s=0.08) as kept:
        await kept.put("weather", "Lima", b"warm", 60)
        other = sqlite3.connect(tmp_path / "state" / "cache.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for number in range(20):
            await kept.put("weather", str(number), b"cold", 60)
        assert time.monotonic() - began < LONGEST_S
        assert kept.note
        other.close()


async def test_a_disk_that_hangs_holds_nobody_up_and_ends_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(state.file.SqliteStore, "_put", lambda *_: hanging.wait(20))
    monkeypatch.setattr(state.file, "CLOSE_S", 0.05)
    began = time.monotonic()
    async with State(tmp_path / "state", patience_s=0.08) as kept:
        monkeypatch.setattr("state.CLOSE_S", 0.05)
        await asyncio.gather(*(kept.put("weather", str(n), b"warm", 60) for n in range(1000)))
        assert await kept.get("weather", "1") is None
    assert time.monotonic() - began < 1.0
    hanging.set()


# --- Redis


async def test_a_redis_that_is_not_there_holds_nobody_up_and_is_said_once() -> None:
    with structlog.testing.capture_logs() as logs:
        async with State(url=SecretStr(f"redis://:canary@127.0.0.1:{free_port()}/0")) as kept:
            began = time.monotonic()
            for _ in range(50):
                assert await kept.get("weather", "Lima") is None
                await kept.put("weather", "Lima", b"warm", 60)
            assert time.monotonic() - began < LONGEST_S
            assert kept.note
    assert [line["event"] for line in logs] == ["caches are not kept or shared"]
    assert "canary" not in str(logs)


async def test_a_server_that_takes_connections_and_says_nothing_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = SecretStr(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        async with State(url=url) as kept:
            began = time.monotonic()
            await asyncio.gather(*(kept.get("weather", str(n)) for n in range(100)))
            assert await kept.get("weather", "Lima") is None
            assert time.monotonic() - began < LONGEST_S
            assert kept.note == "it is too slow"


async def test_a_wrong_password_is_no_error_of_a_call(redis_program: str, tmp_path: Path) -> None:
    server = Redis(redis_program, tmp_path, password="sesame")
    try:
        wrong = SecretStr(f"redis://:canary@127.0.0.1:{server.port}/0")
        async with State(url=wrong, patience_s=PATIENT_S) as kept:
            assert await kept.get("weather", "Lima") is None
            assert kept.note
            assert "canary" not in kept.note
        async with State(url=server.url, patience_s=PATIENT_S) as kept:
            await kept.put("weather", "Lima", b"warm", 60)
            assert await kept.get("weather", "Lima") == b"warm"
    finally:
        server.stop()


async def test_a_redis_that_comes_back_is_used_again(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state.PAUSE_S", 0.05)
    async with State(url=redis.url, patience_s=PATIENT_S) as kept:
        await kept.put("weather", "Lima", b"warm", 60)
        redis.stop()
        assert await kept.get("weather", "Lima") is None
        assert kept.note
        redis.start()
        await asyncio.sleep(0.06)
        await kept.put("weather", "Oslo", b"cold", 60)
        assert await kept.get("weather", "Oslo") == b"cold"
        assert kept.note == ""


async def test_what_is_in_redis_ends_by_itself_and_has_our_name(redis: Redis) -> None:
    import redis.asyncio as client

    async with State(url=redis.url, patience_s=PATIENT_S) as kept:
        await kept.put("weather", "Lima", b"warm", 60)
    connection: Any = client.Redis.from_url(redis.url.get_secret_value())
    assert await connection.keys("*") == [b"almanac:weather:Lima"]
    assert 50 < await connection.ttl("almanac:weather:Lima") <= 60
    await connection.aclose()
