"""The process that runs SQL, one statement at a time, so that it can be killed.

Some of SQLite's work heeds neither a progress handler nor an interrupt. Measured on 3.40, cells limited
to 250 KB: `trim(x, y)` took 28 s in one opcode; preparing 18 CTEs that each name the one before twice took
430 MB, and every further one doubles that. Here both end with the process. Once the database is open the
process also gives up what it does not need: the kernel lets it write no byte to any file.

It speaks frames (four bytes of length, then a marshalled dict) on its standard input and output.
"""

import functools
import marshal
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from backends.sql.connection import ReadOnlyConnection
from backends.sql.rows import Send, read_page

SPARE_CPU_SECONDS = 2  # over a statement's time: the parent kills before that, if it is still there


def serve(uri: str, memory: str) -> None:
    """Open the database, say how that went, then answer until standard input ends."""
    source, sink, memory_bytes = sys.stdin.buffer, sys.stdout.buffer, int(memory)
    try:
        connection = ReadOnlyConnection(uri, memory_bytes)
    except MemoryError as error:
        _send(sink, failure(error) | {"code": sqlite3.SQLITE_NOMEM})
        return
    except (sqlite3.Error, UnicodeError) as error:  # SQLite's own message may quote a name that is not UTF-8
        _send(sink, failure(error))
        return
    signal.signal(signal.SIGINT, lambda *_: connection.stop())  # the parent's, whose caller has left
    give_up_powers(memory_bytes)
    size = _memory(resident=True)
    _send(sink, {"ready": True})
    while (ask := _receive(source)) is not None:
        allow_seconds(ask["seconds"])
        reply = answer(connection, ask)
        # Freed memory does not always go back to the system; a swollen process is replaced instead.
        reply["swollen"] = _memory(resident=True) - size > memory_bytes // 4
        _send(sink, reply)


def answer(connection: ReadOnlyConnection, ask: dict[str, Any]) -> dict[str, Any]:
    """Run one statement: a page of rows, or what went wrong, as plain values for the parent to word."""
    connection.denied = None
    connection.deadline = time.monotonic() + ask["seconds"]
    run, send = _way(ask), functools.partial(_send, sys.stdout.buffer)
    try:
        try:
            return run(connection, ask, send)
        except sqlite3.DatabaseError:
            if connection.denied is None:
                raise
            connection.connect_virtual_tables()  # one that lost its connection is denied it as well
            connection.denied = None
            return run(connection, ask, send)
    # Warning is the driver's for a second statement, ValueError and OverflowError for text and integers
    # that SQLite has no form for.
    except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, OverflowError) as error:
        late = time.monotonic() > connection.deadline
        return failure(error) | {"denied": connection.denied, "late": late}
    finally:
        connection.deadline = float("inf")


def _way(ask: dict[str, Any]) -> Callable[[ReadOnlyConnection, dict[str, Any], Send], dict[str, Any]]:
    """How to answer. What is rarely asked for is imported then: each start of a child would pay for it."""
    if ask["way"] == "explain":
        from backends.sql.explaining import explain

        return explain
    if ask["way"] != "page":
        from backends.sql.exporting import export

        return export
    return read_page


def failure(error: Exception) -> dict[str, Any]:
    code = getattr(error, "sqlite_errorcode", 0)
    return {
        "failed": type(error).__name__,
        "code": code,
        "message": str(error),
        "denied": None,
        "late": False,
    }


def give_up_powers(memory_bytes: int) -> None:
    """Have the kernel refuse what no statement needs; where it cannot, SQLite's own limits remain."""
    try:
        import resource
    except ImportError:  # Windows
        return
    wanted = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        # Python's copy of a row lies outside SQLite's heap limit, which has so far ended all that was tried.
        wanted[resource.RLIMIT_AS] = _memory(resident=False) + 4 * memory_bytes
    for limit, value in wanted.items():
        resource.setrlimit(limit, (value, value))


def allow_seconds(seconds: float) -> None:
    """Processor time until the kernel ends this process: should the parent be gone, nobody else would."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + SPARE_CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _memory(resident: bool) -> int:
    """Bytes of resident memory, or of address space; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib takes 5 ms of the 25 of a start
            return int(file.read().split()[resident]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _receive(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(4)
    if len(head) < 4:
        return None
    ask: dict[str, Any] = marshal.loads(source.read(int.from_bytes(head, "big")))  # noqa: S302 - our parent's
    return ask


def _send(sink: BinaryIO, reply: dict[str, Any]) -> None:
    body = marshal.dumps(reply)
    sink.write(len(body).to_bytes(4, "big") + body)
    sink.flush()
