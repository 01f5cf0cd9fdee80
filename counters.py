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
from limits.aio.storage import MemoryStorage, SlidingWindowCounterSupport, Storage
from limits.aio.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from errors import Unavailable

log = structlog.get_logger("almanac")

FAILURES = (RedisError, OSError, sqlite3.Error, TimeoutError)
CONNECTIONS = 8
ANSWER_SECONDS = 0.5  # for the shared storage, which is asked within each call
DAY_SECONDS = 86_400
PURGE_EVERY = 1_000  # writes; a purge of what has expired takes at most so many rows
_SCHEMA = """
CREATE TABLE IF NOT EXISTS fixed (
    key TEXT PRIMARY KEY, count INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sliding (
    key TEXT PRIMARY KEY, number INTEGER NOT NULL, current INTEGER NOT NULL, previous INTEGER NOT NULL,
    expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fixed_expires ON fixed (expires);
CREATE INDEX IF NOT EXISTS sliding_expires ON sliding (expires);
"""
# One statement each, so that no two processes count between a look and a write.
_FIXED = """
INSERT INTO fixed VALUES (:key, :amount, :now + :expiry) ON CONFLICT (key) DO UPDATE SET
count = iif(expires <= :now, 0, count) + :amount, expires = iif(expires <= :now, :now + :expiry, expires)
RETURNING count"""
_SLIDING = """
INSERT INTO sliding VALUES (:key, :number, :amount, 0, :now + 2 * :expiry) ON CONFLICT (key) DO UPDATE SET
current = iif(number = :number, current, 0) + :amount,
previous = CASE number WHEN :number THEN previous WHEN :number - 1 THEN current ELSE 0 END,
number = :number, expires = :now + 2 * :expiry
WHERE CAST(:share * CASE number WHEN :number THEN previous WHEN :number - 1 THEN current ELSE 0 END
    AS INTEGER) + iif(number = :number, current, 0) + :amount <= :limit
RETURNING current"""


Values = dict[str, float | int | str]
parse = functools.cache(limits.parse)


class SqliteCounters(Storage, SlidingWindowCounterSupport):
    """Counters in a file, exact for all processes of this machine; a restart forgives nothing.

    A count takes 20 µs and no thread: handing it to one would cost three times that.
    """

    STORAGE_SCHEME = None

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(path, timeout=0.5, isolation_level=None)
        self._writes = 0
        with contextlib.suppress(sqlite3.OperationalError):  # another process is doing the same
            self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    @property
    def base_exceptions(self) -> type[Exception]:
        return sqlite3.Error

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        found = self._write(_FIXED, {"key": key, "amount": amount, "expiry": expiry, "now": time.time()})
        return int(found[0]) if found else 0

    async def get(self, key: str) -> int:
        sql = "SELECT count FROM fixed WHERE key = ? AND expires > ?"
        found = self._connection.execute(sql, (key, time.time())).fetchone()
        return int(found[0]) if found else 0

    async def get_expiry(self, key: str) -> float:
        found = self._connection.execute("SELECT expires FROM fixed WHERE key = ?", (key,)).fetchone()
        return float(found[0]) if found else time.time()

    async def check(self) -> bool:
        self._connection.execute("SELECT 1 FROM fixed LIMIT 1")
        return True

    async def reset(self) -> int | None:
        return sum(
            self._connection.execute(sql).rowcount for sql in ("DELETE FROM fixed", "DELETE FROM sliding")
        )

    async def clear(self, key: str) -> None:
        self._connection.execute("DELETE FROM fixed WHERE key = ?", (key,))

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        if amount > limit:
            return False
        now = time.time()
        number = int(now // expiry)
        values: Values = {
            "key": key,
            "number": number,
            "amount": amount,
            "limit": limit,
            "expiry": expiry,
            "now": now,
            "share": 1 - (now - number * expiry) / expiry,
        }
        return self._write(_SLIDING, values) is not None

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        now = time.time()
        number, rest = int(now // expiry), expiry - now % expiry
        sql = "SELECT number, current, previous FROM sliding WHERE key = ?"
        found = self._connection.execute(sql, (key,)).fetchone() or (number, 0, 0)
        current = found[1] if found[0] == number else 0
        previous = {number: found[2], number - 1: found[1]}.get(found[0], 0)
        return previous, rest if previous else 0.0, current, rest + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        self._connection.execute("DELETE FROM sliding WHERE key = ?", (key,))

    def _write(self, sql: str, values: Values) -> tuple[int] | None:
        self._writes += 1
        if self._writes % PURGE_EVERY == 0:
            for table in ("fixed", "sliding"):
                self._connection.execute(
                    f"DELETE FROM {table} WHERE key IN "  # noqa: S608 - our own names
                    f"(SELECT key FROM {table} WHERE expires < ? LIMIT {2 * PURGE_EVERY})",
                    (values["now"],),
                )
        found: tuple[int] | None = self._connection.execute(sql, values).fetchone()
        return found


class Counters:
    """Takes calls from what a caller has left, in the storage that is set, and knows how that one is.

    Args:
        directory: Where the file of counters lies; they are kept in memory if it cannot be written.
        url: redis:// or valkey:// of the storage that replicas share, instead of the file.
        on_failure: What to do while that storage fails: refuse calls, or count in this process alone.
    """

    def __init__(self, directory: Path, url: str, on_failure: Literal["refuse", "local"]) -> None:
        self._directory, self._url, self._on_failure = directory, url, on_failure
        self.note = ""  # what is wrong with the storage
        self._own = MemoryStorage()

    async def __aenter__(self) -> Self:
        self._storage = self._shared() if self._url else self._file()
        return self

    async def __aexit__(self, *_: object) -> None:
        if isinstance(self._storage, SqliteCounters):
            self._storage.close()
        elif self._url:
            with contextlib.suppress(*FAILURES):
                await self._pool.disconnect()

    def _shared(self) -> Any:
        scheme, rest = self._url.split(":", 1)
        # Valkey speaks Redis's protocol, so one client does for both.
        uri = f"async+{scheme.replace('valkey', 'redis')}:{rest}"
        # The usual pool raises at its hundredth connection; this one lets the rest wait for their turn.
        self._pool = BlockingConnectionPool.from_url(
            uri.removeprefix("async+"),
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )
        options: Any = {"connection_pool": self._pool}
        return storage_from_string(uri, implementation="redispy", key_prefix="almanac", **options)

    def _file(self) -> Any:
        try:
            return SqliteCounters(self._directory / "counters.db")
        except (OSError, sqlite3.Error) as error:
            log.warning("limits are counted in memory: the state directory cannot be used", why=str(error))
            self.note = "is counted in memory: the state directory cannot be used, so that a restart forgets"
            return self._own

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
        try:
            left = await self._take(self._storage, limit, what, cost)
        except FAILURES as error:
            if not self.note:
                log.error("limits cannot be counted", why=type(error).__name__, then=self._on_failure)
            self.note = "cannot be counted in their shared storage"
            if self._on_failure == "refuse":
                raise Unavailable(
                    "Limits cannot be checked now, so nothing is called; try again in a minute."
                ) from error
            return await self._take(self._own, limit, what, cost)
        if self.note and self._storage is not self._own:
            self.note = ""
        return left

    async def _take(self, storage: Any, limit: RateLimitItem, what: tuple[str, ...], cost: int) -> float:
        if limit.GRANULARITY.name != "day":
            strategy = SlidingWindowCounterRateLimiter(storage)
            if await strategy.hit(limit, *what, cost=cost):
                return 0
            return max(1.0, (await strategy.get_window_stats(limit, *what)).reset_time - time.time())
        today = (*what, time.strftime("%Y-%m-%d", time.gmtime()))
        fixed = FixedWindowRateLimiter(storage)
        if await fixed.hit(limit, *today, cost=cost):
            return 0
        if cost > 1:  # what is left may do for something cheaper
            await storage.incr(limit.key_for(*today), limit.get_expiry(), amount=-cost)
        return DAY_SECONDS - time.time() % DAY_SECONDS

    async def left(self, rate: str, *what: str) -> int | None:
        """How many are left; None where that cannot be told now."""
        limit = parse(rate)
        daily = limit.GRANULARITY.name == "day"
        strategy = (FixedWindowRateLimiter if daily else SlidingWindowCounterRateLimiter)(self._storage)
        identifiers = (*what, time.strftime("%Y-%m-%d", time.gmtime())) if daily else what
        try:
            return max(0, (await strategy.get_window_stats(limit, *identifiers)).remaining)
        except FAILURES:
            return None
