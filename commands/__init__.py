"""What people type after `server.py`; each module is imported only when its name is typed."""

from __future__ import annotations

import importlib
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

COMMANDS = ("demo", "doctor", "connect", "token", "audit")
WIDEST = 110  # a line longer than this is hard to read, however wide the window


def run(name: str, arguments: list[str]) -> int:
    """Run one command and give its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what comes back is in any script, a console may be in one
    try:
        return int(importlib.import_module(f"commands.{name}").main(arguments))
    except KeyboardInterrupt:
        return 130


def screen() -> Console:
    """Standard output for a person; plain text when it is not a terminal."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    console.width = min(console.width, WIDEST)
    return console
