"""EDGE B: whatever goes wrong leaves as one plain line, and only what the caller can act on is told.

A refusal passes with its text. Bad arguments become a line that names the parameter and what it takes.
Everything else is masked behind a reference that stands in the log beside the original cause, and in the
audit's line of the call. It also covers prompts, whose errors FastMCP shows even when masking is on.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import mcp.types as mt
import structlog
from fastmcp.exceptions import AuthorizationError, FastMCPError, NotFoundError, ToolError, ValidationError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import ToolResult
from mcp import MCPError
from pydantic import ValidationError as PydanticValidationError

from cleaning import clean
from errors import Forbidden, Refusal, Unavailable, Unknown, did_you_mean, quote
from middleware.called import server_of, tool_of
from middleware.outcomes import refusal_of
from middleware.shapes import place_of
from reference import reference

log = structlog.get_logger("almanac")

MOST_LINES = 5  # wrong arguments that are named: a caller may send a hundred thousand


class Errors(Middleware):
    """Turns every failure of a call, a read or a prompt into its one line."""

    async def on_request(
        self, context: MiddlewareContext[mt.Request[Any, Any]], call_next: CallNext[Any, Any]
    ) -> Any:
        # Completion has no hook of its own, and the handshake era sends its exceptions out as they are.
        if context.method != "completion/complete":
            return await call_next(context)
        return await self._guard("completion", context, call_next)

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, ToolResult]
    ) -> ToolResult:
        name = context.message.name
        try:
            return await call_next(context)
        except Refusal as refusal:
            text = clean(str(refusal))[0]  # an upstream's words may be in it
            if text == str(refusal):
                raise
            raise type(refusal)(text) from refusal
        except AuthorizationError as error:
            raise Forbidden(f"Your token does not allow {quote(name)}.") from error
        except NotFoundError:
            tools = [tool.name for tool in await server_of(context).list_tools(run_middleware=False)]
            raise Unknown(f"There is no tool {quote(name)}.{did_you_mean(name, tools)}") from None
        except ValidationError as error:
            if not isinstance(error.__cause__, PydanticValidationError):
                raise ToolError(_failed(error, name)) from error
            tool = await tool_of(context)
            schema = tool.parameters if tool else {}
            raise ToolError(bad_arguments(name, error.__cause__, schema)) from None
        except Exception as error:
            raise ToolError(_failed(error, name)) from error

    async def on_read_resource(
        self, context: MiddlewareContext[mt.ReadResourceRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        return await self._guard(str(context.message.uri), context, call_next)

    async def on_get_prompt(
        self, context: MiddlewareContext[mt.GetPromptRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        name, given = context.message.name, context.message.arguments or {}
        if prompt := await server_of(context).get_prompt(name):
            takes = {argument.name: argument.required for argument in prompt.arguments or ()}
            for argument in [a for a, required in takes.items() if required and a not in given]:
                raise _invalid(f"{name} needs {argument}; it takes {', '.join(takes)}.")
            for argument in [a for a in given if a not in takes]:
                raise _invalid(
                    f"{name} has no argument {quote(argument)}; it takes {', '.join(takes) or 'none'}."
                    + did_you_mean(argument, takes)
                )
        return await self._guard(name, context, call_next)

    async def _guard(self, name: str, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        try:
            return await call_next(context)
        except (NotFoundError, MCPError):
            raise  # FastMCP answers these with -32602 and the name; they carry nothing of ours
        except AuthorizationError as error:
            raise MCPError(
                code=mt.INVALID_PARAMS, message=f"Your token does not allow {quote(name)}."
            ) from error
        except Exception as error:
            if refusal := refusal_of(error):
                code = mt.INTERNAL_ERROR if isinstance(refusal, Unavailable) else mt.INVALID_PARAMS
                raise MCPError(code=code, message=clean(str(refusal))[0]) from error
            raise MCPError(code=mt.INTERNAL_ERROR, message=_failed(error, name)) from error


def _invalid(text: str) -> MCPError:
    return MCPError(code=mt.INVALID_PARAMS, message=text)


def _failed(error: Exception, name: str) -> str:
    found = reference()
    shown = place_of(name) if "://" in name else name  # the rest of an address is the caller's words
    cause: BaseException = error
    while isinstance(cause, FastMCPError) and cause.__cause__:  # which say the address again
        cause = cause.__cause__
    log.error("call failed", name=shown, reference=found, exc_info=cause)
    return f"The server failed; the request was fine. Reference {found}."


def bad_arguments(tool: str, error: PydanticValidationError, schema: Mapping[str, Any]) -> str:
    """One line for every argument that is wrong: the parameter, what it takes, and what was sent."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    details = {
        str(detail["loc"][0]) if detail["loc"] else tool: detail  # of a union's several, the last
        for detail in error.errors(include_url=False, include_context=False)
    }
    lines = []
    for name, detail in islice(details.items(), MOST_LINES):
        if detail["type"] == "unexpected_keyword_argument":
            takes = ", ".join(properties) or "nothing"
            line = f"{tool} has no parameter {quote(name)}; it takes {takes}.{did_you_mean(name, properties)}"
        elif detail["type"] == "missing_argument":
            line = f"{name} is missing; it takes {takes_words(properties.get(name, {}))}."
        else:
            line = f"{name} takes {takes_words(properties.get(name, {}))}, not {_sent(detail['input'])}."
        lines.append(line)
    if len(details) > MOST_LINES:
        lines.append(f"{len(details) - MOST_LINES} more arguments are wrong.")
    return " ".join(lines)


def takes_words(schema: Mapping[str, Any]) -> str:
    """What a JSON schema takes, in words: "a whole number from 1 to 16"."""
    if "enum" in schema:
        return " or ".join(repr(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    if options := schema.get("anyOf"):
        return " or ".join(takes_words(o) for o in options if o.get("type") != "null") or "null"
    match schema.get("type"):
        case "integer":
            return "a whole number" + _range(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return "a number" + _range(schema.get("minimum"), schema.get("maximum"))
        case "string" if schema.get("minLength") == 1 and "maxLength" not in schema:
            return "text that is not empty"
        case "string":
            return "text" + _range(schema.get("minLength"), schema.get("maxLength"), " characters")
        case "boolean":
            return "true or false"
        case "array":
            items = takes_words(schema.get("items", {}))
            return (
                "a list"
                + _range(schema.get("minItems"), schema.get("maxItems"), " items")
                + f", each {items}"
            )
        case "object":
            return "an object"
    return "a value"


def _range(low: float | None, high: float | None, unit: str = "") -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}{unit}" if not unit else f" of {low} to {high}{unit}"
    if low is not None:
        return f" of at least {low}{unit}"
    return f" of at most {high}{unit}" if high is not None else ""


def _sent(value: Any) -> str:
    match value:
        case str():
            return f"{quote(value)} ({len(value)} characters)" if len(value) > 60 else quote(value)
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case int() | float():
            return quote(repr(value)) if len(repr(value)) > 30 else repr(value)
        case list() | tuple():
            return f"a list of {len(value)}"
    return "an object"
