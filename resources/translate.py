"""Translation as resources."""

from fastmcp import FastMCP

from backends.translate import Translator


def register(server: FastMCP, backend: Translator) -> None:
    @server.resource(
        "almanac://languages",
        title="Languages",
        mime_type="application/json",
        tags={"translate", "read", "local"},
    )
    async def languages() -> str:
        """Languages with code, name and the engines that can do them now."""
        return (await backend.languages()).model_dump_json()
