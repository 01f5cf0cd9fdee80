"""Searching the text of files: streamed, so that a file's size costs time and no memory.

A file's text comes in blocks of whole lines; the finder says where in a block something matches, and only for
those lines anything more is done.
"""

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from backends import Result
from backends.files.beneath import Opened
from backends.files.content import Content
from backends.files.lines import BLOCK, REPLACED, Lines, blocks, decoded, first_of
from backends.files.paths import Parts, screen, written
from backends.files.patterns import Finder, plain, regular
from backends.files.work import Work
from errors import Unknown, quote

MAX_SHOWN = 500  # characters shown of one line: a screen's width, several times
_TOLD = 10  # of the lines found since then, told with the progress
_LONGEST = 131_072  # bytes of one line searched as a whole; RE2's worst takes a second for as many
_RE2_BLOCK = 16_384  # its worst takes 0.2 s for as many, and only between blocks it can be stopped


class Match(Result):
    """A line that matches, and the lines around it if they were asked for."""

    path: str
    line: int
    text: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Matches(Result):
    """The lines that match, and how many files were looked at."""

    matches: tuple[Match, ...]
    files: int
    truncated: bool = False
    next_cursor: str = ""
    notices: tuple[str, ...] = ()


class Query(NamedTuple):
    """What to search for, and how much to give."""

    text: str
    regex: bool
    context: int
    limit: int
    max_bytes: int


class Position(NamedTuple):
    """After which line of which file a search that was cut goes on."""

    parts: Parts
    line: int


class Search:
    """One search: what it has found so far, and what it could not look at."""

    def __init__(
        self, query: Query, work: Work, after: Position | None = None, ripgrep: str | None = None
    ) -> None:
        self._query, self._work, self._after = query, work, after
        self._find: Finder = regular(query.text, ripgrep) if query.regex else plain(query.text)
        self._room = query.max_bytes
        self.matches: list[Match] = []
        self.files = self._unsound = self._binary = self._shortened = self._in_pieces = self._told = 0
        self.closed = 0  # files that could not be read
        self.full = False
        self.late_in = ""

    @property
    def ended(self) -> bool:
        return self.full or bool(self.late_in)

    def is_late(self, path: str) -> bool:
        """Whether the time is up before a file."""
        if self._work.late():
            self.late_in = self.late_in or path
        return bool(self.late_in)

    def file(self, opened: Opened, path: str) -> None:
        sample, whole, content = first_of(opened, path)
        if not content.is_text:
            self._binary += 1
            return
        self.files += 1
        self._work.tell(self.files, self._progress)
        if whole and content.codec == "utf-8":  # a small file, as most are: it is held already, and sound
            source = iter((sample[content.bom :].replace(b"\r\n", b"\n"),)) if sample else iter(())
        else:
            size = _RE2_BLOCK if self._query.regex else BLOCK
            source = self._whole_lines(self._watched(blocks(opened, content, size), content))
        if hits := self._hits(source, content, path):
            self._keep(path, hits, self._around(opened, content, [number for number, _ in hits]))

    def _hits(self, source: Iterator[bytes], content: Content, path: str) -> list[tuple[int, str]]:
        hits: list[tuple[int, str]] = []
        after = self._after.line if self._after and path == written(self._after.parts) else 0
        number = 1
        for block in source:
            counted = 0
            for at in self._find(block):
                start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
                number += block.count(b"\n", counted, start)
                counted = start
                if number <= after:
                    continue
                if len(self.matches) + len(hits) == self._query.limit:
                    self.full = True
                    return hits
                line = block[start : end if end >= 0 else len(block)]
                hits.append((number, self._shown(line, content, at - start)))
            number += block.count(b"\n", counted)
            if self._work.late():
                self.late_in = path
                break
        return hits

    def _progress(self) -> str:
        new = self.matches[self._told :]
        self._told = len(self.matches)
        shown = "".join(f"\n{match.path}:{match.line}: {match.text}" for match in new[-_TOLD:])
        return f"{self.files} files searched, {len(self.matches)} lines found{shown}"

    def _watched(self, source: Iterator[bytes], content: Content) -> Iterator[bytes]:
        """The same blocks; counts the file if some of it is no valid text."""
        replaced = REPLACED.encode() if content.codec != "utf-8" else b""
        decoder = codecs.getincrementaldecoder("utf-8")()
        sound = True
        for block in source:
            if sound:
                sound = replaced not in block if replaced else _is_sound(block, decoder)
                self._unsound += not sound
            yield block
        if sound and decoder.getstate()[0]:
            self._unsound += 1

    def _whole_lines(self, source: Iterator[bytes]) -> Iterator[bytes]:
        """Blocks that end with a line, but for lines longer than `_LONGEST`, which come in pieces."""
        rest = b""
        for block in source:
            end = block.rfind(b"\n") + 1
            if not end and len(rest) + len(block) < _LONGEST:
                rest += block
                continue
            if not end:
                self._in_pieces += 1
                end = len(block)
            yield (rest + block[:end]).replace(b"\r\n", b"\n")  # so that $ is where people see the end
            rest = block[end:]
        if rest:
            yield rest

    def _around(self, opened: Opened, content: Content, numbers: list[int]) -> dict[int, str]:
        """The lines near the matches, by number, read in one more pass over the file's beginning."""
        context = self._query.context
        if not context or not numbers:
            return {}
        wanted = sorted({n for m in numbers for n in range(max(1, m - context), m + context + 1)})
        lines = Lines(blocks(opened, content), self._work)
        near: dict[int, str] = {}
        for number in wanted:
            if not lines.skip_to(number) or (line := lines.take(_LONGEST)) is None:
                break
            near[number] = self._shown(line[0], content, 0)
        return near

    def _keep(self, path: str, hits: list[tuple[int, str]], around: dict[int, str]) -> None:
        context = self._query.context
        for number, text in hits:
            if self._room <= 0:
                self.full = True
                return
            match = Match(
                path=path,
                line=number,
                text=text,
                before=tuple(around[n] for n in range(number - context, number) if n in around),
                after=tuple(around[n] for n in range(number + 1, number + context + 1) if n in around),
            )
            self._room -= sum(map(len, (path, text, *match.before, *match.after)))
            self.matches.append(match)

    def _shown(self, raw: bytes, content: Content, at: int) -> str:
        """A line as it is shown: without its end, and if it is long, the part around the match."""
        text, _ = decoded(raw, content)
        text = text.rstrip("\r\n")
        if len(text) <= MAX_SHOWN:
            return text
        self._shortened += 1
        place = len(raw[:at].decode("utf-8", "replace"))
        start = max(0, min(place - MAX_SHOWN // 4, len(text) - MAX_SHOWN))
        end = start + MAX_SHOWN
        return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")

    @property
    def next_cursor(self) -> str:
        return f"{self.matches[-1].path}:{self.matches[-1].line}" if self.full else ""

    def notices(self) -> list[str]:
        notices = []
        if self.full:
            notices.append(
                f"Cut at {len(self.matches)} lines, in {quote(self.matches[-1].path)}; next_cursor gives the "
                "rest. Or ask for a narrower path or glob."
            )
        if self.late_in:
            notices.append(
                f"The time was up in {quote(self.late_in)}; what follows it was not searched. Ask for a "
                "narrower path or glob."
            )
        for what, count in (
            ("Long lines shown in part, marked with … (files_read shows them whole)", self._shortened),
            ("Pieces of very long lines searched apart; a match across two is missed", self._in_pieces),
            ("Files with bytes that are no text, in which a match may be missed", self._unsound),
            ("Files not searched, as they are no text", self._binary),
            ("Files that could not be read", self.closed),
        ):
            if count:
                notices.append(f"{what}: {count}.")
        return notices


def _is_sound(block: bytes, decoder: codecs.IncrementalDecoder) -> bool:
    """Whether the block goes on in UTF-8; ASCII, which most is, costs a tenth of decoding it."""
    if block.isascii() and not decoder.getstate()[0]:
        return True
    try:
        decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def position_of(cursor: str, top: Parts) -> Position:
    """The position that a cursor, `path:line`, stands for."""
    path, _, line = cursor.rpartition(":")
    parts = screen(path) if path else ()
    if not (line.isascii() and line.isdecimal() and len(line) < 16) or not parts or parts[: len(top)] != top:
        raise Unknown(
            f"The cursor {quote(cursor)} is none of this search's. Pass next_cursor of the same call before."
        )
    return Position(parts, int(line))
