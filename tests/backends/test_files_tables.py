"""What tables hold: CSV in its dialects and spreadsheets, whole, broken and hostile."""

import io
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from backends.files import Sandbox
from backends.files.reading import Info
from config import FilesSettings

BOOK = """<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
 xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>
 <sheet name="Cities" sheetId="1" r:id="rId1"/><sheet name="Empty" sheetId="2" r:id="rId2"/></sheets>
</workbook>"""
LINKS = """<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
 <Relationship Id="rId1" Target="worksheets/sheet1.xml"/>
 <Relationship Id="rId2" Target="/xl/worksheets/sheet2.xml"/></Relationships>"""
TEXTS = """<sst><si><t>name</t></si><si><r><t>popu</t></r><r><t>lation</t></r><rPh><t>no</t></rPh></si>
 <si><t>Lima</t></si></sst>"""
SHEET = """<worksheet><sheetData><row r="1"/>
 <row r="2"><c t="s"><v>0</v></c><c t="s"><v>1</v></c><c t="inlineStr"><is><t>note</t></is></c>
 <c><v>7</v></c></row>
 <row r="3"><c t="s"><v>2</v></c><c><v>10000000</v></c></row><row r="4"><c s="1"/></row>
</sheetData></worksheet>"""
PARTS = {
    "xl/workbook.xml": BOOK, "xl/_rels/workbook.xml.rels": LINKS, "xl/sharedStrings.xml": TEXTS,
    "xl/worksheets/sheet1.xml": SHEET, "xl/worksheets/sheet2.xml": "<worksheet><sheetData/></worksheet>",
}  # fmt: skip
DOUBTS = "Its columns and rows are not known."


def packed(**over: str | bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in {**PARTS, **over}.items():
            archive.writestr(path, text)
    return into.getvalue()


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(FilesSettings(root=tmp_path)) as opened:
        yield opened


def info_of(sandbox: Sandbox, path: Path, raw: bytes) -> Awaitable[Info]:
    path.write_bytes(raw)
    return sandbox.info(path.name)


@pytest.mark.parametrize(
    ("name", "raw", "columns", "rows"),
    [
        ("a.csv", b"a,b\n1,2\n3,4\n", ("a", "b"), 2),
        ("a.csv", b"a;b;c\r\n1,5;2;x\r\n\r\n3;4;y", ("a", "b", "c"), 2),
        ("a.tsv", b"a\tb, c\n1\t2\n", ("a", "b, c"), 1),
        ("a.csv", b'a,"b\nc"\n"1\n\n2","say ""x"""\n', ("a", "b\nc"), 1),
        ("a.csv", b"\xef\xbb\xbfname,caf\xc3\xa9\nx,y\n", ("name", "café"), 1),
        ("a.csv", b"\xff\xfe" + "größe|x\n1|2\n".encode("utf-16-le"), ("größe", "x"), 1),
        ("a.csv", b"only\n1\n2\n", ("only",), 2),
        ("a.csv", b"a,b\n", ("a", "b"), 0),
    ],
)
async def test_a_csv_tells_its_columns_and_rows(
    tmp_path: Path, sandbox: Sandbox, name: str, raw: bytes, columns: tuple[str, ...], rows: int
) -> None:
    (sheet,) = (await info_of(sandbox, tmp_path / name, raw)).sheets
    assert (sheet.name, sheet.columns, sheet.rows) == ("", columns, rows)


async def test_what_is_no_table_has_none(tmp_path: Path, sandbox: Sandbox) -> None:
    assert (await info_of(sandbox, tmp_path / "a.txt", b"a,b\n")).sheets == ()
    assert (await info_of(sandbox, tmp_path / "a.csv", b"")).sheets == ()
    other = await info_of(sandbox, tmp_path / "a.ods", packed())
    assert (other.sheets, other.notices) == (
        (),
        (f"{DOUBTS} Of spreadsheets only .xlsx files are looked into.",),
    )
    endless = await info_of(sandbox, tmp_path / "a.csv", b'a,b\n"' + b"x" * 200_000)
    assert endless.sheets == ()
    assert endless.notices == (f"{DOUBTS} Its fields do not end: it is no regular table.",)


async def test_a_spreadsheet_tells_each_sheets_columns_and_rows(tmp_path: Path, sandbox: Sandbox) -> None:
    info = await info_of(sandbox, tmp_path / "a.xlsx", packed())
    assert [(sheet.name, sheet.columns, sheet.rows) for sheet in info.sheets] == [
        ("Cities", ("name", "population", "note", "7"), 1),
        ("Empty", (), 0),
    ]
    assert info.notices == ()


async def test_a_long_table_says_its_rows_were_not_counted_in_time(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n" + b"1,2\n" * 50_000)
    ticks = iter(range(10_000_000))
    async with Sandbox(FilesSettings(root=tmp_path, timeout=20), clock=lambda: float(next(ticks))) as sandbox:
        info = await sandbox.info("a.csv")
    assert (info.sheets[0].columns, info.sheets[0].rows) == (("a", "b"), None)
    assert "too long for its rows to be counted" in info.notices[-1]


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + SHEET


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (packed(**{"xl/worksheets/sheet1.xml": LAUGHS}), "defines entities"),
        (packed(**{"xl/worksheets/sheet1.xml": SHEET[:-40]}), "no spreadsheet that can be read"),
        (packed(**{"xl/workbook.xml": "<!DOCTYPE x SYSTEM 'file:///etc/passwd'><workbook/>"}), "entities"),
        (packed()[:-30], "no spreadsheet"),
        (packed()[:200] + b"\0" * 300 + packed()[500:], "no spreadsheet"),
        (b"PK\x03\x04" + b"\0" * 100, "no spreadsheet"),
    ],
)
async def test_a_broken_or_hostile_spreadsheet_is_not_looked_into(
    tmp_path: Path, sandbox: Sandbox, raw: bytes, says: str
) -> None:
    info = await info_of(sandbox, tmp_path / "a.xlsx", raw)
    assert info.sheets == ()
    assert says in info.notices[0]
    assert str(tmp_path) not in info.notices[0]


async def test_a_bomb_is_unpacked_only_so_far(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.files import tables

    monkeypatch.setattr(tables, "_MOST_UNPACKED", 3_000_000)
    row = b"<row><c><v>1</v></c></row>" * 10_000
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in PARTS.items():
            if path != "xl/worksheets/sheet1.xml":
                archive.writestr(path, text)
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(b"<worksheet><sheetData>")
            for _ in range(40):
                sheet.write(row)
    info = await info_of(sandbox, tmp_path / "a.xlsx", into.getvalue())
    assert info.size < 200_000
    assert info.notices == (f"{DOUBTS} It unpacks to more than is looked at.",)


async def test_a_zip_of_countless_members_is_not_read(tmp_path: Path, sandbox: Sandbox) -> None:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for number in range(12_000):
            archive.writestr(f"xl/{'x' * 40}{number}", b"")
    info = await info_of(sandbox, tmp_path / "a.xlsx", into.getvalue())
    assert info.notices == (f"{DOUBTS} It holds too many parts to be looked into.",)


async def test_any_damage_is_a_notice_and_no_failure(tmp_path: Path, sandbox: Sandbox) -> None:
    whole = packed()
    for number in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[number] ^= 0xFF
        info = await info_of(sandbox, tmp_path / "a.xlsx", bytes(damaged))
        assert info.sheets or info.notices or info.mime_type != "", zlib.crc32(damaged)


SPANS = "Its lines do not end: it is no regular table."
LARGE = "It has tags that are too long to be looked into."
COUNTLESS = "It holds too many parts to be looked into."
LINK = '<Relationship Id="{}"/>'


@pytest.mark.parametrize(
    ("rest", "says"),
    [(b"x" * 3_000_000, SPANS), (b'"",' * 700_000, SPANS), (b'1,"\n' + b'","\n' * 20_000, SPANS)],
)
async def test_a_line_or_a_row_without_an_end_is_not_collected(
    tmp_path: Path, sandbox: Sandbox, rest: bytes, says: str
) -> None:
    info = await info_of(sandbox, tmp_path / "a.csv", b"a,b\n" * 20_000 + rest)
    assert info.notices == (f"{DOUBTS} {says}",)


@pytest.mark.parametrize(
    ("part", "text", "says"),
    [
        ("xl/workbook.xml", "<workbook>" + "<sheet/>" * 20_000 + "</workbook>", COUNTLESS),
        ("xl/_rels/workbook.xml.rels", f"<R>{''.join(map(LINK.format, range(20_000)))}</R>", COUNTLESS),
        ("xl/worksheets/sheet1.xml", f'<s><row a="{"x" * 2_000_000}"/></s>', LARGE),
        ("xl/worksheets/sheet1.xml", f"<s><!--{'x' * 2_000_000}--></s>", LARGE),
        ("xl/sharedStrings.xml", f'<sst a="{"x" * 2_000_000}"/>', LARGE),
        ("xl/worksheets/sheet1.xml", "<s>" + "<a>" * 200, "It is no spreadsheet that can be read here."),
        ("xl/sharedStrings.xml", "<s>" + "<a>" * 200, "It is no spreadsheet that can be read here."),
    ],
)
async def test_no_part_of_a_spreadsheet_makes_the_parser_remember_much(
    tmp_path: Path, sandbox: Sandbox, part: str, text: str, says: str
) -> None:
    info = await info_of(sandbox, tmp_path / "a.xlsx", packed(**{part: text}))
    assert info.notices == (f"{DOUBTS} {says}",)


async def test_a_long_text_in_a_cell_is_no_long_tag(tmp_path: Path, sandbox: Sandbox) -> None:
    long = SHEET.replace("note", "note " + "x" * 3_000_000)
    info = await info_of(sandbox, tmp_path / "a.xlsx", packed(**{"xl/worksheets/sheet1.xml": long}))
    assert info.sheets[0].columns[2] == ("note " + "x" * 100)[:100]
    assert info.notices == ()
