"""Interleaved rounds and what they say: a table of ratios that holds when the machine's speed drifts."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Work = Callable[[], float]  # does the work once and gives its milliseconds


@dataclass(frozen=True)
class Spread:
    """Median, and the least and the most of the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.least:.3g}..{self.most:.3g}]"


@dataclass(frozen=True)
class Line:
    """One comparison: our time over the other's, pair by pair within the rounds."""

    work: str
    against: str
    ours_ms: Spread
    theirs_ms: Spread
    ratio: Spread
    goal: float

    @property
    def met(self) -> bool:
        return self.ratio.median <= self.goal

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def measure(contenders: Mapping[str, Work], rounds: int, calls: int) -> dict[str, list[float]]:
    """The median of `calls` per contender and round; the order turns, and round 0 is dropped as warm-up."""
    names = list(contenders)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            median = statistics.median(contenders[name]() for _ in range(calls))
            if number:
                found[name].append(median)
    return found


def compare(
    work: str, contenders: Mapping[str, Work], goals: Mapping[str, float], rounds: int, calls: int
) -> list[Line]:
    """Almanac, the contender called "almanac", against each of the others that has a goal."""
    found = measure(contenders, rounds, calls)
    ours = found["almanac"]
    return [
        Line(
            work,
            other,
            Spread.of(ours),
            Spread.of(found[other]),
            Spread.of([a / b for a, b in zip(ours, found[other], strict=True)]),
            goal,
        )
        for other, goal in goals.items()
    ]
