"""What a caller's token lets it see and call: scopes against the tags of tools, resources and prompts.

A component with a tag `read`, `write` or `admin` needs the scopes of these names, one without any needs
`admin`. Over STDIO and in this process nobody is asked. What may not be called is not listed either.

FastMCP's own AuthMiddleware would say of a tool that is not there that the token does not allow it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import mcp.types as mt
from fastmcp.server.auth import AccessToken
from fastmcp.server.dependencies import get_access_token, get_context
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from config import Scope
from errors import Forbidden, quote
from middleware.called import server_of, tool_of

SCOPES = frozenset[str](get_args(Scope))
Component = TypeVar("Component")


class Scopes(Middleware):
    """Lists and lets pass what the token allows.

    Args:
        granted: The scopes that a token has.
    """

    def __init__(self, granted: Callable[[AccessToken], frozenset[str]]) -> None:
        self._granted = granted

    def of_caller(self) -> frozenset[str]:
        """The scopes of whoever makes the request that is being handled."""
        if get_context().transport in (None, "stdio"):
            return SCOPES
        token = get_access_token()
        granted = self._granted(token) if token else frozenset()
        return SCOPES if "admin" in granted else granted

    def of_an_admin(self) -> bool:
        """Whether the caller may see how the server is run."""
        return "admin" in self.of_caller()

    def missing(self, tags: set[str]) -> frozenset[str]:
        """What the caller lacks for a component with these tags."""
        return _needed(tags) - self.of_caller()

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        return self._allowed(await call_next(context))

    async def on_list_resources(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        return self._allowed(await call_next(context))

    async def on_list_resource_templates(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        return self._allowed(await call_next(context))

    async def on_list_prompts(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        return self._allowed(await call_next(context))

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        self._check(context.message.name, await tool_of(context))
        return await call_next(context)

    async def on_read_resource(
        self, context: MiddlewareContext[mt.ReadResourceRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        uri, server = str(context.message.uri), server_of(context)
        self._check(uri, await server.get_resource(uri) or await server.get_resource_template(uri))
        return await call_next(context)

    async def on_get_prompt(
        self, context: MiddlewareContext[mt.GetPromptRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        self._check(context.message.name, await server_of(context).get_prompt(context.message.name))
        return await call_next(context)

    async def on_request(
        self, context: MiddlewareContext[mt.Request[Any, Any]], call_next: CallNext[Any, Any]
    ) -> Any:
        if context.method == "completion/complete" and (lacks := self.missing({"read"})):
            raise _forbidden("completion", lacks)
        return await call_next(context)

    def _allowed(self, components: Sequence[Component]) -> list[Component]:
        held = self.of_caller()
        return [component for component in components if _needed(getattr(component, "tags", set())) <= held]

    def _check(self, name: str, component: Any) -> None:
        """Refuses a component that the caller may not use; one that is not there is for others to refuse."""
        if component is not None and (lacks := self.missing(component.tags)):
            raise _forbidden(name, lacks)


def _needed(tags: set[str]) -> frozenset[str]:
    return (SCOPES & tags) or frozenset({"admin"})


def _forbidden(name: str, lacks: frozenset[str]) -> Forbidden:
    words = " and ".join(sorted(lacks))
    return Forbidden(f"Your token may not use {quote(name)}: it lacks the scope {words}.")
