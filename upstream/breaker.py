"""Leaves alone for a while whoever keeps failing."""

import time
from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row for `pause_s`, then lets one through to see.

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
        self._until = self._told = float("-inf")

    def wait_s(self) -> float:
        """Seconds until it may be asked; 0.0 when it may be, which has to be told how it went.

        Once the pause is over the first to ask is let through; the others wait one more pause, or until
        that one has succeeded.
        """
        if self._failures < self._most:
            return 0.0
        if (left := self._until - self._clock()) > 0:
            return left
        self._until = self._clock() + self._pause_s
        return 0.0

    def left_s(self) -> float:
        """Seconds for which it stays open, without asking to be let through."""
        return max(0.0, self._until - self._clock()) if self._failures >= self._most else 0.0

    def succeeded(self) -> None:
        """It answered; that was before it asked to be left alone, if it has."""
        if self._told <= self._clock():
            self._failures = 0

    def failed(self, wait_s: float | None = None) -> None:
        """It did not; `wait_s` is how long it asked to be left alone, which opens it at once."""
        now = self._clock()
        if wait_s is not None:
            self._failures, self._told = self._most, max(self._told, now + wait_s)
            self._until = self._told
            return
        self._failures += 1
        if self._failures >= self._most:
            self._until = max(self._told, now + self._pause_s)  # one asked before does not shorten it
