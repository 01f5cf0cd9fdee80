"""How often one caller may call: a rate for each tool, and how many calls at once.

Only calls, reads and prompts count, never a listing: a call of 2026-07-28 over HTTP runs one first.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import mcp.types as mt
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from config import LimitsSettings
from errors import TooMuch
from middleware.caller import caller

if TYPE_CHECKING:
    from counters import Counters  # with `limits` and `redis`, 90 ms of a start that counts nothing


class Limits(Middleware):
    """Refuses what comes too often, before anything is done for it."""

    def __init__(self, settings: LimitsSettings, counters: "Counters") -> None:
        self._settings, self._counters = settings, counters
        self._running: Counter[str] = Counter()

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._limited(context.message.name, context, call_next)

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
        who, most = caller().key, self._settings.at_once
        if self._running[who] >= most:
            raise TooMuch(f"{most} of your calls are running; wait until one is done.")
        self._running[who] += 1
        try:
            if self._settings.rate:
                # Anybody may call anything by any name, and each name that is counted takes room.
                wait_s = await self._counters.take(self._settings.rate, "rate", name[:64], who)
                if wait_s:
                    raise TooMuch(f"{name} is limited to {self._settings.rate}; try again in {wait_s:.0f} s.")
            return await call_next(context)
        finally:
            self._running[who] -= 1
            if not self._running[who]:
                del self._running[who]  # as many callers are remembered as have calls running
