"""How often one caller may call: a rate for each tool, and how many calls at once.

Only calls, reads and prompts count, never a listing: a call of 2026-07-28 over HTTP runs one first.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import anyio
import mcp.types as mt
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from config import LimitsSettings
from errors import TooMuch, Unavailable
from middleware.called import tool_of
from middleware.caller import caller

if TYPE_CHECKING:
    from counters import Counters  # with `limits` and `redis`, 90 ms of a start that counts nothing


class Limits(Middleware):
    """Refuses what comes too often, before anything is done for it.

    Calls at once are counted in this process, which they are a load on; where their number was set and
    replicas share a storage, by all of them together as well.
    """

    def __init__(self, settings: LimitsSettings, counters: "Counters") -> None:
        self._settings, self._counters = settings, counters
        self._running: Counter[str] = Counter()
        self._together = "at_once" in settings.model_fields_set and getattr(counters, "are_shared", False)

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        name = context.message.name
        if self._settings.rate and await tool_of(context) is None:
            name = "no such tool"  # anybody may call by any name, and each name that is counted takes room
        return await self._limited(name, context, call_next)

    async def on_read_resource(
        self, context: MiddlewareContext[mt.ReadResourceRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._limited("resources", context, call_next)

    async def on_get_prompt(
        self, context: MiddlewareContext[mt.GetPromptRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._limited("prompts", context, call_next)

    async def _limited(
        self, name: str, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        counts = self._settings.rate or self._together
        who, most = caller().key if counts else caller().name, self._settings.at_once
        if self._running[who] >= most:
            raise _too_many(most)
        self._running[who] += 1
        try:
            if self._settings.rate:
                wait_s = await self._counters.take(self._settings.rate, "rate", name, who)
                if wait_s:
                    raise TooMuch(f"{name} is limited to {self._settings.rate}; try again in {wait_s:.0f} s.")
            if not self._together:
                return await call_next(context)
            async with self._place(who, most):
                return await call_next(context)
        finally:
            self._running[who] -= 1
            if not self._running[who]:
                del self._running[who]  # as many callers are remembered as have calls running

    @contextlib.asynccontextmanager
    async def _place(self, who: str, most: int) -> AsyncIterator[None]:
        call = secrets.token_hex(8)
        if not await self._counters.enter(who, call, most):
            raise _too_many(most)
        keeping = asyncio.create_task(self._keep(who, call, most))
        try:
            yield
        finally:
            keeping.cancel()
            with anyio.CancelScope(shield=True):  # a call that is cancelled leaves as well
                await self._counters.leave(who, call)

    async def _keep(self, who: str, call: str, most: int) -> None:
        from counters import LEASE_SECONDS

        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with contextlib.suppress(Unavailable):
                await self._counters.enter(who, call, most)


def _too_many(most: int) -> TooMuch:
    return TooMuch(f"{most} of your calls are running; wait until one is done.")
