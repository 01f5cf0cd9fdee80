"""Takes a document apart, line by line, into what is translated and what is not: structure and code stay.

Nothing is held but the paragraph that is being read, so a document may be of any length. What comes out, put
together with nothing translated, is the document, but for line breaks within paragraphs.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from backends.translate.pieces import cut
from backends.translate.wrapping import Shape

LONGEST = 20_000  # characters of a paragraph that is read as one


class Part(NamedTuple):
    """A stretch of the document; with a shape it is translated and then given that."""

    text: str
    shape: Shape | None = None


class Structure(Protocol):
    def feed(self, line: str) -> list[Part]:
        """What a line, its end included, completes."""

    def end(self) -> list[Part]:
        """What is left at the end."""


class Line(NamedTuple):
    prefix: str
    text: str
    end: str


_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(`{3,}(?=[^`]*$)|~{3,})")
_VERBATIM = re.compile(r"[ \t>]*<(pre|script|style|svg|math|textarea)\b", re.IGNORECASE)
_RULE = re.compile(r"[ \t>]*(?:([-*_])(?:[ \t]*\1){2,}|=+|-+)[ \t]*$")
_REFERENCE = re.compile(r" {0,3}\[(?!\^)[^\]]+\]:|[ \t>]*(?::::|\{%|\[\[?_?TOC_?\]\]?[ \t]*$|!?\[\[)")
_DELIMITER = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_HEADING = re.compile(r"([ \t>]*#{1,6}[ \t]+)(.*?)((?:[ \t]+#+)?[ \t]*(?:\{[^{}]*\})?[ \t]*)$")
_ITEM = re.compile(
    r"(?:[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?)+|[ \t>]*\[\^[^\]]+\]:[ \t]*|[ \t]*:[ \t]+"
)
_MARGIN = re.compile(r"[ \t>]*")
_CELL = re.compile(r"((?:\\.|`[^`]*`|[^|\\`]|[\\`])+)")
_SENTENCE_ENDS = re.compile(r"[.!?:;…。！？]['\")\]*_`”»]*\s*$")
_HARD_BREAK = re.compile(r"(?: {2,}|\\)$")


class Markdown:
    """CommonMark with tables, footnotes and front matter."""

    def __init__(self) -> None:
        self._lines: list[Line] = []  # of the paragraph that is being read
        self._closes: Callable[[str], bool] | None = None  # whether a line ends what is kept as it is
        self._first = self._after_blank = True
        self._in_code = self._in_table = False
        self._text_at = 0  # the column where the text of the list's item begins

    def feed(self, line: str) -> list[Part]:
        body = line.rstrip("\r\n")
        end = line[len(body) :]
        first, self._first = self._first, False
        if self._closes:
            if self._closes(body):
                self._closes = None
            return [Part(line)]
        if self._begins_verbatim(body, first):
            return [*self.end(), Part(line)]
        if not body.strip(" \t>"):
            parts = [*self.end(), Part(line)]
            self._after_blank, self._in_table = True, False
            return parts
        self._in_code = self._is_code(body)
        after_blank, self._after_blank = self._after_blank, False
        if self._in_code:
            self._after_blank = after_blank
            return [Part(line)]
        return self._prose(body, end)

    def end(self) -> list[Part]:
        """The paragraph that was being read."""
        lines, self._lines = self._lines, []
        return paragraph(lines)

    def _begins_verbatim(self, body: str, first: bool) -> bool:
        """Whether code, a comment or the like begins, which is kept up to the line that closes it."""
        stripped = body.strip()
        if first and stripped in ("---", "+++"):
            self._closes = lambda line: line.strip() in (stripped, "...")
        elif fence := _FENCE.match(body):
            mark = fence[1]
            self._closes = lambda line: (
                len(bare := line.strip(" \t>")) >= len(mark) and set(bare) == {mark[0]}
            )
        elif stripped.startswith("<!--"):
            self._closes = None if "-->" in stripped else lambda line: "-->" in line
            return True
        elif tag := _VERBATIM.match(body):
            closing = f"</{tag[1].lower()}"
            self._closes = None if closing in stripped.lower() else lambda line: closing in line.lower()
            return True
        elif stripped.startswith("$$"):
            self._closes = None if "$$" in stripped[2:] else lambda line: "$$" in line
            return True
        return self._closes is not None

    def _is_code(self, body: str) -> bool:
        """Whether a line is code by being indented: within a list that takes more."""
        spaces = body.expandtabs(4)
        indent = len(spaces) - len(spaces.lstrip())
        item = None if _RULE.match(body) else _ITEM.match(spaces)
        begins = self._in_code or (self._after_blank and not self._lines)
        if begins and indent >= self._text_at + 4 and not (self._text_at and item):
            return True
        if item or indent == 0:
            self._text_at = len(item[0]) if item else 0
        return False

    def _prose(self, body: str, end: str) -> list[Part]:
        if "|" in body and _DELIMITER.match(body):
            header = self._lines if len(self._lines) == 1 and "|" in self._lines[0].text else []
            if header:
                self._lines = []
            self._in_table = True
            return [*self.end(), *(part for line in header for part in _row(*line)), Part(body + end)]
        if _RULE.match(body) or _REFERENCE.match(body):
            return [*self.end(), Part(body + end)]
        if body.lstrip(" \t>").startswith("|") or (self._in_table and "|" in body):
            return [*self.end(), *_row("", body, end)]
        if heading := _HEADING.match(body):
            return [*self.end(), Part(heading[1]), Part(heading[2], Shape()), Part(heading[3] + end)]
        parts: list[Part] = []
        margin = _MARGIN.match(body)
        prefix = margin[0] if margin else ""
        if item := _ITEM.match(body):
            parts, prefix = self.end(), item[0]
        elif self._lines and (
            prefix.count(">") != self._lines[-1].prefix.count(">")
            or sum(len(line.text) for line in self._lines) > LONGEST
        ):
            parts = self.end()
        self._lines.append(Line(prefix, body[len(prefix) :], end))
        return [*parts, *self.end()] if _HARD_BREAK.search(body) else parts


def paragraph(lines: list[Line]) -> list[Part]:
    """Lines that are one text, to be wrapped as widely as they were; or a sentence each."""
    if not lines:
        return []
    if len(lines) > 1 and all(_SENTENCE_ENDS.search(line.text) for line in lines[:-1]):
        return [part for line in lines for part in paragraph([line])]
    whole = lines[-1].text
    last = whole.rstrip(" \t\\") if _HARD_BREAK.search(whole) else whole.rstrip()
    text = " ".join([*(line.text.strip() for line in lines[:-1]), last.lstrip()])
    after = whole[len(last) :] + lines[-1].end
    if len(text) > LONGEST:  # a book without a line's end
        first, *rest = cut(text, LONGEST, len)
        others = (Part(part, Shape()) if n % 2 else Part(part) for n, part in enumerate(rest))
        return [Part(lines[0].prefix), Part(first, Shape(start=True)), *others, Part(after)]
    shape = Shape(start=True)
    if len(lines) > 1:
        width = max(len(line.prefix) + len(line.text.rstrip()) for line in lines)
        shape = Shape(width, len(lines[0].prefix), lines[1].prefix, lines[0].end, start=True)
    return [Part(lines[0].prefix), Part(text, shape), Part(after)]


def _row(prefix: str, body: str, end: str) -> list[Part]:
    """A table's row: its cells, and the bars and blanks between them."""
    parts = [Part(prefix)]
    for number, cell in enumerate(_CELL.split(body)):
        text = cell.strip()
        if number % 2 == 0 or not text:
            parts.append(Part(cell))
            continue
        before, _, after = cell.partition(text)
        parts += [Part(before), Part(text, Shape(cell=True)), Part(after)]
    return [*parts, Part(end)]


class Plain:
    """Text without marks: lines that were wrapped are one text, others are each their own."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def feed(self, line: str) -> list[Part]:
        body = line.rstrip("\r\n")
        if not body.strip():
            return [*self.end(), Part(line)]
        margin = _MARGIN.match(body)
        prefix = margin[0] if margin else ""
        parts = self.end() if sum(len(each.text) for each in self._lines) > LONGEST else []
        self._lines.append(Line(prefix, body[len(prefix) :], line[len(body) :]))
        return parts

    def end(self) -> list[Part]:
        lines, self._lines = self._lines, []
        if _wrapped(lines):
            return paragraph(lines)
        return [part for line in lines for part in paragraph([line])]


def _wrapped(lines: list[Line]) -> bool:
    """Whether lines end where there was no more room: all but the last are nearly as long as the longest."""
    lengths = [len(line.prefix) + len(line.text.rstrip()) for line in lines]
    return (
        len(lines) > 1
        and 40 <= max(lengths) <= 120
        and min(lengths[:-1]) >= 0.7 * max(lengths)
        and len({line.prefix for line in lines[1:]}) == 1
    )
