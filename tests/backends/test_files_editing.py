"""Exact replacements: all or nothing, everything else of the file as it was, and never over a newer one."""

import asyncio
import codecs
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from backends.files import Sandbox, editing, renaming
from backends.files.editing import Edited, Replacement
from config import FilesSettings
from errors import Forbidden, Refusal, TooMuch, Unavailable, Unknown


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file.txt").write_text("one\ntwo\nthree\ntwo\n")
    return tmp_path


@pytest.fixture
def edit(root: Path) -> Callable[..., Edited]:
    def make(
        *edits: tuple[str, str] | tuple[str, str, int], dry_run: bool = False, path: str = "file.txt"
    ) -> Edited:
        async def run() -> Edited:
            async with Sandbox(FilesSettings(root=root, write=True)) as box:
                given = [dict(zip(("old", "new", "count"), each, strict=False)) for each in edits]
                wanted = [Replacement.model_validate(each) for each in given]
                return await box.changes.edit(path, wanted, dry_run)

        return asyncio.run(run())

    return make


Edit = Callable[..., Edited]


def test_each_text_is_replaced_as_often_as_was_said(edit: Edit, root: Path) -> None:
    done = edit(("one", "1"), ("two", "2", 2), ("1\n2", "12"))
    assert (done.path, done.replacements, done.size, done.diff) == ("file.txt", 4, 11, "")
    assert (root / "file.txt").read_text() == "12\nthree\n2\n"


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([("one", "1"), ("two", "2")], r"Edit 2: 'two' is there 2 times, not 1, so nothing was changed. It "
         r"begins in line 2, 4\. Give more of the text around the one you mean, or count=2"),
        ([("one", "1", 2)], r"Edit 1: 'one' is there 1 times, not 2"),
        ([("thre\n", "3")], r"Edit 1: 'thre' is not there, so nothing was changed. Line 3 is near: 'three'"),
        ([("zebra", "3")], r"Edit 1: 'zebra' is not there, so nothing was changed. files_search finds what"),
        ([("one", "1"), ("one", "2")], r"Edit 2: 'one' is not there"),
    ],
)  # fmt: skip
def test_what_does_not_match_exactly_changes_nothing_and_says_where_to_look(
    edit: Edit, root: Path, edits: list[tuple[str, str]], words: str
) -> None:
    with pytest.raises(Unknown, match=words):
        edit(*edits)
    assert (root / "file.txt").read_text() == "one\ntwo\nthree\ntwo\n"
    assert len(list(root.iterdir())) == 1


def test_a_dry_run_shows_a_unified_diff_and_changes_nothing(edit: Edit, root: Path) -> None:
    (root / "file.txt").write_text("".join(f"line {n}\n" for n in range(1, 31)))
    before = (root / "file.txt").stat()
    done = edit(
        ("line 9\n", ""), ("line 20", "line zwanzig\nline 20b"), ("line 30\n", "the end"), dry_run=True
    )
    assert done.diff == (
        "--- file.txt\n+++ file.txt\n"
        "@@ -6,7 +6,6 @@\n line 6\n line 7\n line 8\n-line 9\n line 10\n line 11\n line 12\n"
        "@@ -17,7 +16,8 @@\n line 17\n line 18\n line 19\n-line 20\n+line zwanzig\n+line 20b\n"
        " line 21\n line 22\n line 23\n"
        "@@ -27,4 +27,4 @@\n line 27\n line 28\n line 29\n-line 30\n+the end\n\\ No newline at end of file\n"
    )
    after = (root / "file.txt").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino, before.st_mtime_ns, before.st_ctime_ns,
    )  # fmt: skip


LINES = st.lists(st.sampled_from(["a\n", "b\n", "ab\n", "\n", "a", "ba"]), max_size=12).map("".join)
OLD, NEW = (
    st.sampled_from(["a", "b\n", "\n", "ab", "a\na", "\n\n"]),
    st.sampled_from(["", "x", "\n", "a\nx\n"]),
)
EDITS = st.lists(st.tuples(OLD, NEW), max_size=4)


@given(LINES, EDITS)
@examples(max_examples=300, deadline=None)
def test_a_diff_says_exactly_how_one_text_becomes_the_other(text: str, edits: list[tuple[str, str]]) -> None:
    changed = editing._Text(text)
    original, expected = list(changed.lines), text
    for old, new in edits:
        if found := expected.count(old):
            changed.replace(old, new, found, 1, 10**6)
            expected = expected.replace(old, new)
    assert "".join(changed.lines) == expected
    assert patched(original, editing._diff(original, changed, "x")) == expected
    assert bool(editing._diff(original, changed, "x")) == (expected != text)


def patched(lines: list[str], diff: str) -> str:
    """What `patch` makes of it."""
    told, at, last = list[str](), 0, ""
    for line in diff.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            first, _, length = line.split()[1][1:].partition(",")
            start = int(first) - (length != "0")
            told += lines[at:start]
            at = start
        elif line.startswith("\\"):
            if last in " +":
                told[-1] = told[-1][:-1]
        else:
            last = line[0]
            if last in " -":
                assert line[1:].rstrip("\n") == lines[at].rstrip("\n")
                at += 1
            if last in " +":
                told.append(line[1:])
    return "".join(told + lines[at:])


def test_a_long_diff_is_cut_and_says_so(edit: Edit, root: Path) -> None:
    (root / "file.txt").write_text("word\n" * 20_000)
    done = edit(("word", "other", 20_000), dry_run=True)
    assert len(done.diff) < 21_000
    assert done.diff.endswith("more characters of changes\n")


def test_many_changes_of_a_large_file_take_no_minutes(edit: Edit, root: Path) -> None:
    (root / "file.txt").write_text("".join(f"same {n % 900}\n" for n in range(100_000)))
    began = time.process_time()
    done = edit(("same 7\n", "other\nlines\n", 112), ("same", "differs", 99_888), dry_run=True)
    assert done.replacements == 100_000
    assert time.process_time() - began < 3


@pytest.mark.parametrize("dry_run", [True, False])
def test_edits_that_double_a_text_again_and_again_end_at_the_most_that_is_read(
    root: Path, dry_run: bool
) -> None:
    async def run() -> None:
        async with Sandbox(FilesSettings(root=root, write=True, max_bytes=100_000)) as box:
            with pytest.raises(TooMuch, match="Edit 17 makes a text of more than 100,000 characters"):
                await box.changes.edit(
                    "file.txt", [Replacement(old="a", new="aa", count=2**n) for n in range(40)], dry_run
                )

    (root / "file.txt").write_text("a")
    asyncio.run(run())
    assert (root / "file.txt").read_text() == "a"


def test_edits_that_take_too_long_change_nothing(root: Path) -> None:
    async def run() -> None:
        async with Sandbox(FilesSettings(root=root, write=True, timeout=0.001)) as box:
            many = [
                Replacement(old="two", new="owt", count=2),
                Replacement(old="owt", new="two", count=2),
            ] * 500
            for dry_run in (True, False):
                with pytest.raises(TooMuch, match=r"take too long, so nothing was changed\. Make fewer"):
                    await box.changes.edit(
                        "file.txt", [*many, Replacement(old="two", new="2", count=2)], dry_run
                    )

    asyncio.run(run())
    assert (root / "file.txt").read_text() == "one\ntwo\nthree\ntwo\n"


@pytest.mark.parametrize(
    ("codec", "mark", "word"),
    [
        ("utf-8", codecs.BOM_UTF8, "straße"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "straße"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "straße"),
        ("cp1252", b"", "straße"),
    ],
)
def test_encoding_mark_line_ends_and_mode_stay(
    edit: Edit, root: Path, codec: str, mark: bytes, word: str
) -> None:
    def text(street: str) -> bytes:
        return mark + f"Die {street} ist für Fußgänger gesperrt.\r\nDrüben hört sie auf.\r\n".encode(codec)

    path = root / "file.txt"
    path.write_bytes(text(word))
    path.chmod(0o751)
    edit(
        (f"{word} ist für Fußgänger gesperrt.\nDrüben", "größere Straße ist für Fußgänger gesperrt.\nDrüben")
    )
    assert path.read_bytes() == text("größere Straße")
    assert stat.S_IMODE(path.stat().st_mode) == 0o751


def test_a_guessed_encoding_is_told_where_it_matters(edit: Edit, root: Path) -> None:
    (root / "file.txt").write_bytes("Die Straße ist für Fußgänger gesperrt, schön.\n".encode("cp1252"))
    assert edit(("Die", "Eine")).notices == ()
    done = edit(("gesperrt", "frei für"))
    assert done.notices == (
        "The encoding is a guess: windows-1252. If it is another, new letters that are not plain ASCII are "
        "wrong.",
    )
    assert (root / "file.txt").read_bytes().endswith("frei für, schön.\n".encode("cp1252"))


def test_mixed_line_ends_are_matched_as_they_are(edit: Edit, root: Path) -> None:
    path = root / "file.txt"
    path.write_bytes(b"one\r\ntwo\nthree\r\n")
    with pytest.raises(Unknown, match="not there"):
        edit(("one\ntwo", "1\n2"))
    edit(("one\r\ntwo\n", "1\n2\r\n"))
    assert path.read_bytes() == b"1\n2\r\nthree\r\n"


def test_what_cannot_be_written_back_is_refused(edit: Edit, root: Path) -> None:
    path = root / "file.txt"
    path.write_bytes("Die Straße ist für Fußgänger gesperrt, drüben hört sie auf.".encode("cp1252"))
    with pytest.raises(Forbidden, match=r"is written in .*, which has no '水'; nothing was changed"):
        edit(("Straße", "水"))
    path.write_bytes(b"PNG\0\1\2" * 100)
    with pytest.raises(Forbidden, match="is no text but"):
        edit(("PNG", "GIF", 100))
    path.write_bytes(b"plain text\n" * 10_000 + b"\xff\xfe broken")
    with pytest.raises(Forbidden, match="is not all utf-8, so it cannot be written back"):
        edit(("broken", "mended"))
    path.write_bytes(b"x" * 5_000_001)
    with pytest.raises(TooMuch, match="Only files that are read whole can be edited"):
        edit(("y", "z"))


def test_edits_that_change_nothing_write_nothing(edit: Edit, root: Path) -> None:
    before = (root / "file.txt").stat()
    assert edit(("one", "one")).notices == ("The edits leave the file as it is.",)
    assert (root / "file.txt").stat().st_ino == before.st_ino


def test_a_link_stays_and_what_it_leads_to_is_edited(edit: Edit, root: Path) -> None:
    (root / "link").symlink_to("file.txt")
    (root / "out").symlink_to("/etc/hostname")
    assert edit(("one", "1"), path="link").path == "file.txt"
    assert (root / "link").is_symlink()
    assert (root / "file.txt").read_text().startswith("1\n")
    with pytest.raises(Forbidden, match="leads out of the sandbox"):
        edit(("one", "1"), path="out")


@pytest.mark.parametrize("when", ["before the look", "after it"])
@pytest.mark.parametrize("how", ["written", "replaced", "gone"])
def test_a_file_that_changes_while_it_is_edited_keeps_that_change(
    edit: Edit, root: Path, monkeypatch: pytest.MonkeyPatch, when: str, how: str
) -> None:
    path = root / "file.txt"

    def change() -> None:
        match how:
            case "written":
                path.write_text("newer")
            case "replaced":
                (root / "new").write_text("newer")
                (root / "new").replace(path)
            case "gone":
                path.unlink()

    true_fsync, true_exchange = os.fsync, renaming.exchange

    def late_fsync(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", true_fsync)
        change()
        true_fsync(handle)

    def late_exchange(one: str, other: str, held: int | None) -> bool:
        monkeypatch.setattr(renaming, "exchange", true_exchange)
        change()
        return true_exchange(one, other, held)

    if when == "before the look":
        monkeypatch.setattr(os, "fsync", late_fsync)
    else:
        monkeypatch.setattr(renaming, "exchange", late_exchange)
    with pytest.raises((Unavailable, Unknown)) as refused:
        edit(("one", "1"))
    assert "meanwhile; nothing was done" in str(refused.value) or "is gone" in str(refused.value)
    assert path.read_text() == "newer" if how != "gone" else not path.exists()
    assert not [left for left in root.iterdir() if left.name.startswith(".almanac")]


async def test_of_two_edits_at_once_none_is_lost(root: Path) -> None:
    """Whoever was too late is told, and can look and call again."""
    (root / "file.txt").write_text("".join(f"<{n}>\n" for n in range(20)))

    async def one(box: Sandbox, number: int) -> None:
        for _ in range(200):
            try:
                await box.changes.edit("file.txt", [Replacement(old=f"<{number}>", new=f"[{number}]")], False)
            except Unavailable:
                continue
            return
        raise AssertionError("never had a turn")

    async with Sandbox(FilesSettings(root=root, write=True)) as box:
        await asyncio.gather(*(one(box, number) for number in range(20)))
    assert (root / "file.txt").read_text() == "".join(f"[{n}]\n" for n in range(20))


async def test_an_edit_counts_what_it_writes_and_gives_back_what_it_does_not(root: Path) -> None:
    async with Sandbox(FilesSettings(root=root, write=True, max_written=1_000)) as box:
        for _ in range(3):
            with pytest.raises(TooMuch, match="may write 1,000 bytes"):
                await box.changes.edit("file.txt", [Replacement(old="one", new="x" * 1_000)], False)
        await box.changes.edit("file.txt", [Replacement(old="one", new="x" * 900)], False)
        with pytest.raises(Refusal):
            await box.changes.edit("file.txt", [Replacement(old="x" * 900, new="y" * 900)], False)
