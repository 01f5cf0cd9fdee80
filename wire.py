"""Keeps standard output for the protocol: whatever else prints goes to standard error.

FastMCP diverts file descriptor 1 only while it serves, so a `print` during an import or in a lifespan
would reach the client as a broken message. `claim()` runs before anything else is imported and needs
nothing but the standard library.
"""

import io
import os
import sys
from typing import TextIO


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
