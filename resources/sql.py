"""What the databases hold, as resources."""

from typing import Any

from fastmcp import FastMCP

from backends.sql import Databases

SHARED: dict[str, Any] = {"mime_type": "application/json", "tags": {"sql", "read", "local"}}


def register(server: FastMCP, backend: Databases) -> None:
    @server.resource("almanac://{database}/tables", title="Tables", **SHARED)
    async def tables(database: str) -> str:
        """Tables and views of a database with their number of columns and rows."""
        return (await backend.list_tables(database)).model_dump_json()

    @server.resource("almanac://{database}/tables/{table}", title="Table", **SHARED)
    async def table(database: str, table: str) -> str:
        """A table's columns, keys, indexes, references and definition, and three sample rows."""
        return (await backend.document_table(table, database)).model_dump_json()
