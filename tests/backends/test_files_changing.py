"""Directories made, things moved, copied and deleted: only what was meant, in one step, and never outside."""

import asyncio
import ctypes
import errno
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from backends.files import Sandbox, changing, held, renaming, survey, unfinished
from backends.files.beneath import Mechanism
from backends.files.editing import Replacement
from config import FilesSettings
from errors import Forbidden, Refusal, TooMuch, Unavailable, Unknown
from tests.backends import test_files_hostile
from tests.backends.test_files_hostile import CANARY, attempts, opens

if os.name == "nt":
    pytest.skip("links, pipes and renames of open directories are POSIX", allow_module_level=True)

Make = Callable[..., Sandbox]


@pytest.fixture(params=["openat2", "walk", "names"])
def mechanism(request: pytest.FixtureRequest) -> Mechanism:
    found: Mechanism = request.param
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    (place / "docs" / "deep").mkdir(parents=True)
    (place / "docs" / "one.txt").write_text("one")
    (place / "docs" / "deep" / "two.txt").write_text("two")
    (place / "empty").mkdir()
    (place / "a.txt").write_text("a text")
    (place / "a.txt").chmod(0o640)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("untouched")
    return place


@pytest.fixture
def sandbox(root: Path, mechanism: Mechanism) -> Make:
    def make(**over: object) -> Sandbox:
        return Sandbox(FilesSettings.model_validate({"root": root, "write": True, **over}), mechanism)

    return make


def tree(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def handles_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def mount(*given: str) -> None:
    if shutil.which("mount") is None or subprocess.run(["mount", *given], capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")


async def delete(box: Sandbox, path: str, recursive: bool = False) -> int:
    change = await box.changes.foresee_delete(path, recursive)
    return (await box.changes.delete(path, recursive, change.proof)).entries


async def move(box: Sandbox, source: str, target: str) -> str:
    change = await box.changes.foresee_move(source, target)
    return (await box.changes.move(source, target, change.proof)).path


async def write(box: Sandbox, path: str, text: str) -> None:
    change = await box.changes.foresee_write(path, text)
    await box.changes.write(path, text, change.proof)


async def unheard(_: int, __: int) -> None: ...


# What every tool that changes something does with a path; the other paths of those that take two are fine.
DEEDS: dict[str, Callable[[Sandbox, str], object]] = {
    "write": lambda s, path: write(s, path, "written"),
    "edit": lambda s, path: s.changes.edit(path, [Replacement(old="inside", new="changed")], False),
    "dry run": lambda s, path: s.changes.edit(path, [Replacement(old="inside", new="changed")], True),
    "make directory": lambda s, path: s.changes.make_directory(path),
    "move from": lambda s, path: move(s, path, "moved"),
    "move to": lambda s, path: move(s, "spare.txt", path),
    "copy from": lambda s, path: s.changes.copy(path, "copied", unheard),
    "copy to": lambda s, path: s.changes.copy("spare.txt", path, unheard),
    "delete": delete,
    "delete all": lambda s, path: delete(s, path, True),
}


async def test_directories_are_made_as_deep_as_asked_and_making_them_again_is_fine(
    sandbox: Make, root: Path
) -> None:
    async with sandbox() as box:
        assert await box.changes.make_directory("x/y/z/") == changing.Made(path="x/y/z", created=3)
        assert (await box.changes.make_directory("./x//y")).created == 0
        assert (await box.changes.make_directory(".")).created == 0
        for path in ("a.txt", "a.txt/below"):
            with pytest.raises(Unknown, match="file"):
                await box.changes.make_directory(path)
    assert (root / "x" / "y" / "z").is_dir()


async def test_a_move_gives_another_name_and_replaces_nothing(sandbox: Make, root: Path) -> None:
    async with sandbox() as box:
        assert await move(box, "a.txt", "docs/deep/b.txt") == "docs/deep/b.txt"
        assert await move(box, "docs/", "empty/papers/") == "empty/papers"
        assert (root / "empty" / "papers" / "deep" / "b.txt").read_text() == "a text"
        for taken in ("empty", "empty/papers/one.txt"):
            with pytest.raises(Forbidden, match="there already and is not replaced"):
                await move(box, "empty/papers/deep/two.txt", taken)
        with pytest.raises(Forbidden, match="cannot be moved into itself"):
            await move(box, "empty", "empty/papers/empty")
        with pytest.raises(Unknown, match=r"There is no 'b\.txt'"):
            await move(box, "b.txt", "c.txt")
        with pytest.raises(Unknown, match="There is no 'nowhere'"):
            await move(box, "empty", "nowhere/empty")
        with pytest.raises(Forbidden, match="is the sandbox itself"):
            await move(box, ".", "empty/all")
    assert tree(root) == [
        "empty", "empty/papers", "empty/papers/deep", "empty/papers/deep/b.txt",
        "empty/papers/deep/two.txt", "empty/papers/one.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["renameat2", "without"])
async def test_a_name_taken_in_the_middle_of_a_move_stays_with_who_took_it(
    sandbox: Make, root: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "without":
        monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    true_move = renaming.move_new

    def late(source: str, target: str, *held: int | None) -> None:
        if Path(target).name == "new":
            (root / "new").mkdir() if (root / "empty").exists() else (root / "new").write_text("first")
        true_move(source, target, *held)

    monkeypatch.setattr(renaming, "move_new", late)
    async with sandbox() as box:
        with pytest.raises(Forbidden, match="'new' is there already and is not replaced"):
            await move(box, "empty", "new")
        assert (root / "empty").is_dir()
        (root / "new").rmdir()
        (root / "empty").rmdir()
        with pytest.raises(Forbidden, match="'new' is there already and is not replaced"):
            await move(box, "a.txt", "new")
    assert (root / "new").read_text() == "first"
    assert (root / "a.txt").read_text() == "a text"


async def test_everything_moves_on_systems_without_renameat2(
    sandbox: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    (root / "link").symlink_to("a.txt")
    async with sandbox() as box:
        for source, target in (("a.txt", "b.txt"), ("docs", "papers"), ("link", "empty/link")):
            await move(box, source, target)
        await write(box, "b.txt", "written")
        await box.changes.edit("b.txt", [Replacement(old="written", new="edited")], False)
        assert await delete(box, "papers", True) == 3
    assert tree(root) == ["b.txt", "empty", "empty/link"]
    assert (root / "b.txt").read_text() == "edited"
    assert (root / "empty" / "link").is_symlink()


@pytest.mark.parametrize("answer", [errno.EBADF, errno.EPERM])  # to all else: it comes through, or not
async def test_what_may_not_be_taken_from_its_directory_gets_no_second_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """As in a directory that can only be added to, or in another user's with the sticky bit."""
    truly = os.unlink

    def unlink(path: str, *, dir_fd: int | None = None) -> None:
        if path == "a.txt":
            raise PermissionError(errno.EPERM, "not permitted")
        truly(path, dir_fd=dir_fd)

    def refused(*given: object) -> int:
        ctypes.set_errno(errno.EPERM if given[0] != -1 else answer)
        return -1

    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(renaming, "_renameat2", lambda: refused)
    before = tree(root)
    async with Sandbox(FilesSettings(root=root, write=True)) as box:
        for change in (move(box, "a.txt", "b.txt"), delete(box, "a.txt")):
            with pytest.raises(Forbidden, match=r"does not let this server write 'a\.txt'"):
                await change
    assert tree(root) == before
    assert (root / "a.txt").stat().st_nlink == 1


async def test_a_copy_is_a_file_of_its_own_with_the_mode(sandbox: Make, root: Path) -> None:
    heard: list[tuple[int, int]] = []

    async def hear(done: int, size: int) -> None:
        heard.append((done, size))

    (root / "big").write_bytes(os.urandom(3_000_000))
    async with sandbox() as box:
        assert (await box.changes.copy("a.txt", "docs/b.txt", hear)).size == 6
        assert (await box.changes.copy("big", "docs/big", hear)).size == 3_000_000
        with pytest.raises(Forbidden, match="there already"):
            await box.changes.copy("big", "a.txt", hear)
        with pytest.raises(Unknown, match="is a directory"):
            await box.changes.copy("docs", "papers", hear)
    assert (root / "docs" / "big").read_bytes() == (root / "big").read_bytes()
    assert stat.S_IMODE((root / "docs" / "b.txt").stat().st_mode) == 0o640
    assert heard[-1] == (3_000_000, 3_000_000)
    assert len(heard) == 4


async def test_of_what_the_disk_does_not_give_wholly_there_is_no_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "big").write_bytes(b"x" * 3_000_000)
    truly = os.read

    def read(handle: int, size: int) -> bytes:
        if os.lseek(handle, 0, os.SEEK_CUR) > 2_000_000:
            raise OSError(errno.EIO, "a bad block")
        return truly(handle, size)

    async with Sandbox(FilesSettings(root=root, write=True)) as box:
        handles = handles_open()
        monkeypatch.setattr(os, "read", read)
        with pytest.raises(Unavailable, match="does not give all of 'big'; nothing was copied"):
            await box.changes.copy("big", "copy", unheard)
        assert handles_open() == handles
    assert "copy" not in tree(root)
    assert not [name for name in tree(root) if ".almanac" in name]


async def test_a_copy_that_may_not_be_finished_is_not_begun(sandbox: Make, root: Path) -> None:
    with (root / "holes").open("wb") as file:
        file.truncate(10**12)
    async with sandbox() as box:
        with pytest.raises(TooMuch, match="1,000,000,000 are left"):
            await asyncio.wait_for(box.changes.copy("holes", "copy", unheard), 1)
    assert "copy" not in tree(root)


async def test_a_file_that_changes_while_it_is_copied_has_no_copy(sandbox: Make, root: Path) -> None:
    async def change(_: int, __: int) -> None:
        (root / "a.txt").write_text("another, longer text")

    async with sandbox() as box:
        with pytest.raises(Unavailable, match=r"'a\.txt' has changed meanwhile"):
            await box.changes.copy("a.txt", "b.txt", change)
    assert not (root / "b.txt").exists()


async def test_only_what_is_asked_is_deleted(sandbox: Make, root: Path) -> None:
    (root / "link").symlink_to("docs")
    (root / "out").symlink_to(root.parent / "outside")
    (root / "docs" / "out").symlink_to(root.parent / "outside")
    async with sandbox() as box:
        with pytest.raises(
            Forbidden, match=r"'docs' is not empty: it holds 2 files, 1 directory, 1 link, 6 by"
        ):
            await delete(box, "docs")
        assert await delete(box, "a.txt") == 0
        assert await delete(box, "empty/") == 0
        assert await delete(box, "link") == 0
        assert await delete(box, "out") == 0
        assert tree(root) == ["docs", "docs/deep", "docs/deep/two.txt", "docs/one.txt", "docs/out"]
        assert await delete(box, "docs", True) == 4
        with pytest.raises(Forbidden, match="is the sandbox itself"):
            await delete(box, "./", True)
        with pytest.raises(Unknown, match="There is no 'docs'"):
            await delete(box, "docs", True)
    assert tree(root) == []
    assert tree(root.parent / "outside") == ["canary"]


async def test_the_question_tells_what_will_happen_and_hides_nothing(sandbox: Make, root: Path) -> None:
    odd = "docs/ein  \u202etxt.exe" + "x" * 90
    (root / odd).write_text("12345")
    spoof = "a.txt' (6 bytes)? 'no"
    (root / spoof).write_text("1")
    (root / "a.txt").chmod(0o444)
    async with sandbox() as box:
        told = [
            (await box.changes.foresee_delete(path, True)).question
            for path in ("a.txt", "empty", "docs", odd, spoof)
        ]
    assert told == [
        "Delete the file 'a.txt' (6 bytes, write-protected)? It cannot be brought back.",
        "Delete the empty directory 'empty'?",
        "Delete the directory 'docs' (3 files, 1 directory, 11 bytes)? All of that is deleted and cannot be "
        "brought back.",
        f"Delete the file 'docs/ein  \\u202etxt.exe{'x' * 90}' (5 bytes)? It cannot be brought back.",
        "Delete the file 'a.txt\\' (6 bytes)? \\'no' (1 bytes)? It cannot be brought back.",
    ]


async def test_hidden_files_are_neither_written_nor_moved_into_sight_nor_deleted(
    sandbox: Make, root: Path
) -> None:
    (root / "spare.txt").write_text("spare")
    (root / "docs" / ".env").write_text(CANARY)
    (root / "docs" / "vault").mkdir()
    (root / "docs" / "vault" / "note").write_text(CANARY)
    (root / "work" / ".git").mkdir(parents=True)
    (root / "work" / ".git" / "config").write_text(CANARY)
    there = tree(root)
    async with sandbox(deny="/docs/vault/") as box:
        for path in (".env", "docs/.env", "docs/vault", "docs/vault/note", "work/.git", "work/.git/config"):
            for name, deed in DEEDS.items():
                with pytest.raises(Forbidden, match="is hidden here, whether or not it exists"):
                    await deed(box, path)  # type: ignore[misc]  # each is a coroutine of its own result
                assert tree(root) == there, (name, path)
        for path in ("docs", "work"):
            with pytest.raises(Forbidden, match="holds what is hidden here, which is never deleted"):
                await delete(box, path, True)
        with pytest.raises(Forbidden, match="'docs' stays where it is"):
            await move(box, "docs", "papers")
        assert tree(root) == there
        await move(box, "work", "project")  # what was hidden in it is hidden there as well
        with pytest.raises(Forbidden, match="is hidden here"):
            await box.read("project/.git/config", 1, 1)
        (root / "free" / "vault").mkdir(parents=True)
        (root / "docs").rename(root / "kept")
        with pytest.raises(Forbidden, match="'free' stays where it is"):
            await move(box, "free", "docs")  # nor is anything moved out of sight
    assert (root / "kept" / ".env").read_text() == CANARY


async def test_what_a_crash_has_left_goes_with_its_directory(sandbox: Make, root: Path) -> None:
    (root / "empty" / unfinished.hidden_name()).write_text("half")
    (root / "docs" / unfinished.hidden_name()).mkdir()
    async with sandbox() as box:
        assert (
            await box.changes.foresee_delete("empty", False)
        ).question == "Delete the empty directory 'empty'?"
        await delete(box, "empty")
        assert await delete(box, "docs", True) == 3
    assert tree(root) == ["a.txt"]


async def test_pipes_sockets_and_devices_are_left_alone(sandbox: Make, root: Path) -> None:
    os.mkfifo(root / "docs" / "deep" / "pipe")
    there = tree(root)
    async with sandbox() as box:
        for deed in DEEDS.values():
            with pytest.raises(Refusal):
                await asyncio.wait_for(deed(box, "docs/deep/pipe"), 5)  # type: ignore[arg-type]  # a coroutine
        for attempt in (delete(box, "docs", True), move(box, "docs", "papers")):
            with pytest.raises(Forbidden, match="'docs/deep/pipe' is a pipe, a socket or a device"):
                await attempt
    assert tree(root) == there


async def test_too_much_at_once_is_refused_before_anything_is_touched(
    sandbox: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "empty" / "/".join("d" * 70)).mkdir(parents=True)
    monkeypatch.setattr(survey, "MOST", 72)
    for number in range(70):
        (root / "docs" / f"{number}.txt").touch()
    there = tree(root)
    async with sandbox() as box:
        with pytest.raises(TooMuch, match="at most 72 entries"):
            await delete(box, "docs", True)
        with pytest.raises(TooMuch, match="nested deeper than 64 directories"):
            await delete(box, "empty", True)
    assert tree(root) == there
    async with sandbox(timeout=1e-9) as box:
        with pytest.raises(TooMuch, match="too much to be looked through in time"):
            await delete(box, "docs", True)
    assert tree(root) == there


async def test_files_and_directories_made_have_an_end(sandbox: Make, root: Path) -> None:
    async with sandbox(max_files=3) as box:
        await box.changes.make_directory("x/y")
        with pytest.raises(Unknown):
            await box.changes.copy("nothing", "x/z", unheard)
        await write(box, "new", "text")
        for deed in (
            box.changes.make_directory("x/w"),
            write(box, "newer", "text"),
            box.changes.copy("a.txt", "b.txt", unheard),
        ):
            with pytest.raises(TooMuch, match="may make 3 files and directories until it is restarted"):
                await deed
        await write(box, "a.txt", "those that are there can be written")
        await move(box, "x/y", "y")
    assert tree(root) == [
        "a.txt", "docs", "docs/deep", "docs/deep/two.txt", "docs/one.txt", "empty", "new", "x", "y",
    ]  # fmt: skip


async def test_what_came_in_the_place_of_what_was_meant_is_put_back(
    sandbox: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file takes the name after the last look, before the rename."""
    true_move = renaming.move_new

    def exchange(source: str, target: str, *given: int | None) -> None:
        if Path(source).name == "a.txt" and not (root / "kept").exists():
            (root / "a.txt").rename(root / "kept")
            (root / "a.txt").write_text("important")
        if Path(source).name == "docs" and not (root / "docs-kept").exists():
            (root / "docs").rename(root / "docs-kept")
            (root / "docs").mkdir()
            (root / "docs" / "important").touch()
        true_move(source, target, *given)

    monkeypatch.setattr(renaming, "move_new", exchange)
    async with sandbox() as box:
        for attempt in (delete(box, "a.txt"), delete(box, "docs", True)):
            with pytest.raises(Unavailable, match="has changed meanwhile; nothing was done"):
                await attempt
        assert (root / "a.txt").read_text() == "important"
        assert (root / "docs" / "important").exists()
        (root / "kept").unlink()
        with pytest.raises(Unavailable, match="has changed meanwhile; nothing was done"):
            await move(box, "a.txt", "b.txt")
    assert (root / "a.txt").read_text() == "important"
    assert not (root / "b.txt").exists()
    assert not [name for name in tree(root) if ".almanac" in name]


async def test_what_comes_into_a_directory_at_the_last_moment_is_not_deleted_with_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_hide = held.Place.hide

    def late(place: held.Place, expected: os.stat_result) -> str:
        hidden = true_hide(place, expected)
        (root / hidden / "important").touch()
        return hidden

    monkeypatch.setattr(held.Place, "hide", late)
    async with Sandbox(FilesSettings(root=root, write=True)) as box:
        with pytest.raises(Unavailable, match="'docs' has changed meanwhile; nothing was done"):
            await delete(box, "docs", True)
    assert (root / "docs" / "important").exists()
    assert (root / "docs" / "deep" / "two.txt").exists()


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (errno.EIO, Unavailable, "cannot write 'a.txt' just now"),
        (errno.EACCES, Forbidden, "does not let this server write 'a.txt'"),
        (errno.EROFS, Unavailable, "'a.txt' lies on a disk that can only be read"),
    ],
)
async def test_a_disk_that_does_not_let_go_is_told_in_words_and_nothing_is_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch, trouble: int, kind: type[Refusal], words: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(trouble, "as the disk says it")

    async with Sandbox(FilesSettings(root=root, write=True)) as box:
        handles = handles_open()
        monkeypatch.setattr(os, "unlink", fail)
        with pytest.raises(kind, match=words):
            await delete(box, "a.txt")
        with pytest.raises(Unavailable, match="Not all of 'docs' could be deleted"):
            await delete(box, "docs", True)
        monkeypatch.setattr(renaming, "move_new", fail)
        for attempt in (delete(box, "a.txt"), move(box, "a.txt", "b.txt")):
            with pytest.raises(kind, match=words):
                await attempt
        monkeypatch.undo()
        assert handles_open() == handles
    assert tree(root) == ["a.txt", "docs", "docs/deep", "docs/deep/two.txt", "docs/one.txt", "empty"]


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of its own with room for 64 KB."""
    disk = tmp_path_factory.mktemp("disk")
    mount("-t", "tmpfs", "-o", "size=64k", "none", str(disk))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_keeps_what_it_has(mounted: Path) -> None:
    (mounted / "a.txt").write_text("inside " * 5_000)
    async with Sandbox(FilesSettings(root=mounted, write=True)) as box:
        for deed in (
            write(box, "new", "x" * 100_000),
            write(box, "a.txt", "x" * 100_000),
            box.changes.edit("a.txt", [Replacement(old="inside", new="outside", count=5_000)], False),
            box.changes.copy("a.txt", "b.txt", unheard),
        ):
            with pytest.raises(Unavailable, match="There is no room left for"):
                await deed
        assert tree(mounted) == ["a.txt"]
        assert (mounted / "a.txt").read_text() == "inside " * 5_000
        await delete(box, "a.txt")  # which takes no room
        await write(box, "a.txt", "inside")


async def test_a_disk_that_can_only_be_read_says_so(mounted: Path) -> None:
    (mounted / "a.txt").write_text("inside")
    (mounted / "empty").mkdir()
    mount("-o", "remount,ro", str(mounted))
    try:
        async with Sandbox(FilesSettings(root=mounted, write=True)) as box:
            for deed in (
                write(box, "new", "x"),
                write(box, "a.txt", "x"),
                box.changes.edit("a.txt", [Replacement(old="inside", new="changed")], False),
                box.changes.copy("a.txt", "b.txt", unheard),
                box.changes.make_directory("x"),
                move(box, "a.txt", "b.txt"),
                delete(box, "a.txt"),
                delete(box, "empty"),
            ):
                with pytest.raises(Unavailable, match="lies on a disk that can only be read"):
                    await deed
    finally:
        mount("-o", "remount,rw", str(mounted))
    assert tree(mounted) == ["a.txt", "empty"]


@pytest.fixture
def disk_inside(root: Path) -> Iterator[Path]:
    disk = root / "docs" / "deep"
    mount("-t", "tmpfs", "none", str(disk))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_another_disk_in_the_sandbox_is_neither_deleted_nor_moved_onto(
    root: Path, disk_inside: Path
) -> None:
    (disk_inside / "far").write_text("far")
    async with Sandbox(FilesSettings(root=root, write=True)) as box:
        with pytest.raises(Forbidden, match="'docs/deep' is another disk"):
            await delete(box, "docs", True)
        with pytest.raises(Forbidden, match=r"lies on another disk\. files_copy brings a file there"):
            await move(box, "a.txt", "docs/deep/a.txt")
        await box.changes.copy("a.txt", "docs/deep/a.txt", unheard)
        with pytest.raises(Forbidden, match="does not let this server write"):
            await delete(box, "docs/deep", True)
    assert tree(disk_inside) == ["a.txt", "far"]
    assert (root / "a.txt").exists()


async def test_a_directory_that_may_be_listed_but_not_looked_into_is_told(
    sandbox: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = os.stat

    def stat_of(path: str, **given: Any) -> os.stat_result:
        if str(path).endswith("one.txt"):
            raise PermissionError(errno.EACCES, "permission denied", path)
        return looked(path, **given)

    async with sandbox() as box:
        monkeypatch.setattr(os, "stat", stat_of)
        for change in (
            write(box, "docs/one.txt", "x"), delete(box, "docs/one.txt"), move(box, "docs/one.txt", "b.txt"),
            move(box, "a.txt", "docs/one.txt"), box.changes.make_directory("docs/one.txt"),
            box.changes.copy("a.txt", "docs/one.txt", unheard),
        ):  # fmt: skip
            with pytest.raises(Forbidden, match=r"does not let this server (read|write) 'docs/one\.txt'"):
                await change


async def test_what_cannot_be_looked_at_once_it_was_taken_is_given_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that fails once, just after the name was changed."""
    looked, renamed = os.stat, list[str]()

    def stat_of(path: str, **given: Any) -> os.stat_result:
        if path in renamed:
            renamed.remove(path)
            raise OSError(errno.EIO, "as the disk says it")
        return looked(path, **given)

    move_new = renaming.move_new

    def moving(source: str, target: str, *held: Any) -> None:
        move_new(source, target, *held)
        if not before:
            before.append(target)
            renamed.append(target)

    before: list[str] = []
    async with Sandbox(FilesSettings(root=root, write=True)) as box:
        for change in (delete(box, "a.txt"), delete(box, "docs", True), move(box, "a.txt", "b.txt")):
            before.clear()
            there = tree(root)
            with monkeypatch.context() as faulty:
                faulty.setattr(os, "stat", stat_of)
                faulty.setattr(renaming, "move_new", moving)
                with pytest.raises(Unavailable, match="The system cannot write"):
                    await change
            assert before
            assert not renamed
            assert tree(root) == there


@pytest.mark.parametrize("name", [b"bad\xff", b"new\nline"])
async def test_nothing_is_changed_where_no_path_could_say_what(root: Path, name: bytes) -> None:
    opens("openat2", root)
    lies = root / os.fsdecode(name)
    lies.mkdir()
    (root / "way").symlink_to(lies.name)
    (lies / "one.txt").write_text("one")
    async with Sandbox(FilesSettings(root=root, write=True), "openat2") as box:
        for change in (
            write(box, "way/new.txt", "x"), delete(box, "way/one.txt"),
            box.changes.edit("way/one.txt", [Replacement(old="one", new="1")], True),
            box.changes.edit("way/one.txt", [Replacement(old="one", new="1")], False),
            move(box, "way/one.txt", "two.txt"), move(box, "a.txt", "way/a.txt"),
            box.changes.make_directory("way/deep"), box.changes.copy("a.txt", "way/b.txt", unheard),
        ):  # fmt: skip
            with pytest.raises(Forbidden, match="to a name that no path can say; nothing is changed there"):
                await change
        assert (await box.read("way/one.txt", 1, 1)).text == "one"
    assert tree(lies) == ["one.txt"]


hostile = test_files_hostile.root  # the tree with a trap at every turn


@pytest.mark.parametrize(
    "mechanism", ["openat2", pytest.param("walk", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("name", DEEDS)
async def test_no_path_of_the_table_leads_a_change_out(
    tmp_path: Path, hostile: Path, mechanism: Mechanism, name: str, no_waiting_for_disks: None
) -> None:
    opens(mechanism, hostile)
    root = tmp_path / "root"
    shutil.copytree(hostile.parent, tmp_path, symlinks=True, dirs_exist_ok=True, ignore=special)
    before, number, told = canaries(tmp_path), count(), list[str]()
    assert len(before) > 8
    async with Sandbox(FilesSettings(root=root, write=True), mechanism) as box:
        for _, path in attempts():
            (root / "spare.txt").write_text("inside the sandbox")
            try:
                await asyncio.wait_for(DEEDS[name](box, path), 5)  # type: ignore[arg-type]  # a coroutine
            except Refusal as refusal:
                told.append(str(refusal).replace(repr(path)[1:-1], ""))
            for made in ("moved", "copied"):
                with suppress(FileNotFoundError):
                    (root / made).rename(tmp_path / f"{made}-{next(number)}")
    assert len(canaries(tmp_path)) == len(
        before
    )  # a whole directory may have been moved, hidden files and all
    assert not [words for words in told if str(tmp_path) in words or "Error" in words]
    assert not [made for made in tree(tmp_path) if ".almanac-" in made]
    assert tree(tmp_path / "outside") == ["canary.txt"]
    assert tree(tmp_path / "root-evil") == ["canary.txt"]


def special(directory: str, names: list[str]) -> set[str]:
    """What cannot be copied."""
    return {name for name in names if name in ("pipe", "socket")}


def canaries(place: Path) -> dict[Path, str]:
    files = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path: text for path in files if (text := path.read_text()) == CANARY}


@pytest.fixture
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # 5 ms each, and not what is tried here


# Exchanges a directory, and a file, with links to the outside, in a process of its own, again and again.
FLIPPER = """
import contextlib, os, shutil, sys, time
root, outside, until = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
os.chdir(root)
here = os.open(".", os.O_DIRECTORY)
def flip(place, name, target):
    with contextlib.suppress(OSError):
        os.rename(name, "aside", src_dir_fd=place, dst_dir_fd=here)
        with contextlib.suppress(OSError):
            os.symlink(target, name, dir_fd=place)
        with contextlib.suppress(OSError):
            os.rename(name, "taken", src_dir_fd=place, dst_dir_fd=here)  # or what was made meanwhile
        if os.path.islink("taken") or not os.path.isdir("taken"):
            os.unlink("taken")
        else:
            shutil.rmtree("taken")
    with contextlib.suppress(OSError):
        os.rename("aside", name, src_dir_fd=here, dst_dir_fd=place)
flips = 0
while time.monotonic() < until:
    flip(here, "swap", (outside, "../outside")[flips % 2])
    flip(here, "file.txt", (outside + "/f.txt", "../outside/f.txt")[flips % 2])
    with contextlib.suppress(OSError):
        swap = os.open("swap", os.O_DIRECTORY | os.O_NOFOLLOW)  # or this process would get out
        flip(swap, "sub", (outside, "../../outside")[flips % 2])
        os.close(swap)
    with contextlib.suppress(OSError):
        os.link(outside + "/f.txt", "hard.txt")
    flips += 1
print(flips)
"""


def contents(place: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(), path.stat().st_ino) for path in place.iterdir()}


async def change_at_random(box: Sandbox, dice: random.Random, number: int) -> None:
    new = f"swap/new-{dice.randrange(20)}"
    match dice.randrange(10):
        case 0:
            await write(box, dice.choice([new, "swap/f.txt", "file.txt", "hard.txt"]), "inside " * number)
        case 1:
            await box.changes.edit("swap/f.txt", [Replacement(old="inside", new="inside inside")], False)
        case 2:
            await box.changes.edit("file.txt", [Replacement(old="inside", new="inside inside")], False)
        case 3:
            await box.changes.make_directory(f"swap/sub/{dice.randrange(3)}/x")
        case 4:
            await delete(box, "swap/sub", True)
        case 5:
            await delete(box, dice.choice([new, "swap/f.txt", "hard.txt", "swap/canary"]))
        case 6:
            await move(box, new, f"moved-{dice.randrange(20)}")
        case 7:
            await move(box, f"moved-{dice.randrange(20)}", new)
        case 8:
            await box.changes.copy(dice.choice(["swap/f.txt", "file.txt"]), new, unheard)
        case 9:
            await write(box, "swap/f.txt", "inside")


async def race(root: Path, mechanism: Mechanism, seconds: float) -> tuple[int, int, int]:
    """Change everything while another process renames and relinks: changes made, refused, and flips."""
    outside = root.parent / "outside"
    (outside / "f.txt").write_text(CANARY)
    (root / "swap" / "sub").mkdir(parents=True)
    (root / "swap" / "f.txt").write_text("inside")
    (root / "file.txt").write_text("inside")
    before = contents(outside)
    dice, done, refused, told = random.Random(1), 0, 0, set[str]()
    command = [sys.executable, "-c", FLIPPER, str(root), str(outside), str(seconds)]
    flipper = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    async with Sandbox(FilesSettings(root=root, write=True, max_files=10**8), mechanism) as box:
        while flipper.returncode is None:
            try:
                await change_at_random(box, dice, done % 1000)
                done += 1
            except Refusal as refusal:
                told.add(str(refusal))
                refused += 1
    flips = int((await flipper.communicate())[0])
    assert contents(outside) == before
    assert not [path for path in canaries(root) if path.name != "hard.txt"]
    assert not [words for words in told if str(root.parent) in words]
    assert not [path for path in tree(root) if ".almanac" in path]
    return done, refused, flips


@pytest.mark.parametrize("mechanism", ["openat2", "walk"], indirect=True)
async def test_no_rename_gets_a_change_out_in_a_second(
    root: Path, mechanism: Mechanism, no_waiting_for_disks: None
) -> None:
    opens(mechanism, root)
    done, refused, flips = await race(root, mechanism, 1)
    assert min(done, refused, flips) > 5


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("mechanism", ["openat2", "walk"], indirect=True)
async def test_no_rename_gets_a_change_out_in_twenty_seconds(
    root: Path, mechanism: Mechanism, no_waiting_for_disks: None
) -> None:
    opens(mechanism, root)
    done, refused, flips = await race(root, mechanism, 20)
    assert min(done, refused, flips) > 100
