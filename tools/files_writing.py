"""The sandbox's tools that change it: absent unless writing is on, and asking before anything is lost."""

from typing import Annotated

from fastmcp import Context, FastMCP
from mcp.types import InputRequiredResult
from pydantic import Field, WithJsonSchema

from backends.files import Sandbox
from backends.files.changes import Changes
from backends.files.changing import Deleted, Made, Moved
from backends.files.editing import Edited, Replacement
from backends.files.replacing import Written
from tools import DESTROYS_HERE, ENSURES_HERE, MAKES_HERE, MaybeJson, Progress, warn
from tools.confirm import Confirmation
from tools.files import Path

TAGS = {"files", "write", "local"}
MOST_EDITS = 100  # in one call


_EDIT = Replacement.model_json_schema()
del _EDIT["description"]
Edits = Annotated[
    list[Replacement],
    MaybeJson,
    Field(min_length=1, max_length=MOST_EDITS),
    WithJsonSchema(  # no input schema here holds a reference
        {
            "type": "array",
            "description": "Made in order: each old text, exact and found count times, becomes new.",
            "minItems": 1,
            "maxItems": MOST_EDITS,
            "items": _EDIT,
        }
    ),
]
NewPath = Annotated[str, Field(description="New path, which nothing may have yet.")]


def register(server: FastMCP, backend: Sandbox) -> None:
    if backend.writes:
        confirmed = Confirmation(backend.changes.asks)
        _register_contents(server, backend.changes, confirmed)
        _register_places(server, backend.changes, confirmed)


def _register_contents(server: FastMCP, changes: Changes, confirmed: Confirmation) -> None:
    @server.tool(title="Write a file", tags=TAGS, annotations=DESTROYS_HERE)
    async def write(
        ctx: Context,
        path: Path,
        text: Annotated[str, Field(description="All of it, to be kept as UTF-8.")],
        overwrite: Annotated[bool, Field(description="Replace a file; the user is asked.")] = False,
    ) -> Written | InputRequiredResult:
        """Write a text file, whole or not at all."""
        proof = ""
        if overwrite:
            change = await changes.foresee_write(path, text)
            if question := await confirmed(ctx, change, "files_write", path, text):
                return question
            proof = change.proof
        return await changes.write(path, text, proof)

    @server.tool(title="Edit a file", tags=TAGS, annotations=DESTROYS_HERE)
    async def edit(
        ctx: Context,
        path: Path,
        edits: Edits,
        dry_run: Annotated[bool, Field(description="Change nothing, show a unified diff.")] = False,
    ) -> Edited:
        """Replace exact texts in a file, all of them or none; encoding and line ends stay."""
        edited = await changes.edit(path, edits, dry_run)
        await warn(ctx, edited.notices)
        return edited


def _register_places(server: FastMCP, changes: Changes, confirmed: Confirmation) -> None:
    @server.tool(title="Create a directory", tags=TAGS, annotations=ENSURES_HERE)
    async def create_directory(path: Path) -> Made:
        """Make a directory, with those above it; one that is there already is fine."""
        return await changes.make_directory(path)

    @server.tool(title="Move or rename", tags=TAGS, annotations=DESTROYS_HERE)
    async def move(ctx: Context, path: Path, new_path: NewPath) -> Moved | InputRequiredResult:
        """Give a file or directory another path, once the user agrees; nothing is replaced."""
        change = await changes.foresee_move(path, new_path)
        if question := await confirmed(ctx, change, "files_move", path, new_path):
            return question
        return await changes.move(path, new_path, change.proof)

    @server.tool(title="Copy a file", tags=TAGS, annotations=MAKES_HERE)
    async def copy(ctx: Context, path: Path, new_path: NewPath) -> Written:
        """Copy one file with its mode; nothing is replaced."""
        progress = Progress(ctx)

        async def report(done: int, size: int) -> None:
            await progress(done, size, f"{done:,} of {size:,} bytes")

        return await changes.copy(path, new_path, report)

    @server.tool(title="Delete", tags=TAGS, annotations=DESTROYS_HERE)
    async def delete(
        ctx: Context,
        path: Path,
        recursive: Annotated[bool, Field(description="Delete a directory with all it holds.")] = False,
    ) -> Deleted | InputRequiredResult:
        """Delete a file, link or empty directory for good, once the user agrees."""
        change = await changes.foresee_delete(path, recursive)
        if question := await confirmed(ctx, change, "files_delete", path, recursive):
            return question
        return await changes.delete(path, recursive, change.proof)
