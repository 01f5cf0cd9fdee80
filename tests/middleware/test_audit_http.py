"""Who was let in over HTTP, and who was not, is in the audit."""

from collections.abc import Callable
from pathlib import Path

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from auth.tokens import mint
from config import Settings
from ledger.reading import events
from tests.web.served import Served


async def test_who_came_in_and_who_did_not_is_recorded(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    token, entry = mint("ann", ("read",))
    auth = {"mode": "tokens", "tokens": (entry,)}
    with Served(settings(auth=auth, trusted_proxies="127.0.0.1")) as server:
        for guess in ("", "almanac_canary-guess"):
            assert server.ask("POST", "/mcp", token=guess)[0] == 401
        for address in ("2001:db8:1:2::5", "2001:db8:1:2:3::9", "::ffff:192.0.2.1"):
            assert server.ask("POST", "/mcp", X_Forwarded_For=address)[0] == 401
        transport = StreamableHttpTransport(
            f"http://127.0.0.1:{server.port}/mcp", headers={"Authorization": f"Bearer {token}"}
        )
        async with Client(transport) as c:
            for _ in range(3):
                await c.call_tool("status")
    found = list(events(tmp_path / "state/audit/audit.jsonl"))
    told = [(e["outcome"], e["who"], e.get("why")) for e in found if e["event"] == "authentication"]
    assert told == [
        ("failed", "address:127.0.0.1", "missing"),
        ("failed", "address:127.0.0.1", "invalid"),
        ("failed", "address:2001:db8:1:2::", "missing"),
        ("failed", "address:2001:db8:1:2::", "missing"),
        ("failed", "address:192.0.2.1", "missing"),
        ("ok", "token:ann", None),
    ]
    assert [(e["who"], e["outcome"]) for e in found if e["event"] == "call"] == [("token:ann", "ok")] * 3
    whole = (tmp_path / "state/audit/audit.jsonl").read_text()
    assert token not in whole
    assert "canary-guess" not in whole
