"""`server.py demo`: asks the real server something in every domain and shows what was asked and answered.

The server runs as it does under a client: a process of its own, over STDIO, with this environment. What
cannot work here and now (no network, no translation engine) shows the server's own refusal and is no
failure; a domain whose trouble is not explained by its `status` is one.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import FastMCPError
from mcp import MCPError
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import logs
from commands import screen
from commands.rendering import Shown, clean, parts
from config import HERE, Settings
from environment import ConfigurationError, load

WHOLE_S = (
    55  # all of it; the slowest path is a network that swallows packets: 12 s forecast, 20 s translation
)
CALL_S = 25  # longer than any domain lets itself take, so that its own refusal is what is seen
START_S = 20
COUNTRY = "Spain"
TEN_LARGEST = (
    "SELECT name, region, population, timezone FROM city_detail"
    " WHERE country = ? ORDER BY population DESC LIMIT 10"
)
# What a client's end of a call may raise when the server's end is gone or talks nonsense.
BROKEN = (
    MCPError, FastMCPError, OSError, RuntimeError, TimeoutError,
    anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream,
)  # fmt: skip

OFF = "It is switched off by the settings of this machine."
GONE = "The server has no such tool."


class Refused(Exception):
    """A call was not answered with a result; what came instead has been shown and noted."""


class Outcome(NamedTuple):
    """How a domain did: `well` is None where it could not work here."""

    well: bool | None
    why: str = ""


def main(arguments: list[str]) -> int:
    """Run the demonstration; 0 if everything that could work here did."""
    argparse.ArgumentParser(
        prog="server.py demo",
        description="Ask the real server something in every domain, over STDIO, and show what comes back."
        " Exit status 0 if everything that can work on this machine did.",
    ).parse_args(arguments)
    try:
        settings = load(os.environ)
    except ConfigurationError as error:
        print(f"The server cannot start:\n{error}")
        return 1
    logs.configure("error")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        log = Path(directory) / "server.log"
        return anyio.run(_run, screen(), settings, log)


async def _run(console: Console, settings: Settings, log: Path) -> int:
    transport = StdioTransport(
        sys.executable,
        [str(HERE / "server.py"), "--transport", "stdio"],
        env=dict(os.environ),
        keep_alive=False,
        log_file=log,
    )
    started = time.monotonic()
    client = Client(transport, log_handler=_ignore, init_timeout=START_S)
    try:
        async with client:
            tools = {tool.name for tool in await client.list_tools()}
            seconds = time.monotonic() - started
            console.print(f"[bold]Almanac over STDIO[/]: {len(tools)} tools, started in {seconds:.1f} s.")
            demo = Demo(console, client, settings, started + WHOLE_S)
            outcomes = await demo.everything(tools)
    except BROKEN as error:
        console.print(f"\nThe server did not start or did not stay: {error}", style="red", markup=False)
        console.print(_tail(log), style="dim", markup=False)
        return 1
    failed = _summary(console, outcomes)
    if failed:
        console.print(_tail(log), style="dim", markup=False)
    return 1 if failed else 0


class Demo:
    """The questions, one domain after another, and how each domain did."""

    def __init__(self, console: Console, client: Client[Any], settings: Settings, deadline: float) -> None:
        self._console = console
        self._client = client
        self._settings = settings
        self._deadline = deadline
        self._tools: Collection[str] = ()
        self._outcomes: dict[str, Outcome] = {}

    async def everything(self, tools: Collection[str]) -> dict[str, Outcome]:
        """Ask in every domain that is served.

        Args:
            tools: Those the server listed.
        """
        self._tools = tools
        city = "Madrid"
        questions = {
            "sql": self._sql, "files": self._files, "weather": self._weather, "translate": self._translate,
        }  # fmt: skip
        for domain, ask in questions.items():
            if domain not in self._settings.servers:
                self._outcomes[domain] = Outcome(None, OFF)
                continue
            with contextlib.suppress(Refused):
                city = await ask(city) or city
                self._outcomes[domain] = Outcome(True)
        return self._outcomes

    async def _sql(self, _: str) -> str:
        if "world" not in self._settings.sql.databases:
            self._outcomes["sql"] = Outcome(None, "The database 'world' is not among those served here.")
            raise Refused
        found = await self._ask(
            "sql_query",
            {"sql": TEN_LARGEST, "params": [COUNTRY], "database": "world"},
            {"rows": (), "elapsed_ms": ()},
        )
        if not found.get("rows"):
            raise self._note("sql_query", False, f"The database has no city of {COUNTRY}.")
        return str(found["rows"][0][0])

    async def _files(self, _: str) -> None:
        listing = await self._ask(
            "files_list", {"path": ".", "depth": 2, "limit": 20}, {"entries": ("path", "kind", "size")}
        )
        paths = [str(entry["path"]) for entry in listing.get("entries", ())]
        texts = [path for kind in (".txt", ".md") for path in paths if path.endswith(kind)]
        if texts:  # in another sandbox than the one that comes with Almanac there may be none
            shown: Shown = {"text": (), "encoding": (), "total_lines": ()}
            await self._ask("files_read", {"path": texts[0], "max_lines": 8}, shown)
        await self._ask(
            "files_search", {"text": "forecast", "limit": 4}, {"matches": ("path", "line", "text")}
        )

    async def _weather(self, city: str) -> None:
        await self._ask(
            "weather_find_place",
            {"name": city, "country": COUNTRY, "limit": 1},
            {"places": ("name", "region", "country", "latitude", "longitude", "population")},
        )
        days = ("date", "weather", "temperature_min", "temperature_max", "precipitation")
        await self._ask(
            "weather_forecast",
            {"place": f"{city}, {COUNTRY}", "days": 3},
            {"days": days, "units": (), "source": ()},
        )

    async def _translate(self, city: str) -> None:
        text = f"{city} is the largest city in {COUNTRY}."
        await self._ask(
            "translate_text", {"text": text, "target": "es"}, {"text": (), "provider": (), "quality": ()}
        )

    async def _ask(self, tool: str, arguments: dict[str, Any], shown: Shown) -> dict[str, Any]:
        """Call a tool, show both ends, and give its result; note what it means if there is none."""
        self._console.print()
        self._console.print(tool, style="bold cyan")
        for name, value in arguments.items():
            self._say(
                Text(f"{name}: {clean(value if isinstance(value, str) else json.dumps(value))}", "cyan")
            )
        if tool not in self._tools:
            narrowed = self._settings.include_tags or self._settings.exclude_tags
            raise self._note(tool, *((None, OFF) if narrowed else (False, GONE)))
        try:
            with anyio.fail_after(max(1, min(CALL_S, self._deadline - time.monotonic()))):
                answer = await self._client.call_tool_mcp(tool, arguments)
        except TimeoutError:
            raise self._note(tool, False, "It did not answer in time.") from None
        except BROKEN as error:
            raise self._note(tool, False, f"The server did not answer: {error}") from None
        text = " ".join(getattr(block, "text", "") for block in answer.content)
        if answer.is_error:
            raise self._note(tool, None if await self._is_explained(tool, text) else False, text)
        result = answer.structured_content or {}
        for part in parts(result, shown):
            self._say(part)
        return result

    async def _is_explained(self, tool: str, text: str) -> bool:
        """Whether the machine explains a refusal: the domain needs others, and `status` says they fail."""
        domain, _, verb = tool.partition("_")
        if domain in ("sql", "files") or verb == "find_place" or "The server failed" in text:
            return False
        try:
            with anyio.fail_after(5):
                answer = await self._client.call_tool_mcp("status", {})
        except BROKEN:
            return False
        health = (answer.structured_content or {}).get("domains", {}).get(domain, {})
        return health.get("state") != "ready" or any(
            provider["state"] in ("failing", "missing") for provider in health.get("providers", ())
        )

    def _note(self, tool: str, well: bool | None, why: str) -> Refused:
        word, style = ("refused", "yellow") if well is None else ("FAILED", "red")
        self._say(Text(f"{word}: {clean(why)}", style))
        self._outcomes[tool.partition("_")[0]] = Outcome(well, re.split(r"(?<=\.)\s", clean(why))[0])
        return Refused()

    def _say(self, part: Text | Table) -> None:
        self._console.print(Padding(part, (0, 0, 0, 2), expand=False))


async def _ignore(_: object) -> None:
    """What the server tells besides is in its results' notices too."""


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
    return "\n".join(["The last of what the server logged:", *(clean(line) for line in lines[-15:])])


def _summary(console: Console, outcomes: Mapping[str, Outcome]) -> bool:
    """A line for each domain; whether one failed."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for domain, outcome in outcomes.items():
        word, style = {
            True: ("worked", "green"),
            None: ("could not work here", "yellow"),
            False: ("FAILED", "red"),
        }[outcome.well]
        table.add_row(Text(domain, "bold"), Text(word, style), Text(outcome.why))
    console.print()
    console.print(table)
    failed = any(outcome.well is False for outcome in outcomes.values())
    if not failed:
        console.print(
            "\nNext: `server.py connect claude-desktop --write`, or `server.py doctor`.", markup=False
        )
    return failed
