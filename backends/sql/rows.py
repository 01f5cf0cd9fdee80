"""Rows on their way out of SQLite: fetched under a budget, each value made fit for JSON once, in the child.

Whole columns are looked at, not cells: `set(map(type, column))` costs a tenth of a Python loop, and a
column of ordinary values (nearly every one) then needs no work at all.
"""

import marshal
import sqlite3
import time
from collections.abc import Callable
from math import isfinite
from typing import Any

from backends.sql.connection import ReadOnlyConnection

Row = tuple[Any, ...]
Send = Callable[[dict[str, Any]], None]

EXACT_INTEGER = 2**53  # beyond it a JSON reader that has only floats loses digits
HEX_BYTES = 32  # of a blob: enough to know a file by its first bytes
MOST_AT_ONCE = 128  # rows; 512 measured no faster
FETCH_BYTES = 1_000_000
MOST_NAME_CHARS = 200_000  # of all columns' names together; 2,000 columns have 100 each
LIST_BYTES = 5  # of a marshalled list, besides what is in it
SEND_BYTES = 100_000  # the parent encodes these while we fetch the next: 10,000 rows take 5 ms of 24 less
_TYPES = {int: "integer", float: "real", str: "text", bytes: "blob"}
_NULL = {type(None)}


def read_page(connection: ReadOnlyConnection, ask: dict[str, Any], send: Send) -> dict[str, Any]:
    """Run a statement and take one page: skip `offset` rows, then at most `limit` rows and `bytes` bytes.

    A long page is sent in parts, {"more", "pieces"}, the last of them with the reply.

    Text that is not UTF-8 costs a second run of the statement, with replacement characters: a decoder in
    Python for every cell would cost each ordinary result a third more.
    """
    started = time.perf_counter()
    try:
        connection.text_factory = str
        page = _read(connection, ask, send)
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode to UTF-8"):
            raise
        connection.text_factory = _replaced
        send({"more": True, "again": True})
        page = _read(connection, ask, send) | {"replaced": True}
    return page | {"seconds": time.perf_counter() - started}


def _replaced(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _read(connection: ReadOnlyConnection, ask: dict[str, Any], send: Send) -> dict[str, Any]:
    check_names(connection, ask)
    cursor = connection.execute(ask["sql"], ask["params"])
    try:
        if cursor.description is None:
            return {"columns": None}
        page = _Page([column[0] for column in cursor.description], ask["limit"], ask["bytes"], send)
        _skip(connection, cursor, ask["offset"])
        page.fill(connection, cursor)
        return page.reply()
    finally:
        cursor.close()  # ends the read transaction: a writer need not wait for our next statement


def check_names(connection: ReadOnlyConnection, ask: dict[str, Any]) -> None:
    """Refuse a name in double quotes that SQLite would read as text."""
    if '"' in ask["sql"]:
        from backends.sql import identifiers  # its regular expression would cost every start of a child 10 ms

        identifiers.check(connection, ask["sql"], ask["params"])
        connection.denied = None


def in_time(connection: ReadOnlyConnection) -> None:
    """Raise what SQLite raises when a statement has had its time."""
    if time.monotonic() > connection.deadline:
        raise sqlite3.OperationalError("interrupted")


def _skip(connection: ReadOnlyConnection, cursor: sqlite3.Cursor, offset: int) -> None:
    while offset > 0:
        in_time(connection)
        skipped = len(cursor.fetchmany(min(offset, MOST_AT_ONCE)))
        if not skipped:
            return
        offset -= skipped


class _Page:
    """Rows marshalled in pieces, those not yet sent, with what was noticed on the way."""

    def __init__(self, names: list[str], limit: int, most_bytes: int, send: Send) -> None:
        self.names, self.limit, self.most_bytes, self.send = names, limit, most_bytes, send
        self.pieces: list[bytes] = []
        self.count = self.size = self.sent = 0
        self.cut = ""
        if sum(map(len, names)) > min(
            MOST_NAME_CHARS, most_bytes
        ):  # `SELECT *, *` repeats an alias of any length
            self.names, self.cut = [], "names"
        self.types: list[set[type]] = [set() for _ in names]
        self.long_integers: set[int] = set()
        self.has_blobs = False

    def fill(self, connection: ReadOnlyConnection, cursor: sqlite3.Cursor) -> None:
        at_once = 1  # grows with what the rows turn out to weigh: 128 rows of 16 MB are two gigabytes
        while not self.cut:
            in_time(connection)
            rows = cursor.fetchmany(at_once)
            if not rows:
                return
            fetched, weight = len(rows), 1
            if self.count + fetched > self.limit:  # one row more than asked for: so the cut is certain
                rows = rows[: self.limit - self.count]
                self.cut = "rows"
            if rows:
                weight += self._add(rows)
            at_once = max(1, min(MOST_AT_ONCE, 2 * at_once, FETCH_BYTES * fetched // weight))

    def _add(self, rows: list[Row]) -> int:
        """Keep the rows that fit; returns what all of them weighed when they came."""
        noticed = [set(kinds) for kinds in self.types], set(self.long_integers), self.has_blobs
        piece, weight = self._encoded(rows)
        if self.size + len(piece) > self.most_bytes and (fitting := self._fitting(rows)) < len(rows):
            self.types, self.long_integers, self.has_blobs = noticed  # of the rows that are given, no more
            self.cut, rows = "bytes", rows[:fitting]
            piece, _ = self._encoded(rows)
        self.pieces.append(piece)
        self.size += len(piece)
        self.count += len(rows)
        if self.size - self.sent > SEND_BYTES and not self.cut:
            self.send({"more": True, "pieces": self.pieces})
            self.pieces, self.sent = [], self.size
        return weight

    def _encoded(self, rows: list[Row]) -> tuple[bytes, int]:
        """The rows as they leave, and what they weighed when they came."""
        columns: list[Any] = list(zip(*rows, strict=True))
        changed, blobs = False, 0
        for index, column in enumerate(columns):
            types = set(map(type, column))
            self.types[index] |= types
            if _is_plain(types, column):
                continue
            self.has_blobs |= bytes in types
            blobs += sum(len(value) for value in column if type(value) is bytes)
            columns[index] = [self._cell(index, value) for value in column]
            changed = True
        if changed:
            rows = list(zip(*columns, strict=True))
        piece = marshal.dumps(rows)
        return piece, len(piece) + blobs

    def _fitting(self, rows: list[Row]) -> int:
        """How many of the rows there is room for."""
        room = self.most_bytes - self.size
        for index, row in enumerate(rows):
            room -= len(self._encoded([row])[0]) - LIST_BYTES
            if room < 0:
                return index
        return len(rows)

    def _cell(self, index: int, value: Any) -> Any:
        match value:
            case bytes():
                return {"blob": len(value), "hex": value[:HEX_BYTES].hex()}
            case int() if not -EXACT_INTEGER <= value <= EXACT_INTEGER:
                self.long_integers.add(index)
                return str(value)
            case float() if value in (float("inf"), float("-inf")):
                return "Infinity" if value > 0 else "-Infinity"
        return value

    def reply(self) -> dict[str, Any]:
        return {
            "columns": self.names,
            "types": ["|".join(_TYPES[t] for t in _TYPES if t in kinds) or "null" for kinds in self.types],
            "pieces": self.pieces,
            "size": self.size,
            "cut": self.cut,
            "has_blobs": self.has_blobs,
            "long_integers": [self.names[index] for index in sorted(self.long_integers)],
        }


def _is_plain(types: set[type], column: Row) -> bool:
    """Whether every value of these types goes into JSON as it is. A wrong no costs time, nothing else."""
    kinds = types - _NULL
    if kinds == {int} or kinds == {float}:
        numbers = column if kinds == types else list(filter(None, column))  # neither None nor 0 matters here
        if kinds == {float}:
            return isfinite(
                sum(numbers)
            )  # half the time of min() and max(); large ones may add up to infinity
        return not numbers or (min(numbers) >= -EXACT_INTEGER and max(numbers) <= EXACT_INTEGER)
    return not kinds or kinds == {str}
