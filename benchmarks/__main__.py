"""`python -m benchmarks [WHAT ...]`: every comparison, or those that are named."""

import argparse
import importlib
import json
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.rounds import Line

WHAT = ("stdio", "http", "sql", "files", "translate", "apertium", "places", "weather", "guards")


def table(lines: list[Line]) -> str:
    """The lines as text: one comparison a row, its goal, and whether it is met."""
    rows = [("work", "against", "Almanac ms", "theirs ms", "ratio", "goal", "")]
    rows += [
        (
            line.work,
            line.against,
            str(line.ours_ms),
            str(line.theirs_ms),
            str(line.ratio),
            f"<= {line.goal:g}",
            "met" if line.met else "NOT met",
        )
        for line in lines
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what", nargs="*", choices=[[], *WHAT], help="comparisons to run, all if none is named"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", type=Path, required=True, help="the Python that has the peers beside it")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    lines: list[Line] = []
    for name in options.what or WHAT:
        with tempfile.TemporaryDirectory() as directory:
            comparison = importlib.import_module(f"benchmarks.{name}")
            lines += comparison.run(Path(directory), options.peers, options.rounds)
    here = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    print(f"{here}, FastMCP {version('fastmcp')}")
    print(f"median [min..max] of {options.rounds} interleaved rounds; ratio is Almanac's time over theirs")
    print(table(lines))
    if options.json:
        options.json.write_text(json.dumps([line.as_json() for line in lines], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
