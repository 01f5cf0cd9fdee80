"""What people type after `server.py`; each module is imported only when its name is typed."""

import importlib

COMMANDS = ("demo", "doctor", "connect")


def run(name: str, arguments: list[str]) -> int:
    """Run one command and give its exit status."""
    return int(importlib.import_module(f"commands.{name}").main(arguments))
