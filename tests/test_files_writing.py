"""The tools that change the sandbox, as a client sees them, in both eras of the protocol."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from config import Settings
from server import create_server
from tests.conftest import Connect

SERVERS = ["files"]
TOOLS = {
    "files_write", "files_edit", "files_create_directory", "files_move", "files_copy", "files_delete",
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.txt").write_text("one\ntwo\n")
    return tmp_path / "root"


@pytest.fixture
async def asked(era: str, root: Path) -> AsyncIterator[Client[Any]]:
    async def agree(*_: object) -> dict[str, bool]:
        return {"confirm": True}

    settings = Settings.model_validate({"servers": ["files"], "files": {"root": root, "write": True}})
    async with Client(create_server(settings), mode=era, elicitation_handler=agree) as c:
        yield c


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


async def test_nothing_that_writes_is_there_unless_that_is_switched_on(client: Connect, root: Path) -> None:
    for over in (
        {"files": {"root": root}},
        {"files": {"root": root, "write": True}, "exclude_tags": ["write"]},
    ):
        async with client(servers=["files"], **over) as c:
            assert not TOOLS & {tool.name for tool in await c.list_tools()}
            with pytest.raises(ToolError, match="There is no tool 'files_write'"):
                await c.call_tool("files_write", {"path": "b.txt", "text": "x"})


async def test_each_tool_says_what_it_destroys_and_stays_lean(asked: Client[Any]) -> None:
    found = {tool.name: tool for tool in await asked.list_tools() if tool.name in TOOLS}
    assert set(found) == TOOLS
    hints = {name: tool.annotations for name, tool in found.items()}
    assert all(hint and not hint.read_only_hint and not hint.open_world_hint for hint in hints.values())
    assert {name for name, hint in hints.items() if hint and hint.destructive_hint} == {
        "files_write", "files_edit", "files_move", "files_delete",
    }  # fmt: skip
    assert {name for name, hint in hints.items() if hint and hint.idempotent_hint} == {
        "files_create_directory"
    }
    shown = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in found.values()]
    assert len(json.dumps(shown, separators=(",", ":"))) < 5_200
    for tool in shown:
        assert "$ref" not in json.dumps(tool), tool["name"]
        assert set(tool["_meta"]["fastmcp"]["tags"]) == {"files", "write", "local"}
        assert tool["title"]
        assert tool["outputSchema"]["properties"]
        assert all(schema["description"] for schema in tool["inputSchema"]["properties"].values())


async def test_a_day_of_work_on_files(asked: Client[Any], root: Path) -> None:
    async def call(tool: str, **given: object) -> Any:
        return (await asked.call_tool(f"files_{tool}", given)).structured_content

    assert await call("create_directory", path="notes/old") == {"path": "notes/old", "created": 2}
    written = {"path": "notes/b.txt", "size": 6, "replaced": False}
    assert await call("write", path="notes/b.txt", text="grün\n") == written
    assert (await call("write", path="notes/b.txt", text="rot\n", overwrite=True))["replaced"] is True
    told = await call("edit", path="a.txt", edits=[{"old": "two", "new": "2"}], dry_run=True)
    assert told["diff"] == "--- a.txt\n+++ a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    done = await call("edit", path="a.txt", edits='[{"old": "o", "new": "0", "count": 2}]')
    assert done == {"path": "a.txt", "replacements": 2, "size": 8, "diff": "", "notices": []}
    assert await call("move", path="notes/b.txt", new_path="notes/old/c.txt") == {"path": "notes/old/c.txt"}
    copied = {"path": "notes/d.txt", "size": 4, "replaced": False}
    assert await call("copy", path="notes/old/c.txt", new_path="notes/d.txt") == copied
    assert await call("delete", path="notes/old", recursive=True) == {"path": "notes/old", "entries": 1}
    assert (root / "a.txt").read_text() == "0ne\ntw0\n"
    assert (root / "notes" / "d.txt").read_text() == "rot\n"
    assert not (root / "notes" / "old").exists()


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        (
            "write",
            {"path": "a.txt", "text": "x"},
            r"'a\.txt' is there already\. Pick another name, or pass ov",
        ),
        ("write", {"path": "no/a.txt", "text": "x"}, "There is no 'no'"),
        ("write", {"path": ".env", "text": "KEY=1"}, r"'\.env' is hidden here"),
        ("write", {"path": "../b.txt", "text": "x"}, "climbs with"),
        ("edit", {"path": "a.txt", "edits": [{"old": "zwei", "new": "2"}]}, "Edit 1: 'zwei' is not there"),
        ("edit", {"path": "a.txt", "edits": []}, "edits takes a list of 1 to 100 items"),
        (
            "edit",
            {"path": "a.txt", "edits": [{"old": "", "new": "2"}]},
            "edits takes a list of 1 to 100 items",
        ),
        ("edit", {"path": "a.txt", "edits": [{"old": "one", "neu": "2"}]}, "edits takes a list"),
        ("move", {"path": "a.txt", "new_path": "a.txt"}, "there already and is not replaced"),
        ("move", {"path": "a.txt", "new_path": "id_rsa"}, "'id_rsa' is hidden here"),
        ("copy", {"path": "b.txt", "new_path": "c.txt"}, r"There is no 'b\.txt'\. Did you mean 'a\.txt'"),
        ("delete", {"path": "."}, "'.' is the sandbox itself"),
        ("delete", {"path": "b.txt"}, r"There is no 'b\.txt'\. Did you mean 'a\.txt'"),
        ("create_directory", {"path": "a.txt"}, "is a file, not a directory"),
        ("create_directory", {"path": "/".join("d" * 99)}, "nested deeper than the 64 directories"),
    ],
)
async def test_a_refusal_says_what_to_do_and_changes_nothing(
    asked: Client[Any], root: Path, tool: str, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ToolError, match=words) as refused:
        await asked.call_tool(f"files_{tool}", given)
    assert str(root.parent) not in str(refused.value)
    assert names(root) == ["a.txt"]
    assert (root / "a.txt").read_text() == "one\ntwo\n"


async def test_half_a_character_is_no_text(root: Path, settings: Callable[..., Settings]) -> None:
    from backends.files import Sandbox
    from errors import Forbidden

    async with Sandbox(settings(files={"root": root, "write": True}).files) as box:
        with pytest.raises(Forbidden, match=r"half a character \(U\+D83D\) at position 3"):
            await box.changes.write("b.txt", "abc\ud83d")


async def test_a_query_is_exported_to_no_file_that_is_there(asked: Client[Any], era: str, root: Path) -> None:
    (root / "out.csv").write_text("mine")
    settings = Settings.model_validate(
        {"servers": ["sql", "files"], "files": {"root": root, "write": True, "confirm": "never"}}
    )
    async with Client(create_server(settings), mode=era) as c:
        with pytest.raises(ToolError, match=r"'out\.csv' is there already and is not replaced"):
            await c.call_tool("sql_export", {"sql": "SELECT 1", "save_as": "out.csv"})
    assert (root / "out.csv").read_text() == "mine"
