"""The bundle for Claude Desktop, the registry's entry, fastmcp.json: read by their readers, and started."""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from bundle.build import build, files, pyproject
from config.variables import variables
from tests.deploy.front import CHECKERS, HERE, needed
from tests.wire.conftest import ENVIRON

MANIFEST = json.loads((HERE / "bundle" / "manifest.json").read_text())
WRITES = {"files_write", "files_edit", "files_delete"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


def uv() -> str:
    own = HERE / ".uv" / "bin" / "uv"
    return str(own) if own.exists() else needed("uv")


def host_environment(directory: Path) -> dict[str, str]:
    """As little as a desktop gives, and what uv needs to find on this machine what it has fetched before."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "HOME" or name.startswith(("UV_", "SSL_"))
    }
    path = f"{Path(uv()).parent}{os.pathsep}{os.environ['PATH']}"
    # A project of its own, whichever one runs this test.
    return {
        **ENVIRON,
        **kept,
        "PATH": path,
        "UV_SYSTEM_CERTS": "1",
        "UV_PROJECT_ENVIRONMENT": str(directory / ".venv"),
    }


def started_for(directory: Path, given: dict[str, Any]) -> StdioTransport:
    """The process that a host starts for an unpacked bundle and what its user has entered."""
    package = CHECKERS / "node_modules" / "@anthropic-ai" / "mcpb"
    script = Path(__file__).with_name("resolved.mjs")
    asked = [needed("node"), str(script), str(package), str(directory), json.dumps(given)]
    resolved = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    assert "${" not in json.dumps(resolved)
    # What a test sets beats neither the user's choice nor its absence.
    env = {**host_environment(directory), **resolved["env"]}
    return StdioTransport(resolved["command"], resolved["args"], env=env, cwd="/", keep_alive=False)


# --- what is written


def test_every_tool_is_announced_by_its_name_and_sentence() -> None:
    surface = [json.loads(path.read_text()) for path in (HERE / "tests" / "surface").glob("tool-*.json")]
    about = {tool["name"]: tool["description"].split("\n")[0] for tool in surface}
    announced = {tool["name"]: tool["description"] for tool in MANIFEST["tools"]}
    assert announced == {name: about[name] for name in announced}
    assert (
        not {name for name in about if name.startswith(("sql_", "weather_"))}
        - announced.keys()
        - {"sql_export"}
    )


def test_whatever_the_user_is_asked_for_is_a_setting_and_need_not_be_answered() -> None:
    env: dict[str, str] = MANIFEST["server"]["mcp_config"]["env"]
    asked = {value.removeprefix("${user_config.").removesuffix("}") for value in env.values()}
    assert asked == set(MANIFEST["user_config"])
    known = {variable.name: variable for variable in variables()}
    assert env.keys() <= known.keys()
    for name, value in env.items():
        option = MANIFEST["user_config"][value[14:-1]]
        assert not option["required"]
        assert option["default"] in ("", False), "without one, the placeholder itself would be the value"
        assert option.get("sensitive", False) == known[name].secret, name


def test_the_bundle_installs_what_is_locked() -> None:
    locked = re.findall(r"^([a-z0-9-]+==\S+)", (HERE / "requirements" / "run.txt").read_text(), re.MULTILINE)
    found = re.findall(r'^    "([a-z0-9-]+==[^" ]+)', pyproject("1"), re.MULTILINE)
    assert found == locked
    assert len(found) > 50


def test_the_bundle_holds_what_runs_and_nothing_else() -> None:
    names = {path.relative_to(HERE).as_posix() for path in files()}
    assert {"server.py", "data/world.db", "data/files/README.md", "web/page/page.html", "LICENSE"} <= names
    assert not [name for name in names if re.match(r"tests|docs|\.|data/world/|data/build", name)]
    assert not [name for name in names if "__pycache__" in name]


def test_the_registrys_entry_is_as_the_registry_wants_it() -> None:
    entry = json.loads((HERE / "server.json").read_text())
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"])
    assert 1 <= len(entry["description"]) <= 100
    assert {package["registryType"] for package in entry["packages"]} == {"mcpb", "oci"}
    for package in entry["packages"]:
        assert package["identifier"]
        assert package["transport"] == {"type": "stdio"}
        for argument in package.get("packageArguments", ()):
            assert (argument["type"], argument["value"]) == ("positional", "stdio")
        for setting in package.get("environmentVariables", ()):
            assert setting["name"] in {variable.name for variable in variables()}


# --- what runs


@pytest.mark.slow
def test_the_official_package_takes_the_bundle(built: Path, tmp_path: Path) -> None:
    mcpb = needed("mcpb")
    unpacked = tmp_path / "unpacked"
    for words in (["unpack", str(built), str(unpacked)], ["validate", str(unpacked / "manifest.json")]):
        done = subprocess.run([mcpb, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (unpacked / "data" / "world.db").read_bytes() == (HERE / "data" / "world.db").read_bytes()
    broken = json.loads((unpacked / "manifest.json").read_text()) | {"servers": {}}
    (unpacked / "manifest.json").write_text(json.dumps(broken))
    assert subprocess.run(
        [mcpb, "validate", str(unpacked / "manifest.json")], capture_output=True, check=False
    ).returncode


@pytest.mark.slow
def test_the_same_files_make_the_same_bundle_and_the_registrys_entry_has_its_digest(
    built: Path, tmp_path: Path
) -> None:
    assert build(tmp_path).read_bytes() == built.read_bytes()
    entry = json.loads((tmp_path / "server.json").read_text())
    digests = [package["fileSha256"] for package in entry["packages"] if package["registryType"] == "mcpb"]
    assert digests == [hashlib.sha256(built.read_bytes()).hexdigest()]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_an_unpacked_bundle_starts_as_the_user_has_set_it_up(built: Path, tmp_path: Path) -> None:
    needed("mcpb")
    unpacked, mine = tmp_path / "extension dir", tmp_path / "my files"
    with zipfile.ZipFile(built) as packed:
        packed.extractall(unpacked)
    mine.mkdir()
    (mine / "note.txt").write_text("a note of mine")
    async with Client(await asyncio.to_thread(started_for, unpacked, {})) as client:
        names = {tool.name for tool in await client.list_tools()}
        assert names == {tool["name"] for tool in MANIFEST["tools"]}
        answer = await client.call_tool("sql_query", {"sql": "SELECT 6 * 7"})
        assert (answer.structured_content or {})["rows"] == [[42]]
    given = {"files_root": str(mine), "files_write": True, "deepl_key": ""}
    async with Client(await asyncio.to_thread(started_for, unpacked, given)) as client:
        assert {tool.name for tool in await client.list_tools()} >= WRITES
        await client.call_tool("files_write", {"path": "new.txt", "text": "written"})
        listed = (await client.call_tool("files_list", {})).structured_content or {}
        assert {entry["path"] for entry in listed["entries"]} == {"note.txt", "new.txt"}


@pytest.mark.slow
async def test_fastmcp_runs_the_checkout_without_a_word_more() -> None:
    program = str(Path(sys.executable).with_name("fastmcp"))
    transport = StdioTransport(program, ["run"], env=dict(ENVIRON), cwd=str(HERE), keep_alive=False)
    async with Client(transport) as client:
        assert {tool.name for tool in await client.list_tools()} == {
            tool["name"] for tool in MANIFEST["tools"]
        }
