"""Keeps to what a service allows one address, so that it need not say no."""

from collections.abc import Callable, Mapping


class Budget:
    """Calls by weight in fixed windows, which begin at multiples of their length since 1970 (UTC).

    Args:
        limits: The weight each window holds, by its seconds.
        clock: Wall-clock time in seconds.
    """

    def __init__(self, limits: Mapping[int, float], clock: Callable[[], float]) -> None:
        self._limits, self._clock = dict(limits), clock
        self._spent: dict[int, tuple[int, float]] = {}

    def wait_s(self, weight: float) -> float:
        """Seconds until a call of this weight fits; 0.0 if it does now."""
        now = self._clock()
        full = [
            window_s - now % window_s
            for window_s, most in self._limits.items()
            if self._in(window_s, now) + weight > most
        ]
        return max(full, default=0.0)

    def spend(self, weight: float) -> None:
        """Count a call, whatever becomes of it."""
        now = self._clock()
        for window_s in self._limits:
            self._spent[window_s] = int(now // window_s), self._in(window_s, now) + weight

    def _in(self, window_s: int, now: float) -> float:
        number, spent = self._spent.get(window_s, (0, 0.0))
        return spent if number == int(now // window_s) else 0.0
