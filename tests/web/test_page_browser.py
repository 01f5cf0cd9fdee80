"""The page at `/` in headless Chromium, from a real server process: what people see, type and copy."""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auth.tokens import mint
from commands.connect import Target, claude_code, entry, inspector
from tests.wire.conftest import Http
from web.page import PLACEHOLDER, curl, typed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60), pytest.mark.xdist_group("chromium")]

READER, READER_ENTRY = mint("reader", ("read",))
ADMIN, ADMIN_ENTRY = mint("admin", ("admin",))
NAMED = "almanac.example.com"  # stands for this machine in the browser
TOKENS = {
    "ALMANAC_AUTH_MODE": "tokens",
    "ALMANAC_AUTH_TOKENS": f"reader:{READER_ENTRY.sha256}:read,admin:{ADMIN_ENTRY.sha256}:admin",
    "ALMANAC_ALLOWED_HOSTS": NAMED,
    "ALMANAC_FILES_WRITE": "true",
}
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 860}
HOSTILE = '<img src=x onerror="document.title=`run`"><script>document.title="run"</script>'
BIG = 9_007_199_254_740_993  # JavaScript would make it even
# A browser tells each answer of these kinds in its console, whatever a page does with it.
EXPECTED = re.compile("401 .Unauthorized|404 .Not Found|502 .Bad Gateway|503 .Service|net::ERR_FAILED")
# What the policy refuses is told to the page; without this listener it would be seen in the console alone.
WATCH = "addEventListener('securitypolicyviolation', (e) => console.error(`policy: ${e.violatedDirective}`))"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        assert "TEST_REQUIRE_ALL" not in os.environ, "chromium is not installed"
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--disable-gpu", f"--host-resolver-rules=MAP {NAMED} 127.0.0.1"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")
        with playwright.chromium.launch(executable_path=found, args=options) as started:
            yield started


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sandbox and a database in which names, texts and rows are markup."""
    here = tmp_path_factory.mktemp("hostile")
    (here / "files").mkdir()
    (here / "files" / "<img src=x onerror=document.title='run'>.txt").write_text(HOSTILE)
    (here / "files" / "long.txt").write_text("x" * 30_000)
    with sqlite3.connect(here / "towns.db") as towns:
        towns.execute('CREATE TABLE town (name TEXT, "<b onclick=alert(1)>" TEXT, people INTEGER)')
        towns.execute("INSERT INTO town VALUES (?, ?, ?)", (HOSTILE, "</pre><h1>run</h1>", BIG))
    towns.close()
    return here


@pytest.fixture(scope="module")
def start(root: Path) -> Iterator[Callable[..., Http]]:
    running: dict[str, Http] = {}
    with ExitStack() as stack:

        def started(**env: str) -> Http:
            if repr(env) not in running:
                given = {
                    "ALMANAC_FILES_ROOT": str(root / "files"),
                    "ALMANAC_SQL_DATABASES": f"towns={root / 'towns.db'}",
                    **env,
                }
                running[repr(env)] = stack.enter_context(Http(given))
            return running[repr(env)]

        yield started


@pytest.fixture
def opened(browser: "Browser") -> "Iterator[Callable[..., Page]]":
    """A factory: `opened(url, size, color_scheme="dark")`; at the end no page may have complained."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def page_at(url: str, size: dict[str, int] = DESK, **options: Any) -> "Page":
            context = stack.enter_context(browser.new_context(viewport=size, **options))  # type: ignore[arg-type]  # a TypedDict
            context.add_init_script(WATCH)
            page = context.new_page()
            page.on("console", lambda said: complaints.append(said.text) if said.type != "log" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(url)
            return page

        yield page_at
    assert [text for text in complaints if not EXPECTED.search(text)] == []


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: TEST_PICTURES, for whoever wants to look at them afterwards."""
    found = Path(os.environ.get("TEST_PICTURES") or tmp_path_factory.mktemp("pictures"))
    found.mkdir(parents=True, exist_ok=True)
    return found


def base(server: Http, name: str = "127.0.0.1") -> str:
    return f"http://{name}:{server.port}/"


def let_in(page: "Page", token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    page.locator("summary", has_text="sql_query").wait_for()


def run(page: "Page", tool: str, **given: str) -> str:
    """Open a tool, fill in its form, run it, and give what is shown."""
    row = page.locator("#tools details").filter(has=page.get_by_role("heading", name=tool, exact=True))
    if row.get_attribute("open") is None:
        row.locator("summary").click()
    for name, text in given.items():
        row.locator(f"[id='{tool}.{name}']").fill(text)
    row.get_by_role("button", name="Run").click()
    row.get_by_text(re.compile("^(Answered|Refused) ")).wait_for()
    return row.locator("pre").inner_text()


def is_as_wide_as_the_window(page: "Page") -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_without_tokens_the_tools_and_the_status_are_there_at_once(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start()))
    page.locator("summary", has_text="weather_forecast").wait_for()
    page.get_by_text("Version 0.").wait_for()
    assert page.get_by_text("Running, and ready").is_visible()
    assert page.locator("#domains summary").count() == 4
    assert not page.get_by_label("Token").is_visible()


def test_with_tokens_they_are_there_only_for_who_has_one_and_only_those_it_opens(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start(**TOKENS)))
    page.get_by_text("Running, and ready").wait_for()
    assert "sql_query" not in page.content()
    assert not page.locator("#status").is_visible()
    let_in(page, READER)
    assert page.locator("summary", has_text="files_delete").count() == 0
    assert page.get_by_label("Token").input_value() == ""
    page.get_by_role("button", name="Forget it").click()
    assert "sql_query" not in page.content()
    let_in(page, ADMIN)
    changing = page.locator("details", has=page.get_by_role("heading", name="files_delete"))
    changing.locator("summary").click()
    changing.get_by_text("not to be tried from here").wait_for()
    assert changing.locator("button, input").count() == 0


def test_a_wrong_token_is_said_in_words_and_shows_nothing(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start(**TOKENS)))
    for wrong in ("almanac_wrong", "not a token", "żółw"):
        page.get_by_label("Token").fill(wrong)
        page.keyboard.press("Enter")
        page.locator("#told.bad").filter(has_text=re.compile("not valid here|is no token")).wait_for()
    assert page.locator("#tools").inner_text() == ""
    let_in(page, READER)
    assert page.locator("#told").inner_text() == ""


def test_a_token_is_kept_nowhere_and_is_gone_with_the_page(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start(**TOKENS)))
    let_in(page, READER)
    page.get_by_label("Dark").check()
    kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    assert json.loads(page.evaluate(kept)) == [{"almanac-theme": "dark"}, {}, "", page.url]
    assert READER not in page.content()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert page.locator("#tools").inner_text() == ""  # not even if the browser keeps it for its back button
    page.goto("about:blank")
    page.go_back()
    page.get_by_label("Token").wait_for()
    assert page.locator("#tools").inner_text() == ""
    assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_and_a_picture_is_taken(
    scheme: str,
    size: dict[str, int],
    opened: "Callable[..., Page]",
    start: Callable[..., Http],
    pictures: Path,
) -> None:
    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    shape = "phone" if size == PHONE else "desk"
    page = opened(base(start(**TOKENS)), size, color_scheme=scheme)
    for name in ("before", "after"):
        if name == "after":
            let_in(page, ADMIN)
        page.get_by_text("Running, and ready").wait_for()
        page.screenshot(path=pictures / f"page-{shape}-{scheme}-{name}.png")
        if name == "after":
            run(page, "weather_find_place", name="Lima")
            run(page, "sql_query", sql="nonsense")
            page.locator("summary", has_text="files_delete").click()
            page.locator("#domains details").first.locator("summary").click()
            page.locator("h3", has_text="curl").click()
            page.screenshot(path=pictures / f"page-{shape}-{scheme}-open.png", full_page=True)
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
        assert told == []
        assert len(found["passes"]) > 20
        assert is_as_wide_as_the_window(page)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, '{"status":"not ready"}', "Running, but not ready for calls"),
        (503, '{"status":"ending"}', "Ending"),
        (404, '{"error":"not_found"}', "Running"),  # a proxy keeps it for those who watch
        (200, '{"status":"__proto__"}', "Running"),
    ],
)
def test_that_it_takes_no_calls_is_said_to_everybody(
    status: int, body: str, words: str, opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened("about:blank")
    page.route("**/ready", lambda route: route.fulfill(status=status, body=body))
    page.goto(base(start(**TOKENS)))
    page.locator("#alive").filter(has_text=re.compile(f"^{words}$")).wait_for()


def test_that_it_does_not_answer_is_said(opened: "Callable[..., Page]", start: Callable[..., Http]) -> None:
    page = opened("about:blank")
    for path in ("ready", "health"):
        page.route(f"**/{path}", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.goto(base(start(**TOKENS)))
    page.locator("#alive").filter(has_text="Not answering").wait_for()


def test_the_colours_are_the_systems_until_one_is_chosen(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start()), color_scheme="dark")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_label("Light").check()
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light
    page.get_by_label("System").check()
    assert page.get_by_label("System").is_checked()
    assert page.evaluate(paper) == dark


def test_the_keyboard_alone_gives_the_token_and_runs_a_tool(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start(**TOKENS)))

    def tab_to(matching: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({matching!r})"):
                return
        raise AssertionError(f"no way to {matching}")

    tab_to("#token")
    page.keyboard.type(READER)
    page.keyboard.press("Enter")
    page.locator("summary", has_text="files_info").wait_for()
    for _ in range(40):
        tab_to("#tools summary")
        if "files_info" in page.evaluate("document.activeElement.innerText"):
            break
    page.keyboard.press("Enter")
    tab_to("input[id='files_info.path']")
    page.keyboard.type("long.txt")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("^Answered ")).wait_for()
    assert '"size": 30000' in page.get_by_role("region", name="Result of files_info").inner_text()


def test_the_copy_buttons_copy(opened: "Callable[..., Page]", start: Callable[..., Http]) -> None:
    server = start(**TOKENS)
    page = opened(base(server), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the address").click()
    assert page.evaluate("navigator.clipboard.readText()") == server.url
    target = Target("almanac", {}, server.url, PLACEHOLDER)
    expected: dict[str, Any] = {
        "Claude Code": typed(claude_code(target)),
        "Inspector": typed(inspector(target)),
        "curl": curl(PLACEHOLDER, server.url),
        "Claude Desktop": {"mcpServers": {"almanac": entry("claude-desktop", target)}},
        "Cursor": {"mcpServers": {"almanac": entry("cursor", target)}},
        "VS Code": {"servers": {"almanac": entry("vscode", target)}},
    }
    for client, text in expected.items():
        if client != "Claude Code":  # it is open
            page.locator("h3", has_text=client).click()
        button = page.get_by_role("button", name=f"Copy for {client}")
        button.click()
        button.get_by_text("Copied").wait_for()
        found = page.evaluate("navigator.clipboard.readText()")
        assert (found if isinstance(text, str) else json.loads(found)) == text


def test_by_a_public_name_without_tls_it_copies_and_calls_as_well(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    server = start(**TOKENS)
    page = opened(base(server, NAMED))
    assert page.evaluate("isSecureContext") is False
    assert page.get_by_text("not encrypted").is_visible()
    let_in(page, READER)
    page.locator("h3", has_text="Claude Desktop").click()
    button = page.get_by_role("button", name="Copy for Claude Desktop")
    button.click()
    button.get_by_text("Copied").wait_for()
    found = json.loads(page.evaluate("String(getSelection())"))
    target = Target("almanac", {}, base(server, NAMED) + "mcp", PLACEHOLDER)
    assert found["mcpServers"]["almanac"] == entry("claude-desktop", target)
    assert "--allow-http" in found["mcpServers"]["almanac"]["args"]


def test_markup_in_names_texts_and_rows_is_text(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start()))
    assert "<img src=x" in run(page, "files_list")
    assert "<script>" in run(page, "files_read", path="<img src=x onerror=document.title='run'>.txt")
    shown = run(page, "sql_query", sql="SELECT * FROM town")
    assert "</pre><h1>run</h1>" in shown
    assert "<script>" in shown
    assert str(BIG) in shown  # the server gives it as text
    assert "<script>" in run(page, "weather_find_place", name=HOSTILE)
    page.wait_for_timeout(200)
    assert page.title() == "Almanac"
    assert page.locator("#tools img, #tools script, #tools b").count() == 0


def test_markup_in_what_a_server_says_of_its_tools_and_itself_is_text(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    schema = {
        "type": "object",
        "properties": {
            HOSTILE: {"type": "string", "description": HOSTILE, "default": HOSTILE},
            "kind": {"enum": [HOSTILE], "default": HOSTILE},
            "__proto__": {"type": "string"},
        },
        "required": [HOSTILE],
    }
    hints = {"readOnlyHint": True}
    tools = [
        {"name": name, "title": HOSTILE, "description": HOSTILE, "annotations": hints, "inputSchema": schema}
        for name in ("status", f"{HOSTILE}_tool")
    ]
    state = {"state": HOSTILE, "summary": HOSTILE, "mend": HOSTILE, "providers": [{"name": HOSTILE}]}
    status = {"version": HOSTILE, "domains": {HOSTILE: state}, "limits": {HOSTILE: HOSTILE}}

    def forged(route: "Route") -> None:
        asked = route.request.post_data_json
        result = {"tools": tools} if asked["method"] == "tools/list" else {"structuredContent": status}
        answer = f"data: {json.dumps({'jsonrpc': '2.0', 'id': asked['id'], 'result': result})}\n\n"
        route.fulfill(content_type="text/event-stream", body=f": ping\r\n\r\n{answer}")

    page = opened("about:blank")
    page.route("**/mcp", forged)
    page.goto(base(start()))
    page.get_by_text("Version <img").wait_for()
    for row in page.locator("#tools summary").all():
        row.click()
    page.wait_for_timeout(200)
    assert page.locator("#tools label").count() == 6
    assert page.title() == "Almanac"
    assert page.locator("#tools img, header img, body script").count() == 0


def test_an_endless_line_scrolls_in_its_place_on_a_phone(
    opened: "Callable[..., Page]", start: Callable[..., Http], pictures: Path
) -> None:
    page = opened(base(start()), PHONE)
    assert "x" * 29_000 in run(page, "files_read", path="long.txt")
    for client in ("Claude Desktop", "Inspector", "curl"):
        page.locator("h3", has_text=client).click()
        assert is_as_wide_as_the_window(page)
    page.locator("#tools details[open]").scroll_into_view_if_needed()
    page.screenshot(path=pictures / "page-phone-long.png")


def test_what_goes_wrong_on_the_way_is_said_in_words(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start()))
    page.locator("summary", has_text="translate_batch").click()
    row = page.locator("details", has=page.get_by_role("heading", name="translate_batch"))
    row.locator("[id='translate_batch.texts']").fill("no json")
    row.locator("[id='translate_batch.target']").fill("es")
    row.get_by_role("button", name="Run").click()
    row.get_by_text("texts takes JSON").wait_for()
    page.route("**/mcp", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    row.locator("[id='translate_batch.texts']").fill('["one"]')
    row.get_by_role("button", name="Run").click()
    row.get_by_text("The server answered 502.").wait_for()
    page.unroute("**/mcp")
    page.route("**/mcp", lambda route: route.abort())
    row.get_by_role("button", name="Run").click()
    row.get_by_text("The server cannot be reached.").wait_for()


def test_a_call_can_be_stopped(opened: "Callable[..., Page]", start: Callable[..., Http]) -> None:
    page = opened(base(start()))
    page.locator("summary", has_text="sql_query").click()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    page.locator("[id='sql_query.sql']").fill(endless)
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert page.evaluate("document.activeElement.innerText") == "Run"


def test_without_scripts_it_still_says_how_to_connect(
    opened: "Callable[..., Page]", start: Callable[..., Http]
) -> None:
    page = opened(base(start()), java_script_enabled=False)
    assert "claude mcp add" in page.inner_text("main")
    assert "switched off here" in page.inner_text("main")


def test_the_policy_stops_a_script_that_gets_in(browser: "Browser", start: Callable[..., Http]) -> None:
    from playwright.sync_api import Error

    with browser.new_context() as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))

        def injected(route: "Route") -> None:
            answer = route.fetch()
            text = answer.text().replace("</body>", "<script>document.title = 'run'</script></body>")
            route.fulfill(response=answer, body=text)

        page.route(base(start()), injected)
        page.goto(base(start()))
        page.get_by_text("Running, and ready").wait_for()
        assert "policy: script-src-elem" in said
        with pytest.raises(Error, match="TrustedHTML"):
            page.evaluate("document.body.innerHTML = '<img src=x onerror=document.title=`run`>'")
        page.wait_for_timeout(100)
        assert page.title() == "Almanac"
