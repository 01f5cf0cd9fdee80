"""The MCP face: each tool is a signature, a sentence and one call to its backend."""

import json
from collections.abc import Iterable
from typing import Any

from fastmcp import Context
from mcp.types import ToolAnnotations
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
