"""Nobody gets past without a token: every path, every method, whatever the Host header says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
import structlog
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from mcp import MCPError
from mcp.types import PromptReference

from auth import Access
from auth.tokens import Tokens, mint
from config import Settings
from middleware.scopes import Scopes
from server import create_server
from tests.web.served import LIST, MCP, Served, answered, is_an_error

READER, WRITER = mint("reader", ("read",)), mint("writer", ("write",))
BOTH, ADMIN = mint("both", ("read", "write")), mint("admin", ("admin",))
NEW_READER = mint("reader", ("read",))
AUTH: dict[str, Any] = {
    "mode": "tokens",
    "tokens": tuple(entry for _, entry in (READER, WRITER, BOTH, ADMIN, NEW_READER)),
}


@pytest.fixture(scope="module")
def server(served: Callable[..., Served], tmp_path_factory: pytest.TempPathFactory) -> Served:
    root: Path = tmp_path_factory.mktemp("root")
    (root / "hello.txt").write_text("hello")
    files = {"root": root, "write": True, "confirm": "never"}
    return served(auth=AUTH, files=files, allowed_origins="https://app.example.com")


# What everybody may see: `/` as a page, tests/web/test_page.py.
PATHS = ["/mcp", "/mcp/", "/nothing", "/health/", "//health", "/HEALTH", "/mcp/../health", "/x/health"]
PATHS += [
    "/metrics",
    "/authorize",
    "/token",
    "/register",
    "/.well-known/oauth-protected-resource/mcp",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"])
def test_without_a_token_every_path_and_method_answers_401(server: Served, path: str, method: str) -> None:
    status, headers, body = server.ask(method, path)
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert method == "HEAD" or is_an_error(body)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "x/health?", "127.0.0.1/health", "localhost#/health", "health", ""]
)
@pytest.mark.parametrize("path", ["/mcp", "/", "http://127.0.0.1/health/../mcp", "*"])
def test_whatever_the_host_header_says(server: Served, host: str, path: str) -> None:
    said = server.say(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert said.split()[1] in (b"401", b"421"), said


def test_health_is_open_to_probes_by_any_name_and_says_nothing(server: Served) -> None:
    for host in ("127.0.0.1", "10.2.3.4:8000", "evil.example"):
        assert server.ask("GET", "/health", Host=host)[::2] == (200, b'{"status":"ok"}')
    assert server.ask("POST", "/health", b"{}")[0] == 405


@pytest.mark.parametrize(
    "sent",
    [
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        f"bearer {READER[0]}x",
        f"Bearer  {READER[0]}",
        f"Basic {READER[0]}",
        f"Token {READER[0]}",
        READER[0],
        f"Bearer {READER[1].sha256}",
        f"Bearer {READER[0]}, Bearer {READER[0]}",
    ],
    ids=str.split("nothing empty nonsense longer spaces basic other-scheme bare hash twice"),
)
def test_a_wrong_token_answers_401_and_is_in_no_log(server: Served, sent: str) -> None:
    with structlog.testing.capture_logs() as logged:
        status, headers, body = server.ask(body=LIST, Authorization=sent)
    assert status == 401
    assert headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert is_an_error(body)
    assert READER[0] not in f"{logged}{headers}{body!r}"
    assert [(line["event"], line["address"]) for line in logged] == [("refused a token", "127.0.0.1")]


@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
def test_a_token_in_the_url_is_none(server: Served, name: str) -> None:
    assert server.ask(path=f"/mcp?{name}={READER[0]}", body=LIST)[0] == 401


def test_two_authorization_headers_are_refused(server: Served) -> None:
    line = f"Authorization: Bearer {READER[0]}\r\n"
    body = json.dumps(LIST)
    usual = "".join(f"{name}: {text}\r\n" for name, text in MCP.items())
    usual += f"Host: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    said = [server.say(f"POST /mcp HTTP/1.1\r\n{usual}{line * n}\r\n{body}".encode()) for n in (1, 2)]
    assert [one.split()[1] for one in said] == [b"200", b"400"]


@pytest.mark.parametrize("token", [READER[0], NEW_READER[0]], ids=["old", "new"])
def test_a_valid_token_is_served_and_so_is_its_successor(server: Served, token: str) -> None:
    status, _, body = server.ask(body=LIST, token=token)
    assert status == 200
    assert "files_read" in {tool["name"] for tool in answered(body)["result"]["tools"]}


def test_with_a_token_what_is_not_there_is_404_and_what_is_not_done_is_405(server: Served) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/mcp", 405), ("PUT", "/mcp", 405)):
        found, _, body = server.ask(method, path, token=READER[0])
        assert found == status
        assert is_an_error(body)


def client(server: Served, token: str, era: str) -> Client[Any]:
    transport = StreamableHttpTransport(server.url, headers={"Authorization": f"Bearer {token}"})
    return Client(transport, mode=era)


READING = {"files_list", "files_read", "files_read_json", "files_read_media", "files_find", "files_search"}
READING |= {"files_info", "status"}
WRITING = {"files_write", "files_edit", "files_create_directory", "files_move", "files_copy", "files_delete"}


@pytest.mark.parametrize(
    ("token", "tools"),
    [(READER, READING), (WRITER, WRITING), (BOTH, READING | WRITING), (ADMIN, READING | WRITING)],
    ids=["read", "write", "both", "admin"],
)
async def test_a_caller_sees_the_tools_of_its_scopes(
    server: Served, era: str, token: tuple[str, object], tools: set[str]
) -> None:
    async with client(server, token[0], era) as c:
        assert {tool.name for tool in await c.list_tools()} == tools


CALLS: dict[str, dict[str, Any]] = {
    "files_read": {"path": "hello.txt"},
    "status": {},
    "files_create_directory": {"path": "made"},
}


@pytest.mark.parametrize(
    ("token", "may"),
    [
        (READER, {"files_read", "status"}),
        (WRITER, {"files_create_directory"}),
        (BOTH, set(CALLS)),
        (ADMIN, set(CALLS)),
    ],
    ids=["read", "write", "both", "admin"],
)
async def test_a_caller_may_call_the_tools_of_its_scopes_and_no_others(
    server: Served, era: str, token: tuple[str, object], may: set[str]
) -> None:
    async with client(server, token[0], era) as c:
        for name, arguments in CALLS.items():
            if name in may:
                assert not (await c.call_tool(name, arguments)).is_error
            else:
                lacks = "write" if name == "files_create_directory" else "read"
                with pytest.raises(ToolError, match=f"'{name}': it lacks the scope {lacks}"):
                    await c.call_tool(name, arguments)


async def test_resources_and_prompts_and_completions_go_by_scope_too(server: Served, era: str) -> None:
    seen: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for who, (token, _) in {"reader": READER, "writer": WRITER, "admin": ADMIN}.items():
        async with client(server, token, era) as c:
            seen[who] = (
                {str(resource.uri) for resource in await c.list_resources()},
                {template.uri_template for template in await c.list_resource_templates()},
                {prompt.name for prompt in await c.list_prompts()},
            )
            asked = (
                c.read_resource("almanac://files/hello.txt"),
                c.get_prompt("files_summarise", {"path": "hello.txt"}),
                c.complete(
                    PromptReference(type="ref/prompt", name="files_summarise"), {"name": "path", "value": "h"}
                ),
            )
            for one in asked:
                if who == "writer":
                    with pytest.raises(MCPError, match="lacks the scope read"):
                        await one
                else:
                    await one
            if who == "admin":
                assert "hello" not in (await c.read_resource("almanac://settings"))[0].text
            else:
                with pytest.raises(MCPError, match="lacks the scope"):
                    await c.read_resource("almanac://settings")
    assert seen["admin"][0] - seen["reader"][0] == {"almanac://settings"}
    assert "almanac://status" in seen["reader"][0]
    assert seen["reader"][1:] == seen["admin"][1:] == ({"almanac://files/{path*}"}, {"files_summarise"})
    assert seen["writer"] == (set(), set(), set())


async def test_only_an_admin_is_told_of_providers_and_what_to_do_about_them(
    served: Callable[..., Served], era: str
) -> None:
    server = served(servers=["translate"], auth=AUTH)
    for token, told in ((READER[0], False), (ADMIN[0], True)):
        async with client(server, token, era) as c:
            found = (await c.call_tool("status")).structured_content["domains"]["translate"]
            assert bool(found.get("providers")) is told
            read = (await c.read_resource("almanac://status"))[0].text
            assert ("apertium" in read.partition('"providers"')[2]) is told


async def test_what_one_user_is_listed_is_not_what_another_is_whose_token_says_the_same(
    tmp_path: Path, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with OAuth, where the list of users says who may do what, and never the provider's token."""
    tokens = {name: mint(name, ("read",)) for name in ("boss", "guest")}
    granted = {"boss": {"admin"}, "guest": {"read"}}
    known = Access(
        Tokens([entry for _, entry in tokens.values()]),
        lambda token: frozenset(granted[str(token.subject)]),
        close := AsyncMock(),
    )
    monkeypatch.setattr("tests.web.served.access", lambda _: known)
    given = {"servers": ["files"], "state_dir": tmp_path, "transport": "http", "files": {"write": True}}
    with Served(Settings.model_validate(given)) as server:
        listed = []
        for name in ("boss", "guest"):
            async with client(server, tokens[name][0], era) as c:
                listed.append({tool.name for tool in await c.list_tools()})
    assert "files_write" in listed[0]
    assert "files_write" not in listed[1]
    assert close.await_count == 1, "what it keeps open is closed with the server"


async def test_tools_in_this_process_ask_nobody(server: Served, tmp_path: Path, era: str) -> None:
    given = {"servers": ["files"], "auth": AUTH, "state_dir": tmp_path, "transport": "http"}
    settings = Settings.model_validate(given)
    async with Client(create_server(settings), mode=era) as c:
        assert len(await c.list_tools()) == len(READING)


def test_what_has_no_scope_is_an_admins(monkeypatch: pytest.MonkeyPatch) -> None:
    scopes = Scopes(lambda _: frozenset({"read", "write"}))
    monkeypatch.setattr(scopes, "of_caller", lambda: frozenset({"read", "write"}))
    assert scopes.missing({"files"}) == {"admin"}
    assert scopes.missing({"files", "read"}) == frozenset()


async def test_every_component_has_a_scope(tmp_path: Path) -> None:
    files = {"root": tmp_path, "write": True}
    root = create_server(Settings.model_validate({"files": files, "state_dir": tmp_path}))
    everything = [
        *await root.list_tools(),
        *await root.list_resources(),
        *await root.list_resource_templates(),
        *await root.list_prompts(),
    ]
    assert len(everything) > 30
    for component in everything:
        assert len({"read", "write"} & component.tags) == 1, component.name
