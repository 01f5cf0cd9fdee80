"""What the sql tools give back."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import PrivateAttr
from pydantic_core import to_json

from backends import Result
from backends.sql.rows import Row
from errors import TooMuch, quote

ExportFormat = Literal["csv", "jsonl"]
REPLACED = "Some text is not UTF-8: what could not be read is shown as �."


class Rows(Result):
    """One page of a query's rows; `types` has the types of the values on this page, a column each.

    Constructed without validation: the child made the rows fit for JSON, and nothing walks them again but
    the encoders of the reply, one of them here, once, for the size and for the text.
    """

    _encoded: bytes = PrivateAttr()

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[Row]
    row_count: int
    truncated: bool
    next_offset: int | None = None
    elapsed_ms: float
    notices: tuple[str, ...] = ()

    def structured(self) -> dict[str, Any]:
        """The fields as JSON values, the rows untouched."""
        return {
            "columns": self.columns,
            "types": self.types,
            "rows": self.rows,
            "row_count": self.row_count,
            "truncated": self.truncated,
            "next_offset": self.next_offset,
            "elapsed_ms": self.elapsed_ms,
            "notices": self.notices,
        }

    @property
    def rows_json(self) -> bytes:
        """The rows alone as JSON."""
        return self._encoded

    def json_text(self) -> str:
        """The same as JSON."""
        head = to_json(self.structured() | {"rows": ()})
        return head.replace(b'"rows":[]', b'"rows":' + self._encoded, 1).decode()


def page_of(reply: Mapping[str, Any], offset: int, most_bytes: int) -> Rows:
    """A child's page of rows as a result, under its bytes as JSON.

    Raises:
        TooMuch: One row alone is over them.
    """
    rows, encoded = reply["rows"], reply["json"]
    if reply["cut"] == "names":
        raise TooMuch("The names of the columns are too long to give. Name fewer columns, with a short AS.")
    cut_at_bytes = reply["cut"] == "bytes"
    if len(encoded) > most_bytes:  # marshalled they fitted; a control character is six times as long in JSON
        rows = _fitting(reply["rows"], most_bytes)
        cut_at_bytes = cut_at_bytes or len(rows) < len(reply["rows"])
        encoded = to_json(rows)
    if cut_at_bytes and not rows:
        raise TooMuch(
            f"One row alone is over the {most_bytes:,} bytes a result may hold. "
            "Select fewer columns, or parts of them with substr()."
        )
    notices = []
    if cut_at_bytes:
        notices.append(f"Cut at {most_bytes:,} bytes; ask for the rest with next_offset.")
    if reply["long_integers"]:
        columns = ", ".join(map(quote, reply["long_integers"]))
        notices.append(f"Integers beyond 2^53 are given as text, in {columns}.")
    if reply["has_blobs"]:
        notices.append("Blobs are given as size and first bytes; base64(column) gives one whole.")
    if reply.get("replaced"):
        notices.append(REPLACED)
    truncated = bool(reply["cut"]) or cut_at_bytes
    page = Rows.model_construct(
        columns=tuple(reply["columns"]),
        types=tuple(reply["types"]),
        rows=rows,
        row_count=len(rows),
        truncated=truncated,
        next_offset=offset + len(rows) if truncated else None,
        elapsed_ms=round(reply["seconds"] * 1000, 2),
        notices=tuple(notices),
    )
    page._encoded = encoded
    return page


def _fitting(rows: list[Row], room: int) -> list[Row]:
    for index, row in enumerate(rows):
        room -= len(to_json(row)) + 1
        if room < 0:
            return rows[:index]
    return rows


class Exported(Result):
    """All rows of a statement, written elsewhere."""

    columns: tuple[str, ...]
    row_count: int
    elapsed_ms: float
    notices: tuple[str, ...] = ()


class TableEntry(Result):
    """A table, view or virtual table; `rows` is None where counting takes long."""

    name: str
    kind: str
    columns: int
    rows: int | None
    approximate: bool


class Tables(Result):
    """The tables and views of one database."""

    database: str
    tables: tuple[TableEntry, ...]
    other_databases: tuple[str, ...]
    notices: tuple[str, ...] = ()


class Column(Result):
    """A column of a table; `key` is its place in the primary key, from 1, or 0."""

    name: str
    type: str
    required: bool
    key: int
    default: str | None


class TableDetail(Result):
    """What a query needs to know of a table; indexes and references as SQL writes them."""

    database: str
    name: str
    kind: str
    columns: tuple[Column, ...]
    indexes: tuple[str, ...]
    references: tuple[str, ...]
    rows: int | None
    approximate: bool
    sample: list[Row]
    notices: tuple[str, ...] = ()


class TableDocument(TableDetail):
    """The same with the statement that made it, in which its author's comments stand."""

    definition: str


class Plan(Result):
    """How SQLite will run a statement.

    `scans` names what it reads whole; `sorts` is whether it sorts, because no index has that order;
    `rows_read` is an estimate of the rows it looks at, from above, or None where the sizes are not known; an
    index on one of `helpful_indexes` is one that SQLite would use.
    """

    steps: tuple[str, ...]
    scans: tuple[str, ...]
    sorts: bool
    rows_read: int | None
    helpful_indexes: tuple[str, ...]
