"""What a run gives: a table for people, JSON for programs, a picture for the documentation."""

import json
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.rounds import Line, Spread

HERE = Path(__file__).parent
OURS = ("fastmcp", "mcp", "pydantic", "starlette", "uvicorn", "uvloop")
PIP = ("mcp", "mcp-server-sqlite", "datasette")
COMMANDS = {"node": ("node", "--version"), "ripgrep": ("rg", "--version"), "wrk": ("wrk", "-v")}
HEADS = ("work", "against", "Almanac", "theirs", "ratio", "goal", "")


def machine() -> dict[str, Any]:
    """What it runs on, before anything is started."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "os": platform.platform(),
    }


def _cpu() -> str:
    told = Path("/proc/cpuinfo")
    names = told.read_text().partition("model name")[2].partition(":")[2] if told.exists() else ""
    return names.partition("\n")[0].strip() or platform.processor() or platform.machine()


def versions(peers: Path) -> dict[str, str]:
    """Of everything that is compared, as far as it is here."""
    found = {
        "almanac": _first_line("git", "-C", str(HERE), "describe", "--always", "--dirty"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in OURS},
        **{name: _number(_first_line(*command)) for name, command in COMMANDS.items()},
    }
    asked = "import sys, importlib.metadata as m\nfor n in sys.argv[1:]: print(n, m.version(n))"
    for line in _lines(str(peers), "-c", asked, *PIP):
        name, _, of = line.partition(" ")
        found[f"peers: {name}"] = of
    wanted = json.loads((HERE / "peers/package.json").read_text())["dependencies"]
    for name in wanted:
        path = peers.parent.parent / "node_modules" / name / "package.json"
        if path.exists():
            found[name] = json.loads(path.read_text())["version"]
    return {name: of for name, of in found.items() if of}


def _number(line: str) -> str:
    """The version in what a command says of itself."""
    found = re.search(r"\d+(\.\d+)+\S*", line)
    return found[0] if found else ""


def _first_line(*command: str) -> str:
    return next(iter(_lines(*command)), "")


def _lines(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError:
        return []
    return done.stdout.splitlines()


def as_json(lines: Sequence[Line], about: Mapping[str, Any]) -> dict[str, Any]:
    """The whole run; `of_goal` is the ratio's share of the goal, below 1 where it is met, whichever way."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"taken": now, **about, "lines": [_line_as_json(line) for line in lines]}


def _line_as_json(line: Line) -> dict[str, Any]:
    def spread(of: Spread | None) -> dict[str, float] | None:
        return {name: float(f"{value:.4g}") for name, value in asdict(of).items()} if of else None

    goal = line.goal
    return {
        "comparison": goal.comparison,
        "work": goal.work,
        "against": goal.against,
        "unit": line.unit,
        "ours": spread(line.ours),
        "theirs": spread(line.theirs),
        "ratio": spread(line.ratio),
        "goal": goal.bound or None,
        "of_goal": spread(line.of_goal),
        "met": line.met,
        "not_run": line.not_run or None,
        "note": goal.note or None,
    }


def table(lines: Sequence[Line]) -> str:
    """A comparison a row, its goal, and whether it is met; notes below."""
    notes = list(dict.fromkeys(line.goal.note for line in lines if line.goal.note))
    rows = [HEADS, *(_row(line, notes) for line in lines)]
    widths = [max(len(row[i]) for row in rows if row[2:]) for i in range(len(HEADS) - 1)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=False)) for row in rows
    ]
    return "\n".join([*map(str.rstrip, text), *(f"{n}) {note}" for n, note in enumerate(notes, 1))])


def _row(line: Line, notes: Sequence[str]) -> tuple[str, ...]:
    goal = line.goal
    mark = f" {notes.index(goal.note) + 1})" if goal.note else ""
    if line.not_run:
        return (goal.work, goal.against + mark, "", "", "", goal.bound, f"not run: {line.not_run}")
    met = {True: "met", False: "NOT met", None: ""}[line.met]
    taken = (f"{line.ours} {line.unit}", f"{line.theirs} {line.unit}", str(line.ratio))
    return (goal.work, goal.against + mark, *taken, goal.bound, met)


def summary(lines: Sequence[Line]) -> str:
    """How many goals are met."""
    wanted = [line for line in lines if line.goal.bound]
    met, missed = ([one for one in wanted if one.met is which] for which in (True, False))
    rest = len(wanted) - len(met) - len(missed)
    return f"{len(met)} of {len(wanted)} goals met" + (f", {rest} not run" if rest else "")


def draw(peers: Path, data: Path, picture: Path) -> str:
    """Make the picture with the peers' environment; why it could not, or nothing."""
    try:
        done = subprocess.run(
            [str(peers), str(HERE / "chart.py"), str(data), str(picture)],
            check=False,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        return str(error)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
