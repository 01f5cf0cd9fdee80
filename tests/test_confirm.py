"""Questions to the user before something is lost: asked in both eras, answered once, for one thing only."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.client.elicitation import ElicitResult as Reply
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import AccessToken
from mcp import MCPError
from mcp.types import ElicitResult, InputRequiredResult

from config import Settings
from server import create_server
from tests.wire.conftest import ENVIRON, SERVER, Http
from tools import confirm, files_writing
from tools.confirm import Confirmation

SERVERS = ["files"]
YES = ElicitResult(action="accept", content={"confirm": True})
UNASKABLE = r"files_delete needs the user's consent to this, and this client cannot ask for it\."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    (place / "docs").mkdir(parents=True)
    (place / "docs" / "one.txt").write_text("one")
    (place / "a.txt").write_text("a text")
    (place / "b.txt").write_text("b text")
    return place


@pytest.fixture
def server(root: Path) -> Callable[..., FastMCP]:
    def make(**over: Any) -> FastMCP:
        files = {"root": root, "write": True, **over}
        return create_server(Settings.model_validate({"servers": ["files"], "files": files}))

    return make


def writing(root: Path) -> dict[str, str]:
    """The environment of a server that writes."""
    return {"ALMANAC_FILES_ROOT": str(root), "ALMANAC_FILES_WRITE": "true", "ALMANAC_SERVERS": "files"}


class User:
    """Who is asked, and what they say."""

    def __init__(self, reply: Any, meanwhile: Callable[[], object] | None = None) -> None:
        self.reply, self.meanwhile, self.asked = reply, meanwhile, list[str]()

    async def __call__(self, message: str, *_: object) -> Any:
        self.asked.append(message)
        if self.meanwhile:
            self.meanwhile()
            self.meanwhile = None
        return self.reply


CASES = {
    "files_write": (
        {"path": "a.txt", "text": "other", "overwrite": True},
        "Replace the file 'a.txt' (6 bytes, last changed WHEN) by a text of 5 bytes? What it holds now is "
        "lost.",
    ),
    "files_move": (
        {"path": "b.txt", "new_path": "docs/moved.txt"},
        "Move the file 'b.txt' (6 bytes) to 'docs/moved.txt'? Nothing is replaced.",
    ),
    "files_delete": (
        {"path": "docs", "recursive": True},
        "Delete the directory 'docs' (2 files, 9 bytes)? All of that is deleted and cannot be brought back.",
    ),
}


async def test_the_user_is_asked_in_exact_words_and_then_it_is_done(
    server: Callable[..., FastMCP], root: Path, era: str
) -> None:
    user = User({"confirm": True})
    async with Client(server(), mode=era, elicitation_handler=user) as c:
        for tool, (arguments, _) in CASES.items():
            await c.call_tool(tool, arguments)
    told = [re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "WHEN", words) for words in user.asked]
    assert told == [question for _, question in CASES.values()]
    assert names(root) == ["a.txt"]
    assert (root / "a.txt").read_text() == "other"


async def test_whatever_is_no_yes_changes_nothing(
    server: Callable[..., FastMCP], root: Path, era: str
) -> None:
    said = {
        "The user declined; nothing was done": Reply(action="decline"),
        "The user closed the question without an answer; nothing was done": Reply(action="cancel"),
        "The user did not confirm; nothing was done": {"confirm": False},
    }
    user = User(None)
    async with Client(server(), mode=era, elicitation_handler=user) as c:
        for tool, (arguments, _) in CASES.items():
            for words, user.reply in said.items():
                with pytest.raises(ToolError, match=words):
                    await c.call_tool(tool, arguments)
        assert names(root) == ["a.txt", "b.txt", "docs", "one.txt"]
        assert (root / "a.txt").read_text() == "a text"
        user.reply = {"confirm": True}
        await c.call_tool("files_write", CASES["files_write"][0])  # who thinks better of it is asked again
    assert len(user.asked) == 10
    assert (root / "a.txt").read_text() == "other"


async def test_a_client_that_cannot_ask_is_told_which_setting_to_change(
    server: Callable[..., FastMCP], root: Path, era: str
) -> None:
    async with Client(server(), mode=era) as c:
        for tool, (arguments, _) in CASES.items():
            with pytest.raises(ToolError, match=rf"{tool} needs .*consent.*ALMANAC_FILES_CONFIRM=never"):
                await c.call_tool(tool, arguments)
        await c.call_tool("files_write", {"path": "new.txt", "text": "nothing is lost", "overwrite": True})
    assert names(root) == ["a.txt", "b.txt", "docs", "new.txt", "one.txt"]
    async with Client(server(confirm="never"), mode=era) as c:
        for tool, (arguments, _) in CASES.items():
            await c.call_tool(tool, arguments)
    assert names(root) == ["a.txt", "new.txt"]


async def test_a_user_who_wants_no_questions_is_asked_none(server: Callable[..., FastMCP], era: str) -> None:
    user = User({"confirm": True})
    async with Client(server(confirm="never"), mode=era, elicitation_handler=user) as c:
        for tool, (arguments, _) in CASES.items():
            await c.call_tool(tool, arguments)
    assert not user.asked


async def test_a_file_that_changes_while_the_user_reads_is_not_touched_on_that_answer(
    server: Callable[..., FastMCP], root: Path, era: str
) -> None:
    user = User({"confirm": True}, meanwhile=lambda: (root / "a.txt").write_text("important"))
    async with Client(server(), mode=era, elicitation_handler=user) as c:
        if era == "legacy":
            with pytest.raises(ToolError, match=r"'a\.txt' has changed meanwhile; nothing was done"):
                await c.call_tool("files_delete", {"path": "a.txt"})
            assert (root / "a.txt").read_text() == "important"
        await c.call_tool("files_delete", {"path": "a.txt"})
    assert not (root / "a.txt").exists()
    assert "(6 bytes)" in user.asked[0]
    assert "(9 bytes)" in user.asked[1]
    assert user.asked[1].startswith("This is not what you were asked before. ") == (era == "auto")


async def test_a_client_that_fails_to_ask_has_not_asked(server: Callable[..., FastMCP], root: Path) -> None:
    async def broken(*_: object) -> Any:
        raise ZeroDivisionError

    async with Client(server(), mode="legacy", elicitation_handler=broken) as c:
        with pytest.raises(ToolError, match="could not put the question to its user; nothing was done"):
            await c.call_tool("files_delete", {"path": "a.txt"})
    assert (root / "a.txt").exists()


# From 2026-07-28 on the question travels as a result and the answer with the next call: what follows plays a
# client, with answers as it likes.


class Wire:
    """One call and its answers, by hand."""

    def __init__(self, client: Client[Any]) -> None:
        self.client = client

    async def call(self, tool: str, given: dict[str, Any] | None = None, **arguments: Any) -> Any:
        return await self.client.session.call_tool(
            tool, arguments, input_responses=given, allow_input_required=True
        )

    async def name(self, tool: str, **arguments: Any) -> str:
        """Under which name it asks."""
        (name,) = asked(await self.call(tool, **arguments))
        return name


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*"))


def asked(result: Any) -> dict[str, str]:
    assert isinstance(result, InputRequiredResult), result
    return {name: request.params.message for name, request in (result.input_requests or {}).items()}


@pytest.fixture
async def wire(server: Callable[..., FastMCP]) -> AsyncIterator[Wire]:
    async with Client(server(), elicitation_handler=User(None)) as client:
        yield Wire(client)


async def test_an_answer_is_for_the_arguments_it_was_given_for(wire: Wire, root: Path) -> None:
    name = await wire.name("files_delete", path="a.txt")
    for tool, arguments in (
        ("files_delete", {"path": "b.txt"}),
        ("files_delete", {"path": "docs", "recursive": True}),
        ("files_delete", {"path": "a.txt", "recursive": True}),
        ("files_move", {"path": "a.txt", "new_path": "c.txt"}),
        ("files_write", {"path": "a.txt", "text": "", "overwrite": True}),
    ):
        (words,) = asked(await wire.call(tool, {name: YES}, **arguments)).values()
        assert words.startswith("This is not what you were asked before. ")
    assert names(root) == ["a.txt", "b.txt", "docs", "one.txt"]
    assert (root / "a.txt").read_text() == "a text"
    assert not (await wire.call("files_delete", {name: YES}, path="a.txt")).is_error
    assert not (root / "a.txt").exists()


async def test_the_text_that_replaces_is_the_one_that_was_agreed_to(wire: Wire, root: Path) -> None:
    name = await wire.name("files_write", path="a.txt", text="hello", overwrite=True)
    asked(await wire.call("files_write", {name: YES}, path="a.txt", text="HELLO", overwrite=True))
    assert (root / "a.txt").read_text() == "a text"
    assert not (
        await wire.call("files_write", {name: YES}, path="a.txt", text="hello", overwrite=True)
    ).is_error
    assert (root / "a.txt").read_text() == "hello"


async def test_an_answer_is_good_once(wire: Wire, root: Path) -> None:
    name = await wire.name("files_write", path="a.txt", text="hello", overwrite=True)
    await wire.call("files_write", {name: YES}, path="a.txt", text="hello", overwrite=True)
    asked(await wire.call("files_write", {name: YES}, path="a.txt", text="hello", overwrite=True))

    name = await wire.name("files_move", path="a.txt", new_path="c.txt")
    await wire.call("files_move", {name: YES}, path="a.txt", new_path="c.txt")
    (root / "c.txt").rename(root / "a.txt")  # the same inode, size and time of change
    asked(await wire.call("files_move", {name: YES}, path="a.txt", new_path="c.txt"))

    name = await wire.name("files_delete", path="b.txt")
    no = ElicitResult(action="decline")
    assert (await wire.call("files_delete", {name: no}, path="b.txt")).is_error
    asked(await wire.call("files_delete", {name: YES}, path="b.txt"))
    assert (root / "a.txt").exists()
    assert (root / "b.txt").exists()


async def test_an_answer_is_for_the_file_as_it_was(wire: Wire, root: Path) -> None:
    path = root / "a.txt"

    def keep_time(change: Callable[[], object], changed: Path) -> None:
        before = path.stat()
        change()
        os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))

    def exchange_for_its_like() -> None:
        keep_time(lambda: (root / "new").write_text("a text"), root / "new")
        (root / "new").replace(path)

    for change in (
        lambda: keep_time(lambda: path.write_text("A TEXT"), path),
        path.touch,
        exchange_for_its_like,
        lambda: (path.rename(root / "away"), (root / "away").rename(path)),
        lambda: path.chmod(0o600),
    ):
        name = await wire.name("files_delete", path="a.txt")
        change()
        asked(await wire.call("files_delete", {name: YES}, path="a.txt"))
        assert path.exists()


async def test_an_answer_is_for_all_that_a_directory_held(wire: Wire, root: Path) -> None:
    docs = root / "docs"
    for change in (
        (docs / "two.txt").touch,
        lambda: (docs / "one.txt").write_text("ONE"),
        lambda: (docs / "one.txt").rename(docs / "three.txt"),
        (docs / "two.txt").unlink,
    ):
        name = await wire.name("files_delete", path="docs", recursive=True)
        change()
        asked(await wire.call("files_delete", {name: YES}, path="docs", recursive=True))
        assert names(docs)


async def test_an_answer_is_for_the_caller_who_was_asked(
    wire: Wire, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def called_by(client: str, subject: str) -> None:
        token = AccessToken(token="x", client_id=client, subject=subject, scopes=[])
        monkeypatch.setattr(confirm, "get_access_token", lambda: token)

    called_by("desk", "ana")
    name = await wire.name("files_delete", path="a.txt")
    for client, subject in (("desk", "eve"), ("other", "ana")):
        called_by(client, subject)
        asked(await wire.call("files_delete", {name: YES}, path="a.txt"))
    called_by("desk", "ana")
    assert not (await wire.call("files_delete", {name: YES}, path="a.txt")).is_error


async def test_what_is_no_answer_to_the_question_asks_again(wire: Wire, root: Path) -> None:
    name = await wire.name("files_delete", path="a.txt")
    when, number, digest = name.split("-")
    for tampered in (
        "", "confirm", "-", "--", f"{when}-{number}", f"{when}-{number}-{'0' * 64}",
        f"{int(when) + 60}-{number}-{digest}", f"{when}-{'0' * 16}-{digest}", name[:-1], name.upper() + "é",
    ):  # fmt: skip
        asked(await wire.call("files_delete", {tampered: YES}, path="a.txt"))
    for odd in (
        {}, {name: ElicitResult(action="accept", content={"confirm": "true"})},
    ):  # fmt: skip
        result = await wire.call("files_delete", odd, path="a.txt")
        assert isinstance(result, InputRequiredResult) or result.is_error
    assert (root / "a.txt").exists()


async def test_a_state_that_the_server_did_not_seal_is_refused(wire: Wire, root: Path) -> None:
    name = await wire.name("files_delete", path="a.txt")
    with pytest.raises(MCPError, match="Invalid or expired requestState"):
        await wire.client.session.call_tool(
            "files_delete", {"path": "a.txt"}, input_responses={name: YES}, request_state="v1.made-up",
            allow_input_required=True,
        )  # fmt: skip
    assert (root / "a.txt").exists()


async def test_an_answer_of_long_ago_is_no_answer(
    server: Callable[..., FastMCP], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_800_000_000.0]
    monkeypatch.setattr(files_writing, "Confirmation", lambda asks: Confirmation(asks, lambda: now[0]))
    async with Client(server(), elicitation_handler=User(None)) as client:
        wire = Wire(client)
        name = await wire.name("files_delete", path="a.txt")
        for later in (601.0, -61.0):  # of a clock far ahead of ours, too
            now[0] += later
            asked(await wire.call("files_delete", {name: YES}, path="a.txt"))
            now[0] -= later
        now[0] += 599
        await wire.call("files_delete", {name: YES}, path="a.txt")
    assert not (root / "a.txt").exists()


async def test_another_process_takes_the_answer(server: Callable[..., FastMCP], root: Path) -> None:
    user = User(None)
    async with (
        Client(server(), elicitation_handler=user) as one,
        Client(server(), elicitation_handler=user) as other,
    ):
        name = await Wire(one).name("files_delete", path="a.txt")
        assert not (await Wire(other).call("files_delete", {name: YES}, path="a.txt")).is_error
        assert not (root / "a.txt").exists()
        (root / "a.txt").write_text("a text")
        for replica in (one, other):
            asked(await Wire(replica).call("files_delete", {name: YES}, path="a.txt"))


@pytest.mark.slow
async def test_over_http_one_era_asks_and_the_other_has_nobody_to_ask_and_says_so_at_once(root: Path) -> None:
    user = User({"confirm": True})
    with Http(writing(root)) as server:
        async with Client(server.url, mode="legacy", elicitation_handler=user) as c:
            with pytest.raises(ToolError, match=UNASKABLE):
                await c.call_tool("files_delete", {"path": "a.txt"}, timeout=5)
        assert (root / "a.txt").exists()
        async with Client(server.url, elicitation_handler=user) as c:
            await c.call_tool("files_delete", {"path": "a.txt"})
    assert len(user.asked) == 1
    assert not (root / "a.txt").exists()


@pytest.mark.slow
async def test_two_real_servers_share_a_question_and_its_answer(root: Path) -> None:
    user = User(None)
    with Http(writing(root)) as first, Http(writing(root)) as second:
        async with (
            Client(first.url, elicitation_handler=user) as one,
            Client(second.url, elicitation_handler=user) as other,
        ):
            name = await Wire(one).name("files_delete", path="docs", recursive=True)
            done = await Wire(other).call("files_delete", {name: YES}, path="docs", recursive=True)
            assert not done.is_error
            assert not (root / "docs").exists()
            assert (await Wire(one).call("files_delete", {name: YES}, path="docs", recursive=True)).is_error


@pytest.mark.slow
async def test_a_real_server_asks_over_pipes_while_it_answers_others(root: Path, era: str) -> None:
    transport = StdioTransport(sys.executable, [str(SERVER)], env={**ENVIRON, **writing(root)})
    asked, answered = asyncio.Event(), asyncio.Event()

    async def user(message: str, *_: object) -> dict[str, bool]:
        asked.set()
        await answered.wait()
        return {"confirm": True}

    async with Client(transport, mode=era, elicitation_handler=user) as c:
        call = asyncio.create_task(c.call_tool("files_delete", {"path": "a.txt"}))
        await asyncio.wait_for(asked.wait(), 5)
        await c.call_tool("files_read", {"path": "a.txt"})
        answered.set()
        await call
    assert not (root / "a.txt").exists()
