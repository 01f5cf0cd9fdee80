"""FastMCP, quicker for a server whose tools are fixed once it has been composed.

Every private name of FastMCP that Almanac stands on is used here, or handed out here. Without one of them
FastMCP's own way is taken, which is slower and otherwise the same, and one line of the log says so. For each
step tests/test_tuning.py has what fails when a release makes it needless.
"""

import functools
import gc
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from fastmcp import FastMCP
from fastmcp.server.auth import AccessToken
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import FunctionTool, Tool, ToolResult
from fastmcp.utilities.versions import VersionSpec
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel
from pydantic_core import from_json

Hook = Callable[..., Awaitable[Any]]
NEEDED = {
    "_mcp_server": "STDIO, lists, long results, calls over HTTP",
    "_lifespan_manager": "STDIO",
    "_run_middleware": "calls",
    "_state_store": "the start",
    "_extensions": "calls",
}

log = structlog.get_logger("almanac")


def protocol_server(root: FastMCP) -> Any:
    """The protocol's own server, to which FastMCP shows no way; None if it cannot be reached."""
    return getattr(root, "_mcp_server", None)


def lifespan(root: FastMCP) -> Any:
    """What enters the lifespans of the server and of those mounted on it; None if it cannot be reached."""
    return getattr(root, "_lifespan_manager", None)


def around_protocol(root: FastMCP) -> list[Any]:
    """The middleware of the protocol's server, to be added to; a list of no use if it cannot be reached."""
    middleware = getattr(protocol_server(root), "middleware", None)
    return middleware if isinstance(middleware, list) else []


class Quick(FunctionTool):
    """A tool whose result, if it is a model, is dumped once; FastMCP does so three times."""

    def convert_result(self, raw_value: Any) -> ToolResult:
        # Not what is a result already, which FastMCP takes apart, nor a model in place of another.
        is_its_own = type(raw_value) is self.return_type and self.output_schema
        is_wrapped = "x-fastmcp-wrap-result" in (self.output_schema or {})  # what may be no object
        is_made = isinstance(raw_value, ToolResult | CallToolResult) or not isinstance(raw_value, BaseModel)
        if not is_its_own or is_wrapped or is_made:
            return super().convert_result(raw_value)
        try:
            text = raw_value.model_dump_json()
            structured = from_json(text)
        except ValueError:  # half a character; a number of 4,301 digits
            return super().convert_result(raw_value)
        return ToolResult.model_construct(
            content=[TextContent(type="text", text=text)],
            structured_content=structured,
            meta=None,
            is_error=False,
        )


class FixedServer(FastMCP):
    """Looks each tool up once.

    FastMCP asks all providers, wraps the tool of a mount anew and reads the session's visibility rules, in
    the root and again in the mount: half of a call's time. Rules for one session, and tools or transforms
    added after the first call, are not seen here; a tool with an `auth` of its own is looked up every time.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # whatever FastMCP takes
        self._found: dict[str, Tool] = {}
        self._session_state = _Unused(lambda: super(FixedServer, self)._state_store)
        self._around: tuple[list[Middleware], list[Hook]] = ([], [])

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        version: VersionSpec | None = None,
        run_middleware: bool = True,
    ) -> ToolResult:
        # A mount has none of its own: without it, one of its two contexts and all that is made for it go.
        goes_through = bool(self.middleware or getattr(self, "_extensions", True))
        return await super().call_tool(
            name, arguments, version=version, run_middleware=run_middleware and goes_through
        )

    async def _run_middleware(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any], *, phase: Any = "all"
    ) -> Any:
        """The chain of a call, without what only passes on: three wrappers for each of seven middlewares."""
        plain = all(type(each).__call__ is Middleware.__call__ for each in self.middleware)
        if phase != "all" or context.method != "tools/call" or not plain:
            return await super()._run_middleware(context, call_next, phase=phase)
        for hook in self._hooks():
            call_next = functools.partial(hook, call_next=call_next)
        return await call_next(context)

    def _hooks(self) -> "list[Hook]":
        """What each middleware does about a call, the innermost first."""
        known, hooks = self._around
        if known != self.middleware:
            hooks = [
                getattr(each, name)
                for each in reversed(self.middleware)
                for name in ("on_call_tool", "on_request", "on_message")
                if getattr(type(each), name) is not getattr(Middleware, name)
            ]
            self._around = [*self.middleware], hooks
        return hooks

    @property
    def _state_store(self) -> Any:
        return self._session_state

    async def get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        if version is not None:
            return await super().get_tool(name, version)
        if (known := self._found.get(name)) is not None:
            return known
        tool = await super().get_tool(name)
        if tool is None or tool.auth is not None:
            return tool
        if type(tool) is FunctionTool:
            tool = tool.model_copy()
            tool.__class__ = Quick
        self._found[name] = tool
        return tool


class _Unused:
    """A store of what sessions keep, made when there is something to keep.

    FastMCP looks for a session's rules in each list, and its store takes 450 modules and 80 ms to import.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    async def get(self, *, key: str) -> Any:
        return await self._made.get(key=key) if self._made else None

    def __getattr__(self, name: str) -> Any:
        self._made = self._made or self._make()
        return getattr(self._made, name)


def settle(root: FastMCP) -> None:
    """Make the most of a server that is composed: nothing of it will go, and nothing be added."""
    tell_missing(root)
    spare_collections()


def tell_missing(root: FastMCP) -> None:
    """Log what this release of FastMCP no longer has, and what is slower for it."""
    missing = [name for name in NEEDED if not hasattr(FastMCP, name) and name not in vars(root)]
    if missing:
        slower = ", ".join(dict.fromkeys(NEEDED[name] for name in missing))
        log.warning("FastMCP has changed, and its own way is taken", missing=missing, slower=slower)


def spare_collections() -> None:
    """Keep what was made until now out of the garbage collector, and let it look less often.

    A full collection walks 134,000 objects of the imports in 64 ms and frees none of them: half of the 99th
    percentile at 32 callers. 10,000 rows are as many objects, and 700 at a time cost them 10%; at 50,000 at a
    time 8 MB of garbage gather.
    """
    gc.set_threshold(10_000, 20, 20)
    gc.freeze()
    gc.enable()  # server.py imports without


async def tell_schemas(root: FastMCP) -> None:
    """Let the protocol's server look up a tool's parameters, which it wants for each HTTP call of 2026-07-28.

    It compares headers with them. FastMCP does not tell it where they are, so each call runs a `tools/list`:
    7.8 ms instead of 1.1.
    """
    server = protocol_server(root)
    if hasattr(server, "get_tool_input_schema"):
        known = {tool.name: tool.parameters for tool in await root.list_tools(run_middleware=False)}
        server.get_tool_input_schema = known.get


LISTS = {"tools/list", "prompts/list", "resources/list", "resources/templates/list"}
MOST_LISTS = 64
LONGEST_QUESTION = 2_000  # characters; usual ones have a hundred


def remember_lists(
    root: FastMCP, granted: Callable[[AccessToken], Iterable[str]] = lambda token: token.scopes
) -> None:
    """Give the list that the same question has had before, in the form in which it is sent.

    What is listed is fixed, and making the list of 22 tools takes 2 ms of 2.3. The question is all that is
    sent with it, the protocol's version and the scopes of the caller; the first one has passed every check.

    Args:
        root: Whose lists.
        granted: The scopes that the bearer of a token has here, whatever the token says.
    """
    known: dict[str, dict[str, Any]] = {}

    async def answer(context: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        if context.method not in LISTS:
            return await call_next(context)
        token = get_access_token()
        scopes = sorted(granted(token)) if token else None
        question = json.dumps([context.method, context.protocol_version, context.params, scopes], default=str)
        if (found := known.get(question)) is None:
            found = await call_next(context)
            if not isinstance(found, dict) or len(question) > LONGEST_QUESTION:
                return found
            if len(known) == MOST_LISTS:  # as many as anybody likes can be made up
                known.clear()
            known[question] = found
        return dict(found)

    around_protocol(root).insert(0, answer)
