"""Listing and finding: the order, the depth, cuts and how to go on, globs, and what is left out."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from backends.files import Sandbox
from backends.files.globs import Glob
from config import FilesSettings
from errors import Forbidden, Refusal, TooMuch, Unknown

FILES = ("README.md", "docs/a.md", "docs/b.txt", "docs/deep/c.md", "docs/deep/er/d.MD", "logs/1.log", "é.md")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    for name in (*FILES, ".env", "docs/.git/config", "docs/id_rsa"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    async with Sandbox(FilesSettings(root=tmp_path)) as opened:
        yield opened


async def paths(sandbox: Sandbox, path: str = ".", depth: int = 1) -> list[str]:
    return [entry.path for entry in (await sandbox.list_directory(path, depth, 1000, None)).entries]


async def test_a_listing_gives_the_near_before_the_far_and_nothing_hidden(sandbox: Sandbox) -> None:
    assert await paths(sandbox) == ["README.md", "docs", "logs", "é.md"]
    assert await paths(sandbox, "docs") == ["docs/a.md", "docs/b.txt", "docs/deep"]
    assert await paths(sandbox, "docs/", 2) == [
        "docs/a.md",
        "docs/b.txt",
        "docs/deep",
        "docs/deep/c.md",
        "docs/deep/er",
    ]
    assert await paths(sandbox, "", 50) == [
        "README.md", "docs", "logs", "é.md", "docs/a.md", "docs/b.txt", "docs/deep", "docs/deep/c.md",
        "docs/deep/er", "docs/deep/er/d.MD", "logs/1.log",
    ]  # fmt: skip


async def test_an_entry_has_its_kind_size_and_time(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "link").symlink_to("docs")
    entries = {entry.path: entry for entry in (await sandbox.list_directory(".", 1, 100, None)).entries}
    assert (entries["README.md"].kind, entries["README.md"].size) == ("file", 9)
    assert (entries["docs"].kind, entries["docs"].size) == ("directory", None)
    assert entries["link"].kind == "link"
    assert entries["README.md"].modified.endswith("Z")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_put_together_are_the_whole_listing(sandbox: Sandbox, limit: int) -> None:
    for path, depth in ((".", 50), ("docs", 2), ("docs/deep", 5)):
        together: list[str] = []
        cursor: str | None = None
        while cursor != "":
            page = await sandbox.list_directory(path, depth, limit, cursor)
            together += [entry.path for entry in page.entries]
            assert page.truncated == bool(page.next_cursor)
            cursor = page.next_cursor
        assert together == await paths(sandbox, path, depth)


async def test_a_cursor_of_another_listing_is_refused(sandbox: Sandbox) -> None:
    for cursor in ("logs/1.log", "docs", "x"):
        with pytest.raises(Unknown, match="next_cursor"):
            await sandbox.list_directory("docs", 1, 10, cursor)
    with pytest.raises(Forbidden, match="climbs"):
        await sandbox.list_directory("docs", 1, 10, "docs/../../x")


async def test_ten_thousand_entries_are_listed_at_once(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"entry {number}.txt").touch()
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        started = time.process_time()
        listing = await sandbox.list_directory(".", 1, 10_000, None)
        assert time.process_time() - started < 2  # 0.1 where nothing else runs
        assert len(listing.entries) == 10_000
        assert not listing.truncated
        first = await sandbox.list_directory(".", 1, 200, None)
        assert (len(first.entries), first.truncated) == (200, True)
        assert first.next_cursor == first.entries[-1].path


async def test_names_that_no_path_can_say_are_left_out_and_counted(tmp_path: Path, sandbox: Sandbox) -> None:
    for name in ("back\\slash", "new\nline", "dot.", "space ", "\udcff\udcfe", "C:drive"):
        (tmp_path / name).touch()
    listing = await sandbox.list_directory(".", 1, 100, None)
    assert [entry.path for entry in listing.entries] == ["README.md", "docs", "logs", "é.md"]
    assert listing.notices[0].endswith("6.")
    assert listing.model_dump_json()
    assert (await sandbox.find("*", ".", 100)).model_dump_json()


async def test_a_directory_that_may_not_be_read_is_told_of(tmp_path: Path) -> None:
    from backends.files import beneath

    (tmp_path / "locked").mkdir()
    (tmp_path / "open").mkdir()
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        held = sandbox._beneath
        assert held is not None
        real_open = held.open

        def refusing(parts: tuple[str, ...], links: bool = True) -> beneath.Opened:
            if parts == ("locked",):  # tests may run as root, whom no mode keeps out
                raise PermissionError(13, "Permission denied")
            return real_open(parts, links)

        held.open = refusing  # type: ignore[method-assign]  # the one fault a root cannot have
        listing = await sandbox.list_directory(".", 2, 100, None)
        assert listing.notices == ("Directories that could not be opened: 1.",)
        with pytest.raises(Forbidden, match="does not let this server read 'locked'"):
            await sandbox.list_directory("locked", 1, 100, None)


async def test_when_the_time_is_up_the_listing_says_where(sandbox: Sandbox, tmp_path: Path) -> None:
    ticks = iter(range(1_000_000))
    async with Sandbox(FilesSettings(root=tmp_path, timeout=2), clock=lambda: float(next(ticks))) as slow:
        listing = await slow.list_directory(".", 50, 1000, None)
        assert listing.truncated
        assert "The time was up at 'docs/deep/er'" in listing.notices[0]
        found = await slow.find("*.md", ".", 1000)
        assert found.truncated
        assert "The time was up" in found.notices[0]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.md", ["README.md", "é.md", "docs/a.md", "docs/deep/c.md"]),
        ("*.[mM][dD]", ["README.md", "é.md", "docs/a.md", "docs/deep/c.md", "docs/deep/er/d.MD"]),
        ("./*.md", ["README.md", "é.md"]),
        ("docs/*.md", ["docs/a.md"]),
        ("docs/**/*.md", ["docs/a.md", "docs/deep/c.md"]),
        ("**/deep/*", ["docs/deep/c.md", "docs/deep/er/"]),
        ("deep", ["docs/deep/"]),
        ("?.log", ["logs/1.log"]),
        ("[!1].log", []),
        ("*e*", ["docs/deep/", "docs/deep/er/"]),
        ("logs/**", ["logs/", "logs/1.log"]),
        (".env", []),
        ("config", []),
        ("id_*", []),
    ],
)
async def test_a_glob_finds_what_it_says(sandbox: Sandbox, pattern: str, found: list[str]) -> None:
    assert list((await sandbox.find(pattern, ".", 100)).paths) == found


async def test_a_glob_starts_at_the_path(sandbox: Sandbox) -> None:
    assert (await sandbox.find("deep/*.md", "docs", 100)).paths == ("docs/deep/c.md",)
    with pytest.raises(Unknown, match="is a file, not a directory"):
        await sandbox.find("*", "README.md", 100)
    with pytest.raises(Unknown, match=r"There is no 'dcs'\. Did you mean 'docs'\?"):
        await sandbox.find("*", "dcs", 100)


async def test_a_cut_is_told_with_what_to_do(sandbox: Sandbox) -> None:
    found = await sandbox.find("*.md", ".", 2)
    assert (found.paths, found.truncated) == (("README.md", "é.md"), True)
    assert "Cut at 2 paths" in found.notices[0]
    assert not (await sandbox.find("*.md", ".", 4)).truncated


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "docs/../../*", "docs\\*", "*.{md,txt}"])
async def test_a_pattern_that_leads_out_or_is_none_is_refused(sandbox: Sandbox, pattern: str) -> None:
    with pytest.raises((Forbidden, Unknown)):
        await sandbox.find(pattern, ".", 100)


async def test_a_glob_bomb_costs_nothing(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*("a" * 100 for _ in range(20)))
    deep.mkdir(parents=True)
    (deep / ("a" * 200)).touch()
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        started = time.process_time()
        for pattern in ("**/" * 300 + "b", "*a" * 300 + "b", "*" * 900 + "b", "**/*a*a*a*a*a*a*a*a*b/" * 40):
            assert (await sandbox.find(pattern, ".", 100)).paths == ()
        assert time.process_time() - started < 3


@given(
    st.text(alphabet="ab*?[]!/.-", min_size=1, max_size=30), st.lists(st.text("ab", min_size=1), max_size=5)
)
@examples(max_examples=200, deadline=None)
def test_any_pattern_is_matched_or_refused(pattern: str, names: list[str]) -> None:
    try:
        glob = Glob(pattern)
    except Refusal:
        return
    states = glob.start
    for name in names:
        states = glob.step(states, name)
    assert glob.matches(states) in (True, False)


async def test_paths_complete_as_they_are_typed(sandbox: Sandbox) -> None:
    complete = sandbox.completers()["path"]
    assert await complete("", {}) == ["README.md", "docs/", "logs/", "é.md"]
    assert await complete("read", {}) == ["README.md"]
    assert await complete("docs/", {}) == ["docs/a.md", "docs/b.txt", "docs/deep/"]
    assert await complete("docs/deep/e", {}) == ["docs/deep/er/"]
    for nothing in ("nowhere/x", "../", "/etc/pas", ".e", "docs/.git/", "\0"):
        assert await complete(nothing, {}) == []


async def test_an_overlong_path_is_too_much(sandbox: Sandbox) -> None:
    with pytest.raises(TooMuch, match="at most 255 bytes"):
        await sandbox.list_directory("é" * 200, 1, 10, None)
