"""mcp's low-level server with one tool that gives back what it was given: the floor of the SDK."""

import sys
from typing import Any

import anyio
import mcp.types as mt
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


async def tools(_: Any, __: mt.PaginatedRequestParams | None) -> mt.ListToolsResult:
    return mt.ListToolsResult(tools=[mt.Tool(name="same", description="The text.", input_schema=SCHEMA)])


async def call(_: Any, params: mt.CallToolRequestParams) -> mt.CallToolResult:
    text = str((params.arguments or {})["text"])
    return mt.CallToolResult(content=[mt.TextContent(type="text", text=text)])


server = Server("lowlevel", on_list_tools=tools, on_call_tool=call)


async def main() -> None:
    async with stdio_server() as (messages, answers):
        await server.run(messages, answers, server.create_initialization_options())


if __name__ == "__main__":
    if sys.argv[1:]:
        app = server.streamable_http_app(stateless_http=True, json_response=True)
        uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
    else:
        anyio.run(main)
