"""`chart.py RUN.json CHART.png`: how far each line is from its goal. Runs in the peers' environment."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]  # it is installed for the peers alone

mpl.use("Agg")
from matplotlib import pyplot as plt  # type: ignore[import-not-found, unused-ignore]  # as above
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # type: ignore[import-not-found, unused-ignore]  # as above
from PIL import Image

MET, MISSED = "#2a7f62", "#c8553d"


def draw(run: dict[str, Any], picture: Path) -> None:
    """A bar a line on a log axis, from the goal to the median, whiskers from least to most."""
    lines = [line for line in run["lines"] if line["of_goal"]][::-1]
    figure, axes = plt.subplots(figsize=(11, 1.3 + 0.25 * len(lines)), layout="constrained")
    for row, line in enumerate(lines):
        share, colour = line["of_goal"], MET if line["met"] else MISSED
        axes.barh(row, share["median"] - 1, left=1, color=colour, height=0.7)
        axes.plot((share["least"], share["most"]), (row, row), "|-", color="#333", linewidth=1)
        told = f"{line['ratio']['median']:.3g} ({line['goal']})"
        axes.text(1.01, row, told, va="center", fontsize=8, transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(lines)), [f"{line['work']} / {line['against']}" for line in lines], fontsize=8)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(
        "of the goal, less is better; whiskers: least and most of the rounds; right: ratio (goal)"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    where, of = run["machine"], run["versions"]
    axes.set_title(
        f"Almanac {of.get('almanac', '')}, {run['taken'][:10]}: {where['cpu']}, {where['cores']} cores, "
        f"Python {of['python']}, FastMCP {of['fastmcp']}",
        fontsize=9,
    )
    figure.savefig(picture, dpi=90)
    with Image.open(picture) as drawn:  # half the bytes
        drawn.convert("RGB").quantize(32).save(picture, optimize=True)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
