"""Gives a translation the outer form its original had, without making marks of Markdown by accident."""

import re
from typing import NamedTuple

_WORD = re.compile(r"(?:`+[^`]*`+|\S)+")  # code is not broken
_MARK = re.compile(
    r"(?:[-+*]|\d{1,9}[.)])$|#{1,6}$|[>|=~:]|`{3}|-+$|\[\^"
)  # a word that would be one at the start of a line


class Shape(NamedTuple):
    """The form of a text.

    Attributes:
        width: Of its lines, 0 for one line of any length.
        used: Of the first line, by what stands before it.
        margin: Before every other line.
        end: Of every line but the last.
        cell: Whether it is a table's cell.
        start: Whether it begins a paragraph, so that its first word must not become a mark.
    """

    width: int = 0
    used: int = 0
    margin: str = ""
    end: str = "\n"
    cell: bool = False
    start: bool = False

    def fit(self, original: str, translated: str) -> str:
        """The translation in this form."""
        text = " ".join(translated.split("\n"))
        if self.cell and "|" in text and "|" not in original:
            text = text.replace("|", "\\|")
        if self.start:
            text = _unmarked(original, text)
        return self._wrapped(text) if self.width else text

    def _wrapped(self, text: str) -> str:
        lines: list[str] = []
        line, room = "", self.width - self.used
        for word in _WORD.findall(text):
            if line and len(line) + 1 + len(word) > room and not _MARK.match(word):
                lines.append(line)
                line, room = word, self.width - len(self.margin)
            else:
                line = f"{line} {word}" if line else word
        return f"{self.end}{self.margin}".join([*lines, line])


def _unmarked(original: str, text: str) -> str:
    first = text.split(" ", 1)[0]
    if not _MARK.match(first) or _MARK.match(original.split(" ", 1)[0]):
        return text
    at = len(first) - 1 if first[0].isdigit() else 0
    return f"{text[:at]}\\{text[at:]}"
