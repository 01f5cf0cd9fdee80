"""What the sql tools give back."""

from typing import Any

from pydantic_core import to_json

from backends import Result
from backends.sql.rows import Row


class Rows(Result):
    """One page of a query's rows; `types` has the types of the values on this page, a column each.

    Constructed without validation: the child made the rows fit for JSON, and nothing walks them again but
    the encoders of the reply.
    """

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

    def json_text(self) -> str:
        return to_json(self.structured()).decode()


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

    `scans` names what it reads whole; `rows_read` is an estimate of the rows it looks at, from above, or None
    where the sizes are not known; an index on one of `helpful_indexes` is one that SQLite would use.
    """

    steps: tuple[str, ...]
    scans: tuple[str, ...]
    sorts: bool
    rows_read: int | None
    helpful_indexes: tuple[str, ...]
