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

# travel_briefing is the hub's, its arguments are two domains'.
_HUB = {"city": ("weather", "place"), "language": ("translate", "target")}


def complete_with(backends: Mapping[str, Any]) -> Any:
    """A completion handler that asks the domain which owns the argument.

    Args:
        backends: By domain; each has `completers()`, from argument name to a coroutine function that
            takes what was typed and the arguments already given.
    """
    completers: dict[tuple[str, str], Completer] = {
        (domain, argument): complete
        for domain, backend in backends.items()
        for argument, complete in backend.completers().items()
    }

    async def handler(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        if isinstance(ref, PromptReference):
            domain = ref.name.partition("_")[0]
        else:
            domain = ref.uri.removeprefix("almanac://").partition("/")[0]
        owner = _HUB.get(argument.name, ("", "")) if domain == "travel" else (domain, argument.name)
        if (complete := completers.get(owner)) is None:
            return None
        values = await complete(argument.value, (context and context.arguments) or {})
        return Completion(values=values[:MOST], total=len(values), has_more=len(values) > MOST)

    return handler
