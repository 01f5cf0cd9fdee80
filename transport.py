"""STDIO on the event loop; FastMCP's own passes a worker thread three times a message, most of a call's time.

It needs two of FastMCP's private names, and pipes or sockets on both sides. Where either is missing (another
release, Windows, a terminal, a file) FastMCP's own transport serves, only slower.
"""

import asyncio
import contextlib
import gc
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.context import reset_transport, set_transport
from mcp.server.stdio import stdio_server

import wire

UNREAD_SECONDS = 1.0  # for what is on its way after a signal; a client that reads nothing would hold us
LONGEST_MESSAGE = 32_000_000  # bytes; what goes on beyond is dropped, a piece at a time


async def serve_stdio(root: FastMCP) -> None:
    """Serve until standard input ends, or SIGTERM or SIGINT ends it."""
    server, lifespan = getattr(root, "_mcp_server", None), getattr(root, "_lifespan_manager", None)
    if server is None or lifespan is None or not _are_pipes():
        wire.end_on_signals()
        await root.run_async("stdio", show_banner=False)
        return
    token = set_transport("stdio")
    gc.set_threshold(50_000, 20, 20)  # 10,000 rows are as many objects, kept: 700 at a time cost them 10%
    gc.freeze()  # a full collection walks 134,000 objects of the imports in 64 ms, and frees none of them
    try:
        async with lifespan(), _pipes() as (source, sink):
            # Any two with an AsyncFile's methods will do.
            streams: Any = stdio_server(source, sink)  # type: ignore[arg-type]
            async with streams as (received, sent):
                await server.run(received, sent, server.create_initialization_options())
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


class _Messages:
    """Lines of text from a stream, as an AsyncFile gives them."""

    def __init__(self, source: asyncio.StreamReader) -> None:
        self._source = source

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while True:
            with contextlib.suppress(ValueError):  # longer than LONGEST_MESSAGE
                if line := await self._source.readline():
                    return line.decode("utf-8", "replace")
                raise StopAsyncIteration


class _Answers:
    """Text to a stream, as an AsyncFile takes it."""

    def __init__(self, sink: asyncio.StreamWriter) -> None:
        self._sink = sink

    async def write(self, text: str) -> None:
        if not self._sink.is_closing():  # as it is once the client has closed its end; uvloop would raise
            self._sink.write(text.encode())

    async def flush(self) -> None:
        with contextlib.suppress(ConnectionError):  # nobody reads any more: the input will end as well
            await self._sink.drain()


@contextlib.asynccontextmanager
async def _pipes() -> AsyncIterator[tuple[_Messages, _Answers]]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(LONGEST_MESSAGE)
    source, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(_diverted_input(), "rb", 0)
    )
    sink, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()),
        os.fdopen(os.dup(sys.stdout.buffer.fileno()), "wb", 0),
    )
    sink.set_write_buffer_limits(0)  # so that a flush waits until all of it is written
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _leave, loop, number, source, sink)
    try:
        yield _Messages(reader), _Answers(asyncio.StreamWriter(sink, protocol, None, loop))
    finally:
        source.close()
        sink.close()


def _diverted_input() -> int:
    """Standard input under another number: what we start must not read the client's messages."""
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return taken


def _leave(
    loop: asyncio.AbstractEventLoop,
    number: int,
    source: asyncio.ReadTransport,
    sink: asyncio.WriteTransport,
) -> None:
    """End the input, as a client that leaves does; a second signal ends the process."""
    loop.remove_signal_handler(number)
    source.close()
    loop.call_later(UNREAD_SECONDS, sink.abort)
