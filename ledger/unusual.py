"""What is unusual among calls: very many by one caller in a minute, a burst of denials."""

from collections import Counter

CALLS = 1_000  # of one caller in a minute; a model that works hard makes a few dozen
DENIALS = 20  # of one caller in a minute, failed authentications among them
ALL_DENIALS = 200  # of everybody: guesses from many addresses
MOST_CALLERS = 10_000  # whose calls are counted one by one within a minute


class Unusual:
    """Counts each minute by itself, and tells each thing once in it."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: Counter[tuple[str, str]] = Counter()

    def seen(self, at_s: float, who: str, denied: bool) -> tuple[str, ...]:
        """What has become unusual by this call.

        Args:
            at_s: When, in seconds of wall-clock time.
            who: The caller.
            denied: Whether it was refused for want of a right.
        """
        if (minute := int(at_s // 60)) != self._minute:
            self._minute = minute
            self._counts.clear()
        found = []
        if self._count(("calls", who)) == CALLS:
            found.append(f"{who} made {CALLS:,} calls in a minute")
        if denied:
            if self._count(("denials", who)) == DENIALS:
                found.append(f"{who} was denied {DENIALS} times in a minute")
            if self._count(("denials", "")) == ALL_DENIALS:
                found.append(f"{ALL_DENIALS} denials in a minute, of all callers together")
        return tuple(found)

    def _count(self, what: tuple[str, str]) -> int:
        if what not in self._counts and len(self._counts) >= MOST_CALLERS and what[1]:
            return 0
        self._counts[what] += 1
        return self._counts[what]
