"""A key, a file's text and personal data never appear in a log, a line of the audit, an error or a metric.

Real processes, over STDIO and HTTP, at the most talkative level; everything that they write is searched.
"""

import asyncio
import json
import os
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

from auth.tokens import mint
from config import Settings
from config.variables import variables
from environment import load
from ledger.reading import events, verify
from redaction import secrets_of
from tests.fakes import Upstream
from tests.test_server import ARGUMENTS
from tests.wire.conftest import ENVIRON, SERVER, Http

KEYS = {
    "ALMANAC_TRANSLATE_DEEPL_KEY": "canary-deepl-key-1:fx",
    "ALMANAC_WEATHER_OPEN_METEO_KEY": "canarymeteokey2",
    "ALMANAC_TRANSLATE_LIBRETRANSLATE_KEY": "canary-libre-key-3",
}
BODY = "canary-file-body: the treasure lies under the third oak"
ROW = "canary-row-text"
PERSONAL = ("canary.jane@example.org", "+44 20 7946 0958", "4111 1111 1111 1111")
ASKED = "canary-question-of-a-caller"


async def broken(scope: Any, receive: Any, send: Any) -> None:
    """An upstream that answers every request with an error that repeats what it was sent."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    sent = json.dumps(
        {"error": [scope["path"], scope["query_string"].decode(), body.decode("utf-8", "replace"),
                   [value.decode("latin-1") for _, value in scope["headers"]]]}
    ).encode()  # fmt: skip
    await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": sent})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a server in which everything private has a canary and every provider fails."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "secret.txt").write_text(f"{BODY}\n{' '.join(PERSONAL)}\n")
    (root / "broken.json").write_text(f'{{"a": "{BODY}", "b": nonsense}}')
    (root / "half.bin").write_bytes(f"{BODY}\xff\xfe\x00".encode("latin-1"))
    with closing(sqlite3.connect(tmp_path / "people.db")) as database:
        database.execute("CREATE TABLE people (name TEXT, mail TEXT)")
        database.execute("INSERT INTO people VALUES (?, ?)", (ROW, PERSONAL[0]))
        database.commit()
    (tmp_path / "torn.db").write_bytes((tmp_path / "people.db").read_bytes()[:5000])
    with Upstream(broken) as upstream:
        urls = {name: upstream.url for name in ENVIRON if name.endswith("_URL")}
        yield {
            **ENVIRON,
            **urls,
            **KEYS,
            "ALMANAC_TRANSLATE_DEEPL_URL": upstream.url,
            "ALMANAC_TRANSLATE_LIBRETRANSLATE_URL": upstream.url,
            "ALMANAC_FILES_ROOT": str(root),
            "ALMANAC_FILES_WRITE": "true",
            "ALMANAC_FILES_CONFIRM": "never",
            "ALMANAC_SQL_DATABASES": f"people={tmp_path}/people.db,torn={tmp_path}/torn.db",
            "ALMANAC_STATE_DIR": str(tmp_path / "state"),
            "ALMANAC_AUDIT_ARGUMENTS": "redacted",
            "ALMANAC_LOG_LEVEL": "debug",
        }


CALLS: list[tuple[str, dict[str, Any]]] = [
    *((tool, arguments) for tool, arguments in ARGUMENTS.items()),
    ("files_read", {"path": "secret.txt"}),
    ("files_read", {"path": "half.bin"}),
    ("files_read_json", {"path": "broken.json"}),
    ("files_read_json", {"path": "secret.txt"}),
    ("files_read", {"path": "secret.txt/below"}),
    ("files_search", {"text": "treasure"}),
    ("files_edit", {"path": "secret.txt", "edits": [{"old": "no such text", "new": ASKED}]}),
    ("sql_query", {"sql": "SELECT * FROM people"}),
    ("sql_query", {"sql": "SELECT json(name) FROM people"}),
    ("sql_query", {"sql": "SELECT abs(mail || name), cast(mail AS integer) / 0 FROM people"}),
    ("sql_query", {"sql": "SELECT * FROM people", "database": "torn"}),
    *(("translate_text", {"text": f"{ASKED} {private}", "target": "es"}) for private in PERSONAL),
    *(("weather_find_place", {"name": f"{ASKED} {private}"}) for private in PERSONAL),
    *(("sql_query", {"sql": "SELECT ?", "params": {"nested": [private]}}) for private in PERSONAL),
    ("nothing", {ASKED: PERSONAL[0]}),
    ("sql_query", {ASKED: list(PERSONAL)}),
]


async def use(client: Client[Any]) -> list[str]:
    """Every call, read and prompt that may fail; what the failures said."""
    said = []
    for tool, arguments in CALLS:
        result = await client.call_tool(tool, arguments, raise_on_error=False)
        if result.is_error:
            said.append(str(result.content))
    for uri in ("secret.txt", "half.bin", f"{ASKED}.txt", PERSONAL[0]):
        try:
            await client.read_resource(f"almanac://files/{uri}")
        except Exception as error:
            said.append(str(error))
    for prompt, given in (("sql_analyst", {"question": PERSONAL[2], "database": "torn"}), (ASKED, {})):
        try:
            await client.get_prompt(prompt, given)
        except Exception as error:
            said.append(str(error))
    return said


def see(errors: list[str], log: str, state: Path) -> None:
    """Look for every canary in everything that was written."""
    audit = (state / "audit/audit.jsonl").read_text()
    assert len(errors) > 15
    assert audit.count('"event":"call"') == len(CALLS)
    for key in KEYS.values():
        for where, text in (("an error", str(errors)), ("the log", log), ("the audit", audit)):
            assert key not in text, f"{key} in {where}"
            assert key.partition(":")[0] not in text, f"{key} in {where}"
    for private in (BODY, BODY[:16], "treasure lies", ROW):
        for where, text in (("an error", str(errors)), ("the log", log), ("the audit", audit)):
            assert private not in text, f"{private} in {where}"
    for private in PERSONAL:  # an error may say back to a caller what that caller has just sent
        for where, text in (("the log", log), ("the audit", audit)):
            assert private not in text, f"{private} in {where}"
    assert ASKED not in log, "a caller's own words are no matter of the log"
    assert "Traceback" not in str(errors)
    found = verify(state / "audit/audit.jsonl", (state / "audit.key").read_bytes())
    assert found.problems == ()


@pytest.mark.timeout(90)
@pytest.mark.slow
async def test_over_stdio_nothing_private_is_written_anywhere(world: dict[str, str], tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")
    with log:
        transport = StdioTransport(sys.executable, [str(SERVER)], env=world, log_file=tmp_path / "log")
        async with Client(transport) as client:
            errors = await use(client)
    see(errors, (tmp_path / "log").read_text(), Path(world["ALMANAC_STATE_DIR"]))


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_over_http_nothing_private_is_written_anywhere(world: dict[str, str]) -> None:
    token, entry = mint("ann", ("read", "write"))
    listed = f"ann:{entry.sha256}:read+write"
    settings = {**world, "ALMANAC_AUTH_MODE": "tokens", "ALMANAC_AUTH_TOKENS": listed}
    with Http(settings) as server:
        log = asyncio.create_task(asyncio.to_thread(server.process.stderr.read))
        guess = "almanac_canary-guess-at-a-token"
        for sent in (guess, f"{token}x"):
            request = urllib.request.Request(server.url, b"{}", {"Authorization": f"Bearer {sent}"})
            with pytest.raises(urllib.error.HTTPError, match="401"):
                await asyncio.to_thread(urllib.request.urlopen, request)
        transport = StreamableHttpTransport(server.url, headers={"Authorization": f"Bearer {token}"})
        async with Client(transport) as client:
            errors = await use(client)
        metrics = await asyncio.to_thread(_metrics, server.port, token)
        server.process.terminate()
        text = (await log).decode()
    state = Path(world["ALMANAC_STATE_DIR"])
    see(errors, text, state)
    audit = (state / "audit/audit.jsonl").read_text()
    for secret in (token, guess, entry.sha256):
        assert secret not in text + audit + str(errors)
    for private in (*KEYS.values(), BODY, ROW, *PERSONAL, ASKED, token):
        assert private not in metrics
    assert {e["who"] for e in events(state / "audit/audit.jsonl") if e["event"] == "call"} == {"token:ann"}


def _metrics(port: int, token: str) -> str:
    """What there is to scrape, if anything."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def test_every_secret_of_the_settings_is_kept_from_the_log() -> None:
    secret = {v.name for v in variables() if v.secret}
    assert set(KEYS) <= secret
    settings = load({**KEYS, "ALMANAC_STATE_URL": "redis://ann:canary-password@127.0.0.1/0"})
    assert {*KEYS.values(), "canary-password"} <= set(secrets_of(settings))
    odd = secrets_of(load({"ALMANAC_TRANSLATE_DEEPL_KEY": 'canary/"key+1'}))
    assert {"canary%2F%22key%2B1", 'canary/\\"key+1'} <= set(odd), "as a URL and JSON have it"
    assert secrets_of(Settings()) == ()
    assert os.environ.keys().isdisjoint(KEYS)
