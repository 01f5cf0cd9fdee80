"""`server.py doctor`: what is configured, what answers, and what to do about each thing that is not well.

It starts the application in this process, lifespans included, and has every domain really ask its
providers. What somebody configured and does not work is an error and the exit status is 1; what merely
is not there (no network, an engine that was never installed) is a warning.
"""

import argparse
import asyncio
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import anyio
from rich.markup import escape
from rich.table import Table

import logs
from backends import Health, Result
from commands import screen
from commands.findings import Finding, findings
from config import Settings
from config.variables import shown, variables
from environment import ConfigurationError, load

PATIENCE_S = 20  # a probe bounds itself to a few seconds; this is for one that does not
COLOURS = {"ready": "green", "degraded": "yellow", "unavailable": "red", "error": "red", "warning": "yellow"}


class Report(Result):
    """All that the doctor saw."""

    well: bool
    version: str
    python: str
    fastmcp: str
    loop: str
    transport: str
    settings: dict[str, Any]  # those that differ from the defaults
    domains: dict[str, Health]
    tools: tuple[str, ...]
    switched_off: tuple[str, ...]
    findings: tuple[Finding, ...]


def main(arguments: list[str]) -> int:
    """Examine the application and say how it is."""
    parser = argparse.ArgumentParser(
        prog="server.py doctor",
        description="What is configured, what answers, and what to do about what is not well."
        " Exit status 1 if something configured does not work.",
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    as_json = parser.parse_args(arguments).json
    try:
        settings = load(os.environ)
    except ConfigurationError as error:
        print(f"The server cannot start:\n{error}", file=sys.stderr if as_json else sys.stdout)
        return 1
    logs.configure("error")
    report = anyio.run(examine, settings)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        show(report)
    return 0 if report.well else 1


async def examine(settings: Settings, given: Mapping[str, Any] | None = None) -> Report:
    """Start the application, ask everything, and judge.

    Args:
        settings: What is served.
        given: Backends by domain to use instead of building them from `settings`.
    """
    from fastmcp import Client

    from server import SUB_SERVERS, VERSION, create_server

    backends: dict[str, Any] = {
        domain: (given or {}).get(domain) or SUB_SERVERS[domain].backend(getattr(settings, domain))
        for domain in settings.servers
    }
    everything = settings.model_copy(
        update={"servers": tuple(SUB_SERVERS), "include_tags": (), "exclude_tags": ()}
    )
    known = {tool.name for tool in await create_server(everything).list_tools(run_middleware=False)}
    async with Client(create_server(settings, backends)) as client:
        tools = {tool.name for tool in await client.list_tools()}
        answers = await asyncio.gather(
            *(asyncio.wait_for(backend.health(probe=True), PATIENCE_S) for backend in backends.values()),
            return_exceptions=True,
        )
    domains = {name: _health(answer) for name, answer in zip(backends, answers, strict=True)}
    found = tuple(findings(settings, domains, tools))
    return Report(
        well=not any(finding.level == "error" for finding in found),
        version=VERSION,
        python=platform.python_version(),
        fastmcp=version("fastmcp"),
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        transport="stdio" if settings.transport == "stdio" else f"http on {settings.host}:{settings.port}",
        settings=dict(_changed(settings)),
        domains=domains,
        tools=tuple(sorted(tools)),
        switched_off=tuple(sorted(known - tools)),
        findings=found,
    )


def _health(answer: Health | BaseException) -> Health:
    if isinstance(answer, Health):
        return answer
    if isinstance(answer, TimeoutError):
        return Health(state="unavailable", summary=f"It did not say how it is within {PATIENCE_S} s.")
    return Health(
        state="unavailable",
        summary=f"It could not say how it is: {type(answer).__name__}: {answer}",
        mend="This is a fault in Almanac; please report it.",
    )


def _changed(settings: Settings) -> Iterator[tuple[str, Any]]:
    for variable in variables():
        if (value := variable.of(settings)) != variable.default:
            yield variable.name, shown(value, whole_paths=True)


def show(report: Report) -> None:
    """The report for a person."""
    console = screen()
    console.print(
        f"[bold]Almanac {report.version}[/], Python {report.python}, FastMCP {report.fastmcp}, {report.loop},"
        f" {report.transport}\n"
    )
    console.print("[bold]Settings[/] that differ from the defaults:" + ("" if report.settings else " none"))
    for name, value in report.settings.items():
        console.print(f"  {name} = {escape(str(value))}")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for name, health in report.domains.items():
        table.add_row(f"[bold]{name}[/]", _coloured(health.state), escape(health.summary))
        for provider in health.providers:
            table.add_row(
                "",
                "",
                escape(": ".join(filter(None, (provider.name, provider.state, provider.note)))),
                style="dim",
            )
    console.print()
    console.print(table)
    off = f" Switched off: {', '.join(report.switched_off)}." if report.switched_off else ""
    console.print(f"\n[bold]Tools[/]: {len(report.tools)} on: {', '.join(report.tools)}.{off}")
    if report.findings:
        console.print("\n[bold]Not well[/]:")
        console.print(_listed(report.findings))
    errors = sum(finding.level == "error" for finding in report.findings)
    console.print(
        f"\n[red]{errors} of the things configured {'does' if errors == 1 else 'do'} not work.[/]"
        if errors
        else "\n[green]Everything that is configured works.[/]"
    )


def _listed(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for finding in findings:
        advice = f"\n[dim]{escape(finding.mend)}[/]" if finding.mend else ""
        table.add_row(_coloured(finding.level), f"{escape(finding.about)}: {escape(finding.text)}{advice}")
    return table


def _coloured(word: str) -> str:
    return f"[{COLOURS[word]}]{word}[/]"
