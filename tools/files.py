"""files: not built yet."""

from fastmcp import FastMCP

from backends.files import Sandbox


def register(server: FastMCP, backend: Sandbox) -> None: ...
