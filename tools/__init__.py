"""The MCP face: each tool is a signature, a sentence and one call to its backend."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Context
from fastmcp.tools import ToolResult
from mcp.types import TextContent, ToolAnnotations
from pydantic import BeforeValidator

READS_HERE = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
READS_NETWORK = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)
MAKES_HERE = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
MAKES_NETWORK = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
)
DESTROYS_HERE = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)
ENSURES_HERE = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_PROGRESS_S = 1.0
TELL_S = 1.0


def _decode(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


# Some hosts send a list or an object as its JSON text; the advertised schema stays "array" or "object".
MaybeJson = BeforeValidator(_decode)


def may_be_left_out(schema: dict[str, Any]) -> None:
    """For `Field(json_schema_extra=)` of a parameter that is None if left out: null itself is not offered."""
    option, _ = schema.pop("anyOf")
    schema.update(option)


async def warn(ctx: Context, notices: Iterable[str]) -> None:
    """Tell the client what the caller should know of a result; the result says it too."""
    for notice in notices:
        await ctx.warning(notice)


def answer(text: str, structured: dict[str, Any]) -> ToolResult:
    """A result in both its forms, each made once by the caller: FastMCP's own way walks it four times."""
    return ToolResult.model_construct(
        content=[TextContent(type="text", text=text)],
        structured_content=structured,
        meta=None,
        is_error=False,
    )


@asynccontextmanager
async def telling(ctx: Context, doing: str) -> AsyncIterator[None]:
    """Tell the client what is being done once that takes a second; what is quick says all with its result.

    A message is a tenth of a short call, and over HTTP it turns the answer into a stream.
    """
    loop, told = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    timer = loop.call_later(TELL_S, lambda: told.add(loop.create_task(ctx.info(doing))))
    try:
        yield
    finally:
        timer.cancel()
        await asyncio.gather(
            *told, return_exceptions=True
        )  # a client that cannot be told still gets the result


class Progress:
    """Tells the client how far a call is, once a second at most."""

    def __init__(self, ctx: Context) -> None:
        self._ctx, self._told = ctx, time.monotonic()

    async def __call__(self, done: float, total: float | None = None, message: str | None = None) -> None:
        if time.monotonic() - self._told > _PROGRESS_S:
            self._told = time.monotonic()
            await self._ctx.report_progress(done, total, message)
