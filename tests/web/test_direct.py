"""What is answered directly is what mcp's own way answers, whatever is asked."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx2
import pytest
import structlog
from fastmcp import Context, FastMCP
from pydantic import Field
from starlette.middleware import Middleware
from starlette.types import Message

import web.serve
from config import Settings
from errors import Forbidden
from server import create_server
from tuning import tell_schemas
from web.body import Body
from web.direct import Direct

HEADS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
BEGAN, ENDED = asyncio.Event(), asyncio.Event()
LATER: list[asyncio.Task[None]] = []


def application() -> FastMCP:
    server = FastMCP("server", mask_error_details=True)

    @server.tool
    async def double(number: int) -> int:
        return number * 2

    @server.tool
    async def placed(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        return region

    @server.tool
    async def told(ctx: Context) -> str:
        await ctx.info("beginning")
        await ctx.report_progress(1, 2, "half")
        return "done \N{EARTH GLOBE EUROPE-AFRICA}"

    @server.tool
    async def parted(ctx: Context) -> str:
        await ctx.info("beginning")
        return "one\u2028two\x85three\r\nfour"

    @server.tool
    async def refused() -> str:
        raise Forbidden("Never.")

    @server.tool
    async def waits() -> str:
        BEGAN.set()
        try:
            await asyncio.sleep(30)
        finally:
            ENDED.set()
        return ""

    @server.tool
    async def tells_later(ctx: Context) -> str:
        async def tell() -> None:
            await asyncio.sleep(0.05)
            await ctx.info("too late")

        LATER.append(asyncio.create_task(tell()))
        return "done"

    @server.tool
    async def is_held() -> str:
        await asyncio.sleep(0.05)
        return "done"

    @server.resource("almanac://page")
    def page() -> str:
        return "text"

    @server.prompt
    def asks(what: str) -> str:
        return f"Say {what}"

    return server


@asynccontextmanager
async def served(direct: bool, schemas: bool = True) -> AsyncIterator[httpx2.AsyncClient]:
    root = application()
    if schemas:
        await tell_schemas(root)
    middleware = [Middleware(Body, most=1_000_000)]
    if direct:
        middleware.append(Middleware(Direct, root=root, path="/mcp"))
    app = root.http_app(path="/mcp", stateless_http=True, middleware=middleware)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client,
    ):
        yield client


def messages(answer: httpx2.Response) -> list[Any]:
    """The JSON-RPC messages of an answer, which may be JSON or events; its text if it is neither."""
    kind = answer.headers.get("content-type", "")
    if "text/event-stream" in kind:
        lines = [line for line in answer.text.split("\r\n") if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in lines if line[6:]]
    return [json.loads(answer.text) if "json" in kind and answer.text else answer.text]


def call(name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments or {}, **more}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}


ASKED: list[tuple[Any, dict[str, str]]] = [
    (call("double", {"number": 21}), {}),
    (call("double", {"number": 21}) | {"id": "seven"}, {}),
    (call("double", {"number": "many"}), {}),
    (call("double"), {}),
    (call("nothing"), {}),
    (call("refused"), {}),
    (call("told"), {}),
    (call("told", _meta={"progressToken": "p"}), {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "x"}}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "almanac://page"}}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "almanac://none"}}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "prompts/get",
      "params": {"name": "asks", "arguments": {"what": "it"}}}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "no/method"}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 5}}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, {}),
    ({"jsonrpc": "2.0", "id": 1, "method": "initialize",
      "params": {"protocolVersion": "2025-06-18", "capabilities": {},
                 "clientInfo": {"name": "c", "version": "1"}}}, {}),
    ({"jsonrpc": "2.0", "method": "notifications/initialized"}, {}),
    ({"jsonrpc": "2.0", "id": None, "method": "ping"}, {}),
    ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, {}),
    ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, {}),
    ({"jsonrpc": "2.0", "id": 1, "result": {}}, {}),
    (call("double", {"number": 1}) | {"error": {"code": 1, "message": "an answer as well"}}, {}),
    (call("double", {"number": 1}) | {"result": {}}, {}),
    ([call("double", {"number": 1})], {}),
    ("text", {}),
    (call("double", {"number": 1}), {"MCP-Protocol-Version": "2024-11-05"}),
    (call("double", {"number": 1}), {"MCP-Protocol-Version": "2025-11-25"}),
    (call("double", {"number": 1}), {"MCP-Protocol-Version": "1999-01-01"}),
    (call("double", {"number": 1}), {"Accept": "application/json"}),
    (call("double", {"number": 1}), {"Accept": "*/*"}),
    (call("double", {"number": 1}), {"Accept": "text/html"}),
    (call("double", {"number": 1}), {"Content-Type": "text/plain"}),
    (call("double", {"number": 1}), {"Content-Type": "application/json; charset=utf-8"}),
    (call("double", {"number": 1}), {"Mcp-Session-Id": "one"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "heads"), ASKED, ids=range(len(ASKED)))
async def test_an_answer_is_the_one_that_mcp_gives(body: Any, heads: dict[str, str]) -> None:
    given = []
    for direct in (True, False):
        async with served(direct) as client:
            answer = await client.post("/mcp", json=body, headers=HEADS | heads)
            given.append((answer.status_code, messages(answer)))
    assert given[0] == given[1]


ABOUT = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def modern(method: str, params: dict[str, Any], **heads: str) -> tuple[Any, dict[str, str]]:
    """A request of 2026-07-28 and its headers; `heads` says otherwise, and the empty ones are left out."""
    name = params.get("name", params.get("uri", ""))
    sent = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": str(name)}
    sent |= {key.replace("_", "-"): value for key, value in heads.items()}
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"_meta": ABOUT, **params}}
    return body, {key: value for key, value in sent.items() if value}


DOUBLE: dict[str, Any] = {"name": "double", "arguments": {"number": 21}}
ASKED_NOW: list[tuple[Any, dict[str, str]]] = [
    modern("tools/call", DOUBLE),
    modern("tools/call", DOUBLE | {"arguments": {"number": "many"}}),
    modern("tools/call", DOUBLE | {"arguments": [1]}),
    modern("tools/call", {"name": "double"}),
    modern("tools/call", {"name": "nothing", "arguments": {"a": 1}}),
    modern("tools/call", {"name": 5}),
    modern("tools/call", {}),
    modern("tools/call", {"name": "refused"}),
    modern("tools/call", {"name": "told"}),
    modern("tools/call", {"name": "told", "_meta": {**ABOUT, "progressToken": "p"}}),
    modern("tools/call", {"name": "told", "_meta": {**ABOUT, "io.modelcontextprotocol/logLevel": "info"}}),
    modern("tools/call", {"name": "placed", "arguments": {"region": "here"}}),
    modern("tools/call", {"name": "placed", "arguments": {"region": "here"}}, Mcp_Param_Region="here"),
    modern("tools/call", {"name": "placed", "arguments": {"region": "here"}}, Mcp_Param_Region="there"),
    modern("tools/call", DOUBLE, Mcp_Param_Region="there"),
    modern("tools/list", {}),
    modern("server/discover", {}),
    modern("ping", {}),
    modern("resources/read", {"uri": "almanac://page"}),
    modern("resources/read", {"uri": "almanac://none"}),
    modern("prompts/get", {"name": "asks", "arguments": {"what": "it"}}),
    modern("no/method", {}),
    modern("initialize", {}),
    modern("notifications/cancelled", {"requestId": 7}),
    modern("tools/call", DOUBLE, Mcp_Name="other"),
    modern("tools/call", DOUBLE, Mcp_Name=""),
    modern("tools/call", DOUBLE, Mcp_Method="tools/list"),
    modern("tools/call", DOUBLE, Mcp_Method=""),
    modern("tools/call", DOUBLE, MCP_Protocol_Version="2099-01-01"),
    modern("tools/call", DOUBLE | {"_meta": {}}),
    modern("tools/call", DOUBLE | {"_meta": {**ABOUT, "io.modelcontextprotocol/clientCapabilities": 5}}),
    modern("tools/call", DOUBLE | {"_meta": {**ABOUT, "io.modelcontextprotocol/clientInfo": "me"}}),
    modern("tools/call", DOUBLE | {"_meta": {**ABOUT, "io.modelcontextprotocol/protocolVersion": 5}}),
    modern("tools/call", DOUBLE, Accept="application/json"),
    modern("tools/call", DOUBLE, Content_Type="text/plain"),
    modern("tools/call", DOUBLE, Mcp_Session_Id="one"),
    ([modern("tools/call", DOUBLE)[0]], modern("tools/call", DOUBLE)[1]),
    (modern("ping", {})[0] | {"id": None}, modern("ping", {})[1]),
    (modern("ping", {})[0] | {"jsonrpc": "1.0"}, modern("ping", {})[1]),
]


@pytest.mark.parametrize(("body", "heads"), ASKED_NOW, ids=range(len(ASKED_NOW)))
async def test_an_answer_of_2026_is_the_one_that_mcp_gives(body: Any, heads: dict[str, str]) -> None:
    given = []
    for direct in (True, False):
        async with served(direct) as client:
            answer = await client.post("/mcp", json=body, headers=HEADS | heads)
            given.append((answer.status_code, answer.headers.get("content-type"), messages(answer)))
    assert given[0] == given[1]


async def test_a_header_that_is_there_twice_is_refused_as_mcp_does() -> None:
    body, heads = modern("tools/call", DOUBLE)
    twice = [*(HEADS | heads).items(), ("Mcp-Name", "double")]
    given = []
    for direct in (True, False):
        async with served(direct) as client:
            answer = await client.post("/mcp", json=body, headers=twice)
            given.append((answer.status_code, messages(answer)))
    assert given[0] == given[1]
    assert given[0][0] == 400


@pytest.mark.parametrize(
    "body", [b"{nonsense", b"", b"\xff\xfe", b"[" * 100_000, b'{"id": ' + b"9" * 5_000 + b"}"]
)
async def test_a_body_of_2026_that_is_no_message_is_mcps(body: bytes) -> None:
    given = []
    for direct in (True, False):
        async with served(direct) as client:
            answer = await client.post("/mcp", content=body, headers=HEADS | modern("ping", {})[1])
            given.append((answer.status_code, messages(answer)))
    assert given[0] == given[1]


async def test_without_the_schemas_a_call_of_2026_is_mcps() -> None:
    body, heads = modern("tools/call", DOUBLE)
    async with served(direct=True, schemas=False) as client:
        answer = await client.post("/mcp", json=body, headers=HEADS | heads)
    assert messages(answer)[-1]["result"]["structuredContent"] == {"result": 42}


async def test_other_methods_and_paths_and_bodies_are_mcps() -> None:
    given: list[list[Any]] = []
    for direct in (True, False):
        async with served(direct) as client:
            answers = [
                await client.request("DELETE", "/mcp", headers=HEADS),
                await client.post("/other", json=call("double", {"number": 1}), headers=HEADS),
                await client.post("/mcp", content=b"{nonsense", headers=HEADS),
                await client.post("/mcp", content=b"", headers=HEADS),
                await client.post("/mcp", content=b"\xff\xfe", headers=HEADS),
                await client.post("/mcp", content=b"[" * 100_000, headers=HEADS),
            ]
            given.append([(answer.status_code, messages(answer)) for answer in answers])
    assert given[0] == given[1]


async def test_a_quick_answer_is_json_and_one_that_tells_something_before_is_a_stream() -> None:
    async with served(direct=True) as client:
        quick = await client.post("/mcp", json=call("double", {"number": 1}), headers=HEADS)
        told = await client.post("/mcp", json=call("told", _meta={"progressToken": 1}), headers=HEADS)
    assert quick.headers["content-type"] == "application/json"
    assert told.headers["content-type"] == "text/event-stream"
    assert [one.get("method", "answer") for one in messages(told)] == [
        "notifications/message", "notifications/progress", "answer",
    ]  # fmt: skip


async def test_a_text_with_odd_line_ends_stays_whole_in_a_stream() -> None:
    async with served(direct=True) as client:
        answer = await client.post("/mcp", json=call("parted"), headers=HEADS)
    assert messages(answer)[-1]["result"]["content"][0]["text"] == "one\u2028two\x85three\r\nfour"


@pytest.fixture
def asked() -> Iterator[dict[str, Any]]:
    yield {
        "type": "http", "method": "POST", "path": "/mcp", "raw_path": b"/mcp", "query_string": b"",
        "headers": [(name.lower().encode(), text.encode()) for name, text in HEADS.items()],
        "scheme": "http", "server": ("localhost", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    BEGAN.clear()
    ENDED.clear()


async def test_a_call_whose_caller_is_gone_is_cancelled(asked: dict[str, Any]) -> None:
    root, sent = application(), []
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": json.dumps(call("waits")).encode()})

    async def send(message: Message) -> None:
        sent.append(message)

    async def nowhere(*_: Any) -> None:
        raise AssertionError("it is answered directly")

    async with root._lifespan_manager():
        running = asyncio.create_task(Direct(nowhere, root, "/mcp")(asked, incoming.get, send))
        await asyncio.wait_for(BEGAN.wait(), 5)
        incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(running, 5)
    assert ENDED.is_set()
    assert sent == []


async def test_a_long_call_is_not_silent(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.direct.PING_S", 0.02)
    root, sent = application(), []
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": json.dumps(call("waits")).encode()})

    async def send(message: Message) -> None:
        sent.append(message.get("body", b"start"))
        if len(sent) == 4:
            incoming.put_nowait({"type": "http.disconnect"})

    async def nowhere(*_: Any) -> None:
        raise AssertionError("it is answered directly")

    async with root._lifespan_manager():
        await asyncio.wait_for(Direct(nowhere, root, "/mcp")(asked, incoming.get, send), 5)
    assert sent == [b"start", b": ping\r\n\r\n", b": ping\r\n\r\n", b": ping\r\n\r\n"]


async def exchanged(asked: dict[str, Any], name: str, send: Any) -> None:
    root = application()
    given: list[Message] = [{"type": "http.request", "body": json.dumps(call(name)).encode()}]

    async def receive() -> Message:
        return given.pop() if given else await asyncio.Event().wait()  # type: ignore[return-value]  # never

    async def nowhere(*_: Any) -> None:
        raise AssertionError("it is answered directly")

    async with root._lifespan_manager():
        await asyncio.wait_for(Direct(nowhere, root, "/mcp")(asked, receive, send), 5)


async def test_what_is_told_after_the_answer_is_dropped(asked: dict[str, Any]) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        assert not sent or sent[-1].get("more_body", True), "the answer is complete"
        sent.append(message)

    await exchanged(asked, "tells_later", send)
    await asyncio.wait_for(LATER[-1], 5)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_a_stream_that_a_slow_reader_kept_from_beginning_is_an_answer_all_the_same(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.direct.PING_S", 0.01)
    monkeypatch.setattr("web.direct.WATCH_S", 0.01)
    sent: list[Message] = []
    held = asyncio.Event()

    async def send(message: Message) -> None:
        if not held.is_set():  # as uvicorn waits before it sends while a client has too much to read
            held.set()
            await asyncio.Event().wait()
        sent.append(message)

    await exchanged(asked, "is_held", send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert json.loads(sent[-1]["body"])["result"]["structuredContent"] == {"result": "done"}


async def test_without_a_way_to_the_protocols_server_all_is_mcps(monkeypatch: pytest.MonkeyPatch) -> None:
    root = application()
    handed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        handed.append(scope["path"])

    with monkeypatch.context() as patch:
        patch.delattr(root, "_mcp_server")
        direct = Direct(app, root, "/mcp")
    await direct({"type": "http", "method": "POST", "path": "/mcp", "headers": []}, None, None)  # type: ignore[arg-type]
    assert handed == ["/mcp"]


def test_where_mcp_has_moved_what_this_needs_its_own_way_is_taken_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("mcp.server.runner.serve_one")
    monkeypatch.delitem(sys.modules, "web.direct")
    settings = Settings()
    with structlog.testing.capture_logs() as lines:
        web.serve.guarded(create_server(settings), settings, None)
    assert [line["log_level"] for line in lines] == ["warning"]
    assert "serve_one" in lines[0]["missing"]
