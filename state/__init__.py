"""Where caches lie: SQLite in the state directory, memory when no directory can be used, or Redis/Valkey.

It keeps what may be lost. A store that fails, is slow or is out of reach gives nothing back and holds no
call up; what is kept ends, is bounded in size, and is shared by every process with the same settings.

The stores of py-key-value, which comes with FastMCP, hold JSON only, have no SQLite among them and wait
for a Redis that is gone as long as its socket does, so these are the standard library's and `redis` itself.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import structlog
from pydantic import SecretStr

from state.file import SqliteStore
from state.shared import RedisStore
from upstream import Breaker, Store

T = TypeVar("T")

log = structlog.get_logger("almanac")

PATIENCE_S = 0.08  # what a call waits at most; a get takes 0.1 ms from the file, 0.3 ms from a near Redis
PAUSE_S = 5.0
CLOSE_S = 1.0
MOST_VALUE = 1_000_000


class _Store(Store, Protocol):
    """What holds the values; any of its methods may raise, and may take long."""

    async def close(self) -> None: ...


class State:
    """Values by collection and key; open it with `async with`, which closes what was used.

    Args:
        directory: Where the file lies; it is made when first written to. None means memory.
        url: Redis or Valkey to use instead.
        clock: Wall-clock time in seconds, which processes agree on.
        patience_s: The longest any of its calls waits.
    """

    def __init__(
        self,
        directory: Path | None = None,
        url: SecretStr | None = None,
        clock: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._store: _Store = RedisStore(url.get_secret_value()) if url else SqliteStore(directory, clock)
        self._patience_s = patience_s
        self._breaker = Breaker(failures=1, pause_s=PAUSE_S)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.note = ""  # why nothing is kept, while that is so

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()

    async def get(self, collection: str, key: str) -> bytes | None:
        """The value, or None if there is none, it has ended, or the store does not answer."""
        return await self._ask(lambda: self._store.get(collection, key))

    async def put(self, collection: str, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value for `ttl_s`, if the store can."""
        if ttl_s > 0 and len(value) <= MOST_VALUE:
            await self._ask(lambda: self._store.put(collection, key, value, ttl_s))

    async def _ask(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        if not self._breaker.admit():
            return None
        try:
            return await self._answer(work)
        finally:
            self._breaker.abandoned()

    async def _answer(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        # A task of its own, which a caller who leaves or waits no longer does not end: a connection
        # that is being made is then there for the next one.
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        began = time.monotonic()
        await asyncio.wait({task}, timeout=self._patience_s)
        if time.monotonic() - began > 1.2 * self._patience_s:  # it was this process that stood still
            await asyncio.wait({task}, timeout=self._patience_s / 4)
        if not task.done():
            self._failed("it is too slow")
            return None
        if error := task.exception():
            self._failed(f"{type(error).__name__}: {error}")
            return None
        if self.note:
            log.info("what is kept can be reached again")
        self.note = ""
        self._breaker.succeeded()
        return task.result()

    def _failed(self, why: str) -> None:
        self._breaker.failed()
        if not self.note:
            log.warning("caches are not kept or shared", why=why)
        self.note = why

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even when the caller has left
