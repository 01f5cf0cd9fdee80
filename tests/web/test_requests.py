"""One reference for a request: in its answer, in the audit, in what a masked failure says, in the log."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import reference
from backends import Health
from backends.files import Sandbox
from config import Settings
from server import create_server
from tests.web.served import LIST, Served, answered

Serve = Callable[..., Served]
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "status", "arguments": {}}}
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HEADERS = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": "status"}


class Broken(Sandbox):
    """A domain that fails as nobody foresaw."""

    async def health(self, probe: bool = False) -> Health:
        raise RuntimeError("as nobody foresaw")


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_a_request_keeps_its_own_in_the_answer_the_audit_and_the_log(
    tmp_path: Path, era: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.model_validate({"servers": ["files"], "state_dir": tmp_path, "transport": "http"})
    asked, headers = CALL, {}
    if era == "auto":
        asked, headers = {**CALL, "params": {"name": "status", "arguments": {}, "_meta": MODERN}}, HEADERS
    root = create_server(settings, {"files": Broken(settings.files)})
    with Served(settings, root) as server:
        _, given, body = server.ask(body=asked, X_Request_Id="proxy-1a2b3c", **headers)
        text = answered(body)["result"]["content"][0]["text"]
        _, other, body = server.ask(body=asked, **headers)
        own = other["x-request-id"]
    assert given["x-request-id"] == "proxy-1a2b3c"
    assert text == "The server failed; the request was fine. Reference proxy-1a2b3c."
    assert own != "proxy-1a2b3c"
    assert answered(body)["result"]["content"][0]["text"].endswith(f"Reference {own}.")
    lines = [json.loads(line) for line in (tmp_path / "audit/audit.jsonl").read_text().splitlines()]
    assert [line["reference"] for line in lines if line["event"] == "call"] == ["proxy-1a2b3c", own]
    assert "reference='proxy-1a2b3c'" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["", "two words", "x" * 40, "é", '"quoted"', "<script>"])
def test_one_that_is_not_well_formed_is_replaced(served: Serve, given: str) -> None:
    _, headers, _ = served().ask(body=LIST, X_Request_Id=given.encode().decode("latin-1"))
    assert headers["x-request-id"] != given
    assert reference.WELL_FORMED.fullmatch(headers["x-request-id"])


def test_every_answer_has_one_also_a_refusal(served: Serve) -> None:
    server = served(allowed_origins="https://app.example.com")
    for method, path, headers in (
        ("GET", "/health", {}),
        ("GET", "/nothing", {}),
        ("GET", "/mcp", {"Host": "evil.example"}),
        ("POST", "/mcp", {"Origin": "https://evil.example"}),
    ):
        _, given, _ = server.ask(method, path, b"", X_Request_Id="proxy-1a2b3c", **headers)
        assert given["x-request-id"] == "proxy-1a2b3c"
    _, given, _ = server.ask(body=LIST, Origin="https://app.example.com")
    assert "X-Request-Id" in given["access-control-expose-headers"]


def test_two_in_one_request_are_none(served: Serve) -> None:
    lines = ("GET /health HTTP/1.1", "Host: x", "X-Request-Id: a1", "X-Request-Id: b2", "Connection: close")
    head = served().say("\r\n".join((*lines, "", "")).encode()).lower()
    assert b"x-request-id: " in head
    assert b"x-request-id: a1\r" not in head
    assert b"x-request-id: b2\r" not in head
