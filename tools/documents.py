"""`translate_document`: a text of the sandbox into another language, in a new file beside it."""

import io
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Annotated

from fastmcp import Context, FastMCP
from pydantic import Field

from backends.files import Sandbox
from backends.translate import DocumentResult, Translator
from errors import TooMuch, Unavailable, quote
from tools import MAKES_NETWORK, Progress, may_be_left_out, warn
from tools.translate import Source, Target

PAGE_LINES = 500  # held at once
SHORTENED = 65_000  # bytes; of a longer line files_read shows only so much


def register(server: FastMCP, translator: Translator, sandbox: Sandbox) -> None:
    @server.tool(
        title="Translate a document",
        tags={"hub", "translate", "files", "write", "network"},
        annotations=MAKES_NETWORK,
    )
    async def translate_document(
        path: Annotated[str, Field(description="Text (.txt) or Markdown (.md) file of the sandbox.")],
        target: Target,
        ctx: Context,
        source: Source = "auto",
        save_as: Annotated[
            str | None,
            Field(
                description="New file; beside it, as notes.es.md, if left out.",
                json_schema_extra=may_be_left_out,
            ),
        ] = None,
    ) -> DocumentResult:
        """Translate a file into a new one. Structure, code, links and placeholders stay as they are."""
        pair = await translator.pair(target, source)
        before = await sandbox.info(path)
        translator.refuse_large_document(path, before.size)
        new = save_as or _beside(path, pair[0])
        progress = Progress(ctx)

        async def report(done: int) -> None:
            await progress(min(done, before.size), before.size, f"{done:,} characters")

        await ctx.report_progress(0, before.size)
        told: dict[str, None] = {}
        async with sandbox.new_file(new) as file:
            result = await translator.document(path, _lines(sandbox, path, told), pair, file.write, report)
            after = await sandbox.info(path)
            if (after.size, after.modified) != (before.size, before.modified):
                raise Unavailable(f"{quote(path)} changed meanwhile, so nothing was written. Try again.")
        await ctx.report_progress(before.size, before.size)
        result = result.model_copy(update={"path": new, "notices": (*told, *result.notices)})
        await ctx.info(f"{result.source} to {result.target} in {quote(new)}: {result.quality}.")
        await warn(ctx, result.notices)
        return result


def _beside(path: str, target: str) -> str:
    whole = PurePosixPath(path)
    return str(whole.with_name(f"{whole.stem}.{target}{whole.suffix}"))


async def _lines(sandbox: Sandbox, path: str, told: dict[str, None]) -> AsyncIterator[str]:
    """The lines of a text file, however many; what a reader should know of it goes to `told`."""
    number: int | None = 1
    while number is not None:
        page = await sandbox.read(path, number, PAGE_LINES)
        if page.encoding != "utf-8":
            told[f"The file is in {page.encoding}; the new one is in utf-8."] = None
        for line in io.StringIO(page.text, newline="\n"):
            if len(line) > SHORTENED // 4 and len(line.encode()) > SHORTENED:
                raise TooMuch(f"{quote(path)} has lines of more than 64 KB. Break them first.")
            yield line
        number = page.next_line
