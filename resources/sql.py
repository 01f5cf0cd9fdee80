"""sql: not built yet."""

from fastmcp import FastMCP

from backends.sql import Databases


def register(server: FastMCP, backend: Databases) -> None: ...
