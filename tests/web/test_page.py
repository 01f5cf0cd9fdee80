"""The page at `/` without a browser: its headers, what it holds and what not, who may call from it."""

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from fastmcp import Client

from auth.tokens import mint
from commands.connect import FILES, Target, entry
from config import HERE, FilesSettings, Settings
from server import VERSION, create_server
from tests.web.served import LIST, Served, answered, is_an_error
from web.page import FILES_OF_PAGE, PLACEHOLDER, URL, document

TOKEN, ENTRY = mint("ada-of-the-tests", ("read",))
TOKENS: dict[str, Any] = {"mode": "tokens", "tokens": (ENTRY,)}
MODERN = {
    "MCP_Protocol_Version": "2026-07-28",
    "Mcp_Method": "tools/list",
}
MODERN_LIST = {
    **LIST,
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}
NEEDS = ("open", "token", "sign-in")


@pytest.fixture
def server(served: Callable[..., Served]) -> Served:
    return served()


@pytest.fixture
def guarded(served: Callable[..., Served]) -> Served:
    return served(auth=TOKENS, allowed_hosts=["almanac.example.com"])


def page_of(server: Served) -> str:
    status, headers, body = server.ask("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    return body.decode()


def policy_of(headers: dict[str, str]) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))


def snippets(page: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)]


def test_the_policy_lets_in_only_this_script_and_this_style_and_nothing_from_elsewhere(
    server: Served,
) -> None:
    _, headers, body = server.ask("GET", "/")
    policy = policy_of(headers)
    for tag, kind in (("script", "script-src"), ("style", "style-src")):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", body.decode(), re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
        assert (len(found), policy.pop(kind)) == (1, f"'sha256-{hashed}'")
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_the_other_headers_close_what_the_page_does_not_need(server: Served) -> None:
    _, headers, _ = server.ask("GET", "/")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "clipboard-write=(self)" in headers["permissions-policy"]
    assert "server" not in headers


def test_nothing_is_loaded_from_elsewhere_and_no_markup_runs_anything(server: Served) -> None:
    page = page_of(server)
    named = set(re.findall(r"https?://[^\s\"'<>`)&]+", page)) - {URL, "http://www.w3.org/2000/svg"}
    assert named == set()
    markup = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\s(on\w+|style|src|href=\"(?!data:))=", markup)
    assert "@import" not in page
    assert "url(" not in page


def test_the_script_makes_text_only_and_keeps_nothing_but_the_colours() -> None:
    script = (FILES_OF_PAGE / "page.js").read_text(encoding="utf-8")
    for unsafe in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
        "DOMParser",
    ):
        assert unsafe not in script
    assert "sessionStorage" not in script
    assert "cookie" not in script
    assert "indexedDB" not in script
    assert re.findall(r"localStorage\.\w+\([^)]*\)", script) == [
        "localStorage.setItem(CHOSEN, chosen[0])",
        "localStorage.getItem(CHOSEN)",
    ]


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES_OF_PAGE.iterdir()) < 40_000
    assert len(gzip.compress(document("token")[0])) < 12_000


async def test_a_visitor_without_a_token_learns_no_tool_no_version_and_no_setting(
    guarded: Served, settings: Callable[..., Settings]
) -> None:
    page = page_of(guarded)
    async with Client(create_server(settings(files=FilesSettings(write=True)))) as client:
        names = {tool.name for tool in await client.list_tools()} - {"status"}  # it is also a word
    assert {name for name in names if name in page} == set()
    assert VERSION not in page
    assert str(guarded.port) not in page
    for secret in (str(HERE), ENTRY.sha256, ENTRY.name, TOKEN, "ALMANAC_"):
        assert secret not in page


def test_the_page_is_the_same_whatever_is_served_behind_it(served: Callable[..., Served]) -> None:
    pages = {page_of(served(auth=TOKENS, servers=[domain])) for domain in ("files", "translate")}
    assert len(pages) == 1


def test_no_name_that_a_request_gives_comes_back(served: Callable[..., Served]) -> None:
    server = served(allowed_hosts=["*"])
    _, headers, body = server.ask(
        "GET", '/?q=<script>alert("q")</script>', Host="reflected.example", Referer="r"
    )
    assert b"reflected" not in body + repr(headers).encode()
    assert body == server.ask("GET", "/")[2]


def test_a_name_that_is_not_this_servers_gets_no_page(guarded: Served) -> None:
    assert guarded.ask("GET", "/", Host="almanac.example.com")[0] == 200
    status, _, body = guarded.ask("GET", "/", Host="evil.example")
    assert status == 421
    assert is_an_error(body)


def test_head_says_the_same_without_the_page(server: Served) -> None:
    status, headers, body = server.ask("HEAD", "/")
    _, of_get, page = server.ask("GET", "/")
    ignored = {"date": "", "x-request-id": ""}
    assert (status, body, headers | ignored) == (200, b"", of_get | ignored)
    assert int(headers["content-length"]) == len(page)


def test_a_browser_keeps_the_page_and_asks_whether_it_is_still_the_same(server: Served) -> None:
    _, headers, _ = server.ask("GET", "/")
    assert headers["cache-control"] == "no-cache"
    status, again, body = server.ask("GET", "/", If_None_Match=f'W/"other", {headers["etag"]}')
    assert (status, body) == (304, b"")
    assert again["etag"] == headers["etag"]
    assert again["content-security-policy"] == headers["content-security-policy"]
    assert server.ask("GET", "/", If_None_Match='W/"other"')[0] == 200


def test_it_is_packed_for_who_takes_that(server: Served) -> None:
    _, headers, body = server.ask("GET", "/", Accept_Encoding="br, gzip;q=0.8")
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(body).decode() == page_of(server)


@pytest.mark.parametrize("path", ["/page", "/page/page.js", "/index.html", "//", "/./", "/favicon.ico"])
def test_elsewhere_is_nothing_and_that_is_said_in_json(server: Served, guarded: Served, path: str) -> None:
    for one, expected in ((server, 404), (guarded, 401)):
        status, _, body = one.ask("GET", path)
        assert status == expected
        assert is_an_error(body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_the_page_is_only_read(server: Served, guarded: Served, method: str) -> None:
    assert server.ask(method, "/")[0] in (404, 405)
    assert guarded.ask(method, "/")[0] == 401


def test_over_stdio_there_is_no_page(settings: Callable[..., Settings]) -> None:
    root = create_server(settings(servers=["files"]))
    assert "/" not in {getattr(route, "path", "") for route in root.http_app().routes}


def test_the_image_holds_its_files() -> None:
    lines = (HERE / ".dockerignore").read_text(encoding="utf-8").splitlines()
    after = lines[lines.index("!web") + 1 :]
    assert [line for line in after if "web" in line or line.endswith(("*", ".html", ".css", ".js"))] == []


# --- Who may call from it


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}"),
        ("localhost:{port}", "http://localhost:{port}"),
        ("almanac.example.com", "http://almanac.example.com"),
        ("almanac.example.com", "https://almanac.example.com"),  # a proxy has ended TLS and hands on the Host
        ("almanac.example.com:8443", "https://almanac.example.com:8443"),
    ],
)
def test_the_page_may_call_the_server_it_came_from(guarded: Served, host: str, origin: str) -> None:
    sent = {"Host": host.format(port=guarded.port), "Origin": origin.format(port=guarded.port)}
    assert guarded.ask("GET", "/", Host=sent["Host"])[0] == 200
    status, _, body = guarded.ask(body=MODERN_LIST, token=TOKEN, **MODERN, **sent)
    assert status == 200
    assert answered(body)["result"]["tools"]
    assert guarded.ask(body=MODERN_LIST, **MODERN, **sent)[0] == 401


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:1"),
        ("127.0.0.1:{port}", "http://localhost:{port}"),
        ("almanac.example.com", "https://evil.example"),
        ("almanac.example.com", "https://almanac.example.com.evil.example"),
        ("almanac.example.com", "https://almanac.example.com:8443"),
        ("almanac.example.com", "null"),
    ],
)
def test_pages_from_elsewhere_may_not(guarded: Served, host: str, origin: str) -> None:
    sent = {"Host": host.format(port=guarded.port), "Origin": origin.format(port=guarded.port)}
    status, headers, _ = guarded.ask(body=MODERN_LIST, token=TOKEN, **MODERN, **sent)
    assert status == 403
    assert "access-control-allow-origin" not in headers


def test_behind_a_proxy_with_tls_it_may_call_by_the_name_that_the_proxy_hands_on(
    served: Callable[..., Served],
) -> None:
    proxied = {"auth": TOKENS, "trusted_proxies": ["127.0.0.1"], "allowed_hosts": ["almanac.example.com"]}
    sent = {
        "Host": "almanac.example.com",
        "Origin": "https://almanac.example.com",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_For": "203.0.113.9",
    }
    status, _, _ = served(**proxied).ask(body=MODERN_LIST, token=TOKEN, **MODERN, **sent)
    assert status == 200


# --- What is copied


@pytest.mark.parametrize("needs", NEEDS)
def test_what_is_copied_is_what_connect_prints(needs: str) -> None:
    token = PLACEHOLDER if needs == "token" else ""
    parsed = [json.loads(text) for text in snippets(document(needs)[0].decode()) if text.startswith("{")]
    for client, file in FILES.items():
        if client == "claude-code":
            continue
        expected = {file.key: {"almanac": entry(client, Target("almanac", {}, URL, token))}}
        assert expected in parsed, client


@pytest.mark.parametrize("needs", NEEDS)
def test_without_tls_on_another_machine_mcp_remote_is_told_so(needs: str) -> None:
    found = [text for text in snippets(document(needs)[0].decode()) if "mcp-remote" in text]
    assert ["--allow-http" in text for text in found] == [False, True]


@pytest.mark.parametrize("needs", NEEDS)
def test_a_command_is_typed_in_any_shell(needs: str) -> None:
    commands = [text for text in snippets(document(needs)[0].decode()) if text.startswith(("claude", "npx"))]
    assert len(commands) == 2
    for text in commands:
        assert f'"{URL}"' in text
        assert "'" not in text
        assert (PLACEHOLDER in text) == (needs == "token")


@pytest.mark.parametrize("needs", ["open", "token"])
def test_curl_works_as_printed(needs: str, server: Served, guarded: Served) -> None:
    if not shutil.which("curl"):
        assert "TEST_REQUIRE_ALL" not in os.environ, "curl is not installed"
        pytest.skip("curl is not installed")
    asked = server if needs == "open" else guarded
    command = snippets(document(needs)[0].decode())[-1].replace(URL, asked.url).replace(PLACEHOLDER, TOKEN)
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=15, check=True)
    assert {"status", "files_read"} <= {tool["name"] for tool in json.loads(done.stdout)["result"]["tools"]}
