"""Tables that are text with something between the cells: the first row, and how many come after it.

A line and a row are held whole, so both have a most: a file of one line may have gigabytes.
"""

import csv
import io
import os
from collections.abc import Iterator

from backends.files.beneath import Opened
from backends.files.content import Content
from backends.files.work import Work

_MOST_LINE = 1_000_000  # characters; one cell holds at most 131,072 of them
_MOST_LINES = 10_000  # of one row, whose cells may have line ends in them


class Irregular(Exception):
    """It is no table; the text says why."""


class _Lines:
    """The lines of a text, for a reader that takes as many for a row as it needs."""

    def __init__(self, text: io.TextIOWrapper, work: Work) -> None:
        self._text, self._work = text, work
        self.of_row = self._number = 0
        self.late = False

    def __iter__(self) -> Iterator[str]:
        while not self.late and (line := self._text.readline(_MOST_LINE)):
            self._number += 1
            self.of_row += 1
            if len(line) == _MOST_LINE or self.of_row > _MOST_LINES:
                raise Irregular("Its lines do not end: it is no regular table.")
            yield line
            self.late = self._number % 1000 == 0 and self._work.late()


def first_and_count(
    opened: Opened, content: Content, work: Work, delimiters: str
) -> tuple[list[str], int | None]:
    """The first row's cells, and how many rows come after it; None if that takes too long.

    Raises:
        Irregular: It is no table.
    """
    with _text(opened, content) as text:
        begin = text.read(4096)
    delimiter = max(delimiters, key=lambda each: _columns(begin, each))
    first: list[str] = []
    rows = -1
    with _text(opened, content) as text:
        lines = _Lines(text, work)
        try:
            for row in csv.reader(lines, delimiter=delimiter):
                lines.of_row = 0
                if not row:
                    continue  # an empty line
                first = first if rows >= 0 else row
                rows += 1
        except csv.Error as error:
            raise Irregular("Its fields do not end: it is no regular table.") from error
    return first, None if lines.late else rows


def _text(opened: Opened, content: Content) -> io.TextIOWrapper:
    """The open file's text as Python's own, under a handle of its own."""
    os.lseek(opened.handle, content.bom, os.SEEK_SET)
    file = os.fdopen(os.dup(opened.handle), "rb")
    return io.TextIOWrapper(file, content.codec, "replace", newline="")


def _columns(begin: str, delimiter: str) -> int:
    """How many columns the first row has with a delimiter, if those after it have as many."""
    try:
        counts = [len(row) for row in csv.reader(io.StringIO(begin), delimiter=delimiter) if row]
    except csv.Error:
        return 0
    whole = counts[:-1] or counts  # the last may be cut
    return min(whole, default=0)
