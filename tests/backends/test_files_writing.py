"""New files in the sandbox: whole or not there, never outside, never over another."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.files import Sandbox
from backends.files.beneath import Mechanism
from config import FilesSettings
from errors import Forbidden, Refusal, TooMuch, Unknown

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["openat2", "walk", "names"])
def mechanism(request: pytest.FixtureRequest) -> Mechanism:
    found: Mechanism = request.param
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    (place / "docs").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("untouched")
    return place


@pytest.fixture
def writing(root: Path, mechanism: Mechanism) -> Callable[..., Sandbox]:
    def make(**over: object) -> Sandbox:
        return Sandbox(FilesSettings.model_validate({"root": root, "write": True, **over}), mechanism)

    return make


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


async def put(sandbox: Sandbox, path: str, *pieces: bytes) -> None:
    async with sandbox.new_file(path) as file:
        for piece in pieces:
            await file.write(piece)


async def test_a_new_file_holds_every_byte_and_is_not_seen_before_its_end(
    writing: Callable[..., Sandbox], root: Path
) -> None:
    pieces = [os.urandom(300_000), b"", os.urandom(1)]
    async with writing() as sandbox:
        async with sandbox.new_file("docs/new.bin") as file:
            for piece in pieces:
                await file.write(piece)
            assert not (root / "docs" / "new.bin").exists()
            assert (await sandbox.list_directory("docs", 1, 10, None)).entries == ()
            assert (await sandbox.find("*", ".", 10)).paths == ("docs/",)
        assert (await sandbox.info("docs/new.bin")).size == 300_001
    assert names(root / "docs") == ["new.bin"]
    assert (root / "docs" / "new.bin").read_bytes() == b"".join(pieces)
    assert (root / "docs" / "new.bin").stat().st_mode & 0o111 == 0


async def test_nothing_is_written_unless_that_is_switched_on(root: Path) -> None:
    async with Sandbox(FilesSettings(root=root)) as sandbox:
        assert not sandbox.writes
        with pytest.raises(Forbidden, match="Writing is off on this server"):
            await put(sandbox, "new", b"x")
    assert names(root) == ["docs"]


async def test_what_fails_or_is_cancelled_leaves_nothing(writing: Callable[..., Sandbox], root: Path) -> None:
    async def fail(sandbox: Sandbox) -> None:
        async with sandbox.new_file("new") as file:
            await file.write(b"half")
            raise ZeroDivisionError

    async def stuck(sandbox: Sandbox) -> None:
        async with sandbox.new_file("new") as file:
            await file.write(b"half")
            await asyncio.sleep(60)

    async with writing() as sandbox:
        handles = len(names(Path("/proc/self/fd")))
        for _ in range(50):
            with pytest.raises(ZeroDivisionError):
                await fail(sandbox)
        for delay in (0.0, 0.001, 0.01, 0.05):
            task = asyncio.create_task(stuck(sandbox))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(names(Path("/proc/self/fd"))) == handles
    assert names(root) == ["docs"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", Unknown),
        (".", Unknown),
        ("docs/", Unknown),
        ("nowhere/new", Unknown),
        ("file/new", Unknown),
        ("/etc/new", Forbidden),
        ("../new", Forbidden),
        ("docs/../new", Forbidden),
        ("link/new", Forbidden),
        ("a\0b", Forbidden),
        ("a\nb", Forbidden),
        ("C:new", Forbidden),
        ("\\\\host\\new", Forbidden),
        ("new.", Forbidden),
        (".env", Forbidden),
        ("docs/id_rsa", Forbidden),
        (".git/config", Forbidden),
        (".almanac-0.part", Forbidden),
        ("x" * 300, TooMuch),
        ("file", Forbidden),
        ("docs", Forbidden),
        ("dangling", Forbidden),
        ("pipe", Forbidden),
    ],
)
async def test_a_name_that_may_not_be_is_refused_in_words(
    writing: Callable[..., Sandbox], root: Path, path: str, kind: type[Refusal]
) -> None:
    (root / "file").write_text("mine")
    (root / "link").symlink_to(root.parent / "outside")
    (root / "dangling").symlink_to(root.parent / "outside" / "made")
    os.mkfifo(root / "pipe")
    there = names(root)
    async with writing() as sandbox:
        with pytest.raises(kind) as refused:
            await put(sandbox, path, b"x")
    assert str(root.parent) not in str(refused.value)
    assert names(root) == there
    assert (root / "file").read_text() == "mine"
    assert names(root.parent / "outside") == ["canary"]


async def test_of_many_writers_of_one_name_exactly_one_wins(
    writing: Callable[..., Sandbox], root: Path
) -> None:
    async def write(sandbox: Sandbox, number: int) -> bool:
        try:
            await put(sandbox, "docs/new", bytes([number]) * 1_000)
        except Forbidden:
            return False
        return True

    async with writing() as sandbox:
        won = await asyncio.gather(*(write(sandbox, number) for number in range(20)))
    assert sum(won) == 1
    assert (root / "docs" / "new").read_bytes() == bytes([won.index(True)]) * 1_000
    assert names(root / "docs") == ["new"]


@pytest.mark.parametrize("mechanism", ["openat2", "walk"], indirect=True)
async def test_a_directory_that_becomes_a_link_to_outside_lets_nothing_out(
    writing: Callable[..., Sandbox], root: Path
) -> None:
    outside, stop, written = root.parent / "outside", threading.Event(), 0

    def flip() -> None:
        while not stop.is_set():
            (root / "docs").rename(root / "kept")
            (root / "docs").symlink_to(outside)
            (root / "docs").unlink()
            (root / "kept").rename(root / "docs")
            time.sleep(0.002)

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        async with writing() as sandbox:
            for number in range(150):
                try:
                    await put(sandbox, f"docs/{number}", b"x" * 100)
                    written += 1
                except Refusal:
                    continue
    finally:
        stop.set()
        flipping.join()
    assert written
    assert names(outside) == ["canary"]
    made = [path for path in (root / "docs").iterdir() if not path.name.endswith(".part")]
    assert len(made) == written
    assert all(path.read_bytes() == b"x" * 100 for path in made)


async def test_the_bytes_written_have_an_end(writing: Callable[..., Sandbox], root: Path) -> None:
    async with writing(max_written=1_000) as sandbox:
        await put(sandbox, "one", b"x" * 900)
        with pytest.raises(TooMuch, match="may write 1,000 bytes until it is restarted; 100 are left"):
            await put(sandbox, "two", b"x" * 101)
        await put(sandbox, "three", b"x" * 100)
    assert names(root) == ["docs", "one", "three"]


def test_a_server_killed_in_the_middle_leaves_no_half_file_at_the_name(root: Path) -> None:
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.files import Sandbox
from config import FilesSettings
async def main():
    async with Sandbox(FilesSettings(root={str(root)!r}, write=True)) as sandbox:
        async with sandbox.new_file("new") as file:
            await file.write(b"half")
            print("half", flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "half\n"
        server.send_signal(signal.SIGKILL)
    left = [name for name in names(root) if name != "docs"]
    assert "new" not in left
    assert all(name.startswith(".almanac-") and name.endswith(".part") for name in left)
