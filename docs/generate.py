"""Writes what the documentation says about the server from the server itself.

`python -m docs.generate` writes docs/tools.md, docs/configuration.md, .env.example and the tool table in
README.md; with `--check` it writes nothing and exits 1 if one of them is not what it would write.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from fastmcp import Client
from mcp.types import Prompt, Resource, ResourceTemplate, Tool
from pydantic import SecretStr

from config import HERE, FilesSettings, Section, Settings
from config.variables import Variable, variables
from middleware.errors import takes_words
from server import SUB_SERVERS, create_server

NOTE = "<!-- Made by `make docs` from the server itself; edit there, not here. -->\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _domain(name: str) -> str:
    return next((domain for domain in SUB_SERVERS if name.startswith(f"{domain}_")), "hub")


def _about(tool: Tool) -> str:
    about = _cell((tool.description or "").split("Args:")[0])
    reads = tool.annotations is None or tool.annotations.read_only_hint
    return about if reads else f"{about} Only there with `ALMANAC_FILES_WRITE=true`."


def _parameters(tool: Tool) -> str:
    schema = tool.input_schema
    if not schema.get("properties"):
        return "No parameters.\n"
    rows = ["| parameter | takes | default | |", "|---|---|---|---|"]
    for name, prop in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default_of(prop)
        rows.append(f"| `{name}` | {takes_words(prop)} | {default} | {_cell(prop.get('description', ''))} |")
    return "\n".join(rows) + "\n"


def _default_of(parameter: dict[str, Any]) -> str:
    return f"`{json.dumps(default)}`" if (default := parameter.get("default")) is not None else ""


def tools_page(
    tools: list[Tool], resources: list[Resource], templates: list[ResourceTemplate], prompts: list[Prompt]
) -> str:
    page = [NOTE, "# Tools, resources and prompts\n"]
    for domain in (*SUB_SERVERS, "hub"):
        page.append(f"## {domain}\n")
        for tool in (t for t in tools if _domain(t.name) == domain):
            page += [
                f"### {tool.name}\n",
                f"{_about(tool)}\n",
                _parameters(tool),
            ]
            gives = ", ".join(f"`{name}`" for name in (tool.output_schema or {}).get("properties", {}))
            page.append(f"Gives {gives}.\n")
    page += ["## Resources\n", "| URI | type | |", "|---|---|---|"]
    page += [f"| `{r.uri}` | {r.mime_type} | {_cell(r.description or '')} |" for r in resources]
    page += [f"| `{t.uri_template}` | {t.mime_type} | {_cell(t.description or '')} |" for t in templates]
    page += ["\n## Prompts\n", "| prompt | arguments | |", "|---|---|---|"]
    for prompt in prompts:
        takes = ", ".join(f"`{a.name}`" if a.required else f"`{a.name}`?" for a in prompt.arguments or ())
        page.append(f"| `{prompt.name}` | {takes} | {_cell(prompt.description or '')} |")
    return "\n".join(page) + "\n"


def _default(variable: Variable) -> str:
    """The default as it would be written in the environment."""

    def shown(value: Any) -> str:
        if isinstance(value, Path):
            return str(value.relative_to(HERE)) if value.is_relative_to(HERE) else str(value)
        return str(value)

    match variable.default:
        case None | SecretStr():
            return ""
        case tuple() as values:
            return ",".join(shown(value) for value in values)
        case dict() as pairs:
            return ",".join(f"{name}={shown(value)}" for name, value in pairs.items())
    return shown(variable.default)


def _sections() -> list[tuple[str, list[Variable]]]:
    """The settings of the application, then those of each domain, each under its heading."""
    found: dict[str, list[Variable]] = {}
    for variable in variables():
        found.setdefault(variable.path[0] if len(variable.path) > 1 else "", []).append(variable)
    headings = {name: field.annotation for name, field in Settings.model_fields.items()}
    return [(_heading(headings[name]) if name else "The application.", rows) for name, rows in found.items()]


def _heading(section: Any) -> str:
    return str(section.__doc__) if issubclass(section, Section) else ""


def configuration_page() -> str:
    page = [
        NOTE,
        "# Configuration\n",
        "Everything is set in the environment, or in the file that `ALMANAC_ENV_FILE` names (otherwise the "
        "`.env` beside `server.py`); the environment is stronger. Nothing needs setting to start. A name "
        "that does not exist or a value that does not parse stops the start. Relative paths start at the "
        "checkout.\n",
    ]
    for heading, rows in _sections():
        page += [f"## {heading.removesuffix('.')}\n", "| variable | default | |", "|---|---|---|"]
        page += [
            f"| `{v.name}` | {f'`{d}`' if (d := _default(v)) else ''} | {_cell(v.description)} |"
            for v in rows
        ]
        page.append("")
    return "\n".join(page)


def env_example() -> str:
    lines = ["# Copy to .env beside server.py and uncomment what you change. Made by `make docs`."]
    for heading, rows in _sections():
        lines += ["", f"# {heading}"]
        for variable in rows:
            lines += [f"# {variable.description}", f"#{variable.name}={_default(variable)}"]
    return "\n".join(lines) + "\n"


def readme(text: str, tools: list[Tool]) -> str:
    """README.md with the tool table between its markers made anew."""
    before, start, rest = text.partition("<!-- tools -->")
    _, end, after = rest.partition("<!-- /tools -->")
    if not (start and end):
        raise ValueError("README.md has lost its <!-- tools --> markers")
    rows = ["| tool | what it gives |", "|---|---|"]
    rows += [f"| `{tool.name}` | {_about(tool)} |" for tool in tools]
    return before + start + "\n" + "\n".join(rows) + "\n" + end + after


async def pages() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    with_all = Settings(files=FilesSettings(write=True))
    async with Client(create_server(with_all)) as client:
        tools = await client.list_tools()
        return {
            HERE / "docs/tools.md": tools_page(
                tools,
                await client.list_resources(),
                await client.list_resource_templates(),
                await client.list_prompts(),
            ),
            HERE / "docs/configuration.md": configuration_page(),
            HERE / ".env.example": env_example(),
            HERE / "README.md": readme((HERE / "README.md").read_text(encoding="utf-8"), tools),
        }


def main() -> int:
    stale = {
        path: text
        for path, text in asyncio.run(pages()).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(HERE)} is not what the server says; run `make docs`.\n")
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
