"""`server.py audit verify | summary`: is the audit whole, and what does it say."""

import argparse
import json
import os
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from backends import Result
from commands import screen
from config import Settings
from environment import ConfigurationError, load
from ledger.reading import Verdict, events, verify
from ledger.recorder import key_of, where
from ledger.unusual import Unusual

MOST_ROWS = 20
MOST_UNUSUAL = 50
CALLS = ("call", "read", "prompt")
GOOD = ("ok", "asked")


class Row(Result):
    """What one caller did, or what was done with one tool."""

    name: str
    calls: int
    refused: int
    failed: int
    mean_ms: float
    most_ms: float
    characters_out: int


class Summary(Result):
    """What the audit says of a time."""

    first: str
    last: str
    events: int
    callers: tuple[Row, ...]
    tools: tuple[Row, ...]
    refusals: dict[str, int]  # by outcome and the module that refused
    authentications: dict[str, int]
    failures: tuple[str, ...]  # causes, the most frequent first
    unusual: tuple[str, ...]


def main(arguments: list[str]) -> int:
    """Verify or sum up the audit that the settings name."""
    options = _parse(arguments)
    try:
        settings = load(os.environ)
    except ConfigurationError as error:
        print(f"The settings as they are do not hold:\n{error}", file=sys.stderr)
        return 1
    if settings.audit.path == "off":
        print("ALMANAC_AUDIT_PATH is off, so that nothing is recorded.", file=sys.stderr)
        return 1
    path = where(settings.audit, settings.state_dir)
    return _verify(settings, path, options) if options.verb == "verify" else _summary(path, options)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="server.py audit", description="The record of calls: is it whole, and what does it say."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser(
        "verify",
        help="find any line that was altered, removed, inserted or reordered",
        description="Exit status 1 if there is damage. Lines cut off the end show while the head file is "
        "there. Whoever has the key, or puts back an older copy of all files, shows only by what was noted "
        "elsewhere: note the last number and chain that this prints, and give them to --expect later.",
    )
    check.add_argument("--expect", type=_expected, metavar="NUMBER:CHAIN", help="a line noted before")
    sums = verbs.add_parser("summary", help="callers, tools, refusals, and what is unusual")
    sums.add_argument("--hours", type=float, help="only the last so many")
    for verb in (check, sums):
        verb.add_argument("--json", action="store_true", help="as JSON")
    return parser.parse_args(arguments)


def _expected(text: str) -> tuple[int, str]:
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{32}", text):
        raise argparse.ArgumentTypeError("a number, a colon and the 32 letters and digits of a chain")
    number, _, chain = text.partition(":")
    return int(number), chain


def _verify(settings: Settings, path: Path, options: argparse.Namespace) -> int:
    try:
        found = verify(path, key_of(settings.audit, settings.state_dir, make=False), options.expect)
    except OSError as error:
        what = "There is no audit yet" if isinstance(error, FileNotFoundError) else "The audit cannot be read"
        print(f"{what}: {error.strerror}.", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found._asdict(), indent=2))
    else:
        _show(found)
    return 1 if found.problems else 0


def _show(found: Verdict) -> None:
    console = screen()
    console.print(f"{found.lines:,} lines in {found.files} files, numbers {found.first:,} to {found.last:,}")
    for problem in found.problems:
        console.print(f"[red]damage[/] {_safe(problem)}")
    for note in found.notes:
        console.print(f"[yellow]note[/]   {_safe(note)}")
    console.print("[red]The audit is damaged.[/]" if found.problems else "[green]The audit is whole.[/]")
    console.print(f"Note elsewhere, for --expect: {found.last}:{found.chain}", soft_wrap=True)


def _summary(path: Path, options: argparse.Namespace) -> int:
    since = datetime.now(UTC) - timedelta(hours=options.hours) if options.hours else None
    found = summary(path, since.strftime("%Y-%m-%dT%H:%M:%S") if since else "")
    if options.json:
        print(found.model_dump_json(indent=2))
    else:
        _tell(found)
    return 0


def summary(path: Path, since: str = "") -> Summary:
    """Sum up the audit.

    Args:
        path: Its current file.
        since: Only what came at that time or later, as it stands in a line.
    """
    times: list[str] = []
    count = 0
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {"who": {}, "what": {}}
    refusals, authentications, failures = Counter[str](), Counter[str](), Counter[str]()
    watch, unusual = Unusual(), list[str]()
    for event in events(path):
        at = str(event.get("at", ""))
        if at < since:
            continue
        count += 1
        times = [times[0] if times else at, at]
        kind, outcome = event.get("event"), str(event.get("outcome", ""))
        if kind == "authentication":
            authentications[f"{outcome} {event.get('who')}"] += int(_number(event.get("count", 1)))
        elif kind in CALLS:
            for key, found in rows.items():
                _add(found.setdefault(str(event.get(key)), []), event)
            if outcome == "failed":
                cause = event.get("cause")
                failures[" < ".join(map(str, cause)) if isinstance(cause, list) else str(cause)] += 1
            elif outcome not in GOOD:
                refusals[f"{outcome} by {event.get('by', 'the schema')}"] += 1
        if kind in CALLS or (kind == "authentication" and outcome == "failed"):
            denied = outcome == "denied" or kind == "authentication"
            for what in watch.seen(_seconds(at), str(event.get("who")), denied):
                unusual.append(f"{at[:16]}: {what}")
    return Summary(
        first=times[0] if times else "",
        last=times[-1] if times else "",
        events=count,
        callers=_rows(rows["who"]),
        tools=_rows(rows["what"]),
        refusals=dict(refusals.most_common(MOST_ROWS)),
        authentications=dict(authentications.most_common(MOST_ROWS)),
        failures=tuple(f"{n} x {cause}" for cause, n in failures.most_common(MOST_ROWS)),
        unusual=tuple(unusual[-MOST_UNUSUAL:]),
    )


def _add(sums: list[dict[str, Any]], event: dict[str, Any]) -> None:
    if not sums:
        sums.append({"calls": 0, "refused": 0, "failed": 0, "ms": 0.0, "most": 0.0, "out": 0})
    total, outcome = sums[0], event.get("outcome")
    total["calls"] += 1
    total["failed"] += outcome == "failed"
    total["refused"] += outcome not in ("failed", *GOOD)
    total["ms"] += _number(event.get("ms"))
    total["most"] = max(total["most"], _number(event.get("ms")))
    total["out"] += int(_number(event.get("out")))


def _number(value: Any) -> float:
    """A number of the record; 0 for what somebody has made of it."""
    return value if isinstance(value, int | float) and abs(value) < 1e15 else 0


def _rows(found: dict[str, list[dict[str, Any]]]) -> tuple[Row, ...]:
    most = sorted(found.items(), key=lambda item: -int(item[1][0]["calls"]))[:MOST_ROWS]
    return tuple(
        Row(
            name=name,
            calls=total["calls"],
            refused=total["refused"],
            failed=total["failed"],
            mean_ms=round(total["ms"] / total["calls"], 1),
            most_ms=total["most"],
            characters_out=total["out"],
        )
        for name, (total,) in most
    )


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


def _safe(text: str) -> str:
    """Text of the record as a terminal may be sent it: who can write to the file could steer it."""
    return escape("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))


def _tell(found: Summary) -> None:
    console = screen()
    console.print(
        f"{found.events:,} events, {_safe(found.first)} to {_safe(found.last)}"
        if found.events
        else "No events."
    )
    for title, rows in (("caller", found.callers), ("called", found.tools)):
        if not rows:
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(title, overflow="fold")
        for name in ("calls", "refused", "failed", "mean ms", "most ms", "characters"):
            table.add_column(name, justify="right")
        for row in rows:
            _, *numbers = row.model_dump().values()
            table.add_row(_safe(row.name), *(f"{number:,}" for number in numbers))
        console.print()
        console.print(table)
    parts = (("Refusals", found.refusals), ("Authentications", found.authentications))
    for title, counts in parts:
        if counts:
            console.print(f"\n[bold]{title}[/]")
        for what, number in counts.items():
            console.print(f"  {number:,} {_safe(what)}")
    for title, lines in (("Failures", found.failures), ("Unusual", found.unusual)):
        if lines:
            console.print(f"\n[bold]{title}[/]")
        for line in lines:
            console.print(f"  {_safe(line)}")
