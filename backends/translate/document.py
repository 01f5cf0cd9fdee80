"""Takes a document apart while it is read: what is to be translated, and code and headers that stay.

    document = Document(markdown=True)
    for chunk in chunks:                  # as they come, cut anywhere
        for part in document.feed(chunk): ...
    for part in document.close(): ...

The parts joined are the document, character by character. It holds one part at a time, however long the
document is. What must stay inside a part (links, code spans, tables, list signs) is the business of
`pieces.translate_in_pieces`, as for any text.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from backends.translate.pieces import cut
from backends.translate.placeholders import FENCE, closes_code, opens_code

MOST = 4_000  # characters in a part: about what the largest engine takes in one question

_BLANK = re.compile(r"\s*")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_INDENTED = re.compile(r" {4}| {0,3}\t")
_HTML = re.compile(r" {0,3}<(?:(pre|script|style|textarea)(?=[\s>])|!--)", re.IGNORECASE)
_HEADER = re.compile(r"[\w\"'.-]+[ \t]*:|[ \t]+\S|-[ \t]|\#|\s*\Z")  # a line of YAML


class Part(NamedTuple):
    text: str
    translate: bool


class Document:
    """A text or Markdown document that is fed as it is read.

    Args:
        markdown: Whether fences, indented code, HTML blocks, formulas and a YAML header stay as they are.
        most: Characters a part to translate may hold.
    """

    def __init__(self, markdown: bool, most: int = MOST) -> None:
        self._markdown, self._most = markdown, most
        self._unfinished = ""  # a line whose end has not been read
        self._text = ""  # lines of one kind
        self._staying = False
        self._fence: re.Match[str] | None = None
        self._end: str | None = None  # what ends a block of HTML or a formula
        self._in_header = self._is_first = True
        self._in_list = self._in_code = False
        self._after_blank = True

    def feed(self, chunk: str) -> Iterator[Part]:
        """The parts that are complete with this chunk."""
        *lines, self._unfinished = f"{self._unfinished}{chunk}".splitlines(keepends=True) or [""]
        if self._unfinished.endswith("\n"):
            lines.append(self._unfinished)
            self._unfinished = ""
        for line in lines:
            yield from self._line(line)
        if len(self._unfinished) > self._most:  # a line without end
            yield from self._long()

    def close(self) -> Iterator[Part]:
        """What is left."""
        if self._unfinished:
            yield from self._line(self._unfinished)
        yield from self._flush()
        self._unfinished = ""

    def _line(self, line: str) -> Iterator[Part]:
        stays = self._markdown and self._stays(line)
        if stays != self._staying or len(self._text) + len(line) > self._most:
            yield from self._flush()
        self._staying = stays
        self._text += line
        # A paragraph's end is the best place to part, if it does not make parts small.
        if len(self._text) > self._most // 2 and _BLANK.fullmatch(line):
            yield from self._flush()

    def _flush(self) -> Iterator[Part]:
        if self._staying and self._text:
            yield Part(self._text, translate=False)
        elif self._text:
            for number, text in enumerate(self._cut(self._text)):
                if text:
                    yield Part(text, translate=number % 2 == 0)
        self._text = ""

    def _cut(self, text: str) -> list[str]:
        return [text] if len(text) <= self._most else cut(text, self._most, len)

    def _long(self) -> Iterator[Part]:
        """Most of a line that is longer than a part; its rest waits for what follows."""
        if self._markdown and (self._fence or self._end):
            yield from self._flush()
            yield Part(self._unfinished, translate=False)
            self._unfinished = ""
            return
        yield from self._flush()
        *parts, self._unfinished = cut(self._unfinished, self._most, len)
        for number, text in enumerate(parts):
            if text:
                yield Part(text, translate=number % 2 == 0)

    def _stays(self, line: str) -> bool:
        """Whether a line of Markdown is none of its text."""
        first, self._is_first = self._is_first, False
        stays = self._is_header(line, first) or self._is_block(line) or self._is_indented(line)
        self._after_blank = _BLANK.fullmatch(line) is not None
        return stays

    def _is_header(self, line: str, first: bool) -> bool:
        if first:
            self._in_header = line.rstrip() == "---"
            return self._in_header
        if self._in_header and line.rstrip() in ("---", "..."):
            self._in_header = False
            return True
        self._in_header = self._in_header and _HEADER.match(line) is not None
        return self._in_header

    def _is_block(self, line: str) -> bool:
        """Whether it is part of fenced code, a formula or HTML that is no text."""
        if self._fence:
            end = FENCE.match(line)
            if end and closes_code(end, self._fence):
                self._fence = None
            return True
        if self._end:
            if self._end in line.lower():
                self._end = None
            return True
        if (fence := FENCE.match(line)) and opens_code(fence):
            self._fence = fence
            return True
        if line.strip() == "$$":
            self._end = "$$"
            return True
        if html := _HTML.match(line):
            end_tag = f"</{html[1].lower()}>" if html[1] else "-->"
            self._end = None if end_tag in line[html.end() :].lower() else end_tag
            return self._end is not None
        return False

    def _is_indented(self, line: str) -> bool:
        """Whether it is code by its indentation, which in a list is a paragraph's."""
        if _BLANK.fullmatch(line):
            return False
        if _ITEM.match(line) and not (_INDENTED.match(line) and not self._in_list):
            self._in_list = True
        elif self._after_blank and not line[0].isspace():
            self._in_list = False
        indented = _INDENTED.match(line) is not None and not self._in_list
        self._in_code = indented and (self._in_code or self._after_blank)
        return self._in_code
