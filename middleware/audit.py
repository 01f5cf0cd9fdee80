"""One line for each call, read, prompt and authentication: who, what, when, how it ended.

It stands around everything else, mints the call's reference, and writes the line before the answer leaves.
What changes something is written before it is done as well. Texts of callers, files, rows and services
never come into a line, but as shapes (or, if set, with redacted values); an exception's message neither.
"""

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import mcp.types as mt
import pydantic_core
import structlog
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp import MCPError
from opentelemetry import trace

import reference
from config import AuditSettings
from errors import Unavailable
from ledger.recorder import Recorder
from ledger.unusual import Unusual
from middleware import outcomes
from middleware.called import tool_of
from middleware.caller import caller
from middleware.outcomes import Outcome
from middleware.shapes import Shapes, place_of
from redaction import redacted

log = structlog.get_logger("almanac")

MOST_KNOWN = 1_000  # callers whose authentication is remembered
AGAIN_S = 600  # a caller's success is written once in so many seconds; each call names the caller anyway
LONGEST_NAME = 100  # characters of a caller's name, which an issuer or a proxy says
FAILURES_A_MINUTE = 100  # written one by one; guessing must not push older lines out
REFUSED = "Calls cannot be recorded now, so none is made; try again in a minute."
UNTOLD = "The call could not be recorded, so its answer is withheld; try again in a minute."


class Call(NamedTuple):
    """What is known of a call when it begins."""

    event: str
    name: str
    arguments: Mapping[str, Any]
    reference: str
    started: float
    who: str
    trace: str = ""


class Audit(Middleware):
    """Records calls; open it with `async with`, which writes what is left.

    Args:
        settings: Where to, what of the arguments, and what to do when that fails.
        directory: Where the key lies, and the file if its path is not set.
        hidden: Secrets of the settings, which no line may hold.
        clock: Wall-clock time in seconds.
    """

    def __init__(
        self,
        settings: AuditSettings,
        directory: Path,
        hidden: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._directory, self._hidden, self._clock = settings, directory, hidden, clock
        self._recorder = Recorder(settings, directory, clock)
        self._write = self._recorder.write
        self._shapes = Shapes(settings.arguments, self._recorder.key, hidden)
        self._unusual = Unusual()
        self._known: dict[str, float] = {}
        self._failures = (0, 0)  # the minute, and how many authentications failed in it
        self._off = settings.path == "off"
        self._name = functools.lru_cache(1_000)(self._shown_name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tell_failures()
        self._recorder.close()

    @property
    def note(self) -> str:
        """Why nothing is written, while that is so."""
        return self._recorder.note

    async def on_request(
        self, context: MiddlewareContext[mt.Request[Any, Any]], call_next: CallNext[Any, Any]
    ) -> Any:
        if context.method != "completion/complete" or self._off:
            return await call_next(context)
        # Completions come with every key that is typed: those that fail are recorded, so that their
        # reference leads somewhere.
        call = Call("completion", "", {}, reference.mint(), time.perf_counter(), self._name(caller().name))
        try:
            return await call_next(context)
        except Exception as error:
            found = outcomes.of_error(error)
            if found.word == "failed":
                self._end(call, found, 0)
            raise

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        name, arguments = context.message.name, context.message.arguments or {}
        before = not self._off and await _changes(context)
        return await self._recorded("call", name, arguments, context, call_next, before=before)

    async def on_read_resource(
        self, context: MiddlewareContext[mt.ReadResourceRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        uri = str(context.message.uri)
        return await self._recorded("read", place_of(uri), {"uri": uri}, context, call_next)

    async def on_get_prompt(
        self, context: MiddlewareContext[mt.GetPromptRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        name, arguments = context.message.name, context.message.arguments or {}
        return await self._recorded("prompt", name, arguments, context, call_next)

    def authentication(self, succeeded: bool, who: str, why: str = "") -> None:
        """Record that somebody was let in, or was not.

        Args:
            succeeded: Whether.
            who: "token:NAME" of who was let in, "address:IP" of who was not.
            why: One word for a failure, such as `missing` or `invalid`; never the token.
        """
        if self._off:
            return
        now, who = self._clock(), self._name(who)
        if succeeded:
            if now - self._known.get(who, -AGAIN_S) < AGAIN_S:
                return
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[who] = now
        elif not self._is_written(now):
            self._warn(who, denied=True)
            return
        event = {"event": "authentication", "outcome": "ok" if succeeded else "failed", "who": who}
        self._write({**event, **({"why": why} if why else {})})
        if not succeeded:
            self._warn(who, denied=True)

    async def _recorded(
        self,
        event: str,
        name: str,
        arguments: Mapping[str, Any],
        context: MiddlewareContext[Any],
        call_next: CallNext[Any, Any],
        before: bool = False,
    ) -> Any:
        if self._off:
            reference.mint()
            return await call_next(context)
        who = self._name(caller().name)
        call = Call(event, name, arguments, reference.mint(), time.perf_counter(), who, _trace(context))
        if self._settings.on_failure == "refuse" and not self._recorder.flush():
            self._refuse(call, REFUSED)
        if before:
            self._write({"event": "begin", "what": name, "who": who, "reference": call.reference})
            if self._settings.on_failure == "refuse" and self.note:
                self._refuse(call, REFUSED)
        size = 0
        try:
            result = await call_next(context)
            outcome, size = outcomes.of_result(result), _size(result)
        except BaseException as error:
            outcome = outcomes.of_error(error)
            raise
        finally:
            self._end(call, outcome, size)
        if self._settings.on_failure == "refuse" and self.note:
            self._refuse(call, UNTOLD)
        return result

    def _refuse(self, call: Call, why: str) -> NoReturn:
        if why == REFUSED:  # to be told of when that can be done again
            self._end(call, Outcome("unavailable", __name__), 0)
        if call.event == "call":
            raise Unavailable(why)
        raise MCPError(code=mt.INTERNAL_ERROR, message=why)

    def _end(self, call: Call, outcome: Outcome, size_out: int) -> None:
        line: dict[str, Any] = {
            "event": call.event,
            "what": call.name if outcome.word == "ok" else self._shapes.name(call.name),
            "who": call.who,
            "outcome": outcome.word,
            "ms": round((time.perf_counter() - call.started) * 1000, 2),
            "in": _length(call.arguments),
            "out": size_out,
            "reference": call.reference,
        }
        if call.arguments and (shown := self._shapes.of(call.arguments)) is not None:
            line["arguments"] = shown
        if outcome.by:
            line["by"] = outcome.by
        if outcome.cause:
            line["cause"] = outcome.cause
        if call.trace:
            line["trace"] = call.trace
        self._write(line)
        self._warn(call.who, outcome.word == "denied")

    def _warn(self, who: str, denied: bool) -> None:
        for unusual in self._unusual.seen(self._clock(), who, denied):
            log.warning("unusual", what=unusual)
            self._write({"event": "unusual", "what": unusual})

    def _is_written(self, now: float) -> bool:
        """Whether a failed authentication gets a line of its own; the others are told together."""
        minute, count = self._failures
        if minute != int(now // 60):
            self._tell_failures()
            minute, count = int(now // 60), 0
        self._failures = (minute, count + 1)
        return count < FAILURES_A_MINUTE

    def _tell_failures(self) -> None:
        _, count = self._failures
        self._failures = (0, 0)
        if count > FAILURES_A_MINUTE:
            more = count - FAILURES_A_MINUTE
            self._write({"event": "authentication", "outcome": "failed", "who": "others", "count": more})

    def _shown_name(self, who: str) -> str:
        """Who called; of a subject that is an e-mail address, or long, a mark and what tells two apart."""
        kind, _, name = who.partition(":")
        printable = "".join(sign for sign in name[:LONGEST_NAME] if sign.isprintable())
        shown = redacted(printable, self._hidden)
        return who if shown == name else f"{kind}:{shown}#{hashlib.sha256(who.encode()).hexdigest()[:8]}"


async def _changes(context: MiddlewareContext[mt.CallToolRequestParams]) -> bool:
    """Whether the tool changes something, as its annotations say."""
    tool = await tool_of(context)
    return bool(tool and tool.annotations and tool.annotations.read_only_hint is False)


def _length(arguments: Mapping[str, Any]) -> int:
    try:
        return len(pydantic_core.to_json(arguments))
    except ValueError:  # half a character
        return 0


def _size(result: Any) -> int:
    """Characters of the text and data that a result holds; what is beside the text says the same."""
    blocks = getattr(result, "content", None) or getattr(result, "contents", None) or ()
    if not blocks and (messages := getattr(result, "messages", None)):
        blocks = [message.content for message in messages]
    total = 0
    for block in blocks:
        held = getattr(block, "text", None) or getattr(block, "data", None) or getattr(block, "content", None)
        total += len(held) if isinstance(held, str | bytes) else 0
    return total


def _trace(context: MiddlewareContext[Any]) -> str:
    """The id of the trace that the call belongs to: the current span's, else the one its sender names."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        return f"{current.trace_id:032x}"
    request = context.fastmcp_context.request_context if context.fastmcp_context else None
    meta = getattr(request, "meta", None)
    parent = meta.get("traceparent") if isinstance(meta, Mapping) else None
    if not isinstance(parent, str) or parent.count("-") != 3:
        return ""
    trace_id = parent.split("-")[1]
    return trace_id if len(trace_id) == 32 and set(trace_id) <= set("0123456789abcdef") else ""
