"""New files in the sandbox: whole or not there, never outside, never over another."""

import asyncio
import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from backends.files import Sandbox, renaming, unfinished
from backends.files.beneath import Mechanism, hold
from backends.files.deny import Deny
from backends.files.sandbox import Root
from backends.files.writing import NewFile, Quota
from config import HIDDEN, FilesSettings
from errors import Forbidden, Refusal, TooMuch, Unavailable, Unknown

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


def nothing() -> None: ...


def trip() -> None:
    raise ZeroDivisionError


async def put(
    sandbox: Sandbox,
    path: str,
    *pieces: bytes,
    meanwhile: Callable[[], object] = nothing,
) -> None:
    async with sandbox.new_file(path) as file:
        for piece in pieces:
            await file.write(piece)
        meanwhile()


async def replace(sandbox: Sandbox, path: str, text: str) -> None:
    change = await sandbox.changes.foresee_write(path, text)
    await sandbox.changes.write(path, text, change.proof)


def replace_slowly(
    root: Path, mechanism: Mechanism, path: str, seen: Path, meanwhile: Callable[[], object] = nothing
) -> None:
    """The same for who wants to come in between, or foresees nothing."""
    held = Root(hold(root, mechanism), Deny(HIDDEN))
    file = NewFile(path, Quota(1_000), seen.lstat())
    try:
        file.begin(held)
        file.add(b"new")
        meanwhile()
        file.finish(held)
    finally:
        file.end()
        held.beneath.close()


@contextmanager
def killed_while_it_runs(root: Path, body: str) -> Iterator[None]:
    """A server's process with a sandbox: runs until it says so, then until the block ends, then no more."""
    script = f"""
import asyncio, os, sys
sys.path.insert(0, {str(ROOT)!r})
from backends.files import Sandbox, renaming
from backends.files.writing import NewFile, Quota
from config import FilesSettings
async def main():
    async with Sandbox(FilesSettings(root={str(root)!r}, write=True)) as sandbox:
        {body.strip()}
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root / "old")], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "going\n"
            yield
        finally:
            server.kill()


async def test_a_new_file_holds_every_byte_and_is_not_seen_before_its_end(
    writing: Callable[..., Sandbox], root: Path
) -> None:
    pieces = [os.urandom(size) for size in (700_000, 0, 600_000, 3_000_000, 1)]
    async with writing() as sandbox:
        async with sandbox.new_file("docs/new.bin") as file:
            for piece in pieces:
                await file.write(piece)
            assert not (root / "docs" / "new.bin").exists()
            assert (await sandbox.list_directory("docs", 1, 10, None)).entries == ()
            assert (await sandbox.find("*", ".", 10)).paths == ("docs/",)
        assert (await sandbox.info("docs/new.bin")).size == 4_300_001
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
    async def stuck(sandbox: Sandbox) -> None:
        async with sandbox.new_file("new") as file:
            await file.write(b"half")
            await asyncio.sleep(60)

    async with writing() as sandbox:
        await put(sandbox, "file", b"mine")
        handles = len(names(Path("/proc/self/fd")))
        for number in range(70):
            await put(sandbox, f"docs/{number}", b"whole")
            with pytest.raises(ZeroDivisionError):
                await put(sandbox, "new", b"half", meanwhile=trip)
            with pytest.raises(Forbidden):
                await put(sandbox, "file", b"x")
        for delay in (0.0, 0.001, 0.01, 0.05):
            task = asyncio.create_task(stuck(sandbox))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(names(Path("/proc/self/fd"))) == handles
    assert names(root) == ["docs", "file"]
    assert len(names(root / "docs")) == 70


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
        with pytest.raises(kind) as refused:  # before the caller has worked for it: no division was tried
            await put(sandbox, path, b"x", meanwhile=trip)
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


async def test_what_was_not_kept_is_not_counted(writing: Callable[..., Sandbox], root: Path) -> None:
    async with writing(max_written=1_000, max_files=1) as sandbox:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await put(sandbox, "one", b"x" * 900, meanwhile=trip)
            with pytest.raises(TooMuch):
                await put(sandbox, "one", b"x" * 900, b"x" * 900)
            with pytest.raises(Forbidden):
                await put(sandbox, "docs", b"x" * 900)
        await put(sandbox, "one", b"x" * 1_000)
        with pytest.raises(TooMuch, match="may make 1 files and directories until it is restarted"):
            await put(sandbox, "two", b"")
        with pytest.raises(TooMuch, match="0 are left"):
            await replace(sandbox, "one", "x")
    assert names(root) == ["docs", "one"]


async def test_of_many_who_replace_what_they_saw_exactly_one_does(
    writing: Callable[..., Sandbox], root: Path
) -> None:
    (root / "file").write_text("seen")

    async def replace(sandbox: Sandbox, number: int) -> bool:
        try:
            await sandbox.changes.write("file", str(number), seen.proof)
        except Unavailable:
            return False
        return True

    async with writing() as sandbox:
        seen = await sandbox.changes.foresee_write("file", "")
        proofs = [(await sandbox.changes.foresee_write("file", str(number))).proof for number in range(20)]
        assert set(proofs) == {seen.proof}
        won = await asyncio.gather(*(replace(sandbox, number) for number in range(20)))
    assert sum(won) == 1
    assert (root / "file").read_text() == str(won.index(True))
    assert names(root) == ["docs", "file"]


async def test_a_disk_that_fails_once_the_name_is_given_is_not_told_as_nothing_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_fsync = os.fsync

    def fail(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "as the disk says it")
        true_fsync(handle)

    async with Sandbox(FilesSettings(root=root, write=True, max_written=1_000)) as sandbox:
        handles = len(names(Path("/proc/self/fd")))
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(Unavailable, match="'new' is as it was asked for, but the disk reports trouble"):
            await put(sandbox, "new", b"whole" * 200)
        monkeypatch.undo()
        assert len(names(Path("/proc/self/fd"))) == handles
        with pytest.raises(TooMuch, match="0 are left"):  # it is there, so it counts
            await put(sandbox, "newer", b"x")
    assert (root / "new").read_text() == "whole" * 200
    assert names(root) == ["docs", "new"]


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_server_killed_again_and_again_among_a_thousand_changes_tears_no_file(root: Path) -> None:
    for number in range(10):
        (root / str(number)).write_bytes(b"0" * 2_000)
    (root / "count").write_text("")
    for pause in range(12):
        with killed_while_it_runs(
            root,
            """
        from backends.files.editing import Replacement
        import os
        os.fsync = lambda _: None  # a killed process is no power cut, and this is most of the time
        count = os.open(sandbox._settings.root / "count", os.O_APPEND | os.O_WRONLY)
        for number in range(1_000_000):
            path, letter = str(number % 10), str(number // 10 % 10)
            if number % 3:
                there = (await sandbox.read(path, 1, 1)).text[0]
                await sandbox.changes.edit(path, [Replacement(old=there, new=letter, count=2_000)], False)
            else:
                seen = await sandbox.changes.foresee_write(path, letter * 2_000)
                await sandbox.changes.write(path, letter * 2_000, seen.proof)
            os.write(count, b".")
            if number == 20:
                print("going", flush=True)
""",
        ):
            while (root / "count").stat().st_size < (pause + 1) * 90:
                time.sleep(0.02)
            time.sleep(0.003 * pause)
        for number in range(10):
            held = (root / str(number)).read_bytes()
            assert len(held) == 2_000
            assert len(set(held)) == 1
    assert (root / "count").stat().st_size > 1_000


def test_a_server_killed_in_the_middle_leaves_what_was_there_and_at_most_a_hidden_name(root: Path) -> None:
    (root / "old").write_text("old")
    with killed_while_it_runs(
        root,
        """
        async with sandbox.new_file("new") as two:
            one = NewFile("old", Quota(2_000_000), os.stat(sys.argv[1]))
            one.begin(sandbox._opened())
            one.add(b"half" * 500_000)
            await two.write(b"half" * 500_000)
            print("going", flush=True)
            await asyncio.sleep(60)
""",
    ):
        pass
    left = [path for path in root.iterdir() if path.name not in ("docs", "old")]
    assert [path.stat().st_size for path in left] == [2_000_000, 2_000_000]
    assert all(path.name.startswith(".almanac-") and path.name.endswith(".part") for path in left)
    assert (root / "old").read_text() == "old"


async def test_what_a_killed_server_left_goes_with_the_first_file_that_is_made_beside_it(
    writing: Callable[..., Sandbox], root: Path, mechanism: Mechanism, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, kept = f".almanac-{'a1' * 8}.part", [f".almanac-{'b2' * 8}.part", ".almanac-1.part"]
    (root / ours).write_text("half")
    (root / kept[0]).mkdir()
    (root / kept[1]).write_text("half")
    await asyncio.sleep(0.05)
    async with writing() as sandbox:
        await put(sandbox, "new", b"x")
        assert ours in names(root)  # it may be another server's, and still be written
    monkeypatch.setattr(unfinished, "_LEFT_S", 0.03)
    async with writing() as sandbox:
        await put(sandbox, "newer", b"x")
        assert (ours in names(root)) == (mechanism == "names")
        (root / ours).write_text("half")
        await asyncio.sleep(0.05)
        await put(sandbox, "newest", b"x")  # each directory is swept once
    swept = [] if mechanism == "names" else [ours]
    assert names(root) == sorted([*kept, ours, "docs", "new", "newer", "newest"])
    async with writing() as sandbox:
        await put(sandbox, "last", b"x")
    assert [name for name in (ours, *kept) if name not in names(root)] == swept


def test_a_server_killed_among_many_replacements_tears_no_file(root: Path) -> None:
    (root / "one").write_bytes(b"\0" * 10_000)

    def look() -> None:
        seen = (root / "one").read_bytes()
        assert len(seen) == 10_000
        assert len(set(seen)) == 1

    with killed_while_it_runs(
        root,
        """
        for number in range(1_000_000):
            text = chr(number % 128) * 10_000
            await sandbox.changes.write("one", text, (await sandbox.changes.foresee_write("one", text)).proof)
            if number == 20:
                print("going", flush=True)
""",
    ):
        for _ in range(500):
            look()
    look()


def test_a_file_is_replaced_when_that_is_asked_and_keeps_its_mode(root: Path, mechanism: Mechanism) -> None:
    old = root / "file"
    old.write_text("old")
    old.chmod(0o660)
    (root / "second").hardlink_to(old)
    with pytest.raises(ZeroDivisionError):
        replace_slowly(root, mechanism, "file", old, trip)
    told = []
    replace_slowly(root, mechanism, "file", old, lambda: told.append(old.read_text()))
    assert told == ["old"]
    with pytest.raises(Unavailable, match="has changed meanwhile"):
        replace_slowly(root, mechanism, "file", root / "second")
    with pytest.raises(Unavailable, match="has changed meanwhile"):
        replace_slowly(root, mechanism, "fresh", old)
    assert names(root) == ["docs", "file", "second"]
    assert old.read_text() == "new"
    assert stat.S_IMODE((root / "file").stat().st_mode) == 0o660
    assert (root / "second").read_text() == "old"  # the old file's other name is no business of the new one


async def test_only_a_regular_file_is_ever_replaced(
    writing: Callable[..., Sandbox], root: Path, mechanism: Mechanism
) -> None:
    outside = root.parent / "outside"
    (root / "inside").write_text("mine")
    (root / "link").symlink_to(outside / "canary")
    (root / "near").symlink_to("inside")
    (root / "dangling").symlink_to(outside / "made")
    (root / "sealed").write_text("mine")
    (root / "sealed").chmod(0o444)
    os.mkfifo(root / "pipe")
    there = names(root)
    async with writing() as sandbox:
        for path in (
            "docs",
            "link",
            "near",
            "dangling",
            "pipe",
            "sealed",
            ".env",
            "link/x",
            "../outside/canary",
        ):
            with pytest.raises(Forbidden):
                await replace(sandbox, path, "x")
            with pytest.raises(Forbidden):
                replace_slowly(root, mechanism, path, root / "inside")
        # What takes the name only while the file is being written counts as well.
        late = root / "late"
        late.touch()

        def turn_into_a_link() -> None:
            late.unlink()
            late.symlink_to(outside / "canary")

        with pytest.raises(Forbidden, match="no regular file"):
            replace_slowly(root, mechanism, "late", late, turn_into_a_link)
        later, made = root / "later", outside / "made"
        with pytest.raises(Forbidden, match="there already"):
            await put(sandbox, "later", meanwhile=lambda: later.symlink_to(made))
    assert names(root) == sorted([*there, "late", "later"])
    assert (root / "inside").read_text() == (root / "sealed").read_text() == "mine"
    assert names(outside) == ["canary"]
    assert (outside / "canary").read_text() == "untouched"


@pytest.mark.parametrize("lost", ["a link", "another", "gone"])
async def test_a_directory_that_is_another_by_the_end_gets_nothing(
    writing: Callable[..., Sandbox], root: Path, lost: str
) -> None:
    outside = root.parent / "outside"

    def lose() -> None:
        (root / "docs").rename(root / "kept")
        if lost == "a link":
            (root / "docs").symlink_to(outside)
        elif lost == "another":
            (root / "docs").mkdir()

    async with writing() as sandbox:
        with pytest.raises(Refusal) as refused:
            await put(sandbox, "docs/new", b"x" * 2_000_000, meanwhile=lose)
    assert str(root.parent) not in str(refused.value)
    assert names(outside) == ["canary"]
    assert "new" not in names(root / "kept")


@pytest.mark.parametrize("by", ["renameat2", "link"])
async def test_a_name_taken_while_the_file_is_written_stays_with_who_took_it(
    writing: Callable[..., Sandbox], root: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "link":
        monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    else:
        monkeypatch.delattr(os, "link")

    async def second(sandbox: Sandbox) -> None:
        async with sandbox.new_file("new") as file:
            await file.write(b"second")
            await put(sandbox, "new", b"first")

    async with writing() as sandbox:
        with pytest.raises(
            Forbidden, match=r"'new' is there already and is not replaced\. Pick another name"
        ):
            await second(sandbox)
    assert names(root) == ["docs", "new"]
    assert (root / "new").read_text() == "first"


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (errno.ENOSPC, Unavailable, "There is no room left for 'new'"),
        (errno.EROFS, Unavailable, "'new' lies on a disk that can only be read"),
        (errno.EIO, Unavailable, "The system cannot write 'new' just now"),
        (errno.EACCES, Forbidden, "does not let this server write 'new'"),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "close"])
async def test_a_disk_that_does_not_take_it_is_told_in_words_and_nothing_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch, trouble: int, kind: type[Refusal], words: str, call: str
) -> None:
    true_call = getattr(os, call)

    def fail(what: int | str, *given: object, **named: object) -> object:
        name = what if isinstance(what, str) else str(Path(f"/proc/self/fd/{what}").readlink())
        if not name.endswith(".part"):
            return true_call(what, *given, **named)
        if call == "close":
            true_call(what)
        raise OSError(trouble, "as the disk says it")

    async with Sandbox(FilesSettings(root=root, write=True)) as sandbox:
        await put(sandbox, "old", b"x")
        handles = len(names(Path("/proc/self/fd")))
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(kind, match=words):
            await put(sandbox, "new", b"x")
        with pytest.raises(kind):
            await replace(sandbox, "old", "y")
        monkeypatch.undo()
        assert len(names(Path("/proc/self/fd"))) == handles
    assert names(root) == ["docs", "old"]
    assert (root / "old").read_text() == "x"


async def test_a_sandbox_closed_in_the_middle_of_a_file_leaves_nothing_of_it(
    writing: Callable[..., Sandbox], root: Path
) -> None:
    handles = len(names(Path("/proc/self/fd")))
    sandbox = writing()
    await sandbox.__aenter__()

    async def close_early() -> None:
        async with sandbox.new_file("new") as file:
            await file.write(b"x")
            await sandbox.__aexit__()

    with pytest.raises(Unavailable, match="The server is closing"):
        await close_early()
    assert names(root) == ["docs"]
    assert len(names(Path("/proc/self/fd"))) == handles


@pytest.mark.parametrize("call", ["open", "write", "before the end"])
@pytest.mark.parametrize("by", ["scope", "task"])
async def test_a_call_cancelled_while_its_thread_is_at_work_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, by: str
) -> None:
    at_work, go_on, sound = threading.Event(), threading.Event(), threading.Event()
    true_call = getattr(os, call, None)

    def wait(what: int | str, *given: object, **named: object) -> object:
        name = what if isinstance(what, str) else str(Path(f"/proc/self/fd/{what}").readlink())
        if name.endswith(".part"):
            at_work.set()
            go_on.wait(5)
            for handle in (what, named.get("dir_fd")):
                if isinstance(handle, int):
                    os.fstat(handle)  # still its own: a number that was let go may mean another file by now
            sound.set()
        assert true_call
        return true_call(what, *given, **named)

    async def write(sandbox: Sandbox) -> None:
        async with sandbox.new_file("new") as file:
            await file.write(b"x" * 2_000_000)
            at_work.set()
            await asyncio.sleep(60)

    async def cancelled_within_a_scope(sandbox: Sandbox, scope: anyio.CancelScope) -> None:
        with scope:
            await write(sandbox)

    async with Sandbox(FilesSettings(root=root, write=True)) as sandbox:
        await put(sandbox, "old", b"x")
        handles = len(names(Path("/proc/self/fd")))
        if true_call:
            monkeypatch.setattr(os, call, wait)
        scope = anyio.CancelScope()
        task = asyncio.create_task(
            cancelled_within_a_scope(sandbox, scope) if by == "scope" else write(sandbox)
        )
        await asyncio.to_thread(at_work.wait, 5)
        scope.cancel() if by == "scope" else task.cancel()
        await asyncio.sleep(0.02)
        go_on.set()
        await asyncio.wait([task])
        assert sound.is_set() == bool(true_call)
        assert task.cancelled() == (by == "task")
        assert task.cancelled() or task.exception() is None
        monkeypatch.undo()
        assert names(root) == ["docs", "old"]
        assert len(names(Path("/proc/self/fd"))) == handles


@pytest.mark.parametrize("by", ["scope", "task"])
async def test_a_call_cancelled_in_its_last_moment_leaves_the_whole_file_and_claims_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    at_work, go_on, true_fsync = threading.Event(), threading.Event(), os.fsync

    def wait(handle: int) -> None:
        at_work.set()
        go_on.wait(5)
        true_fsync(handle)

    async def write(sandbox: Sandbox, scope: anyio.CancelScope) -> str:
        with scope:
            await sandbox.changes.write("new", "whole")
            await anyio.lowlevel.checkpoint()  # where a cancelled call ends, before it can answer
            return "done"
        return "cancelled"

    async with Sandbox(FilesSettings(root=root, write=True)) as sandbox:
        await put(sandbox, "old", b"x")
        handles = len(names(Path("/proc/self/fd")))
        monkeypatch.setattr(os, "fsync", wait)
        scope = anyio.CancelScope()
        task = asyncio.create_task(write(sandbox, scope))
        await asyncio.to_thread(at_work.wait, 5)
        scope.cancel() if by == "scope" else task.cancel()
        await asyncio.sleep(0.02)
        go_on.set()
        await asyncio.wait([task])
        assert task.cancelled() or task.result() == "cancelled"
    assert (root / "new").read_text() == "whole"  # the sandbox has closed, so the thread has ended
    assert names(root) == ["docs", "new", "old"]
    assert len(names(Path("/proc/self/fd"))) <= handles


def test_a_thread_that_starts_after_its_call_has_ended_makes_nothing(root: Path) -> None:
    held = Root(hold(root), Deny(()))

    file = NewFile("new", Quota(10))
    file.end()
    file.begin(held)
    file.finish(held)
    held.beneath.close()
    assert names(root) == ["docs"]
