"""SQL: tables, their columns, rows, and how a statement would run. Nothing here can write."""

from typing import Annotated, Any

from fastmcp import Context, FastMCP
from fastmcp.tools import ToolResult
from pydantic import Field

from backends.sql import Databases
from backends.sql.results import Plan, Rows, TableDetail, Tables
from errors import quote
from tools import READS_HERE, MaybeJson, answer, may_be_left_out, warn
from tools.aside import lay_aside

TAGS = {"sql", "read", "local"}

Database = Annotated[
    str | None, Field(description="The first one if left out.", json_schema_extra=may_be_left_out)
]
Sql = Annotated[str, Field(description="One SQLite statement that reads.")]
Params = Annotated[
    list[Any] | dict[str, Any] | None,
    MaybeJson,
    Field(description="Values for ? in order, or :name by name."),
]


def register(server: FastMCP, backend: Databases) -> None:
    most = backend.max_rows

    @server.tool(title="List tables", tags=TAGS, annotations=READS_HERE)
    async def list_tables(ctx: Context, database: Database = None) -> Tables:
        """Tables and views of a database with their number of columns and rows."""
        listed = await backend.list_tables(database)
        await warn(ctx, listed.notices)
        return listed

    @server.tool(title="Describe table", tags=TAGS, annotations=READS_HERE)
    async def describe_table(
        table: Annotated[str, Field(description="Table or view.")], ctx: Context, database: Database = None
    ) -> TableDetail:
        """A table's columns, keys, indexes and references, and three sample rows."""
        described = await backend.describe_table(table, database)
        await warn(ctx, described.notices)
        return described

    @server.tool(
        title="Query",
        tags=TAGS,
        annotations=READS_HERE,
        output_schema=Rows.model_json_schema(mode="serialization"),
    )
    async def query(
        sql: Sql,
        ctx: Context,
        params: Params = None,
        limit: Annotated[int, Field(ge=1, le=most, description="Most rows.")] = min(100, most),
        offset: Annotated[int, Field(ge=0, description="Rows to skip.")] = 0,
        database: Database = None,
    ) -> ToolResult:
        """Rows of a read-only query, a page at a time, each row a list in the order of the columns."""

        async def report(seconds: float, most: float) -> None:
            if seconds == 1:  # a query that is quick has told it all with its rows: a tenth of its time
                await ctx.info(f"Query on {quote(database or backend.default)}, up to {most:g} s.")
            await ctx.report_progress(seconds, most)

        rows = await backend.query(sql, params, limit, offset, database, report)
        await warn(ctx, rows.notices)
        return answer(rows.json_text(), lay_aside(rows.structured(), "rows", rows.rows_json))

    @server.tool(title="Explain query", tags=TAGS, annotations=READS_HERE)
    async def explain(sql: Sql, params: Params = None, database: Database = None) -> Plan:
        """How SQLite would run a query, in words: what it scans, which indexes serve, whether it sorts."""
        return await backend.explain(sql, params, database)
