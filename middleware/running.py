"""The calls that are running: when the server ends, each is finished in time or answered with a refusal."""

from typing import Any

import anyio
import mcp.types as mt
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from errors import Unavailable

OVER = "The server is ending and did not finish this; ask again in a moment."


class Running(Middleware):
    """Knows which calls run, and ends them when there is no more time for them."""

    def __init__(self) -> None:
        self._running: set[anyio.CancelScope] = set()
        self.is_ending = False  # from now on no replica's work should come here
        self._is_over = False

    def __len__(self) -> int:
        return len(self._running)

    def __bool__(self) -> bool:
        return True

    def end(self) -> None:
        """Answer every call that still runs, and every one that comes, with a refusal."""
        self.is_ending = self._is_over = True
        for scope in tuple(self._running):
            scope.cancel()

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._run(context, call_next)

    async def on_read_resource(
        self, context: MiddlewareContext[mt.ReadResourceRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._run(context, call_next)

    async def on_get_prompt(
        self, context: MiddlewareContext[mt.GetPromptRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._run(context, call_next)

    async def _run(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        if self._is_over:
            raise Unavailable(OVER)
        with anyio.CancelScope() as scope:
            self._running.add(scope)
            try:
                return await call_next(context)
            finally:
                self._running.discard(scope)
        raise Unavailable(OVER)
