"""What .gitignore and .ignore files leave out of finding and searching, and cuts that are gone on from."""

import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.files import Sandbox, search_tree, sieve
from config import FilesSettings
from errors import Forbidden, Unknown

FILES = (
    "a.txt", "a.log", "keep.log", "build/out.txt", "src/build/deep.txt", "src/a.log", "src/main.txt",
    "node_modules/x/y.txt", "src/gen/g.txt", "docs/draft.txt", "docs/final.txt",
)  # fmt: skip


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("needle\n")
    (tmp_path / ".gitignore").write_text("# built\n*.log\n!keep.log\n/build/\nnode_modules/\n[z-a]\n")
    (tmp_path / "src/.gitignore").write_text("gen\n!a.log\n")
    (tmp_path / "docs/.ignore").write_text("draft.*\n")
    async with Sandbox(FilesSettings(root=tmp_path)) as opened:
        yield opened


KEPT = {"a.txt", "keep.log", "src/build/deep.txt", "src/a.log", "src/main.txt", "docs/final.txt"}


async def find(sandbox: Sandbox, path: str = ".", **over: bool) -> set[str]:
    found = await sandbox.find("*.[tl]*", path, 1000, **over)  # type: ignore[arg-type]  # one flag by name
    return set(found.paths)


async def search(sandbox: Sandbox, path: str = ".", **over: bool) -> set[str]:
    found = await sandbox.search("needle", path, "**", regex=False, context=0, limit=1000, **over)  # type: ignore[arg-type]
    return {match.path for match in found.matches}


async def test_what_gitignore_and_ignore_files_say_is_left_out(sandbox: Sandbox) -> None:
    assert await find(sandbox) == KEPT
    assert await search(sandbox) == KEPT
    found = await sandbox.find("*", ".", 1000)
    assert found.notices == (
        "Entries left out, as .gitignore or .ignore files say: 5. With ignored=true they are not.",
    )


async def test_all_is_found_when_that_is_asked(sandbox: Sandbox) -> None:
    assert await find(sandbox, ignored=True) == set(FILES)
    assert await search(sandbox, ignored=True) == set(FILES)


async def test_rules_from_above_hold_below_and_a_start_that_is_named_is_wanted(sandbox: Sandbox) -> None:
    assert await find(sandbox, "src") == {"src/build/deep.txt", "src/a.log", "src/main.txt"}
    assert await find(sandbox, "docs") == {"docs/final.txt"}
    assert await search(sandbox, "node_modules/x") == {"node_modules/x/y.txt"}
    assert await search(sandbox, "build") == {"build/out.txt"}
    assert await search(sandbox, "a.log") == {"a.log"}


async def test_a_listing_and_reading_leave_nothing_out(sandbox: Sandbox) -> None:
    listed = {entry.path for entry in (await sandbox.list_directory(".", 1, 100, None)).entries}
    assert {"a.log", "build", "node_modules"} <= listed
    assert (await sandbox.read("a.log", 1, 1)).text == "needle\n"


async def test_a_file_of_rules_never_shows_what_is_hidden_and_may_be_a_link_or_a_pipe(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    (tmp_path / ".env").write_text("needle")
    (tmp_path / "docs/.gitignore").symlink_to("../src/.gitignore")
    os.mkfifo(tmp_path / "src/.ignore")
    (tmp_path / ".ignore").write_text("!.env\n")
    assert await search(sandbox) == KEPT
    assert await search(sandbox, ignored=True) == set(FILES)


async def test_a_deeper_file_and_an_ignore_file_come_first(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / ".ignore").write_text("!*.log\nmain.*\n")
    assert await find(sandbox) == (KEPT | {"a.log"}) - {"src/main.txt"}
    (tmp_path / "src/.ignore").write_text("!main.txt\n")
    assert "src/main.txt" in await find(sandbox)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_pages_of_a_find_put_together_are_the_whole(sandbox: Sandbox, limit: int) -> None:
    whole = (await sandbox.find("**", ".", 1000)).paths
    together: list[str] = []
    cursor: str | None = None
    while cursor != "":
        page = await sandbox.find("**", ".", limit, cursor=cursor)
        together += page.paths
        assert page.truncated == bool(page.next_cursor)
        cursor = page.next_cursor
    assert tuple(together) == whole


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("path", [".", "many.txt", "src"])
async def test_pages_of_a_search_put_together_are_the_whole(
    tmp_path: Path, sandbox: Sandbox, limit: int, path: str
) -> None:
    (tmp_path / "many.txt").write_text("needle\nno\nneedle needle\r\n" * 5 + "needle")
    (tmp_path / "src/many.txt").write_bytes(b"\xff\xfe" + "needle\nno\n\nneedle\n".encode("utf-16-le"))

    async def page(limit: int, cursor: str | None) -> tuple[list[tuple[str, int]], str]:
        found = await sandbox.search("needle", path, "**", regex=False, context=1, limit=limit, cursor=cursor)
        assert found.truncated == bool(found.next_cursor)
        return [(match.path, match.line) for match in found.matches], found.next_cursor

    whole, _ = await page(1000, None)
    together: list[tuple[str, int]] = []
    cursor = None
    while cursor != "":
        some, cursor = await page(limit, cursor)
        together += some
    assert together == whole
    assert len(whole) > 3


@pytest.mark.parametrize(
    "cursor", ["x", "a.txt", "a.txt:", "a.txt:-1", ":3", "a.txt:1e3", "a.txt:" + "9" * 20]
)
async def test_a_cursor_that_is_none_of_the_searchs_is_refused(sandbox: Sandbox, cursor: str) -> None:
    with pytest.raises(Unknown, match="next_cursor"):
        await sandbox.search("needle", ".", "**", regex=False, context=0, limit=5, cursor=cursor)
    with pytest.raises(Unknown, match="next_cursor"):
        await sandbox.find("**", "src", 5, cursor="docs/final.txt")
    with pytest.raises(Forbidden, match="climbs"):
        await sandbox.search("needle", ".", "**", regex=False, context=0, limit=5, cursor="../a:1")


async def test_a_file_with_a_second_name_is_refused_if_that_is_set(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside.txt").write_text("needle")
    (tmp_path / "root/linked.txt").hardlink_to(tmp_path / "outside.txt")
    (tmp_path / "root/own.txt").write_text("needle")
    async with Sandbox(FilesSettings(root=tmp_path / "root")) as sandbox:
        assert await search(sandbox) == {"linked.txt", "own.txt"}
    async with Sandbox(FilesSettings(root=tmp_path / "root", hardlinks="refuse")) as sandbox:
        for ask in (
            sandbox.read("linked.txt", 1, 1), sandbox.read_json("linked.txt", ""), sandbox.info("linked.txt"),
            sandbox.read_media("linked.txt"), sandbox.read_whole("linked.txt"),
        ):  # fmt: skip
            with pytest.raises(Forbidden, match="has a second name"):
                await ask
        assert await search(sandbox) == {"own.txt"}
        (tmp_path / "outside.txt").unlink()
        assert (await sandbox.read("linked.txt", 1, 1)).text == "needle"


async def test_without_ripgrep_all_is_the_same(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "program", lambda: None)
    assert await search(sandbox) == KEPT


@pytest.mark.parametrize("ripgrep", [True, False])
@pytest.mark.parametrize(
    ("path", "start", "rules", "kept"),
    [
        (".gitignore", ".", "*.{txt,md}", {"a.txt", "d/b.txt", "d/c.md", "d/e/f.txt"}),  # git has no braces
        (".gitignore", ".", "d/**\n!d/b.txt\n", {"a.txt", "d/b.txt"}),
        (".gitignore", ".", "d/\n!d/b.txt\n", {"a.txt"}),
        ("d/.gitignore", "d", "*.txt", {"d/c.md"}),
        ("d/.gitignore", ".", "*.[tm]xt\r\n**//\r\n", {"a.txt", "d/c.md"}),
    ],
)
async def test_ripgrep_leaves_out_no_more_than_the_rules_say(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ripgrep: bool,
    path: str,
    start: str,
    rules: str,
    kept: set[str],
) -> None:
    monkeypatch.setattr(search_tree, "_SIEVE_FROM", 0)
    for name in ("a.txt", "d/b.txt", "d/c.md", "d/e/f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("needle\n")
    (tmp_path / path).write_text(rules)
    async with Sandbox(FilesSettings(root=tmp_path, ripgrep=ripgrep)) as sandbox:
        assert await search(sandbox, start) == kept
        assert set((await sandbox.find("*.*[td]", start, 99)).paths) - {path} == kept


@pytest.mark.parametrize("ripgrep", [True, False])
async def test_what_a_higher_ignore_file_takes_back_is_searched_from_below_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ripgrep: bool
) -> None:
    monkeypatch.setattr(search_tree, "_SIEVE_FROM", 0)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.txt").write_text("needle\n")
    (tmp_path / ".ignore").write_text("!*.txt\n")
    (tmp_path / "d/.gitignore").write_text("*.txt\n")
    async with Sandbox(FilesSettings(root=tmp_path, ripgrep=ripgrep)) as sandbox:
        assert await search(sandbox, ".") == await search(sandbox, "d") == {"d/a.txt"}


async def test_thousands_of_rules_are_all_heeded(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("\n".join(f"*.x{n}" for n in range(3_000)) + "\n!b.x7\n")
    for name in ("a.x0", "a.x1500", "a.x2999", "a.x3000", "b.x7", "c.x7"):
        (tmp_path / name).write_text("needle\n")
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        assert await search(sandbox) == {"a.x3000", "b.x7"}


@pytest.mark.slow
async def test_a_hostile_file_of_rules_neither_breaks_a_search_nor_holds_it_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(1)
    lines = ["".join(dice.choices("abcdef*?]!/", k=12)) for _ in range(50_000)]
    (tmp_path / "a.txt").write_text("needle\n")
    for number, rules in enumerate(("\n".join(lines), "*a" * 90_000, "\n".join(["*a*b?" * 100] * 200))):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}/.gitignore").write_text(rules)
        (tmp_path / f"d{number}" / ("a" * 200)).write_text("needle\n")
    began = time.process_time()
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        assert "a.txt" in await search(sandbox)
    assert time.process_time() - began < 6
    assert capfd.readouterr().err == ""
