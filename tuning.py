"""FastMCP, quicker for a server whose tools are fixed once it has been composed."""

from fastmcp import FastMCP
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec


class FixedServer(FastMCP):
    """Looks each tool up once.

    FastMCP asks all providers, wraps the tool of a mount anew and reads the session's visibility rules, in
    the root and again in the mount: half of a call's time. Rules for one session, and tools or transforms
    added after the first call, are not seen here; a tool with an `auth` of its own is looked up every time.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # whatever FastMCP takes
        self._found: dict[str, Tool] = {}

    async def get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        if version is not None:
            return await super().get_tool(name, version)
        if (known := self._found.get(name)) is not None:
            return known
        tool = await super().get_tool(name)
        if tool is not None and tool.auth is None:
            self._found[name] = tool
        return tool
