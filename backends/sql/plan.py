"""SQLite's query plan in words."""

import re
from collections.abc import Iterable

# The details are for people and change between releases: what is not known here is passed on as it is.
_SCAN = re.compile(r"SCAN (?:TABLE )?(?P<table>.+?)(?: AS \S+)?(?: USING (?:COVERING )?INDEX (?P<index>.+))?")
_SEARCH = re.compile(
    r"SEARCH (?:TABLE )?(?P<table>.+?)(?: AS \S+)? USING (?P<how>.*?)(?: \((?P<terms>.*)\))?(?: LEFT-JOIN)?"
)
_NOT_A_TABLE = re.compile(r"\d*\s*CONSTANT ROWS?|.* VIRTUAL TABLE INDEX .*")


def in_words(details: Iterable[str]) -> tuple[list[str], list[str], bool]:
    """Each step in words, what is read whole, and whether anything is sorted."""
    steps, scans, sorts = [], [], False
    for detail in details:
        scan, search = _SCAN.fullmatch(detail), _SEARCH.fullmatch(detail)
        if scan and not _NOT_A_TABLE.fullmatch(scan["table"]):
            order = f" in the order of index {scan['index']}" if scan["index"] else ""
            steps.append(f"reads every row of {scan['table']}{order}")
            scans.append(scan["table"])
        elif search:
            steps.append(f"finds rows of {search['table']} by {_means(search['how'])}{_on(search['terms'])}")
        elif detail.startswith("USE TEMP B-TREE FOR "):
            purpose = detail.removeprefix("USE TEMP B-TREE FOR ")
            steps.append(f"sorts for {purpose}")
            sorts = True
        else:
            steps.append(detail)
    return steps, list(dict.fromkeys(scans)), sorts


def _means(how: str) -> str:
    if how.startswith("AUTOMATIC"):
        return "an index built for this query alone (a lasting one would help)"
    if how.endswith("PRIMARY KEY"):
        return "its primary key"
    return how.replace("COVERING ", "").replace("INDEX", "index")


def _on(terms: str | None) -> str:
    return f" ({terms})" if terms else ""
