"""Translation tools."""

from typing import Annotated

from fastmcp import Context, FastMCP
from pydantic import Field

from backends.translate import BatchResult, Detection, LanguageList, TextResult, Translator
from errors import quote
from tools import READS_HERE, READS_NETWORK, MaybeJson, may_be_left_out, telling, warn

Target = Annotated[str, Field(description="Code or English name, such as 'pt-BR'.")]
Source = Annotated[str, Field(description="Like target, or 'auto' to detect it.")]


def register(server: FastMCP, backend: Translator) -> None:
    @server.tool(title="Translate", tags={"translate", "read", "network"}, annotations=READS_NETWORK)
    async def text(
        text: Annotated[str, Field(description="White space and line ends are kept.")],
        target: Target,
        ctx: Context,
        source: Source = "auto",
    ) -> TextResult:
        """Translate a text. Says which engine did it, from which language, and how good that is."""
        await ctx.report_progress(0, 1)
        async with telling(ctx, f"Translating to {quote(target)}."):
            result = await backend.text(text, target, source)
        await ctx.report_progress(1, 1)
        await warn(ctx, result.notices)
        return result

    @server.tool(title="Translate a list", tags={"translate", "read", "network"}, annotations=READS_NETWORK)
    async def batch(
        texts: Annotated[
            list[str],
            Field(min_length=1, max_length=100, description="Each translated by itself."),
            MaybeJson,
        ],
        target: Target,
        ctx: Context,
        source: Source = "auto",
    ) -> BatchResult:
        """Translate many texts: an item for each, in order, with its text or its own error."""
        result = await backend.batch(texts, target, source, ctx.report_progress)
        await ctx.info(f"{len(texts) - result.failed} of {len(texts)} texts translated to {result.target}.")
        await warn(ctx, result.notices)
        return result

    @server.tool(title="Detect a language", tags={"translate", "read", "local"}, annotations=READS_HERE)
    async def detect(
        text: Annotated[str, Field(description="A sentence tells more than a word.")],
    ) -> Detection:
        """Languages a text may be in, best first; 'und' when that cannot be told."""
        return await backend.detect(text)

    @server.tool(title="Languages to translate", tags={"translate", "read", "local"}, annotations=READS_HERE)
    async def languages(
        ctx: Context,
        query: Annotated[
            str | None,
            Field(description="Part of a name, or how a code begins.", json_schema_extra=may_be_left_out),
        ] = None,
    ) -> LanguageList:
        """Languages with code, name and the engines that can do them now."""
        result = await backend.languages(query)
        await warn(ctx, result.notices)
        return result
