"""The sandbox's files as resources, each under its own path and media type, and its directories."""

from fastmcp import FastMCP
from fastmcp.resources import ResourceContent, ResourceResult

from backends.files import Sandbox

TAGS = {"files", "read", "local"}


def register(server: FastMCP, backend: Sandbox) -> None:
    @server.resource("almanac://", name="files", title="Files", mime_type="application/json", tags=TAGS)
    async def top() -> ResourceResult:
        """What the sandbox's top directory holds; files_list goes further down."""
        return await _listing(backend, ".")

    @server.resource(
        "almanac://{path*}",
        title="File",
        mime_type="application/octet-stream",  # what a file may be; each is read with its own
        tags=TAGS,
    )
    async def file(path: str) -> ResourceResult:
        """A file of the sandbox as a whole: text as text, everything else as bytes. A directory's listing."""
        if path.endswith("/"):
            return await _listing(backend, path)
        content, mime_type = await backend.read_whole(path)
        return ResourceResult([ResourceContent(content, mime_type=mime_type)])


async def _listing(backend: Sandbox, path: str) -> ResourceResult:
    listing = await backend.list_directory(path, 1, 1_000, None)
    return ResourceResult([ResourceContent(listing.model_dump_json(), mime_type="application/json")])
