"""STDIO on the event loop; FastMCP's own passes a worker thread three times a message, most of a call's time.

The two ends are the streams that the protocol's server takes, so that a message passes no queue on its way.

It needs what tuning.py reaches, and pipes or sockets on both sides. Where either is missing (another release,
Windows, a terminal, a file) FastMCP's own transport serves, only slower.
"""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Self

import anyio
from fastmcp import FastMCP
from fastmcp.server.context import reset_transport, set_transport
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

import tuning
import wire
from ending import ANSWER_S, CLOSE_S, UNREAD_S, Patience, end_within
from tools import aside

LONGEST_MESSAGE = 16_000_000  # bytes
MOST_UNREAD = 16_000_000  # bytes of answers; beyond it no further message is read


async def serve_stdio(root: FastMCP, end_calls: Callable[[], None], grace_s: float) -> None:
    """Serve until standard input ends, or SIGTERM or SIGINT ends it; what was asked by then is answered.

    Args:
        root: The server.
        end_calls: Has every call that runs answered with a refusal.
        grace_s: Seconds that calls have to finish.
    """
    server, lifespan = tuning.protocol_server(root), tuning.lifespan(root)
    if server is None or lifespan is None or not _are_pipes():
        wire.end_on_signals()
        await root.run_async("stdio", show_banner=False)
        return
    token = set_transport("stdio")
    try:
        async with lifespan(), _pipes(end_calls, grace_s) as (messages, answers):
            await server.run(messages, answers, server.create_initialization_options())
    finally:
        reset_transport(token)


def _are_pipes() -> bool:
    if sys.platform == "win32":
        return False
    told = os.fstat(2)
    ends = (os.fstat(0), os.fstat(sys.stdout.buffer.fileno()))
    # What the loop uses becomes non-blocking: log lines to the same pipe would fail when it is full.
    return all(
        (stat.S_ISFIFO(end.st_mode) or stat.S_ISSOCK(end.st_mode)) and not os.path.samestat(end, told)
        for end in ends
    )


class _Answers:
    """Messages to the client, a line each: what the protocol's server writes to."""

    def __init__(self, sink: asyncio.StreamWriter) -> None:
        self._sink, self._unread, self._room = sink, 0, asyncio.Event()
        self._room.set()
        self.owed: set[str | int] = set()  # requests that are not answered yet

    async def send(self, item: SessionMessage) -> None:
        if isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self.owed.discard(item.message.id)
        if self._sink.is_closing():  # as it is once the client has closed its end; uvloop would raise
            return
        line = aside.as_json(item.message) + b"\n"
        self._count(len(line))
        self._sink.write(line)
        try:
            with contextlib.suppress(ConnectionError):  # nobody reads any more: the input will end as well
                await self._sink.drain()
        finally:
            self._count(-len(line))

    def _count(self, change: int) -> None:
        self._unread += change
        if self._unread > MOST_UNREAD:
            self._room.clear()
        else:
            self._room.set()

    async def are_read(self) -> None:
        """Wait while the client has much to read: one that only asks would fill our memory with answers."""
        await self._room.wait()

    def are_given(self) -> bool:
        """Whether nobody waits for one, or nobody is there to read it."""
        return not self.owed or self._sink.is_closing()

    @property
    def left(self) -> int:
        """Bytes that the client has yet to read."""
        return 0 if self._sink.is_closing() else self._sink.transport.get_write_buffer_size()

    def give_up(self) -> None:
        """Wait for the client no longer."""
        self._sink.transport.abort()

    async def aclose(self) -> None:
        """Nothing: the pipe outlives the server, and is closed with the other one."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Source(asyncio.StreamReader):
    """What the client writes; `ended` is called when that ends."""

    ended: Callable[[], None] = staticmethod(lambda: None)

    def feed_eof(self) -> None:
        super().feed_eof()
        self.ended()

    def set_exception(self, exc: BaseException) -> None:
        """A socket that was closed before all was read from it: an end as well."""
        self.feed_eof()


class _Messages:
    """Messages from the client, a line each: what the protocol's server reads from.

    A line that is no message is answered here; the protocol's own transport says nothing, and whoever sent
    it would wait.
    """

    def __init__(self, source: asyncio.StreamReader, answers: _Answers, end: "_End") -> None:
        self._source, self._answers, self._end = source, answers, end
        self._open = True

    async def receive(self) -> SessionMessage | Exception:
        while self._open and not self._end.over.is_set():
            await self._answers.are_read()
            if not (line := await self._line()):
                await self._end.over.wait()
                break
            text = line.decode("utf-8", "replace")
            try:
                message = jsonrpc_message_adapter.validate_json(text, by_name=False)
            except ValidationError:
                if text.strip() and text.endswith("\n"):  # a line cut by the end has nobody to answer to
                    await self._refuse(*_what_is_wrong(text))
                continue
            if isinstance(message, JSONRPCRequest):
                self._answers.owed.add(message.id)
            elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
                self._answers.owed.discard((message.params or {}).get("requestId", ""))
            return SessionMessage(message)
        raise anyio.EndOfStream

    async def _line(self) -> bytes:
        """The next line, or what is left at the end. One that is too long is dropped whole, and answered."""
        dropped = False
        while True:
            try:
                line = await self._source.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                return b"" if dropped else error.partial
            except asyncio.LimitOverrunError as error:
                await self._source.readexactly(error.consumed)
                dropped = True
                continue
            if not dropped:
                return line
            dropped = False
            await self._refuse(None, PARSE_ERROR, f"A message has at most {LONGEST_MESSAGE:,} bytes.")

    async def _refuse(self, number: str | int | None, code: int, why: str) -> None:
        error = JSONRPCError(jsonrpc="2.0", id=number, error=ErrorData(code=code, message=why))
        await self._answers.send(SessionMessage(error))

    async def aclose(self) -> None:
        self._open = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _what_is_wrong(line: str) -> tuple[str | int | None, int, str]:
    """The number of a request that is none, as far as it can be told, the error's code and its words."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None, PARSE_ERROR, "This line is not JSON."
    if isinstance(found, list):
        return None, INVALID_REQUEST, "One message a line: batches are not part of MCP."
    number = found.get("id") if isinstance(found, dict) else None
    known = number if isinstance(number, str) or type(number) is int else None
    return known, INVALID_REQUEST, "This is not a JSON-RPC 2.0 request, notification or response."


class _End(Patience):
    """What is done once nothing more comes in: calls are finished, or refused, and their answers read.

    Args:
        end_calls: Has every call that runs answered with a refusal.
        grace_s: Seconds that calls have to finish, and their answers to be read.
    """

    def __init__(
        self, source: _Source, answers: _Answers, end_calls: Callable[[], None], grace_s: float
    ) -> None:
        super().__init__()
        self._source, self._answers, self._end_calls, self._grace_s = source, answers, end_calls, grace_s
        self._task: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        source.ended = self.begin

    def begin(self) -> None:
        """Have it done; who reads messages may be held up by a client that does not read answers."""
        if self._task is None:
            end_within(self._grace_s + ANSWER_S + UNREAD_S + CLOSE_S)
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(lambda _: self.over.set())

    async def _run(self) -> None:
        deadline, answers = time.monotonic() + self._grace_s, self._answers
        await self.until(self._all_is_answered, self._grace_s)
        self._end_calls()
        await self.until(self._all_is_answered, ANSWER_S, even_now=True)
        left = answers.left + 1
        while 0 < answers.left < left:  # whoever reads slowly reads on while there is time
            left = answers.left if time.monotonic() < deadline else 0
            await self.until(lambda: not answers.left, UNREAD_S)
        if answers.left:
            answers.give_up()

    def _all_is_answered(self) -> bool:
        return self._source.at_eof() and self._answers.are_given()


@contextlib.asynccontextmanager
async def _pipes(end_calls: Callable[[], None], grace_s: float) -> AsyncIterator[tuple[_Messages, _Answers]]:
    loop = asyncio.get_running_loop()
    sink, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()),
        os.fdopen(os.dup(sys.stdout.buffer.fileno()), "wb", 0),
    )
    sink.set_write_buffer_limits(0)  # so that a flush waits until all of it is written
    answers, reader = _Answers(asyncio.StreamWriter(sink, protocol, None, loop)), _Source(LONGEST_MESSAGE)
    end = _End(reader, answers, end_calls, grace_s)
    source, _ = await loop.connect_read_pipe(  # last: it may end at once
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(wire.divert_input(), "rb", 0)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _leave, loop, number, source, end)
    try:
        yield _Messages(reader, answers, end), answers
    finally:
        source.close()
        sink.close()


def _leave(loop: asyncio.AbstractEventLoop, number: int, source: asyncio.ReadTransport, end: _End) -> None:
    """End the input, as a client that leaves does; a second signal leaves the waiting out."""
    if source.is_closing():
        end.hurry = True
        loop.remove_signal_handler(number)
    source.close()
