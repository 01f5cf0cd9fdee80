"""SQLite's query plan in words, with the rows it looks at and the index that would help."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from backends.sql.results import Plan

# The details are for people and change between releases: what is not known here is passed on as it is.
_SCAN = re.compile(r"SCAN (?:TABLE )?(?P<table>.+?)(?: AS \S+)?(?: USING (?:COVERING )?INDEX (?P<index>.+))?")
_SEARCH = re.compile(
    r"SEARCH (?:TABLE )?(?P<table>.+?)(?: AS \S+)? USING (?P<how>.*?)(?: \((?P<terms>.*)\))?(?: LEFT-JOIN)?"
)
_NOT_A_TABLE = re.compile(r"\d*\s*CONSTANT ROWS?|.* VIRTUAL TABLE INDEX .*")
_EQUAL = re.compile(r"=\?|\bIN\b")
# A name and the next one: once over the text, since a plan may name five hundred aliases.
_CALLED = re.compile(r"\b(\w+)[\"`\]]?(?=\s+(?:AS\s+)?[\"`\[]?(\w+))", re.IGNORECASE)
_READS_ALL, _ABOUT = "reads every row of ", " (about "
_ROWS_OF_A_SEARCH = 10  # SQLite's own assumption of an index without statistics
_MOST_NAMED = 3
_MOST_ROWS = 10**15  # an estimate beyond it says nothing more


class _Step(NamedTuple):
    words: str
    rows: float | None = None  # that it looks at, each time it runs
    whole: str = ""  # the table it reads whole
    unindexed: str = ""  # the table it builds an index of


def in_words(reply: Mapping[str, Any], sql: str) -> Plan:
    """A child's explanation in words.

    Args:
        reply: `rows` as EXPLAIN QUERY PLAN gives them, and what explaining.py adds where it could be had.
        sql: The statement, in which an alias is looked up; it decides nothing.
    """
    tables = _Tables(reply, sql)
    steps: dict[int, _Step] = {}
    below: defaultdict[int, list[int]] = defaultdict(list)
    for number, parent, _, detail in reply["rows"]:
        steps[number] = _told(detail, tables)
        below[parent].append(number)
    known = any(step.rows is not None for step in steps.values())
    rows = min(round(_looked_at(steps, below)), _MOST_ROWS) if known else None
    slow = {step.whole or step.unindexed for step in steps.values()}
    return Plan(
        steps=tuple(step.words for step in steps.values()),
        scans=tuple(dict.fromkeys(step.whole for step in steps.values() if step.whole)),
        sorts=any(step.words.startswith("sorts for ") for step in steps.values()),
        rows_read=rows,
        helpful_indexes=tuple(
            f"{table}({column})" for table, column in reply.get("indexes", ()) if table in slow
        ),
    )


def why_slow(plan: Plan) -> str:
    """One or two sentences on what a statement that took too long spent its time on."""
    # Of a table in the file, whose size is known: not of what the statement itself makes.
    scans = [step for step in plan.steps if step.startswith(_READS_ALL) and _ABOUT in step][:_MOST_NAMED]
    nested = " for each row of the one before" if len(scans) > 1 else ""
    said = [f"It {', and '.join(scans)}{nested}." if scans else ""]
    if plan.helpful_indexes:
        indexes = ", ".join(plan.helpful_indexes[:_MOST_NAMED])
        said.append(f"An index on {indexes} would help, if its owner adds one.")
    return " ".join(filter(None, said))


class _Tables:
    """Which table a name of the plan means, and how many rows it has."""

    def __init__(self, reply: Mapping[str, Any], sql: str) -> None:
        self.sizes: dict[str, int | None] = reply.get("sizes", {})
        self._rows: dict[str, int] = {}
        self._each: dict[str, list[float]] = {}
        for table, index, stat in reply.get("statistics", ()):
            numbers = [float(part) for part in stat.split() if part.isascii() and part.isdigit()]
            if numbers:
                self._rows[table] = int(numbers[0])
                self._each[index or table] = numbers[1:]
        views = " ".join(text for name, text in reply.get("views", {}).items() if name in sql)
        folded = {table.casefold(): table for table in self.sizes}
        self._aliases: dict[str, str] = {}
        for table, alias in _CALLED.findall(f"{sql} {views}"):
            if table.casefold() in folded:
                self._aliases.setdefault(alias.casefold(), folded[table.casefold()])

    def table(self, name: str) -> str | None:
        """The table behind a name or its alias, as far as that can be seen."""
        return name if name in self.sizes else self._aliases.get(name.casefold())

    def rows(self, name: str) -> int | None:
        table = self.table(name)
        return self._rows.get(table, self.sizes[table]) if table else None

    def found(self, how: str, terms: str) -> float:
        """Rows that one search through an index finds."""
        equal = len(_EQUAL.findall(terms))
        if how == "INTEGER PRIMARY KEY" and equal:
            return 1
        each = self._each.get(how.rpartition(" ")[2], []) if "INDEX" in how else []
        if each and equal:
            return each[min(equal, len(each)) - 1]
        return 1 if how == "PRIMARY KEY" else _ROWS_OF_A_SEARCH


def _told(detail: str, tables: _Tables) -> _Step:
    scan, search = _SCAN.fullmatch(detail), _SEARCH.fullmatch(detail)
    if scan and not _NOT_A_TABLE.fullmatch(scan["table"]):
        table, rows = tables.table(scan["table"]), tables.rows(scan["table"])
        about = f"{_ABOUT}{rows:,})" if rows else ""
        order = f" in the order of index {scan['index']}" if scan["index"] else ""
        words = f"{_READS_ALL}{_called(scan['table'], table)}{about}{order}"
        return _Step(words, rows, whole=table or scan["table"])
    if search:
        table, how, terms = tables.table(search["table"]), search["how"], search["terms"] or ""
        words = f"finds rows of {_called(search['table'], table)} by {_means(how)}"
        unindexed = (table or "") if how.startswith("AUTOMATIC") else ""
        rows_found = tables.found(how, terms)
        return _Step(f"{words} ({terms})" if terms else words, rows_found, unindexed=unindexed)
    if detail.startswith("USE TEMP B-TREE FOR "):
        return _Step(f"sorts for {detail.removeprefix('USE TEMP B-TREE FOR ')}")
    return _Step(detail)


def _called(name: str, table: str | None) -> str:
    return name if table in (None, name) else f"{table} ({name})"


def _means(how: str) -> str:
    if how.startswith("AUTOMATIC"):
        return "an index built for this query alone (a lasting one would help)"
    if how.endswith("PRIMARY KEY"):
        return "its primary key"
    return how.replace("COVERING ", "").replace("INDEX", "index")


def _looked_at(steps: Mapping[int, _Step], below: Mapping[int, Sequence[int]], parent: int = 0) -> float:
    """Rows looked at by nested loops: at most so many, since what a filter drops on the way is not known."""
    looked, times = 0.0, 1.0
    for number in below.get(parent, ()):
        rows, inside = steps[number].rows, _looked_at(steps, below, number)
        looked += times * inside if "CORRELATED" in steps[number].words else inside
        if rows is not None:
            times = min(times * max(rows, 1), math.inf)
            looked += times
    return looked
