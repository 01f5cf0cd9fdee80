"""The sandbox's files as resources, each under its own path and with its own media type."""

from fastmcp import FastMCP
from fastmcp.resources import ResourceContent, ResourceResult

from backends.files import Sandbox


def register(server: FastMCP, backend: Sandbox) -> None:
    @server.resource(
        "almanac://{path*}",
        title="File",
        mime_type="application/octet-stream",  # what a file may be; each is read with its own
        tags={"files", "read", "local"},
    )
    async def file(path: str) -> ResourceResult:
        """A file of the sandbox as a whole: text as text, everything else as bytes."""
        content, mime_type = await backend.read_whole(path)
        return ResourceResult([ResourceContent(content, mime_type=mime_type)])
