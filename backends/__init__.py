"""The world, in Python, without MCP: one module or package a domain, each an async context manager.

What they share is vocabulary only: how a result looks, and how a domain says how it is.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


def _compact(schema: dict[str, Any]) -> None:
    """Drop what repeats the field's name or is implied: it is paid for in every `tools/list`."""
    schema.pop("title", None)
    schema.pop("description", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
        field.pop("default", None)
        options = field.get("anyOf", [])
        if len(options) == 2 and options[1] == {"type": "null"} and set(options[0]) == {"type"}:
            del field["anyOf"]
            field["type"] = [options[0]["type"], "null"]


class Result(BaseModel):
    """What a backend returns and a tool sends as structured content; frozen, with a lean schema."""

    model_config = ConfigDict(frozen=True, json_schema_extra=_compact)


class Provider(Result):
    """One source a domain can ask."""

    name: str
    state: Literal["ready", "untried", "failing", "missing"]
    note: str = ""


class Health(Result):
    """How a domain is: `state`, what an operator should know, and what to do if it is not well."""

    state: Literal["ready", "degraded", "unavailable"]
    summary: str
    mend: str = ""
    providers: tuple[Provider, ...] = ()
