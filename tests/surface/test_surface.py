"""The surface is a contract: a snapshot per tool, resource, template and prompt, and what holds for all.

After a wanted change `make surface` rewrites the snapshots; the diff is what clients will notice.
"""

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client

from config import Settings
from server import create_server

HERE = Path(__file__).parent
TOOLS = {
    "translate_text", "translate_batch", "translate_detect", "translate_languages",
    "weather_find_place", "weather_current", "weather_forecast", "weather_history", "weather_alerts",
    "weather_air_quality",
    "sql_list_tables", "sql_describe_table", "sql_query", "sql_explain",
    "files_list", "files_read", "files_read_json", "files_read_media", "files_find", "files_search",
    "files_info", "status",
}  # fmt: skip
WRITING = {  # only there when writing is on
    "files_write", "files_edit", "files_create_directory", "files_move", "files_copy", "files_delete",
    "sql_export", "translate_document",
}  # fmt: skip
PROMPTS = {"translate_document", "weather_briefing", "sql_analyst", "files_summarise", "travel_briefing"}
URIS = {
    "almanac://status", "almanac://settings", "almanac://translate/languages",
    "almanac://weather/{place}/current", "almanac://weather/{place}/forecast",
    "almanac://sql/{database}/tables", "almanac://sql/{database}/tables/{table}",
    "almanac://files/", "almanac://files/{path*}",
}  # fmt: skip
BUDGET = 24_000  # characters of tools/list JSON: about 6,000 tokens of every conversation


async def surface(mode: str, **over: Any) -> dict[str, dict[str, Any]]:
    """Every component by file name, as the protocol shows it, without `_meta`."""
    async with Client(create_server(Settings(**over)), mode=mode) as client:
        listed = {
            "tool": await client.list_tools(),
            "resource": await client.list_resources(),
            "template": await client.list_resource_templates(),
            "prompt": await client.list_prompts(),
        }
    found = {}
    for kind, components in listed.items():
        for component in components:
            shown = component.model_dump(mode="json", by_alias=True, exclude_none=True)
            shown.pop("_meta", None)
            name = str(shown.get("uri") or shown.get("uriTemplate") or shown["name"])
            found[f"{kind}-{re.sub(r'[^a-z_]+', '-', name).strip('-')}"] = shown
    return found


@pytest.fixture
async def default(era: str) -> dict[str, dict[str, Any]]:
    return await surface(era)


@pytest.fixture
async def shown(era: str, default: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """With what is only there when files may be written, which changes nothing else."""
    with_writing = await surface(era, files={"write": True})
    assert {name: with_writing[name] for name in default} == default
    return with_writing


async def test_the_surface_is_what_the_snapshots_say(shown: dict[str, dict[str, Any]]) -> None:
    if os.environ.get("ALMANAC_WRITE_SURFACE"):
        for old in HERE.glob("*.json"):
            old.unlink()
        for name, component in shown.items():
            text = json.dumps(component, indent=2, sort_keys=True, ensure_ascii=False)
            (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    saved = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in HERE.glob("*.json")}
    assert saved == shown


async def test_the_names_are_those_of_the_contract(
    default: dict[str, dict[str, Any]], shown: dict[str, dict[str, Any]]
) -> None:
    def named(kind: str, key: str, of: dict[str, dict[str, Any]] = default) -> set[str]:
        return {component[key] for name, component in of.items() if name.startswith(f"{kind}-")}

    assert named("tool", "name") == TOOLS
    assert named("tool", "name", shown) == TOOLS | WRITING
    assert named("prompt", "name") == PROMPTS
    assert named("resource", "uri") | named("template", "uriTemplate") == URIS


async def test_the_tool_list_fits_its_budget(era: str) -> None:
    async with Client(create_server(Settings()), mode=era) as client:
        tools = await client.list_tools()
    shown = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    assert len(json.dumps(shown, ensure_ascii=False, separators=(",", ":"))) <= BUDGET


async def test_every_tool_says_all_that_a_client_can_be_told(shown: dict[str, dict[str, Any]]) -> None:
    for name, tool in shown.items():
        if not name.startswith("tool-"):
            continue
        assert tool["title"], name
        assert set(tool["annotations"]) >= {
            "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint",
        }, name  # fmt: skip
        assert tool["outputSchema"]["properties"], name
        assert not {"anyOf", "oneOf", "allOf"} & set(tool["inputSchema"]), name
        assert "$ref" not in json.dumps(tool["inputSchema"]), name
        for parameter, schema in tool["inputSchema"]["properties"].items():
            assert schema.get("description"), f"{name}.{parameter} is not described"


async def test_texts_are_short_and_hold_nothing_of_the_machine(shown: dict[str, dict[str, Any]]) -> None:
    for name, component in shown.items():
        assert component["description"], name
        assert len(component["description"]) < 2048, name
        text = json.dumps(component)
        assert "ALMANAC_" not in text, name
        assert "JSON schema" not in text, f"{name}: describe the argument in the docstring"
        assert str(HERE.parent.parent) not in text, name


def texts(node: ast.AST) -> Iterator[str]:
    """What a module says: its strings without those for Python and its readers, `__all__` and docstrings."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Assign) and "__all__" in ast.unparse(child.targets[0]):
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
        yield from texts(child)


NAMED = re.compile(r"\b(?:translate|weather|sql|files)_[a-z_]+\b")
KNOWN = TOOLS | WRITING | PROMPTS | {"weather_code", "translate_file"}  # Open-Meteo's, deep-translator's


async def test_every_tool_that_a_description_names_exists(shown: dict[str, dict[str, Any]]) -> None:
    for name, component in shown.items():
        assert set(NAMED.findall(json.dumps(component))) <= KNOWN, name


def test_every_tool_that_a_text_names_exists() -> None:
    root = HERE.parent.parent
    folders = [path.parent for path in root.glob("[!.]*/__init__.py")]
    for path in [*root.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]:
        if path.relative_to(root).parts[0] in ("tests", "benchmarks"):
            continue
        for text in texts(ast.parse(path.read_text(encoding="utf-8"))):
            assert set(NAMED.findall(text)) <= KNOWN, path.name
