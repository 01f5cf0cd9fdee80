"""Searching: plain text and regular expressions, any size and encoding, cut and stopped in time."""

import codecs
import errno
import importlib.util
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from backends.files import Sandbox, sieve
from backends.files.searching import Matches
from config import FilesSettings
from errors import Forbidden, TooMuch, Unavailable, Unknown

Search = Callable[..., Awaitable[Matches]]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(FilesSettings(root=tmp_path)) as opened:
        yield opened


@pytest.fixture
def search(sandbox: Sandbox) -> Search:
    """A search with the tool's defaults."""

    async def ask(text: str, path: str = ".", glob: str = "**", **over: int) -> Matches:
        given = {"regex": False, "context": 0, "limit": 100, **over}
        return await sandbox.search(text, path, glob, **given)  # type: ignore[arg-type]  # bool and int by name

    return ask


@pytest.fixture
def _re2() -> None:
    if importlib.util.find_spec("re2") is None:
        if os.environ.get("TEST_REQUIRE_ALL"):
            pytest.fail("google-re2 is missing")
        pytest.skip("google-re2 has no wheel for this Python")


def shown(found: Matches) -> list[tuple[str, int, str]]:
    return [(match.path, match.line, match.text) for match in found.matches]


async def test_lines_that_hold_the_text_come_with_path_and_number(tmp_path: Path, search: Search) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/b.txt").write_text("nothing\nFind me\r\n\nfind me, find me")
    (tmp_path / "a.txt").write_text("here: find me\n")
    found = await search("find me")
    assert shown(found) == [("a.txt", 1, "here: find me"), ("docs/b.txt", 4, "find me, find me")]
    assert (found.files, found.truncated, found.notices) == (2, False, ())
    assert shown(await search("find me", glob="*.txt", path="docs")) == [
        ("docs/b.txt", 4, "find me, find me")
    ]
    assert shown(await search("find me", path="a.txt")) == [("a.txt", 1, "here: find me")]
    assert shown(await search("find me", glob="docs/*.md")) == []


async def test_what_a_search_engine_would_read_as_a_pattern_is_plain_text(
    tmp_path: Path, search: Search
) -> None:
    (tmp_path / "a.txt").write_text("a.b\naxb\n(x|y)*[z]\n")
    assert [line for _, line, _ in shown(await search("a.b"))] == [1]
    assert [line for _, line, _ in shown(await search("(x|y)*[z]"))] == [3]


async def test_context_is_the_lines_around_also_at_the_edges(tmp_path: Path, search: Search) -> None:
    (tmp_path / "a.txt").write_text("1 x\n2\n3\n4 x\n5 x\n6")
    first, second, third = (await search("x", context=2)).matches
    assert (first.before, first.after) == ((), ("2", "3"))
    assert (second.before, second.after) == (("2", "3"), ("5 x", "6"))
    assert (third.before, third.after) == (("3", "4 x"), ("6",))


async def test_line_numbers_are_right_across_blocks(tmp_path: Path, search: Search) -> None:
    lines = [f"{n} {'pad ' * (n % 50)}" for n in range(1, 40_001)]
    for n in (1, 9_999, 25_000, 40_000):
        lines[n - 1] += " needle"
    (tmp_path / "a.txt").write_text("\n".join(lines))
    found = await search("needle", context=1)
    assert [match.line for match in found.matches] == [1, 9_999, 25_000, 40_000]
    assert found.matches[2].before[0].startswith("24999 ")
    assert found.matches[2].after[0].startswith("25001 ")


async def test_every_encoding_is_searched_as_text(tmp_path: Path, search: Search) -> None:
    (tmp_path / "utf16.txt").write_bytes(codecs.BOM_UTF16_LE + "eins\nzwei Größe\n".encode("utf-16-le"))
    (tmp_path / "latin.txt").write_bytes("ein\nzwei Größe für fünf Äpfel\n".encode("latin-1"))
    (tmp_path / "bom.txt").write_bytes(codecs.BOM_UTF8 + "Größe\n".encode())
    found = await search("Größe")
    assert [(match.path, match.line) for match in found.matches] == [
        ("bom.txt", 1), ("latin.txt", 2), ("utf16.txt", 2),
    ]  # fmt: skip
    assert found.matches[0].text == "Größe"


async def test_text_that_could_not_be_decoded_is_told_of(tmp_path: Path, search: Search) -> None:
    (tmp_path / "a.txt").write_bytes(b"a line of ASCII\n" * 8_000 + "café\n".encode("latin-1"))
    (tmp_path / "b.txt").write_bytes(codecs.BOM_UTF16_LE + "café".encode("utf-16-le") + b"\x00\xd8")
    (tmp_path / "sound.txt").write_text("é" * 3_000_000)  # blocks of a megabyte end within a character
    found = await search("thé", glob="[ab].txt")
    assert found.notices == ("Files with bytes that are no text, in which a match may be missed: 2.",)
    assert "no text" not in "".join((await search("thé", path="sound.txt")).notices)
    (tmp_path / "c.txt").write_bytes(b"a line of ASCII\n" * 8_000 + b"caf\xc3")
    assert "may be missed: 1." in "".join((await search("thé", path="c.txt")).notices)


async def test_what_is_hidden_or_binary_or_a_link_is_not_searched(tmp_path: Path, search: Search) -> None:
    (tmp_path / ".env").write_text("needle")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("needle")
    (tmp_path / "a.bin").write_bytes(b"needle\0")
    (tmp_path / "a.txt").write_text("needle")
    (tmp_path / "link.txt").symlink_to("a.txt")
    found = await search("needle")
    assert shown(found) == [("a.txt", 1, "needle")]
    assert found.notices == ("Files not searched, as they are no text: 1.",)
    with pytest.raises(Forbidden, match="is hidden here"):
        await search("needle", path=".env")


async def test_a_long_line_is_shown_around_its_match(tmp_path: Path, search: Search) -> None:
    (tmp_path / "a.txt").write_text("é" * 50_000 + "needle" + "x" * 50_000 + "\nneedle\n")
    found = await search("needle")
    assert len(found.matches[0].text) == 502
    assert found.matches[0].text.startswith("…éé")
    assert "needlexx" in found.matches[0].text
    assert found.matches[1].line == 2
    assert "Long lines shown in part" in found.notices[0]


async def test_a_cut_is_told_and_an_exact_fit_is_none(tmp_path: Path, search: Search) -> None:
    (tmp_path / "a.txt").write_text("needle\n" * 10)
    (tmp_path / "b.txt").write_text("needle\n" * 10)
    found = await search("needle", limit=15)
    assert (len(found.matches), found.truncated) == (15, True)
    assert "Cut at 15 lines, in 'b.txt'" in found.notices[0]
    assert not (await search("needle", limit=20)).truncated


async def test_a_result_never_outgrows_the_most_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(("needle" + "x" * 400 + "\n") * 500)
    async with Sandbox(FilesSettings(root=tmp_path, max_bytes=10_000)) as sandbox:
        found = await sandbox.search("needle", ".", "**", regex=False, context=20, limit=1000)
    assert found.truncated
    assert len(found.model_dump_json()) < 40_000  # one match with its context may be over


async def test_a_text_over_lines_or_half_a_character_is_refused(search: Search) -> None:
    with pytest.raises(Unknown, match="spans lines"):
        await search("a\nb")
    with pytest.raises(Unknown, match="half a character"):
        await search("a\ud800")
    with pytest.raises(TooMuch, match="at most 1,000 characters"):
        await search("a" * 1001)
    with pytest.raises(TooMuch, match="at most 1,000 characters"):
        await search("a", glob="a" * 1001)


@pytest.mark.usefixtures("_re2")
class TestRegularExpressions:
    async def test_they_match_line_by_line(self, tmp_path: Path, search: Search) -> None:
        (tmp_path / "a.txt").write_text("Temp=12\r\ntemp=7 C\n\nend\n")
        for expression, lines in {
            r"temp=\d+": [2],
            r"(?i)temp=\d+$": [1],
            "^$": [3],
            "^e[^x]*": [4],
            "[^x]+": [1, 2, 4],
            "z*": [1, 2, 3, 4],
            "12|end": [1, 4],
            "C\n?$": [2],
        }.items():
            found = await search(expression, regex=True)
            assert [match.line for match in found.matches] == lines, expression

    async def test_the_last_line_has_an_end_with_and_without_a_newline(
        self, tmp_path: Path, search: Search
    ) -> None:
        for text in ("one\ntwo", "one\ntwo\n"):
            (tmp_path / "a.txt").write_text(text)
            found = await search("$", regex=True)
            assert [(match.line, match.text) for match in found.matches] == [(1, "one"), (2, "two")]

    async def test_they_know_unicode(self, tmp_path: Path, search: Search) -> None:
        late = b"\n" * 70_000 + b"Gr\xff\xffe\n"  # after the sample that tells the encoding
        (tmp_path / "a.txt").write_bytes("Größe\nGrösse\n".encode() + late)
        assert [m.line for m in (await search("Gr..e$", regex=True)).matches] == [1]
        assert [m.line for m in (await search(r"\p{L}{6}", regex=True)).matches] == [2]

    async def test_a_bomb_costs_nothing(self, tmp_path: Path, search: Search) -> None:
        (tmp_path / "a.txt").write_text(("a" * 5_000 + "!\n") * 50)
        started = time.process_time()
        for expression in ("(a+)+$", "(a|a)*b$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"):
            assert not (await search(expression, regex=True)).matches
        assert time.process_time() - started < 2

    @pytest.mark.parametrize(
        ("expression", "kind", "says"),
        [
            ("(a", Unknown, "is no regular expression: 'missing ): (a'"),
            ("[z-a]", Unknown, "invalid character class range"),
            ("*a", Unknown, "no argument for repetition operator"),
            ("(?=a)", Unknown, "no look-arounds"),
            (r"(a)\1", Unknown, "no back-references"),
            (r"\Aa", Unknown, "write ^ and $"),
            ("a{2000}", TooMuch, "repeat at most 1,000 times"),
            ("((a{100}){100}){100}", TooMuch, "too large"),
            (r"\pL{1000}", TooMuch, "too large"),
            ("\ud800", Unknown, "half a character"),
        ],
    )
    async def test_what_is_none_is_refused_with_the_reason(
        self, search: Search, expression: str, kind: type[Exception], says: str
    ) -> None:
        with pytest.raises(kind) as refusal:
            await search(expression, regex=True)
        assert says in str(refusal.value)
        assert "re2" not in str(refusal.value).lower()

    async def test_the_worst_expression_stops_when_the_time_is_up(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text(("ab" * 2_500 + "\n") * 1_000)
        async with Sandbox(FilesSettings(root=tmp_path, timeout=0.3)) as sandbox:
            started = time.perf_counter()
            found = await sandbox.search("[ab]*a[ab]{900}c", ".", "**", regex=True, context=0, limit=10)
            assert time.perf_counter() - started < 10  # a block of it takes 0.2 s, all of it a minute
        assert found.truncated
        assert "The time was up in 'a.txt'" in found.notices[0]


async def test_without_an_engine_only_expressions_are_refused(
    tmp_path: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    monkeypatch.setattr(sieve, "program", lambda: None)
    (tmp_path / "a.txt").write_text("needle")
    with pytest.raises(Unavailable, match="regex=false"):
        await search("n.*", regex=True)
    assert len((await search("needle")).matches) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.EACCES])
async def test_a_file_the_disk_does_not_give_is_told_and_the_others_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in ("a.txt", "broken.txt", "c.txt"):
        (tmp_path / name).write_text("needle\n")
    broken, truly = (tmp_path / "broken.txt").stat().st_ino, os.read

    def read(handle: int, size: int) -> bytes:
        if os.fstat(handle).st_ino == broken:
            raise OSError(number, "as the disk says it")
        return truly(handle, size)

    monkeypatch.setattr(os, "read", read)
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        found = await sandbox.search("needle", ".", "**", regex=False, context=1, limit=10)
        assert [match.path for match in found.matches] == ["a.txt", "c.txt"]
        assert found.notices == ("Files that could not be read: 1.",)
        for ask in (
            sandbox.search("needle", "broken.txt", "**", regex=False, context=1, limit=10),
            sandbox.read("broken.txt", 1, 1),
            sandbox.info("broken.txt"),
        ):
            with pytest.raises((Unavailable, Forbidden), match=r"'broken\.txt'"):
                await ask


async def test_a_cancelled_search_stops_its_thread(tmp_path: Path) -> None:
    with (tmp_path / "huge.log").open("wb") as file:
        file.write(b"text\n" * 20_000)
        file.truncate(50 * 1024**3)  # sparse: half a minute of zeros
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return time.monotonic()

    async with Sandbox(FilesSettings(root=tmp_path, timeout=60), clock=clock) as sandbox:
        with anyio.move_on_after(0.2) as scope:
            await sandbox.search("needle", ".", "**", regex=False, context=0, limit=10)
        assert scope.cancelled_caught
        await anyio.sleep(0.1)  # for the block it is at
        before = looks
        assert before > 1
        await anyio.sleep(0.2)
        assert looks == before
        (tmp_path / "huge.log").unlink()
        assert (await sandbox.search("x", ".", "**", regex=False, context=0, limit=10)).files == 0


async def test_leaving_does_not_wait_for_what_is_under_way(tmp_path: Path) -> None:
    with (tmp_path / "huge.log").open("wb") as file:
        file.write(b"text\n" * 20_000)
        file.truncate(50 * 1024**3)
    outcome: list[BaseException] = []

    async def ask(sandbox: Sandbox) -> None:
        try:
            await sandbox.search("needle", ".", "**", regex=False, context=0, limit=10)
        except Unavailable as refusal:
            outcome.append(refusal)

    async with anyio.create_task_group() as group:
        async with Sandbox(FilesSettings(root=tmp_path, timeout=60)) as sandbox:
            group.start_soon(ask, sandbox)
            await anyio.sleep(0.2)
            started = time.perf_counter()
        assert time.perf_counter() - started < 2
    assert "The server is closing" in str(outcome[0])


async def test_progress_is_told_while_it_takes_long(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text("x")
    told: list[tuple[int, str]] = []

    async def report(count: int, what: str) -> None:
        told.append((count, what))

    ticks = iter(range(1_000_000))
    async with Sandbox(FilesSettings(root=tmp_path, timeout=600), clock=lambda: next(ticks) * 0.2) as sandbox:
        await sandbox.search("x", ".", "**", regex=False, context=0, limit=100, report=report)
        assert told
        assert "lines found" in told[-1][1]
        assert "8.txt:1: x" in told[-1][1]
