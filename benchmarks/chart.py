"""`chart.py RUN.json CHART.png`: how far each line is from its goal. Runs in the peers' environment."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]  # it is installed for the peers alone

mpl.use("Agg")
from matplotlib import pyplot as plt  # type: ignore[import-not-found, unused-ignore]  # as above
from matplotlib.ticker import FuncFormatter, LogLocator  # type: ignore[import-not-found, unused-ignore]  # as above

MET, MISSED = "#2a7f62", "#c8553d"


def draw(run: dict[str, Any], picture: Path) -> None:
    """A bar a line on a log axis, from least to most, with the goal at 1."""
    lines = [line for line in run["lines"] if line["of_goal"]][::-1]
    middle = [line["of_goal"]["median"] for line in lines]
    whiskers = [
        [value - line["of_goal"]["least"] for value, line in zip(middle, lines, strict=True)],
        [line["of_goal"]["most"] - value for value, line in zip(middle, lines, strict=True)],
    ]
    figure, axes = plt.subplots(figsize=(11, 1.4 + 0.26 * len(lines)))
    colours = [MET if line["met"] else MISSED for line in lines]
    axes.barh(range(len(lines)), middle, xerr=whiskers, color=colours, ecolor="#444", capsize=2, height=0.7)
    axes.set_yticks(range(len(lines)), [f"{line['work']} / {line['against']}" for line in lines], fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    # The ratios stand where the longest bar ends, in one column.
    far = max([1.0, *(line["of_goal"]["most"] for line in lines)])
    for row, line in enumerate(lines):
        told = f" {line['ratio']['median']:.3g}  ({line['goal']})"
        axes.text(far * 1.1, row, told, va="center", fontsize=8)
    axes.set_xlim(right=far * 1.1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    axes.set_xlabel("share of the goal, less is better; whiskers: least and most of the rounds")
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.spines[["top", "right"]].set_visible(False)
    where, of = run["machine"], run["versions"]
    figure.suptitle(
        f"Almanac {of.get('almanac', '')} of {run['taken'][:10]}: ratio and (goal)\n"
        f"{where['cpu']}, {where['cores']} cores, Python {of['python']}, FastMCP {of['fastmcp']}",
        fontsize=10,
    )
    figure.savefig(picture, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
