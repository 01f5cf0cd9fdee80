"""Where calls are counted: SQLite in the state directory, or Redis/Valkey, which replicas share.

Both are storages of the `limits` library, so that its strategies and Redis scripts do the counting.
"""

import contextlib
import functools
import sqlite3
import time
from pathlib import Path
from typing import Any, Literal, Self

import limits
import structlog
from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from counters.file import SqliteCounters
from errors import Unavailable

log = structlog.get_logger("almanac")

FAILURES = (RedisError, OSError, sqlite3.Error, TimeoutError)
CONNECTIONS = 32
TURN_SECONDS = 10.0  # for one of them to be free: waiting for others is no failure of the storage
# For the shared storage, which is asked within each call. A burst of 200 calls holds a process for a second,
# and it answered in time all the same.
ANSWER_SECONDS = 3.0
PAUSE_SECONDS = (
    1.0  # after a failure, before it is asked again: else each call would wait as long as the first
)
DAY_SECONDS = 86_400
REFUSED = "Limits cannot be checked now, so nothing is called; try again in a minute."
# A call that is running has a place until it leaves, or, if its process was killed, until its lease ends.
LEASE_SECONDS = 30
_ENTER = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return redis.call('EXPIRE', KEYS[1], ARGV[3])"""

parse = functools.cache(limits.parse)


class Counters:
    """Takes calls from what a caller has left, in the storage that is set, and knows how that one is.

    Args:
        directory: Where the file of counters lies; they are kept in memory if it cannot be written.
        url: redis:// or unix:// of the storage that replicas share, instead of the file.
        on_failure: What to do while that storage fails: refuse calls, or count in this process alone.
    """

    def __init__(self, directory: Path, url: str, on_failure: Literal["refuse", "local"]) -> None:
        self._directory, self._url, self._on_failure = directory, url, on_failure
        self.are_shared = bool(url)
        self.note = self._lasting = ""  # what is wrong with the storage, and what will be
        self._storage: Any = None
        self._asked_again = 0.0

    async def __aenter__(self) -> Self:
        file, self._lasting = self._file()
        # Where the shared storage fails, the file serves: a restart forgives nothing, and it takes no memory.
        self._storage, self._own = (self._shared(), file) if self._url else (file, SqliteCounters(None))
        self.note = "" if self._url else self._lasting
        return self

    async def __aexit__(self, *_: object) -> None:
        self._own.close()
        if not self._url:
            self._storage.close()
        else:
            with contextlib.suppress(*FAILURES):
                await self._pool.disconnect()

    def _shared(self) -> Any:
        # The usual pool raises at its hundredth connection; this one lets the rest wait for their turn.
        self._pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=CONNECTIONS,
            timeout=TURN_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )
        options: Any = {"connection_pool": self._pool}
        # By its address it knows neither Unix sockets nor that Valkey speaks the same; the pool does.
        return RedisStorage("redis://", implementation="redispy", key_prefix="almanac", **options)

    def _file(self) -> tuple[SqliteCounters, str]:
        try:
            return SqliteCounters(self._directory / "counters.db"), ""
        except (OSError, sqlite3.Error) as error:
            if not self._url:
                log.warning("limits are counted in memory: no file can be written", why=str(error))
            forgets = "is counted in memory: the state directory cannot be used, so that a restart forgets"
            return SqliteCounters(None), forgets

    async def take(self, rate: str, *what: str, cost: int = 1) -> float:
        """Count one call; 0 if there was room for it, else the seconds after which there may be again.

        Args:
            rate: As "100/minute"; a day's ends at midnight UTC.
            what: What it is counted under, the caller among it.
            cost: How many it counts for.

        Raises:
            Unavailable: The storage fails, and calls are to be refused then.
        """
        limit = parse(rate)
        if self._pauses():
            return await self._take(self._own, limit, what, cost)
        try:
            left = await self._take(self._storage, limit, what, cost)
        except FAILURES as error:
            self._failed(error)
            return await self._take(self._own, limit, what, cost)
        self._served()
        return left

    async def _take(self, storage: Any, limit: RateLimitItem, what: tuple[str, ...], cost: int) -> float:
        strategy, key = _window(storage, limit, what)
        if await strategy.hit(limit, *key, cost=cost):
            return 0
        if not _is_daily(limit):
            return max(1.0, (await strategy.get_window_stats(limit, *key)).reset_time - time.time())
        if cost > 1:  # what is left may do for something cheaper
            await storage.incr(limit.key_for(*key), limit.get_expiry(), amount=-cost)
        return DAY_SECONDS - time.time() % DAY_SECONDS

    def _failed(self, error: Exception) -> None:
        if not self.note:
            log.error("limits cannot be counted", why=type(error).__name__, then=self._on_failure)
        where = "their shared storage" if self._url else "the state directory"
        self.note = f"cannot be counted in {where}"
        self._asked_again = time.monotonic() + PAUSE_SECONDS
        if self._on_failure == "refuse":
            raise Unavailable(REFUSED) from error

    def _served(self) -> None:
        self.note = "" if self._url else self._lasting

    def _pauses(self) -> bool:
        """Whether the shared storage failed just now, and is not asked for a while."""
        if time.monotonic() >= self._asked_again:
            return False
        if self._on_failure == "refuse":
            raise Unavailable(REFUSED)
        return True

    async def enter(self, who: str, call: str, most: int) -> bool:
        """Take one of the places for calls at once that replicas share, or keep it; False if none is free."""
        if self._pauses():
            return True
        redis: Any = Redis(connection_pool=self._pool)  # its types say that it may answer at once
        try:
            entered = await redis.eval(_ENTER, 1, f"almanac:running:{who}", call, most, LEASE_SECONDS)
        except FAILURES as error:
            self._failed(error)
            return True
        self._served()
        return bool(entered)

    async def leave(self, who: str, call: str) -> None:
        """Give the place back."""
        with contextlib.suppress(*FAILURES):
            await Redis(connection_pool=self._pool).zrem(f"almanac:running:{who}", call)

    async def give_back(self, rate: str, *what: str) -> None:
        """Undo the count of a call that something else refused; a window that slides keeps it."""
        limit = parse(rate)
        if _is_daily(limit):
            _, key = _window(self._storage, limit, what)
            with contextlib.suppress(*FAILURES):
                await self._storage.incr(limit.key_for(*key), limit.get_expiry(), amount=-1)

    async def left(self, rate: str, *what: str) -> int | None:
        """How many are left; None where that cannot be told now."""
        limit = parse(rate)
        strategy, key = _window(self._storage, limit, what)
        try:
            return max(0, (await strategy.get_window_stats(limit, *key)).remaining)
        except FAILURES:
            return None


def _is_daily(limit: RateLimitItem) -> bool:
    return limit.GRANULARITY.name == "day"


def _window(storage: Any, limit: RateLimitItem, what: tuple[str, ...]) -> tuple[RateLimiter, tuple[str, ...]]:
    """What counts, and under what: a day's window is the date's, any other slides."""
    if _is_daily(limit):
        return FixedWindowRateLimiter(storage), (*what, time.strftime("%Y-%m-%d", time.gmtime()))
    return SlidingWindowCounterRateLimiter(storage), what
