"""A tool's result for a person: records as tables, text as it is, nothing that could steer a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

Shown = Mapping[str, tuple[str, ...]]  # by key of the result: of a list of records, the columns to show


def parts(result: Mapping[str, Any], shown: Shown) -> Iterator[Text | Table]:
    """The interesting part of a result, readable whatever its shape, and its notices."""
    for key, columns in shown.items():
        match result.get(key):
            case None | "" | []:
                yield Text(f"{key}: none")
            case [[*_], *_] as rows:
                names = [c["name"] if isinstance(c, dict) else str(c) for c in result.get("columns", ())]
                yield _table(names, rows)
            case [{}, *_] as records:
                names = [name for name in columns if name in records[0]] or list(records[0])
                yield _table(names, [[record.get(name) for name in names] for record in records])
            case {} as record:
                yield Text(f"{key}: " + ", ".join(f"{k} {clean(str(v))}" for k, v in record.items()))
            case value:
                yield Text(clean(str(value)) if key == "text" else f"{key}: {clean(str(value))}")
    for notice in result.get("notices", ()):
        yield Text(f"note: {clean(notice)}", "dim")


def _table(names: list[str], rows: list[list[Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for at, name in enumerate(names):
        is_number = all(isinstance(row[at], int | float) for row in rows)
        table.add_column(
            clean(name).replace("_", " "), justify="right" if is_number else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else clean(str(value))


def clean(text: str) -> str:
    """Without control characters: what a file or an upstream says must not steer somebody's terminal."""
    return "".join(c for c in text.expandtabs() if c.isprintable() or c == "\n").strip("\n")
