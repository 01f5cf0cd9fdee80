"""Tells whoever counts of every call, read and prompt: which, how it ended, and how long it took."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import mcp.types as mt
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from middleware import outcomes
from middleware.called import server_of, tool_of
from middleware.shapes import place_of

NOBODYS = "unknown"  # a name that a caller made up


class Meter(Protocol):
    def began(self, event: str, name: str) -> None: ...
    def ended(self, event: str, name: str, outcome: str, seconds: float) -> None: ...
    def answered(self, status: int) -> None: ...


class Instrumentation(Middleware):
    """Stands around everything else, and only where somebody counts."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters
        self._known: set[tuple[str, str]] = set()  # by what they are: a tool may be called as a prompt is

    def answered(self, status: int) -> None:
        """A request over HTTP, of whatever kind, is answered."""
        for meter in self._meters:
            meter.answered(status)

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        name = context.message.name
        if ("call", name) not in self._known:
            name = self._one_there_is("call", name, await tool_of(context))
        return await self._measure("call", name, context, call_next)

    async def on_read_resource(
        self, context: MiddlewareContext[mt.ReadResourceRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._measure("read", place_of(str(context.message.uri)), context, call_next)

    async def on_get_prompt(
        self, context: MiddlewareContext[mt.GetPromptRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        name = context.message.name
        if ("prompt", name) not in self._known:
            name = self._one_there_is("prompt", name, await server_of(context).get_prompt(name))
        return await self._measure("prompt", name, context, call_next)

    def _one_there_is(self, event: str, name: str, component: object) -> str:
        if component is None:
            return NOBODYS
        self._known.add((event, name))
        return name

    async def _measure(
        self, event: str, name: str, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        for meter in self._meters:
            meter.began(event, name)
        began, outcome = time.perf_counter(), "failed"
        try:
            result = await call_next(context)
            outcome = outcomes.of_result(result).word
        except BaseException as error:
            outcome = outcomes.of_error(error).word
            raise
        else:
            return result
        finally:
            seconds = time.perf_counter() - began
            for meter in self._meters:
                meter.ended(event, name, outcome, seconds)
