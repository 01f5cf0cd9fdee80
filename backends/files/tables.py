"""What a table holds: the names of its columns, and how many rows; of CSV and of spreadsheets (.xlsx).

Nothing is trusted: a spreadsheet is a zip of XML, and both are known for bombs. The zip's directory is looked
at before it is read, what is unpacked is counted, entities are refused, and the time is limited.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from xml.parsers import expat

from backends import Result
from backends.files.beneath import Opened
from backends.files.content import Content
from backends.files.lines import read_at
from backends.files.separated import Irregular, first_and_count
from backends.files.work import Work

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_ODS = "application/vnd.oasis.opendocument.spreadsheet"
_DELIMITERS = {"text/csv": ",;\t|", "text/tab-separated-values": "\t"}
_SHOWN = 100  # columns named, and characters of one name
_SHEETS = 50  # sheets told of
_MOST_UNPACKED = 300_000_000  # bytes of one spreadsheet's XML: some 6 million cells
_MOST_DIRECTORY = 1_000_000  # bytes of a zip's directory: 10,000 members
_MOST_NAMED = 10_000  # sheets and parts that a workbook names
_MOST_TAG = 1_000_000  # bytes of one tag, which the parser holds whole
_DEEPEST = 100  # elements within one another, each of which the parser remembers
# What zipfile raises for what is broken or encrypted (RuntimeError), and the parser for its XML.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, ValueError, RuntimeError,
    struct.error,
)  # fmt: skip
_UNREADABLE = "It is no spreadsheet that can be read here."
_COUNTLESS = "It holds too many parts to be looked into."
_END, _END64 = b"PK\5\6", b"PK\6\7"


class Sheet(Result):
    """One table: the cells of its first row, and the number of rows below it if that was known in time."""

    name: str = ""
    columns: tuple[str, ...]
    rows: int | None


class NoTable(Exception):
    """This is not what its name says, or more than is looked at; the text says which."""


def sheets_of(opened: Opened, content: Content, work: Work) -> tuple[Sheet, ...]:
    """The tables of a file; none if it is no table.

    Raises:
        NoTable: It cannot be read as what it seems to be.
    """
    if delimiters := _DELIMITERS.get(content.mime, "") if content.is_text else "":
        return _separated(opened, content, work, delimiters)
    if content.mime == _ODS:
        raise NoTable("Of spreadsheets only .xlsx files are looked into.")
    if content.mime != XLSX:
        return ()
    try:
        return _spreadsheet(opened, work)
    except _BROKEN as error:
        raise NoTable(_UNREADABLE) from error


def _named(cells: list[str]) -> tuple[str, ...]:
    return tuple(cell[:_SHOWN] for cell in cells[:_SHOWN])


def _separated(opened: Opened, content: Content, work: Work, delimiters: str) -> tuple[Sheet, ...]:
    try:
        columns, rows = first_and_count(opened, content, work, delimiters)
    except Irregular as reason:
        raise NoTable(str(reason)) from reason
    return (Sheet(columns=_named(columns), rows=rows),) if columns else ()


def _spreadsheet(opened: Opened, work: Work) -> tuple[Sheet, ...]:
    _check_directory(opened)
    os.lseek(opened.handle, 0, os.SEEK_SET)
    with os.fdopen(os.dup(opened.handle), "rb") as file, zipfile.ZipFile(file) as archive:
        unpacked = _Unpacked(archive, work)
        sheets = unpacked.sheets()
        found = [_Rows(name, unpacked, path) for name, path in sheets[:_SHEETS]]
        wanted = {index for rows in found for index in rows.shared}
        texts = _shared(unpacked, wanted) if wanted else {}
    return tuple(
        Sheet(name=rows.name[:_SHOWN], columns=_named(rows.cells(texts)), rows=rows.count) for rows in found
    )


def _check_directory(opened: Opened) -> None:
    """Refuse a zip whose directory alone is large: reading one of 100 MB takes a gigabyte."""
    size = opened.status.st_size
    tail = read_at(opened.handle, 65_600, max(0, size - 65_600))
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise NoTable(_UNREADABLE)
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if length > _MOST_DIRECTORY or tail[max(0, at - 20) : at].startswith(_END64):
        raise NoTable(_COUNTLESS)


class _Unpacked:
    """The XML of a zip's members, as long as it is not too much in all and the time is not up."""

    def __init__(self, archive: zipfile.ZipFile, work: Work) -> None:
        self._archive, self.work = archive, work
        self._room = _MOST_UNPACKED

    def chunks(self, path: str) -> Iterator[bytes]:
        info = self._archive.getinfo(path)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NoTable("It is packed in a way that is not read here.")
        with self._archive.open(info) as member:
            while chunk := member.read(65_536):
                self._room -= len(chunk)
                if self._room < 0:
                    raise NoTable("It unpacks to more than is looked at.")
                yield chunk

    def parse(self, path: str, parser: expat.XMLParserType) -> bool:
        """Feed a member to a parser; False if the time was up before its end."""
        parser.StartDoctypeDeclHandler = _no_entities
        fed = 0
        for chunk in self.chunks(path):
            if self.work.late():
                return False
            parser.Parse(chunk)
            fed += len(chunk)
            if fed - parser.CurrentByteIndex > _MOST_TAG:
                raise NoTable("It has tags that are too long to be looked into.")
        parser.Parse(b"", True)
        return True

    def sheets(self) -> list[tuple[str, str]]:
        """Names of the sheets and where each lies in the zip."""
        paths: dict[str, str] = {}
        named: list[tuple[str, str]] = []

        def relation(tag: str, given: dict[str, str]) -> None:
            if _local(tag) == "Relationship":
                paths[given.get("Id", "")] = given.get("Target", "")
                if len(paths) > _MOST_NAMED:
                    raise NoTable(_COUNTLESS)

        def sheet(tag: str, given: dict[str, str]) -> None:
            if _local(tag) == "sheet":
                known = next((given[key] for key in given if _local(key) == "id" and ":" in key), "")
                named.append((given.get("name", ""), known))
                if len(named) > _MOST_NAMED:
                    raise NoTable(_COUNTLESS)

        for path, handler in (("xl/_rels/workbook.xml.rels", relation), ("xl/workbook.xml", sheet)):
            parser = expat.ParserCreate()
            parser.StartElementHandler = handler
            try:
                self.parse(path, parser)
            except KeyError as error:
                raise NoTable(_UNREADABLE) from error
        members = set(self._archive.namelist())
        placed = [(name, _within(paths.get(known, ""))) for name, known in named]
        return [(name, path) for name, path in placed if path in members]


class _Rows:
    """One sheet's first row of cells, and how many rows with a value come below it."""

    def __init__(self, name: str, unpacked: _Unpacked, path: str) -> None:
        self.name = name
        self._texts: list[str] = []
        self._is_shared: list[bool] = []
        self._seen = self._depth = 0  # rows with a value; elements that are open
        self._filled = self._is_text = False
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        whole = unpacked.parse(path, parser)
        self.count = max(0, self._seen - 1) if whole else None

    @property
    def shared(self) -> set[int]:
        """The places among the workbook's texts that its first row's cells stand for."""
        known = zip(self._texts, self._is_shared, strict=True)
        return {int(text) for text, is_shared in known if is_shared and text.isascii() and text.isdecimal()}

    def cells(self, texts: dict[int, str]) -> list[str]:
        known = zip(self._texts, self._is_shared, strict=True)
        return [
            texts.get(int(text), "") if is_shared and text.isdecimal() else text for text, is_shared in known
        ]

    def _start(self, tag: str, given: dict[str, str]) -> None:
        tag = _local(tag)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NoTable(_UNREADABLE)
        if tag == "row":
            self._filled = False
        elif tag == "c" and not self._seen and len(self._texts) < _SHOWN:
            self._texts.append("")
            self._is_shared.append(given.get("t") == "s")
        elif tag in ("v", "t"):
            self._filled = self._is_text = True

    def _characters(self, text: str) -> None:
        if self._is_text and not self._seen and self._texts and len(self._texts[-1]) < _SHOWN:
            self._texts[-1] += text

    def _end(self, tag: str) -> None:
        tag = _local(tag)
        self._depth -= 1
        if tag in ("v", "t"):
            self._is_text = False
        elif tag == "row" and self._filled:
            self._seen += 1
        elif tag == "row" and not self._seen:
            self._texts, self._is_shared = [], []


def _shared(unpacked: _Unpacked, wanted: set[int]) -> dict[int, str]:
    """The workbook's texts at some places."""
    found: dict[int, str] = {}
    number, depth, inside, aside = -1, 0, False, False
    last = max(wanted)

    def start(tag: str, _: dict[str, str]) -> None:
        nonlocal number, depth, inside, aside
        tag = _local(tag)
        depth += 1
        if depth > _DEEPEST:
            raise NoTable(_UNREADABLE)
        number += tag == "si"
        aside = aside or tag == "rPh"  # how it is pronounced
        inside = tag == "t" and not aside

    def characters(text: str) -> None:
        if inside and number in wanted and len(found.get(number, "")) < _SHOWN:
            found[number] = found.get(number, "") + text

    def end(tag: str) -> None:
        nonlocal depth, inside, aside
        depth -= 1
        inside = False
        if _local(tag) == "rPh":
            aside = False
        if _local(tag) == "si" and number >= last:
            raise _Enough

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, characters, end
    with suppress(_Enough, KeyError):  # a workbook without texts has no such part
        unpacked.parse("xl/sharedStrings.xml", parser)
    return found


class _Enough(Exception):
    """What was looked for has been found."""


def _no_entities(*_: object) -> None:
    raise NoTable("It defines entities, which no spreadsheet does.")


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]


def _within(target: str) -> str:
    return target[1:] if target.startswith("/") else "xl/" + target.removeprefix("./")
