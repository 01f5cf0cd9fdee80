"""The floor of a call through FastMCP: a tool that gives back what it was given."""

from fastmcp import FastMCP

server = FastMCP("trivial")


@server.tool
async def same(text: str) -> str:
    """The text."""
    return text


if __name__ == "__main__":
    server.run(show_banner=False)
