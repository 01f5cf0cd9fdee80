"""Lines of a file of any size and encoding, streamed: never more than a block of it is held.

Everything becomes UTF-8 on the way in, so that counting, cutting and searching have one form to work on.
A line ends at `\\n`; what stands before it, a `\\r` too, is the line's.
"""

import codecs
import os
from collections.abc import Iterator
from typing import NamedTuple

from backends.files.beneath import Opened
from backends.files.content import SAMPLE, Content, examine
from backends.files.work import Work
from errors import Forbidden, quote

BLOCK = 1 << 20  # counts 2 GB/s; smaller ones cost more calls, larger ones only memory
REPLACED = "\N{REPLACEMENT CHARACTER}"


def sample_of(opened: Opened, name: str) -> Content:
    """What an open file holds, by its first bytes."""
    sample = read_at(opened.handle, SAMPLE, 0)
    return examine(sample, whole=len(sample) < SAMPLE, name=name)


def first_of(opened: Opened, name: str) -> tuple[bytes, bool, Content]:
    """A freshly opened file's first bytes, whether they are all, and what they tell."""
    sample = os.read(opened.handle, SAMPLE)
    whole = len(sample) < SAMPLE
    if whole and len(sample) != opened.status.st_size:  # some file systems read by pieces, or tell no size
        sample = read_at(opened.handle, SAMPLE, 0)
        whole = len(sample) < SAMPLE
    return sample, whole, examine(sample, whole=whole, name=name)


def read_at(handle: int, size: int, offset: int) -> bytes:
    """Read up to `size` bytes from `offset`, fewer only at the end of the file."""
    os.lseek(handle, offset, os.SEEK_SET)
    pieces: list[bytes] = []
    while size > 0 and (piece := os.read(handle, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def text_of(opened: Opened, path: str) -> Content:
    """What an open text file holds; refuses what is no text, and says what gives it instead."""
    content = sample_of(opened, path)
    if content.is_text:
        return content
    if content.mime.startswith(("image/", "audio/")):
        raise Forbidden(f"{quote(path)} is no text but {content.mime}. files_read_media gives it.")
    raise Forbidden(f"{quote(path)} is no text but {content.mime}. files_info says what is known of it.")


def blocks(opened: Opened, content: Content, size: int = BLOCK, start: int | None = None) -> Iterator[bytes]:
    """The text of an open file as UTF-8, a block at a time, from its start or a byte; blocks end anywhere."""
    handle = opened.handle
    os.lseek(handle, content.bom if start is None else start, os.SEEK_SET)
    if content.codec == "utf-8":
        while block := os.read(handle, size):
            yield block
        return
    decode = codecs.getincrementaldecoder(content.codec)("replace").decode
    while block := os.read(handle, size):
        yield decode(block).encode()
    yield decode(b"", final=True).encode()


def decoded(raw: bytes, content: Content) -> tuple[str, int]:
    """Text of UTF-8 bytes, and how many characters of it could not be decoded."""
    text = raw.decode("utf-8", "replace")
    lost = text.count(REPLACED)
    # A UTF-8 file may hold that character itself; elsewhere it stands for what decoding replaced.
    return text, lost - raw.count(REPLACED.encode()) if lost and content.codec == "utf-8" else lost


class FromEnd(NamedTuple):
    """Where some last lines begin, and how many they are."""

    offset: int
    lines: int
    is_within: bool = False  # the place is within a line, whose beginning is too far off


def from_end(opened: Opened, content: Content, count: int, most: int, work: Work) -> FromEnd:
    """Where the last `count` lines begin, or as many as are found within `most` bytes and the time."""
    newline = "\n".encode(content.codec)
    width = len(newline)
    end = at = max(os.fstat(opened.handle).st_size, content.bom)
    end = at = content.bom + (end - content.bom) // width * width
    floor = max(content.bom, end - most // width * width)
    begins, found = end, 0
    while at > floor and not (found and work.late()):
        start = max(floor, at - BLOCK)
        block = read_at(opened.handle, at - start, start)
        place = len(block) - (
            width if at == end and block.endswith(newline) else 0
        )  # that ends the last line
        while (place := block.rfind(newline, 0, place)) >= 0:
            if place % width:  # two halves of characters
                place += width - 1
                continue
            begins, found = start + place + width, found + 1
            if found == count:
                return FromEnd(begins, found)
        at = start
    if at == content.bom:
        return FromEnd(content.bom, found + (end > content.bom))
    return FromEnd(begins, found) if found else FromEnd(at, 1, is_within=True)


def _are_within(longest: int, chunk: bytes) -> bool:
    """Whether each line is shorter; by leaps, a tenth of the time of parting a megabyte into its lines."""
    at = 0
    while len(chunk) - at > longest:
        at = chunk.rfind(b"\n", at, at + longest) + 1
        if not at:
            return False
    return True


class Lines:
    """Goes through a file's lines: skip to one, take some, count the rest."""

    def __init__(self, source: Iterator[bytes], work: Work) -> None:
        self._source, self._work = source, work
        self._block, self._at = b"", 0
        self._begins = True  # whether a line begins at this point, or goes on
        self.number = 1  # of that line
        self.late = False  # whether the time was up within a line, so that what comes next is the same one's

    def skip_to(self, number: int) -> bool:
        """Stand at the beginning of a line, or at the file's end; False if the time was up before."""
        while self.number < number and self._more():
            if self._work.late():
                return False
            ends = self._block.count(b"\n", self._at)
            if self.number + ends < number:
                self._pass(len(self._block))
            else:
                at = self._at
                for _ in range(number - self.number):
                    at = self._block.index(b"\n", at) + 1
                self._pass(at)
        return True

    def run(self, lines: int, most: int, longest: int) -> tuple[bytes, int]:
        """Whole lines within one block, up to so many and `most` bytes; how many; none if one is too long."""
        if not self._begins or not self._more():
            return b"", 0
        end = self._block.rfind(b"\n", self._at, self._at + most) + 1
        chunk = self._block[self._at : end] if end else b""
        if (count := chunk.count(b"\n")) > lines:
            end = -1
            for _ in range(lines):
                end = chunk.index(b"\n", end + 1)
            chunk, count = chunk[: end + 1], lines
        if not _are_within(longest, chunk):
            return b"", 0
        self._at += len(chunk)
        self.number += count
        return chunk, count

    def take(self, most: int) -> tuple[bytes, bool] | None:
        """The next line with its end, and whether bytes beyond `most` were left out; None at the end."""
        pieces: list[bytes] = []
        room, cut = most, False
        while self._more():
            end = self._block.find(b"\n", self._at) + 1
            piece = self._block[self._at : end or len(self._block)]
            self._pass(self._at + len(piece))
            cut = cut or len(piece) > room
            pieces.append(piece[:room])
            room -= len(pieces[-1])
            if end:
                break
            if self._work.late():
                self.late = cut = True
                break
        return (b"".join(pieces), cut) if pieces else None

    def count(self, seconds: float) -> int | None:
        """How many lines the file has in all; None if that takes longer."""
        until = self._work.clock() + seconds
        while self._more():
            if self._work.late() or self._work.clock() > until:
                return None
            self._pass(len(self._block))
        return self.number - self._begins

    def _more(self) -> bool:
        while self._at >= len(self._block):
            block = next(self._source, None)
            if block is None:
                return False
            self._block, self._at = block, 0
        return True

    def _pass(self, to: int) -> None:
        self.number += self._block.count(b"\n", self._at, to)
        self._begins = self._block.endswith(b"\n", self._at, to)
        self._at = to
