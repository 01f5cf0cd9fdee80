"""`python -m benchmarks [COMPARISON ...]`: every comparison, or those that are named.

A goal that is not met is a fact in the table; what ends with status 1 is a comparison that failed to run.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.contenders import Bench
from benchmarks.goals import COMPARISONS, GOALS
from benchmarks.rounds import Line

RESULTS = Path(__file__).parent / "results"
PEERS = Path(__file__).parent.parent / ".venv-peers/bin/python"
ROUNDS, SHORT_ROUNDS = 9, 2
FAILED = "it failed, see above"


def main() -> int:
    options = _options()
    about: dict[str, Any] = {"machine": report.machine(), "versions": report.versions(options.peers)}
    about |= {"rounds": options.rounds, "short": options.short}
    names = options.what or COMPARISONS
    lines: list[Line] = []
    for name in names:
        start = time.monotonic()
        lines += compared(name, options)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    whole = not (options.short or options.what)
    told = _written(lines, about, options.peers, RESULTS / ("latest" if whole else "partial"))
    print("\n".join(_heads(about)))
    print(report.table(lines))
    print(report.summary(lines))
    print(told)
    return int(any(line.not_run == FAILED for line in lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what", nargs="*", choices=[[], *COMPARISONS], help="comparisons to run, all if none is named"
    )
    parser.add_argument("--peers", type=Path, default=PEERS, help="the Python that has the peers beside it")
    parser.add_argument("--rounds", type=int, help=f"how many count: {ROUNDS}, or {SHORT_ROUNDS} if short")
    parser.add_argument(
        "--short", action="store_true", help="a tenth of the calls: shows that everything runs, not how fast"
    )
    options = parser.parse_args()
    options.peers = options.peers.absolute()  # not resolved: the peers lie beside the link
    options.rounds = options.rounds or (SHORT_ROUNDS if options.short else ROUNDS)
    return options


def compared(name: str, options: argparse.Namespace) -> list[Line]:
    """A line for every goal of the comparison: what it gave, or that it failed."""
    found: list[Line] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        try:
            with Bench(Path(directory), options.peers, options.rounds, options.short) as bench:
                found += importlib.import_module(f"benchmarks.{name}").run(bench)
        except Exception:  # the others are still worth their table
            traceback.print_exc()
    return complete(name, found)


def complete(name: str, found: list[Line]) -> list[Line]:
    """The lines in the order of the goals, with one for each goal that is missing."""
    by_goal = {line.goal: line for line in found}
    return [by_goal.get(goal) or Line(goal, not_run=FAILED) for goal in GOALS if goal.comparison == name]


def _written(lines: list[Line], about: dict[str, Any], peers: Path, stem: Path) -> str:
    """Write the JSON and draw the picture; where they are."""
    data, picture = stem.with_suffix(".json"), stem.with_suffix(".png")
    data.write_text(json.dumps(report.as_json(lines, about), indent=1, ensure_ascii=False) + "\n", "utf-8")
    if why := report.draw(peers, data, picture):
        return f"Written to {data}; no picture: {why}"
    return f"Written to {data} and {picture.name}"


def _heads(about: dict[str, Any]) -> list[str]:
    here = about["machine"]
    return [
        f"{here['cpu']}, {here['cores']} cores, load {here['load_at_start']} at the start; {here['os']}",
        ", ".join(f"{name} {of}" for name, of in about["versions"].items()),
        f"median [least..most] of {about['rounds']} interleaved rounds; the ratio is Almanac's over theirs"
        + ("; a short pass: too few calls to tell how fast" if about["short"] else ""),
    ]


if __name__ == "__main__":
    sys.exit(main())
