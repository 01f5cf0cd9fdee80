"""`server.py connect CLIENT`: the entry or command that makes a client use this checkout.

The entry goes to standard output and what to do with it to standard error. `--write` puts it into the
client's own file: every other byte stays, the old file is kept beside it, and a file that cannot be read
as JSON is left alone.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from commands.config_file import Outcome, put
from commands.json_splice import NotSplicedError
from config import HERE
from environment import ConfigurationError, load

REMOTE_TOKEN = "AUTH_HEADER"  # noqa: S105 - the name of a variable that mcp-remote reads


class Target(NamedTuple):
    """What to connect to: this checkout with some settings, or a server at a URL."""

    name: str
    env: dict[str, str]
    url: str
    token: str

    @property
    def local(self) -> list[str]:
        """The command that starts this checkout, by absolute paths: clients start it in any directory."""
        return [sys.executable, str(HERE / "server.py")]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


class ConfigFile(NamedTuple):
    """A client that reads its servers from a file."""

    title: str
    key: str  # the member of the file that holds the servers
    comments: bool  # whether the client takes comments and trailing commas in it
    then: str


FILES = {
    "claude-desktop": ConfigFile(
        "Claude Desktop", "mcpServers", False, "Then quit Claude Desktop and start it."
    ),
    "claude-code": ConfigFile(
        "Claude Code", "mcpServers", False, "Then start claude in that directory; it asks you to approve it."
    ),
    "cursor": ConfigFile("Cursor", "mcpServers", True, "Then switch the server on in Cursor's MCP settings."),
    "vscode": ConfigFile(
        "VS Code", "servers", True, "Then start the server with the command 'MCP: List Servers'."
    ),
}


def main(arguments: list[str]) -> int:
    """Print the entry or command for one client, or write it into the client's file."""
    parser, options = _parse(arguments)
    target = Target(options.name, dict(options.env), options.url or "", options.token or "")
    try:
        load(target.env)
    except ConfigurationError as error:
        parser.error(f"the server would not start with this:\n{error}")
    if options.write and options.client == "inspector":
        parser.error("the Inspector keeps no list of servers; run what `connect inspector` prints")
    if options.client == "inspector" or (options.client == "claude-code" and not options.write):
        command = inspector(target) if options.client == "inspector" else claude_code(target)
        print("Run this:", file=sys.stderr)
        print(_shell(command))
        return 0

    file = FILES[options.client]
    try:
        path = Path(options.file or location(options.client, sys.platform, Path.home(), os.environ))
        if options.write:
            return _report(
                file, put(path, (file.key, target.name), entry(options.client, target), file.comments)
            )
    except (NotSplicedError, OSError) as error:
        return _refuse(error, options.write)
    print(f"{file.title} reads {path}; put this in, or have it done by --write:", file=sys.stderr)
    print(json.dumps({file.key: {target.name: entry(options.client, target)}}, indent=2, ensure_ascii=False))
    print(file.then, file=sys.stderr)
    return 0


def entry(client: str, target: Target) -> dict[str, Any]:
    """What the client's file holds for this target."""
    if not target.url:
        command, *rest = target.local
        # Claude Desktop's file knows no type: what is in it is started.
        kind = {} if client == "claude-desktop" else {"type": "stdio"}
        return {**kind, "command": command, "args": rest, **({"env": target.env} if target.env else {})}
    if client == "claude-desktop":
        command, *rest = _bridge(target)
        return {
            "command": command,
            "args": rest,
            **({"env": {REMOTE_TOKEN: f"Bearer {target.token}"}} if target.token else {}),
        }
    kind = {} if client == "cursor" else {"type": "http"}
    return {**kind, "url": target.url, **({"headers": target.headers} if target.token else {})}


def _bridge(target: Target) -> list[str]:
    """Claude Desktop's file takes only commands, so one that speaks to the URL for it."""
    command = ["npx", "-y", "mcp-remote", target.url]
    if re.match(r"http://(?!localhost\b|127\.0\.0\.1\b)", target.url):
        command.append("--allow-http")
    if target.token:  # without a space: on Windows an argument with one arrives in two
        command += ["--header", f"Authorization:${{{REMOTE_TOKEN}}}"]
    return command


def claude_code(target: Target) -> list[str]:
    """The command that makes Claude Code know the target in every project of this user."""
    if target.url:
        headers = [f"--header={name}: {value}" for name, value in target.headers.items()]
        return [
            *("claude", "mcp", "add", "--scope", "user", "--transport", "http"),
            *(target.name, target.url, *headers),
        ]
    # --env takes all that follows it, so it stands after the name and before the dashes.
    env = [f"--env={name}={value}" for name, value in target.env.items()]
    return ["claude", "mcp", "add", "--scope", "user", target.name, *env, "--", *target.local]


def inspector(target: Target) -> list[str]:
    """The command that opens the target in the MCP Inspector."""
    command = ["npx", "-y", "@modelcontextprotocol/inspector"]
    if target.url:
        headers = [part for h in target.headers.items() for part in ("--header", ": ".join(h))]
        return [*command, "--server-url", target.url, "--transport", "http", *headers]
    env = [part for e in target.env.items() for part in ("-e", "=".join(e))]
    return [*command, *env, *target.local]


def location(client: str, platform: str, home: Path, environ: Mapping[str, str]) -> Path:
    """Where the client keeps the file that `--write` changes.

    Raises:
        NotSplicedError: There are several installations and no telling which one is used.
    """
    if client == "claude-code":
        return Path.cwd() / ".mcp.json"
    if client == "cursor":
        return home / ".cursor" / "mcp.json"
    match platform:
        case "darwin":
            base = home / "Library" / "Application Support"
        case "win32":
            base = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
        case _:
            base = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if client == "vscode":
        return base / "Code" / "User" / "mcp.json"
    if platform == "win32":
        local = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        base = _packaged(local / "Packages") or base
    return base / "Claude" / "claude_desktop_config.json"


def _packaged(packages: Path) -> Path | None:
    """Claude Desktop as a Windows package (its installer since February 2026) sees only its own Roaming."""
    found = [base for base in packages.glob("Claude_*/LocalCache/Roaming") if base.is_dir()]
    used = [base for base in found if (base / "Claude" / "claude_desktop_config.json").is_file()] or found
    if len(used) > 1:
        raise NotSplicedError(f"Claude Desktop is installed {len(used)} times; say which with --file.")
    return used[0] if used else None


def _report(file: ConfigFile, outcome: Outcome) -> int:
    print(f"{file.title}: {outcome.text}")
    if outcome.changed:
        print(file.then)
    return 0


def _refuse(error: NotSplicedError | OSError, writing: bool) -> int:
    reason = str(error) if isinstance(error, NotSplicedError) else f"{error.strerror}: {error.filename}"
    print(f"Nothing was written: {reason}" if writing else reason, file=sys.stderr)
    return 1


def _shell(command: list[str]) -> str:
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)


def _parse(arguments: list[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="server.py connect",
        description="The entry or command that makes a client use this checkout, or a server at a URL.",
        epilog="--write keeps every other byte of the file and puts a copy of it beside it first. For"
        " claude-code it writes the .mcp.json of the current directory, which is that project's own.",
    )
    parser.add_argument("client", choices=(*FILES, "inspector"))
    parser.add_argument("--name", default="almanac", type=_name, help="what the client calls the server")
    parser.add_argument(
        *("--env",),
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="a setting for the server that is started; repeatable",
    )
    parser.add_argument("--url", type=_url, help="connect to a running server: http://HOST:8000/mcp")
    parser.add_argument("--token", help="the token the server at --url asks for")
    parser.add_argument("--write", action="store_true", help="put the entry into the client's own file")
    parser.add_argument("--file", help="that file, where it is not in its usual place")
    options = parser.parse_args(arguments)
    if options.url and options.env:
        parser.error("--env is for a server that the client starts; the one at --url has its own settings")
    if options.token and not options.url:
        parser.error("--token goes with --url")
    return parser, options


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise argparse.ArgumentTypeError("a name has letters, digits, - and _ only")
    return text


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)):
        raise argparse.ArgumentTypeError("a setting is NAME=VALUE")
    return name, value


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise argparse.ArgumentTypeError("a URL starts with http:// or https://")
    return text
