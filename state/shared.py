"""The store that replicas share: Redis or Valkey."""

import contextlib
from typing import Any

GIVE_UP_S = 2.0  # longer than any caller waits, so that a slow connection is there for the next one


class RedisStore:
    """Redis or Valkey; the client is made by the first call, in that call's event loop."""

    def __init__(self, url: str) -> None:
        import redis.asyncio  # 0.3 s, which only who shares pays, and at the start

        self._redis = redis.asyncio
        self._url = url
        self._client: redis.asyncio.Redis | None = None

    def _open(self) -> Any:
        if self._client is None:
            pool = self._redis.BlockingConnectionPool.from_url(
                self._url,
                max_connections=8,
                timeout=GIVE_UP_S,
                socket_timeout=GIVE_UP_S,
                socket_connect_timeout=GIVE_UP_S,
                retry=_once_more(),
            )
            self._client = self._redis.Redis(connection_pool=pool)
        return self._client

    async def get(self, collection: str, key: str) -> bytes | None:
        value: bytes | None = await self._open().get(f"almanac:{collection}:{key}")
        return value

    async def put(self, collection: str, key: str, value: bytes, ttl_s: float) -> None:
        await self._open().set(f"almanac:{collection}:{key}", value, px=max(1, int(ttl_s * 1000)))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # it says good-bye to a server that may be gone
                await client.aclose(close_connection_pool=True)


def _once_more() -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Retry(NoBackoff(), 1)  # a connection that its server has ended meanwhile
