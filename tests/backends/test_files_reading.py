"""Reading files: pages of lines in any size and encoding, JSON by pointer, pictures and sounds, facts."""

import codecs
import json
import os
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from backends.files import Sandbox
from backends.files.reading import moment
from config import FilesSettings
from errors import Forbidden, TooMuch, Unknown

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(17) + zlib.compress(bytes(50))


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(FilesSettings(root=tmp_path, max_bytes=200_000)) as opened:
        yield opened


async def test_a_page_says_where_it_stands_and_where_to_go_on(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    page = await sandbox.read("a.txt", 3, 4)
    assert page.text == "line 3\nline 4\nline 5\nline 6\n"
    assert (page.start_line, page.end_line, page.total_lines) == (3, 6, 10)
    assert (page.truncated, page.next_line) == (True, 7)
    last = await sandbox.read("a.txt", 7, 100)
    assert (last.end_line, last.truncated, last.next_line) == (10, False, None)


async def test_pages_put_together_are_the_file(tmp_path: Path, sandbox: Sandbox) -> None:
    whole = "".join(f"{n} {'é' * (n % 90)}\r\n" for n in range(1000)) + "no end of line"
    (tmp_path / "a.txt").write_bytes(whole.encode())
    text, line = "", 1
    while line:
        page = await sandbox.read("a.txt", line, 97)
        text += page.text
        line = page.next_line or 0
    assert text == whole
    assert page.total_lines == 1001


@pytest.mark.parametrize(
    ("content", "total", "end"), [("", 0, 0), ("a", 1, 1), ("a\n", 1, 1), ("a\n\n", 2, 2), ("\n", 1, 1)]
)
async def test_the_last_line_counts_with_and_without_its_end(
    tmp_path: Path, sandbox: Sandbox, content: str, total: int, end: int
) -> None:
    (tmp_path / "a.txt").write_text(content)
    page = await sandbox.read("a.txt", 1, 500)
    assert (page.text, page.total_lines, page.end_line, page.truncated) == (content, total, end, False)


async def test_a_start_past_the_end_is_refused_with_the_number_of_lines(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    with pytest.raises(Unknown, match=r"'a\.txt' has 2 lines, so none at start_line 3"):
        await sandbox.read("a.txt", 3, 1)


@pytest.mark.parametrize(
    ("raw", "encoding", "text"),
    [
        ("häß\n".encode(), "utf-8", "häß\n"),
        (codecs.BOM_UTF8 + "häß\n".encode(), "utf-8 with BOM", "häß\n"),
        (codecs.BOM_UTF16_LE + "hä😀\nb".encode("utf-16-le"), "utf-16-le with BOM", "hä😀\nb"),
        (codecs.BOM_UTF16_BE + "hä\n".encode("utf-16-be"), "utf-16-be with BOM", "hä\n"),
        (codecs.BOM_UTF32_LE + "hä\n".encode("utf-32-le"), "utf-32-le with BOM", "hä\n"),
        ("Le café est fermé à midi.\r\n".encode("latin-1"), "windows-1252", "Le café est fermé à midi.\r\n"),
        ("Привет, мир. Погода сегодня хорошая.\n".encode("cp1251"), "windows-1251", "Привет, мир. Погода"),
        ("今日の天気は晴れです。明日は雨。\n".encode("cp932"), "shift_jis", "今日の天気"),
    ],
)
async def test_the_encoding_is_told_and_the_text_is_right(
    tmp_path: Path, sandbox: Sandbox, raw: bytes, encoding: str, text: str
) -> None:
    (tmp_path / "a.txt").write_bytes(raw)
    page = await sandbox.read("a.txt", 1, 500)
    assert page.encoding == encoding
    assert page.text.startswith(text)
    assert ("The encoding is a guess" in "".join(page.notices)) == (encoding[:3] in ("win", "shi"))
    assert (await sandbox.info("a.txt")).encoding == encoding


async def test_what_cannot_be_decoded_is_counted_and_what_can_is_not(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    # The sample is good UTF-8, what comes later is not; the U+FFFD that the file itself holds is no loss.
    (tmp_path / "a.txt").write_bytes(b"fine\n" * 20_000 + "caf\ufffd ".encode() + b"caf\xe9 \xff\n")
    page = await sandbox.read("a.txt", 20_001, 1)
    assert page.text == "caf\ufffd caf\ufffd \ufffd\n"
    assert page.notices == ("Characters that are no valid utf-8, each shown as U+FFFD: 2.",)


async def test_an_overlong_line_is_cut_between_characters_with_a_notice(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    (tmp_path / "a.txt").write_text("x" + "é" * 60_000 + "\nnext\n")
    page = await sandbox.read("a.txt", 1, 500)
    assert page.text == "x" + "é" * 32_767 + "\nnext\n"
    assert "Lines shown in part, to 65,536 bytes: 1." in page.notices[0]
    assert (page.end_line, page.total_lines) == (2, 2)


async def test_a_page_never_holds_more_than_the_most_bytes_and_loses_no_line(tmp_path: Path) -> None:
    lines = [f"{n} {'y' * 300}\n" for n in range(40)]
    (tmp_path / "a.txt").write_text("".join(lines))
    async with Sandbox(FilesSettings(root=tmp_path, max_bytes=1000)) as sandbox:
        text, line = "", 1
        while line:
            page = await sandbox.read("a.txt", line, 500)
            assert len(page.text) <= 1000
            text += page.text
            line = page.next_line or 0
        assert text == "".join(lines)
        assert (await sandbox.read("a.txt", 1, 500)).notices == (
            "Cut at 1,000 bytes, the most one call returns.",
        )


async def test_line_five_of_a_huge_file_costs_no_memory(tmp_path: Path, sandbox: Sandbox) -> None:
    with (tmp_path / "huge.log").open("wb") as file:
        file.write(b"".join(b"line %d\n" % n for n in range(1, 20_001)))
        file.truncate(200 * 1024 * 1024)  # sparse: the rest is one line of zeros that takes no disk
    tracemalloc.start()
    try:
        page = await sandbox.read("huge.log", 5, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert page.text == "line 5\n"
    assert page.total_lines in (20_001, None)
    assert peak < 8 * 1024 * 1024
    late = await sandbox.read("huge.log", 20_001, 10)
    assert len(late.text) == 65_537
    assert "Lines shown in part" in late.notices[0]


async def test_a_file_too_long_to_count_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0123456789\n" * 400_000)  # four blocks
    ticks = iter(range(10_000_000))
    async with Sandbox(FilesSettings(root=tmp_path, timeout=600), clock=lambda: next(ticks) * 0.3) as sandbox:
        page = await sandbox.read("a.txt", 1, 2)
    assert (page.total_lines, page.truncated, page.next_line) == (None, True, 3)
    assert "too long to count" in page.notices[0]


async def test_a_line_the_time_is_up_in_is_one_line_and_ends_the_page(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.write(b"A" * 70_000)
        file.truncate(8 << 20)
    # Late from the second look at the clock on, so in the middle of the only line.
    ticks = iter(range(1_000_000))
    async with Sandbox(FilesSettings(root=tmp_path, timeout=1), clock=lambda: next(ticks) * 0.6) as sandbox:
        page = await sandbox.read("a.txt", 1, 50)
    assert (page.start_line, page.end_line, page.truncated) == (1, 1, True)
    assert page.text == "A" * 65_536 + "\n"
    assert "The time was up in line 1" in "".join(page.notices)


async def test_a_page_does_not_wait_for_reads_that_go_through_whole_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("at once\n")
    with (tmp_path / "long.txt").open("wb") as file:
        file.write(b"A" * 70_000)
        file.truncate(100 << 30)  # sparse; more than any time allowed here is enough for
    ended: list[object] = []

    async def look(sandbox: Sandbox) -> None:
        with pytest.raises(TooMuch):
            ended.append(await sandbox.read("long.txt", 2, 1))
        ended.append(None)

    settings = FilesSettings(root=tmp_path, timeout=4)
    async with Sandbox(settings) as sandbox, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(look, sandbox)
        await anyio.sleep(0.1)
        page = await sandbox.read("a.txt", 1, 1)
        assert ended == []
        group.cancel_scope.cancel()
    assert page.text == "at once\n"


async def test_a_line_that_is_not_reached_in_time_is_refused_with_how_far_it_came(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0123456789\n" * 400_000)
    ticks = iter(range(10_000_000))
    async with Sandbox(FilesSettings(root=tmp_path, timeout=2), clock=lambda: float(next(ticks))) as sandbox:
        with pytest.raises(TooMuch, match=r"Line 390000 of 'a\.txt' was not reached in time; line \d+ was"):
            await sandbox.read("a.txt", 390_000, 2)


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("a.png", PNG, "no text but image/png. files_read_media gives it"),
        ("a.wav", b"RIFF\x24\0\0\0WAVEfmt ", "no text but audio/wav. files_read_media gives it"),
        ("a.zip", b"PK\x03\x04" + bytes(30), "no text but application/zip. files_info"),
        ("a.txt", b"text\0with a zero", "no text but application/octet-stream"),
        ("a.txt", bytes(range(128, 256)) * 8, "no text but application/octet-stream"),
        ("a.docx", b"PK\x03\x04" + bytes(30), "wordprocessingml"),
    ],
)
async def test_what_is_no_text_is_refused_with_what_gives_it(
    tmp_path: Path, sandbox: Sandbox, name: str, raw: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(Forbidden, match=says):
        await sandbox.read(name, 1, 500)


@pytest.mark.parametrize(
    "text", ["BMW and others\n", "ID3 tags explained\n", "GIF\n", "if type: ftyp\n", "RIFFraff"]
)
async def test_a_text_that_begins_like_a_picture_is_a_text(
    tmp_path: Path, sandbox: Sandbox, text: str
) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert (await sandbox.read("a.txt", 1, 1)).text == text


DOCUMENT: dict[str, object] = {
    "a/b": {"m~n": [10, {"deep": "found"}]},
    "": "empty key",
    "list": [],
    "text": "x",
    "no": None,
}


@pytest.fixture
def document(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps(DOCUMENT))


@pytest.mark.usefixtures("document")
@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/a~1b/m~0n/1/deep", "found"),
        ("/a~1b/m~0n/0", 10),
        ("/", "empty key"),
        ("/list", []),
        ("/no", None),
    ],
)
async def test_a_pointer_finds_its_value(sandbox: Sandbox, pointer: str, value: object) -> None:
    assert (await sandbox.read_json("d.json", pointer)).value == value


@pytest.mark.usefixtures("document")
@pytest.mark.parametrize(
    ("pointer", "says"),
    [
        ("a", "must be '' or start with /"),
        ("/a~2b", "lone ~"),
        ("/lst", "an object without 'lst'. Did you mean 'list'?"),
        ("/a~1b/m~0n/2", "In 'd.json', '/a~1b/m~0n' is a list, in which '2' is no place. It has 0 to 1."),
        ("/a~1b/m~0n/01", "no place"),
        ("/a~1b/m~0n/-", "no place"),
        ("/a~1b/m~0n/-1", "no place"),
        ("/a~1b/m~0n/٣", "no place"),
        ("/list/0", "none, it is empty"),
        ("/text/x", "is text, with nothing in it"),
        ("/no/x", "is null"),
        ("/a~1b/m~0n/0/x", "is a number"),
    ],
)
async def test_a_wrong_pointer_is_told_how_far_it_got_and_what_is_there(
    sandbox: Sandbox, pointer: str, says: str
) -> None:
    with pytest.raises(Unknown) as refusal:
        await sandbox.read_json("d.json", pointer)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"a": 1,\n "b": }', "line 2, column 7: expecting value"),
        (b'{"a": 1}\n{"a": 2}\n', "files_read gives them"),
        (b"", "line 1, column 1"),
        (b"[NaN]", "holds NaN"),
        (b"[-Infinity]", "holds -Infinity"),
        (b'{"a": "caf\xe9"}', "byte 11 is no valid utf-8"),
        (PNG, "is not JSON"),
    ],
)
async def test_what_is_not_json_is_refused_with_the_place(
    tmp_path: Path, sandbox: Sandbox, raw: bytes, says: str
) -> None:
    (tmp_path / "d.json").write_bytes(raw)
    with pytest.raises(Unknown) as refusal:
        await sandbox.read_json("d.json", "")
    assert says in str(refusal.value)


@pytest.mark.parametrize("raw", [b"[" * 150_000, b"[" * 150 + b"]" * 150, b'{"a":' * 120 + b"1" + b"}" * 120])
async def test_a_depth_bomb_is_too_much(tmp_path: Path, sandbox: Sandbox, raw: bytes) -> None:
    (tmp_path / "d.json").write_bytes(raw)
    with pytest.raises(TooMuch, match="nested"):
        await sandbox.read_json("d.json", "")


async def test_part_of_what_is_nested_deeply_can_be_had(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "d.json").write_bytes(b"[" * 150 + b"7" + b"]" * 150)
    assert (await sandbox.read_json("d.json", "/0" * 149)).value == [7]


async def test_numbers_beyond_all_bounds_come_as_their_text(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "d.json").write_text('{"real": 1e999, "whole": ' + "9" * 5000 + ', "big": ' + "9" * 30 + "}")
    found = await sandbox.read_json("d.json", "")
    assert found.value == {"real": "1e999", "whole": "9" * 5000, "big": "9" * 30}
    assert found.notices == ("Numbers too large for a JSON number, each given as its text: 3.",)
    assert found.model_dump_json()


async def test_integers_lose_no_digit_and_only_those_in_the_answer_are_told(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    (tmp_path / "d.json").write_text(json.dumps({"a": [2**53, -(2**53)], "b": [2**53 + 1, -(2**53) - 1]}))
    exact = await sandbox.read_json("d.json", "/a")
    assert (exact.value, exact.notices) == ([2**53, -(2**53)], ())
    beyond = await sandbox.read_json("d.json", "/b")
    assert beyond.value == ["9007199254740993", "-9007199254740993"]
    assert beyond.notices == ("Numbers too large for a JSON number, each given as its text: 2.",)


async def test_half_a_character_in_json_does_not_break_the_answer(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "d.json").write_text(r'{"half \ud800": "x\udc00", "whole": "\ud83d\ude00"}')
    found = await sandbox.read_json("d.json", "")
    assert found.value == {"half ?": "x?", "whole": "😀"}
    assert "halves of characters" in found.notices[0]
    assert found.model_dump_json()


async def test_json_with_a_byte_order_mark_or_in_utf_16_is_json(tmp_path: Path, sandbox: Sandbox) -> None:
    for raw in (codecs.BOM_UTF8 + b'{"a": 1}', '{"a": 1}'.encode("utf-16")):
        (tmp_path / "d.json").write_bytes(raw)
        assert (await sandbox.read_json("d.json", "/a")).value == 1


async def test_a_json_file_over_the_cap_is_refused_with_other_ways(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "d.json").write_text(json.dumps("x" * 200_001))
    with pytest.raises(TooMuch, match="files_search finds lines in it"):
        await sandbox.read_json("d.json", "")


async def test_a_json_file_is_parsed_up_to_two_megabytes_whatever_a_page_may_hold(tmp_path: Path) -> None:
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        (tmp_path / "d.json").write_text(json.dumps("x" * 1_999_998))
        assert len((await sandbox.read_json("d.json", "")).value) == 1_999_998
        (tmp_path / "d.json").write_text(json.dumps("x" * 1_999_999))
        with pytest.raises(TooMuch, match=r"at most 2,000,000 are read whole\. files_search .* files_read"):
            await sandbox.read_json("d.json", "")


async def test_media_come_with_the_type_of_their_bytes_not_of_their_name(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    (tmp_path / "photo.jpg").write_bytes(PNG)
    media, data = await sandbox.read_media("photo.jpg")
    assert (media.mime_type, media.size, data) == ("image/png", len(PNG), PNG)


async def test_media_that_are_none_or_too_large_are_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "fake.png").write_text("not a picture")
    with pytest.raises(Forbidden, match="no picture or sound but text/plain; files_read gives its text"):
        await sandbox.read_media("fake.png")
    (tmp_path / "drawing.svg").write_text("<svg/>")
    with pytest.raises(Forbidden, match="files_read gives its text"):
        await sandbox.read_media("drawing.svg")
    (tmp_path / "large.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt " + bytes(200_001))
    with pytest.raises(TooMuch, match="at most 200,000 are read whole"):
        await sandbox.read_media("large.wav")


async def test_info_tells_what_is_known(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / ".env").write_text("hidden")
    (tmp_path / "docs" / "a.csv").write_text("a,b\n1,2\n")
    os.utime(tmp_path / "docs" / "a.csv", (1_700_000_000, 1_700_000_000.9))
    info = await sandbox.info("docs/a.csv")
    assert (info.kind, info.size, info.lines, info.encoding) == ("file", 8, 2, "utf-8")
    assert (info.mime_type, info.modified) == ("text/csv", "2023-11-14T22:13:20Z")
    directory = await sandbox.info("docs")
    assert (directory.kind, directory.entries, directory.lines) == ("directory", 1, None)
    (tmp_path / "a.png").write_bytes(PNG)
    assert (await sandbox.info("a.png")).mime_type == "image/png"


async def test_a_directory_too_large_to_be_counted_in_time_says_so(tmp_path: Path) -> None:
    for number in range(2_000):
        (tmp_path / str(number)).touch()
    ticks = iter(range(10_000))
    async with Sandbox(FilesSettings(root=tmp_path, timeout=1), clock=lambda: float(next(ticks))) as sandbox:
        info = await sandbox.info(".")
        assert (info.entries, info.notices) == (None, ("It holds too much to be counted in time.",))
        assert len(await sandbox.completers()["path"]("1", {})) < 1_000
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        assert (await sandbox.info(".")).entries == 2_000


def test_a_time_that_no_calendar_has_is_left_out() -> None:
    assert moment(-1) == "1969-12-31T23:59:59Z"
    assert moment(1e18) == moment(-1e18) == ""


async def test_a_whole_file_is_text_unless_that_loses_something(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "a.md").write_text("# Title\n")
    assert await sandbox.read_whole("a.md") == ("# Title\n", "text/markdown")
    (tmp_path / "b.txt").write_bytes(b"fine\n" * 20_000 + b"caf\xe9\n")
    content, mime = await sandbox.read_whole("b.txt")
    assert isinstance(content, bytes)
    assert mime == "text/plain"


@pytest.mark.parametrize(
    ("start", "most", "text", "first", "end", "next_line"),
    [
        (-1, 500, "line 10\n", 10, 10, None),
        (-3, 500, "line 8\nline 9\nline 10\n", 8, 10, None),
        (-3, 2, "line 8\nline 9\n", 8, 9, 10),
        (-10, 1, "line 1\n", 1, 1, 2),
        (-99, 1, "line 1\n", 1, 1, 2),
    ],
)
async def test_a_negative_start_counts_from_the_end(
    tmp_path: Path, sandbox: Sandbox, start: int, most: int, text: str, first: int, end: int, next_line: int
) -> None:
    (tmp_path / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    page = await sandbox.read("a.txt", start, most)
    assert (page.text, page.start_line, page.end_line, page.total_lines) == (text, first, end, 10)
    assert (page.next_line, page.truncated, page.notices) == (next_line, next_line is not None, ())


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (b"", "utf-8"), (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_LE, "utf-32-le"), (b"", "utf-16-le"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["\n", ""])
async def test_last_lines_are_those_of_the_text_in_every_encoding(
    tmp_path: Path, sandbox: Sandbox, mark: bytes, codec: str, ending: str
) -> None:
    # U+0A0A and U+0A00 hold bytes that look like an end of line where they are not one.
    lines = [f"line {n} \u0a0a\u0a00 end" if n % 3 else f"line {n}" for n in range(1, 3_000)]
    if not mark:
        lines = [f"line {n}" for n in range(1, 3_000)]
    (tmp_path / "a.txt").write_bytes(mark + ("\n".join(lines) + ending).encode(codec))
    for start in (-1, -2, -7, -2_999, -5_000):
        page = await sandbox.read("a.txt", start, 10_000)
        assert page.text == "\n".join(lines[start:]) + ending
        assert page.start_line == max(1, 3_000 + start)


async def test_an_empty_file_has_no_last_line(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "a.txt").touch()
    page = await sandbox.read("a.txt", -5, 10)
    assert (page.text, page.total_lines, page.truncated) == ("", 0, False)
    with pytest.raises(Unknown, match="There is no line 0"):
        await sandbox.read("a.txt", 0, 10)


async def test_the_last_lines_of_ten_gigabytes_come_at_once_and_cost_no_memory(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    with (tmp_path / "huge.log").open("wb") as file:
        file.write(b"first line\n" * 10_000)
        file.seek(10 * 1024**3)
        file.write("\n".join(f"läst {n}" for n in range(5_000)).encode())
    await sandbox.read("huge.log", -3, 500)
    tracemalloc.start()
    try:
        started = time.process_time()
        page = await sandbox.read("huge.log", -3, 2)
        assert time.process_time() - started < 0.3  # a millisecond, where nothing else runs
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert page.text == "läst 4997\nläst 4998\n"
    assert (page.start_line, page.end_line, page.next_line, page.total_lines) == (-3, -2, -1, None)
    assert "count from its end" in page.notices[0]
    assert (await sandbox.read("huge.log", page.next_line or 0, 500)).text == "läst 4999"
    far = await sandbox.read("huge.log", -6_000, 1)
    assert "Line -6000 lies too far from the end; these are the last 4999." in far.notices
    assert far.text == "läst 1\n"


async def test_the_end_of_one_endless_line_is_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("é" * 40_000_000)
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        page = await sandbox.read("a.txt", -1, 1)
    assert set(page.text) == {"é"}
    assert 30_000 < len(page.text) <= 32_768
    assert "this is its end" in page.notices[0]
