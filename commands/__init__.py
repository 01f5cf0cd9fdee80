"""What people type after `server.py`; a command's module is imported only when its name is typed."""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

COMMANDS = ("demo", "doctor", "connect", "token", "audit")
WIDEST = 110  # a line longer than this is hard to read, however wide the window


def typed(version: str) -> dict[str, str]:
    """The variables that the options of `server.py` stand for; ends the process where they make no sense."""
    parser = argparse.ArgumentParser(
        prog="server.py",
        description="Serve Almanac. Everything else is set by ALMANAC_* variables: docs/configuration.md.",
        epilog=f"Commands: {', '.join(COMMANDS)}. `server.py COMMAND --help` explains one.",
    )
    parser.add_argument("word", nargs="?", choices=("stdio", "http"), help="the same as --transport")
    parser.add_argument(
        "--transport", choices=("stdio", "http"), help="stdio unless ALMANAC_TRANSPORT says otherwise"
    )
    parser.add_argument("--host", help="address to listen on over HTTP")
    parser.add_argument("--port", help="port to listen on over HTTP")
    parser.add_argument("--version", action="version", version=version)
    options = vars(parser.parse_args())
    word = options.pop("word")
    if word and options["transport"] not in (None, word):
        parser.error(f"{word} and --transport {options['transport']} cannot both be")
    options["transport"] = word or options["transport"]
    return {f"ALMANAC_{name.upper()}": value for name, value in options.items() if value is not None}


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
