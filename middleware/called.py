"""What a request names: a tool of the server it is for, and the domain of a tool or of an address."""

from typing import Any

import mcp.types as mt
from fastmcp import FastMCP
from fastmcp.server.middleware import MiddlewareContext
from fastmcp.tools import Tool


def server_of(context: MiddlewareContext[Any]) -> FastMCP:
    assert context.fastmcp_context is not None  # noqa: S101 - FastMCP sets it on every request it dispatches
    return context.fastmcp_context.fastmcp


async def tool_of(context: MiddlewareContext[mt.CallToolRequestParams]) -> Tool | None:
    """The tool that is called; None if there is none of that name. The server remembers each."""
    return await server_of(context).get_tool(context.message.name)


def domain_of(tool: str) -> str:
    """By a tool's name, which may be anything that a caller sent."""
    return tool.split("_", 1)[0]


def domain_of_uri(uri: str) -> str:
    return uri.removeprefix("almanac://").split("/", 1)[0]
