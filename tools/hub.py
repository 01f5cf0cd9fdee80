"""Tools that span the domains, registered on the root."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Protocol

from fastmcp import Context, FastMCP
from pydantic import Field

from backends import Health, Result
from backends.files import Sandbox
from backends.sql import Databases
from backends.sql.results import ExportFormat
from backends.translate import Translator
from errors import Unknown, quote
from tools import MAKES_HERE, READS_HERE, Progress, documents, warn
from tools.sql import Database, Params, Sql

FORMATS: dict[str, ExportFormat] = {".csv": "csv", ".jsonl": "jsonl"}


class HasHealth(Protocol):
    async def health(self, probe: bool = False) -> Health: ...


class ExportedFile(Result):
    """A file of the sandbox that holds all rows of a query."""

    path: str
    columns: tuple[str, ...]
    row_count: int
    size: int
    elapsed_ms: float
    notices: tuple[str, ...] = ()


def _of_any_names(schema: dict[str, Any]) -> None:
    """Leave out what the values are: the list of tools is paid for in every conversation."""
    del schema["additionalProperties"]


class Status(Result):
    """Every domain that is served, by name."""

    version: str
    domains: dict[str, Health]
    limits: dict[str, str] = Field(default_factory=dict, json_schema_extra=_of_any_names)


Now = Callable[[], Awaitable[Status]]
Left = Callable[[], Awaitable[dict[str, str]]]


async def status_of(
    version: str, backends: Mapping[str, HasHealth], details: Callable[[], bool], left: Left
) -> Status:
    """How each domain is, from what is known now; no provider is asked.

    Args:
        version: Of this server.
        backends: By domain.
        details: Whether the caller is told the providers, and what to do about one that is not well.
        left: Gives what the caller has left of its quotas, in words.
    """
    domains = {name: await backend.health() for name, backend in backends.items()}
    if not details():
        kept = {"providers": (), "mend": ""}
        domains = {name: health.model_copy(update=kept) for name, health in domains.items()}
    return Status(version=version, domains=domains, limits=await left())


def register(server: FastMCP, now: Now, backends: Mapping[str, HasHealth]) -> None:
    @server.tool(title="Status", tags={"hub", "read", "local"}, annotations=READS_HERE)
    async def status() -> Status:
        """Whether each domain is ready, or why not, and what is left of your quotas."""
        return await now()

    databases, sandbox = backends.get("sql"), backends.get("files")
    if isinstance(databases, Databases) and isinstance(sandbox, Sandbox) and sandbox.writes:
        _register_export(server, databases, sandbox)
    translator = backends.get("translate")
    if isinstance(translator, Translator) and isinstance(sandbox, Sandbox) and sandbox.writes:
        documents.register(server, translator, sandbox)


def _register_export(server: FastMCP, databases: Databases, sandbox: Sandbox) -> None:
    @server.tool(title="Export query", tags={"hub", "sql", "files", "write", "local"}, annotations=MAKES_HERE)
    async def sql_export(
        sql: Sql,
        save_as: Annotated[
            str, Field(description="New file of the sandbox: .csv, or .jsonl for JSON Lines.")
        ],
        ctx: Context,
        params: Params = None,
        database: Database = None,
    ) -> ExportedFile:
        """All rows of a read-only query, however many, in a new file.

        Integers keep all digits, blobs are base64.
        """
        form = FORMATS.get(PurePosixPath(save_as).suffix.lower())
        if form is None:
            raise Unknown(
                f"save_as is {quote(save_as)}; its name has to end in .csv or .jsonl, which says the format."
            )
        size, progress = 0, Progress(ctx)
        async with sandbox.new_file(save_as) as file:

            async def write(piece: bytes, rows: int) -> None:
                nonlocal size
                await file.write(piece)
                size += len(piece)
                await progress(rows, message=f"{rows:,} rows, {size:,} bytes")

            exported = await databases.export(sql, params, form, write, database)
        await warn(ctx, exported.notices)
        return ExportedFile(path=save_as, size=size, **dict(exported))
