"""Interleaved rounds and what they say: ratios that hold when the machine's speed drifts."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.goals import Goal, of

Work = Callable[[], float]  # does the work once and gives its milliseconds
OURS = "almanac"


@dataclass(frozen=True)
class Absent:
    """Stands for a contender that cannot be had here, and for all of its work."""

    why: str

    def calls(self, *_: object, **__: object) -> "Absent":
        return self

    asks = gets = calls


@dataclass(frozen=True)
class Spread:
    """Median, and the least and the most of the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{short(self.median)} [{short(self.least)}..{short(self.most)}]"


def short(value: float) -> str:
    """Three digits of it, and all before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Line:
    """One comparison: what ours took and what the other, and ours over the other's, round by round."""

    goal: Goal
    unit: str = ""
    ours: Spread | None = None
    theirs: Spread | None = None
    ratio: Spread | None = None
    not_run: str = ""  # why, if it was not

    @property
    def met(self) -> bool | None:
        """Whether the goal is; None without a goal or a measurement."""
        return self.goal.is_met_by(self.ratio.median) if self.ratio and self.goal.bound else None

    @property
    def of_goal(self) -> Spread | None:
        """How far it is from the goal, whichever way that points: below 1 it is met."""
        if self.ratio is None or not self.goal.bound:
            return None
        return Spread.of(sorted(map(self.goal.share, (self.ratio.least, self.ratio.median, self.ratio.most))))


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[str, bool]]:
    """Who is next, in an order that turns with the rounds, and whether it counts: round 0 is to warm up."""
    for number in range(rounds + 1):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            yield name, number > 0


def measure(
    contenders: Mapping[str, Work | Absent], rounds: int, calls: int
) -> dict[str, list[float] | Absent]:
    """The median of `calls` per contender and round."""
    here = {name: work for name, work in contenders.items() if not isinstance(work, Absent)}
    found: dict[str, list[float]] = {name: [] for name in here}
    for name, counts in turns(list(here), rounds):
        median = statistics.median(here[name]() for _ in range(calls))
        if counts:
            found[name].append(median)
    return {name: work if isinstance(work, Absent) else found[name] for name, work in contenders.items()}


def lines(work: str, found: Mapping[str, list[float] | Absent], unit: str = "ms") -> list[Line]:
    """A line for each goal of this work; ours is the contender called "almanac"."""
    goals = of(work)
    if {goal.against for goal in goals} != set(found) - {OURS}:
        raise ValueError(f"{work!r} is compared to {sorted(found)}, and has goals for {goals}")
    return [_line(goal, unit, found[OURS], found[goal.against]) for goal in goals]


def _line(goal: Goal, unit: str, ours: list[float] | Absent, theirs: list[float] | Absent) -> Line:
    for one in (ours, theirs):
        if isinstance(one, Absent):
            return Line(goal, not_run=one.why)
    assert isinstance(ours, list)
    assert isinstance(theirs, list)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Line(goal, unit, Spread.of(ours), Spread.of(theirs), Spread.of(ratios))


def compare(work: str, contenders: Mapping[str, Work | Absent], rounds: int, calls: int) -> list[Line]:
    """Measure all of them in turn, and hold them against the goals of this work."""
    return lines(work, measure(contenders, rounds, calls))
