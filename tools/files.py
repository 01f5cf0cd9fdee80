"""The sandbox's tools: everything is read, nothing is written, and nothing outside is reached."""

import base64
from typing import Annotated

import orjson
from fastmcp import Context, FastMCP
from fastmcp.tools import ToolResult
from mcp.types import AudioContent, ImageContent, TextContent
from pydantic import Field
from pydantic_core import from_json

from backends import Result
from backends.files import Sandbox
from backends.files.json_values import Value
from backends.files.reading import Info, Media, Page
from backends.files.searching import Matches
from backends.files.tree import Found, Listing
from backends.files.work import Report
from errors import quote
from tools import READS_HERE, answer, may_be_left_out, telling, warn
from tools.aside import lay_aside

TAGS = {"files", "read", "local"}

Path = Annotated[str, Field(description="From the top, like 'docs/notes.md'.")]
Top = Annotated[str, Field(description="Where to start.")]
Limit = Annotated[int, Field(ge=1, le=10_000, description="Most entries.")]
Cursor = Annotated[str | None, Field(description="The cut's next_cursor.", json_schema_extra=may_be_left_out)]
Ignored = Annotated[bool, Field(description="Also .gitignored ones.")]


def register(server: FastMCP, backend: Sandbox) -> None:
    _register_trees(server, backend)
    _register_contents(server, backend)


def _answer(result: Result, many: str = "") -> ToolResult:
    """The result in both its forms; the list that is called `many` goes past what would walk it again."""
    text = result.model_dump_json()
    structured = from_json(text)
    if many:
        structured = lay_aside(structured, many, orjson.dumps(structured[many]))
    return answer(text, structured)


def _progress(ctx: Context) -> Report:
    async def report(count: int, what: str) -> None:
        await ctx.report_progress(count, message=what)

    return report


def _register_trees(server: FastMCP, backend: Sandbox) -> None:
    @server.tool(
        name="list",
        title="List files",
        tags=TAGS,
        annotations=READS_HERE,
        output_schema=Listing.model_json_schema(mode="serialization"),
    )
    async def list_entries(
        ctx: Context,
        path: Path = ".",
        depth: Annotated[int, Field(ge=1, le=50, description="Levels to show.")] = 1,
        limit: Limit = 200,
        cursor: Cursor = None,
    ) -> ToolResult:
        """Entries of a directory with kind, size in bytes and time of change."""
        listing = await backend.list_directory(path, depth, limit, cursor)
        await warn(ctx, listing.notices)
        return _answer(listing, "entries")

    @server.tool(
        title="Find files",
        tags=TAGS,
        annotations=READS_HERE,
        output_schema=Found.model_json_schema(mode="serialization"),
    )
    async def find(
        ctx: Context,
        pattern: Annotated[
            str,
            Field(
                min_length=1,
                description="Glob: '*.md' at any depth, 'logs/**/*.log' from path.",
            ),
        ],
        path: Top = ".",
        limit: Limit = 200,
        cursor: Cursor = None,
        ignored: Ignored = False,
    ) -> ToolResult:
        """Paths of files and directories (these end in /) that match a glob."""
        async with telling(ctx, f"Looking for {quote(pattern)} in {quote(path)}."):
            found = await backend.find(pattern, path, limit, _progress(ctx), cursor=cursor, ignored=ignored)
        await warn(ctx, found.notices)
        return _answer(found, "paths")

    @server.tool(
        title="Search in files",
        tags=TAGS,
        annotations=READS_HERE,
        output_schema=Matches.model_json_schema(mode="serialization"),
    )
    async def search(
        ctx: Context,
        text: Annotated[str, Field(min_length=1, description="Exact text, case and all.")],
        path: Annotated[str, Field(description="Where to search.")] = ".",
        glob: Annotated[str, Field(description="Files to search.")] = "**",
        regex: Annotated[bool, Field(description="RE2 expression; (?i) ignores case.")] = False,
        context: Annotated[int, Field(ge=0, le=20, description="Lines around each.")] = 0,
        limit: Annotated[int, Field(ge=1, le=1000, description="Most lines.")] = 100,
        cursor: Cursor = None,
        ignored: Ignored = False,
    ) -> ToolResult:
        """Lines of text files that hold the text, with path and line number."""
        async with telling(ctx, f"Searching {quote(path)}."):
            matches = await backend.search(
                text,
                path,
                glob,
                regex=regex,
                context=context,
                limit=limit,
                report=_progress(ctx),
                cursor=cursor,
                ignored=ignored,
            )
        await warn(ctx, matches.notices)
        return _answer(matches, "matches")

    @server.tool(title="File facts", tags=TAGS, annotations=READS_HERE)
    async def info(ctx: Context, path: Path) -> Info:
        """Kind, size in bytes, times, media type; a text's encoding and lines; a table's columns and rows."""
        facts = await backend.info(path)
        await warn(ctx, facts.notices)
        return facts


def _register_contents(server: FastMCP, backend: Sandbox) -> None:
    @server.tool(
        title="Read a text file",
        tags=TAGS,
        annotations=READS_HERE,
        output_schema=Page.model_json_schema(mode="serialization"),
    )
    async def read(
        ctx: Context,
        path: Path,
        start_line: Annotated[int, Field(description="From 1; -1 is the last.")] = 1,
        max_lines: Annotated[int, Field(ge=1, le=10_000, description="Most lines.")] = 500,
    ) -> ToolResult:
        """Lines of a text file, with their numbers and where to go on."""
        page = await backend.read(path, start_line, max_lines)
        await warn(ctx, page.notices)
        return _answer(page)

    @server.tool(title="Read a JSON file", tags=TAGS, annotations=READS_HERE)
    async def read_json(
        ctx: Context,
        path: Path,
        pointer: Annotated[
            str,
            Field(max_length=1000, description="JSON pointer, '/cities/0/name'; '' is all."),
        ] = "",
    ) -> Value:
        """The value at a JSON pointer in a JSON file."""
        value = await backend.read_json(path, pointer)
        await warn(ctx, value.notices)
        return value

    @server.tool(
        title="Read media",
        tags=TAGS,
        annotations=READS_HERE,
        output_schema=Media.model_json_schema(),
    )
    async def read_media(path: Path) -> ToolResult:
        """An image or audio file as a block; a smaller copy of a large image."""
        media, data = await backend.read_media(path)
        encoded = base64.b64encode(data).decode()
        if media.mime_type.startswith("image/"):
            block: ImageContent | AudioContent = ImageContent(
                type="image", data=encoded, mime_type=media.mime_type
            )
        else:
            block = AudioContent(type="audio", data=encoded, mime_type=media.mime_type)
        told = [TextContent(type="text", text=media.note)] if media.note else []
        return ToolResult(content=[block, *told], structured_content=media.model_dump(exclude_defaults=True))
