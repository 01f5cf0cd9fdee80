"""Keeps standard output for the protocol: whatever else prints goes to standard error.

FastMCP diverts file descriptor 1 only while it serves, so a `print` during an import or in a lifespan
would reach the client as a broken message. `claim()` runs before anything else is imported and needs
nothing but the standard library. (Under `fastmcp run server.py` the imports are FastMCP's to guard.)
"""

import io
import os
import select
import signal
import sys
from typing import Any, TextIO


class _Wire(io.TextIOWrapper):
    """A standard output whose bytes (`.buffer`) are the wire and whose text goes to standard error."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)


_claimed: list[TextIO] = []


def claim() -> None:
    """Give descriptor 1 to standard error and leave the wire reachable as `sys.stdout.buffer` only."""
    wire = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _claimed.append(sys.stdout)
    sys.stdout = _Wire(wire, encoding="utf-8", write_through=True)


def release() -> None:
    """Give standard output back, for a command that prints to a person."""
    if _claimed:
        os.dup2(sys.stdout.buffer.fileno(), 1)
        sys.stdout = _claimed.pop()


def divert_input() -> int:
    """Standard input under another number: what we start must not read the client's messages."""
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return taken


class _Input(io.RawIOBase):
    """Standard input that also ends when `end` is written to: a blocked read cannot be cancelled."""

    def __init__(self) -> None:
        self._from = divert_input()
        self._end, self.end = os.pipe()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        ready, _, _ = select.select([self._from, self._end], [], [])
        return 0 if self._end in ready else os.readv(self._from, [buffer])


def end_on_signals() -> None:
    """Let SIGTERM and SIGINT end the input, as a client that leaves does; a second one ends the process."""
    if sys.platform == "win32":
        return
    source = _Input()
    sys.stdin = io.TextIOWrapper(io.BufferedReader(source), encoding="utf-8")

    def leave(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.write(source.end, b".")

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
