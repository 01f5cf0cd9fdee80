"""Asking once for many: answers are kept while they hold, and all who miss the same one share a fetch."""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from upstream.counts import Counts

T = TypeVar("T")

MOST_KEPT = 512  # answers each provider's cache holds
MOST_BYTES = (
    1_000_000  # of them as they came: read into our words, sixteen days of hours take 40 times as much
)


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """What a provider said, read into our words, and when it said so."""

    value: T
    at: float
    until: float = float("inf")  # when it says itself that it ends
    modified: str = ""  # its Last-Modified, to ask whether there is anything newer
    size: int = 0  # bytes in which it came

    def holds(self, now: float, ttl_s: float) -> bool:
        """Whether it is no older than `ttl_s` and has not ended; a clock put back ends it."""
        return 0 <= now - self.at < ttl_s and now < self.until


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Any]
    waiting: int = 0


class Once:
    """Remembers answers for as long as they hold; all who miss the same one wait for a single fetch.

    A fetch goes on when one of its callers leaves, and ends when the last one does.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        most: int = MOST_KEPT,
        most_bytes: int = MOST_BYTES,
        counts: Counts | None = None,
    ) -> None:
        self._counts = counts or Counts()
        self._clock, self._most, self._most_bytes = clock, most, most_bytes
        self._size = 0
        self._kept: OrderedDict[Hashable, Kept[Any]] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def last(self, key: Hashable) -> Kept[Any] | None:
        """What was kept last, whether it still holds or not."""
        return self._kept.get(key)

    async def get(self, key: Hashable, ttl_s: float, fetch: Callable[[], Awaitable[T | Kept[T]]]) -> Kept[T]:
        """The kept answer while it holds, else what `fetch` gives; its exception reaches every caller."""
        kept = self._kept.get(key)
        if kept is not None and kept.holds(self._clock(), ttl_s):
            self._kept.move_to_end(key)
            self._counts.hits += 1
            return kept
        if flight := self._flights.get(key):
            self._counts.hits += 1
        else:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._fly(key, fetch)))
            self._tasks.add(flight.task)
            flight.task.add_done_callback(functools.partial(self._landed, key))
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                del self._flights[key]  # now: the next caller must not join what is being cancelled
                flight.task.cancel()
        return cast("Kept[T]", flight.task.result())

    async def _fly(self, key: Hashable, fetch: Callable[[], Awaitable[T | Kept[T]]]) -> Kept[T]:
        found = await fetch()
        kept = found if isinstance(found, Kept) else Kept(found, self._clock())
        self._forget(key)
        self._kept[key] = kept
        self._size += kept.size
        while len(self._kept) > self._most or self._size > self._most_bytes:
            self._forget(next(iter(self._kept)))
        return kept

    def _forget(self, key: Hashable) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size -= kept.size

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if (flight := self._flights.get(key)) is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # seen, even when every caller has left

    async def close(self) -> None:
        """End every fetch under way and forget every answer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._kept.clear()
        self._size = 0
