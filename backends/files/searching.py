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
from backends.files.globs import Glob, States
from backends.files.lines import BLOCK, REPLACED, Lines, blocks, decoded, sample_of
from backends.files.paths import Parts, written
from backends.files.patterns import Finder, plain, regular
from backends.files.sandbox import Root
from backends.files.tree import Level, Walk
from backends.files.work import Work
from errors import quote

MAX_SHOWN = 500  # characters shown of one line: a screen's width, several times
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
    truncated: bool
    notices: tuple[str, ...] = ()


class Query(NamedTuple):
    """What to search for, and how much to give."""

    text: str
    regex: bool
    context: int
    limit: int
    max_bytes: int


class _Search:
    """One search: what it has found so far, and what it could not look at."""

    def __init__(self, query: Query, work: Work) -> None:
        self._query, self._work = query, work
        self._find: Finder = regular(query.text) if query.regex else plain(query.text)
        self._room = query.max_bytes
        self.matches: list[Match] = []
        self.files = self._unsound = self._binary = self._closed = self._shortened = self._in_pieces = 0
        self.full = False
        self.late_in = ""

    def level(self, level: Level, glob: Glob, states: States) -> None:
        """Search the files of one directory that match the glob."""
        for entry in level.entries:
            if not glob.matches(glob.step(states, entry.name)) or not entry.is_file(follow_symlinks=False):
                continue
            path = written((*level.parts, entry.name))
            if self._work.late():
                self.late_in = self.late_in or path
                return
            try:
                opened = level.opened.child(entry.name)
            except OSError:
                self._closed += 1
                continue
            try:
                if opened.is_file:
                    self.file(opened, path)
            finally:
                opened.close()
            if self.full or self.late_in:
                return

    def file(self, opened: Opened, path: str) -> None:
        content = sample_of(opened, path)
        if not content.is_text:
            self._binary += 1
            return
        self.files += 1
        self._work.tell(self.files, f"{self.files} files searched, {len(self.matches)} lines found")
        hits: list[tuple[int, str]] = []
        number = 1
        size = _RE2_BLOCK if self._query.regex else BLOCK
        for block in self._whole_lines(self._watched(blocks(opened, content, size), content)):
            counted = 0
            for at in self._find(block):
                if len(self.matches) + len(hits) == self._query.limit:
                    self.full = True
                    break
                start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
                number += block.count(b"\n", counted, start)
                counted = start
                line = block[start : end if end >= 0 else len(block)]
                hits.append((number, self._shown(line, content, at - start)))
            if self.full:
                break
            number += block.count(b"\n", counted)
            if self._work.late():
                self.late_in = path
                break
        self._keep(path, hits, self._around(opened, content, [number for number, _ in hits]))

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

    def notices(self) -> list[str]:
        notices = []
        if self.full:
            notices.append(
                f"Cut at {len(self.matches)} lines, in {quote(self.matches[-1].path)}. Ask for a narrower "
                "path or glob, or for a higher limit."
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
            ("Files that could not be opened", self._closed),
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


def search(root: Root, work: Work, query: Query, path: str, glob: str) -> Matches:
    pattern = Glob(glob)
    found = _Search(query, work)
    notices: list[str] = []
    late = False
    with root.any(path) as (parts, opened):
        is_file = opened.is_file
        if is_file:
            found.file(opened, written(parts))
    if not is_file:
        walk = Walk(root, work, path)
        _search_tree(found, walk, pattern)
        notices, late = walk.notices(), walk.late_at is not None
    return Matches(
        matches=tuple(found.matches),
        files=found.files,
        truncated=found.full or late or bool(found.late_in),
        notices=(*found.notices(), *notices),
    )


def _search_tree(found: _Search, walk: Walk, glob: Glob) -> None:
    states: dict[Parts, States] = {}
    for level in walk.levels(lambda parts: parts in states):
        here = states.pop(level.parts, glob.start)
        found.level(level, glob, here)
        if found.full or found.late_in:
            return
        for entry in level.entries:
            if entry.is_dir(follow_symlinks=False) and (reached := glob.step(here, entry.name)):
                states[(*level.parts, entry.name)] = reached
