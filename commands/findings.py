"""What is not well, who has to act, and on what: the doctor's judgement of what it saw."""

import importlib.util
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Literal

from backends import Health, Result
from config import PREFIX, Section, Settings

# Each engine of it is a service of somebody else or a package of the system, so having none is no fault.
OPTIONAL = {"translate"}
# How a provider is spoken of where that is not its setting's name.
SPOKEN = {"geocoding": "geocoder", "nws": "national weather service"}


class Finding(Result):
    """One thing that is not well."""

    level: Literal["error", "warning"]
    about: str
    text: str
    mend: str = ""


def findings(settings: Settings, domains: Mapping[str, Health], tools: set[str]) -> Iterator[Finding]:
    """Everything that is not well.

    Args:
        settings: What was configured.
        domains: How each domain says it is, its providers having been asked.
        tools: Those that are served.
    """
    for name, health in domains.items():
        yield from judge(name, health, getattr(settings, name))
    if settings.transport == "http":
        yield from _listening(settings)
    if not tools:
        yield Finding(
            level="error",
            about="tools",
            text="The tags leave no tool to serve.",
            mend="Change ALMANAC_INCLUDE_TAGS or ALMANAC_EXCLUDE_TAGS.",
        )
    if sys.platform != "win32" and not importlib.util.find_spec("uvloop"):
        yield Finding(
            level="warning",
            about="event loop",
            text="uvloop is not installed; calls take longer without it.",
            mend="Install what requirements/run.txt lists (`make setup`).",
        )


def judge(domain: str, health: Health, section: Section) -> Iterator[Finding]:
    """What is not well in a domain, and whether somebody configured it."""
    broken = [provider for provider in health.providers if provider.state in ("failing", "missing")]
    chosen = {provider.name: made for provider in broken if (made := _made_for(provider.name, section))}
    if health.state != "ready":
        excused = health.state == "degraded" or (domain in OPTIONAL and broken and not chosen)
        level: Literal["error", "warning"] = "warning" if excused else "error"
        yield Finding(level=level, about=domain, text=health.summary, mend=health.mend)
        if not excused:
            return
    for provider in broken:
        made = chosen.get(provider.name, set())
        if made:
            names = ", ".join(f"{PREFIX}{domain}_{field}".upper() for field in sorted(made))
            mend = f"Check what {names} says."
        elif health.state == "ready":
            mend = health.mend
        else:
            continue  # the domain's own line has said it
        yield Finding(
            level="error" if made else "warning",
            about=f"{domain}, {provider.name}",
            text=provider.note or f"It is {provider.state}.",
            mend=mend,
        )


def _made_for(provider: str, section: Section) -> set[str]:
    """The settings somebody made that list the provider by name, or are the provider's own."""
    chosen = section.model_fields_set
    listing = {
        field
        for field in chosen
        if isinstance(value := getattr(section, field), tuple | dict) and provider in value
    }
    name = re.sub(r"[^a-z0-9]+", " ", provider.lower())
    owners: dict[int, set[str]] = {}
    for field in type(section).model_fields:
        stem, _, what = field.rpartition("_")
        if what in ("url", "key", "modes"):
            words = SPOKEN.get(stem, stem.replace("_", " "))
            owners.setdefault(name.rfind(words), set()).add(field)
    # "Open-Meteo's archive" is archive_url's: the words that come last in a name tell most.
    last = max(owners, default=-1)
    return listing | (owners[last] & chosen if last >= 0 else set())


def _listening(settings: Settings) -> Iterator[Finding]:
    about = f"http on {settings.host}:{settings.port}"
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except OSError:
        yield Finding(
            level="error", about=about, text="There is no such address.", mend="Change ALMANAC_HOST."
        )
        return
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            listener.bind(address)
        except OSError as error:
            yield Finding(
                level="warning",
                about=about,
                text=f"A server cannot listen there now ({error.strerror}).",
                mend="Fine if the server is running; else change ALMANAC_HOST or ALMANAC_PORT.",
            )
