"""Argument completion for the whole application: FastMCP does not forward a mounted server's handler."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

Completer = Callable[[str, Mapping[str, str]], Awaitable[list[str]]]
MOST = 100  # the protocol's limit for one answer


def complete_with(backends: Mapping[str, Any]) -> Any:
    """A completion handler that asks the domain which owns the argument.

    Args:
        backends: By domain; each has `completers()`, from argument name to a coroutine function that
            takes what was typed and the arguments already given. An argument has one owner: `path`
            means the sandbox in a prompt about translation too.
    """
    completers: dict[str, Completer] = {}
    for backend in backends.values():
        completers |= backend.completers()

    async def handler(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        if (complete := completers.get(argument.name)) is None:
            return None
        values = await complete(argument.value, (context and context.arguments) or {})
        return Completion(values=values[:MOST], total=len(values), has_more=len(values) > MOST)

    return handler
