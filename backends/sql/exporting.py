"""The child's side of an export: rows encoded as they come, in pieces, so that memory stays flat."""

import binascii
import csv
import io
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from backends.sql.connection import ReadOnlyConnection
from backends.sql.rows import FETCH_BYTES, MOST_AT_ONCE, Row, Send, check_names

PIECE_BYTES = 1_000_000

Encode = Callable[[list[Row]], str]


def export(connection: ReadOnlyConnection, ask: dict[str, Any], send: Send) -> dict[str, Any]:
    """Run a statement and send all of its rows as text, a piece at a time: {"more", "piece", "rows"}."""
    started, text = time.perf_counter(), _Text()
    connection.text_factory = text
    check_names(connection, ask)
    cursor = connection.execute(ask["sql"], ask["params"])
    try:
        if cursor.description is None:
            return {"columns": None}
        columns = [column[0] for column in cursor.description]
        head, encode = _FORMATS[ask["way"]](columns)
        piece, rows = [head], 0
        for found in _batches(cursor):
            piece.append(encode(found))
            rows += len(found)
            if sum(map(len, piece)) > PIECE_BYTES:
                send({"more": True, "piece": "".join(piece).encode(), "rows": rows})
                piece.clear()
        send({"more": True, "piece": "".join(piece).encode(), "rows": rows})
    finally:
        cursor.close()
    seconds = time.perf_counter() - started
    return {"columns": columns, "count": rows, "replaced": text.replaced, "seconds": seconds}


class _Text:
    """Decodes UTF-8 and notices what is none: an export cannot begin again, as a page of rows can."""

    def __init__(self) -> None:
        self.replaced = False

    def __call__(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError:
            self.replaced = True
            return text.decode("utf-8", "replace")


def _batches(cursor: sqlite3.Cursor) -> Iterator[list[Row]]:
    at_once = 1  # rows of 16 MB come one by one
    while rows := cursor.fetchmany(at_once):
        weight = sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
        yield rows
        at_once = max(1, min(MOST_AT_ONCE, 2 * at_once, FETCH_BYTES * len(rows) // (weight + 1)))


def _csv(columns: list[str]) -> tuple[str, Encode]:
    """RFC 4180; NULL is an empty field."""

    def encode(rows: list[Row]) -> str:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([[_plain(value) for value in row] for row in rows])
        return text.getvalue()

    return encode([tuple(columns)]), encode


def _json_lines(columns: list[str]) -> tuple[str, Encode]:
    """One object a line; a column's second name of the same kind gets a number."""
    names: dict[str, None] = {}
    last: dict[str, int] = {}  # number given to a name: 2,000 columns may all have the same one
    for column in columns:
        name = column
        while name in names:
            last[column] = last.get(column, 1) + 1
            name = f"{column}_{last[column]}"
        names[name] = None
    dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

    def encode(rows: list[Row]) -> str:
        return "".join(dumps(dict(zip(names, map(_plain, row), strict=True))) + "\n" for row in rows)

    return "", encode


def _plain(value: Any) -> Any:
    """A cell for a file: integers keep their digits, blobs are base64."""
    match value:
        case bytes():
            return binascii.b2a_base64(value, newline=False).decode()
        case float() if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
    return value


_FORMATS: dict[str, Callable[[list[str]], tuple[str, Encode]]] = {"csv": _csv, "jsonl": _json_lines}
