"""Leaves alone for a while whoever keeps failing."""

import time
from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row for `pause_s`, then lets one through to see.

    Whoever was let in says how it went: `succeeded`, `failed`, or `abandoned`.

    Args:
        failures: Failures in a row that open it.
        pause_s: Seconds it stays open.
        clock: Any clock that counts seconds.
    """

    def __init__(
        self, failures: int = 3, pause_s: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._pause_s, self._clock = failures, pause_s, clock
        self._failures = 0
        self._until = self._told_until = float("-inf")
        self._trying = False  # one was let through to see
        self.told = 0  # how many times it was told for how long

    def admit(self) -> bool:
        """Whether the caller may ask now.

        Once the pause is over the first caller is let through; the others wait one more pause, or until
        that one has succeeded or abandoned it.
        """
        if self._failures >= self._most:
            if self.wait_s() > 0:
                return False
            self._until, self._trying = self._clock() + self._pause_s, True
        return True

    def wait_s(self) -> float:
        """Seconds for which it stays open; 0.0 when a caller would be let in."""
        return max(0.0, self._until - self._clock()) if self._failures >= self._most else 0.0

    def succeeded(self, told: int | None = None) -> None:
        """It answered; `told` as it was when it was asked, for it may have said since to be left alone."""
        if told in (None, self.told):
            self._failures, self._trying = 0, False

    def failed(self, wait_s: float | None = None) -> None:
        """It did not; `wait_s` is how long it asked to be left alone, which opens it at once."""
        now, self._trying = self._clock(), False
        if wait_s is not None:
            self._failures, self.told = self._most, self.told + 1
            self._until = self._told_until = max(self._told_until, now + wait_s)
            return
        self._failures += 1
        if self._failures >= self._most:
            self._until = max(self._told_until, now + self._pause_s)  # one asked before does not shorten it

    def abandoned(self) -> None:
        """Nothing was learned of it, so that the next one is let through to see; no news after the others."""
        if self._trying:
            self._until, self._trying = self._clock(), False
