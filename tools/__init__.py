"""The MCP face: each tool is a signature, a sentence and one call to its backend."""

import json
from typing import Any

from mcp.types import ToolAnnotations
from pydantic import BeforeValidator

READS_HERE = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
READS_NETWORK = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)


def _decode(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


# Some hosts send a list or an object as its JSON text; the advertised schema stays "array" or "object".
MaybeJson = BeforeValidator(_decode)
