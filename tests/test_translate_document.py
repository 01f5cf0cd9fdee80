"""`translate_document` as a client meets it, in both eras of the protocol."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from tests.conftest import Connect
from tests.fakes import Upstream
from tests.fakes import apertium as fake_apertium
from tests.fakes.google_translate import GoogleTranslate

DOCUMENT = "# The title of it\n\nHello `code` there.\n\n```\nleft alone\n```\n\n- an item\n"


@pytest.fixture(scope="module")
def google_server() -> Iterator[tuple[GoogleTranslate, str]]:
    with Upstream(fake := GoogleTranslate()) as server:
        yield fake, server.url + "/m"


@pytest.fixture
def google(google_server: tuple[GoogleTranslate, str]) -> GoogleTranslate:
    fake = google_server[0]
    fake.trouble, fake.habit, fake.times = "", "plain", 1_000_000
    fake.seen.clear()
    return fake


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    place = tmp_path / "sandbox"
    (place / "docs").mkdir(parents=True)
    (place / "docs/notes.md").write_text(DOCUMENT)
    return place


@pytest.fixture
def served(client: Connect, google_server: tuple[GoogleTranslate, str], sandbox: Path, tmp_path: Path) -> Any:
    """A factory of clients of a server that translates by Google and may write files."""

    @asynccontextmanager
    async def connect(translate: dict[str, Any] | None = None, **over: Any) -> AsyncIterator[Client[Any]]:
        section = {
            "providers": ("google", "apertium"),
            "google_url": google_server[1],
            "apertium_modes": fake_apertium.stand_in(tmp_path),
            **(translate or {}),
        }
        files = {"root": sandbox, "write": True}
        given = {"servers": ("translate", "files"), "translate": section, "files": files, **over}
        async with client(**given) as connected:
            yield connected

    return connect


def lying_in(sandbox: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in sandbox.rglob("*")}


async def test_it_is_there_only_with_both_domains_and_when_files_may_be_written(
    client: Connect, sandbox: Path
) -> None:
    for over in (
        {"servers": ["translate", "files"], "files": {"root": sandbox}},
        {"servers": ["translate"]},
        {"servers": ["files"], "files": {"root": sandbox, "write": True}},
        {"files": {"root": sandbox, "write": True}, "exclude_tags": ["write"]},
    ):
        async with client(**over) as c:
            assert "translate_document" not in {tool.name for tool in await c.list_tools()}
    async with client(servers=["translate", "files"], files={"root": sandbox, "write": True}) as c:
        (tool,) = [tool for tool in await c.list_tools() if tool.name == "translate_document"]
        assert list(tool.input_schema["properties"]) == ["path", "target", "source", "save_as"]
        assert (tool.annotations.read_only_hint, tool.annotations.destructive_hint) == (False, False)
        assert "translate_document" in {prompt.name for prompt in await c.list_prompts()}


async def test_a_document_is_translated_into_a_new_file_beside_it(
    served: Any, google: GoogleTranslate, sandbox: Path
) -> None:
    logs: list[tuple[str, str]] = []
    progress: list[tuple[float, float | None]] = []

    async def log(message: Any) -> None:
        logs.append((message.level, message.data["msg"]))

    async def report(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, total))

    async with served(log_handler=log, progress_handler=report) as c:
        done = await c.call_tool(
            "translate_document", {"path": "docs/notes.md", "target": "Spanish", "source": "en"}
        )
    written = (sandbox / "docs/notes.es.md").read_text()
    assert written == (
        "# The title of it (es)\n\nHello `code` there. (es)\n\n```\nleft alone\n```\n\n- an item (es)\n"
    )
    assert done.structured_content == {
        "path": "docs/notes.es.md", "source": "en", "target": "es", "providers": ["google"],
        "quality": "google: machine translation", "texts": 3, "untranslated": 0, "size": len(written),
        "notices": [],
    }  # fmt: skip
    assert (sandbox / "docs/notes.md").read_text() == DOCUMENT
    assert len(google.seen) == 1
    assert progress == [(0, len(DOCUMENT)), (len(DOCUMENT), len(DOCUMENT))]
    assert logs == [("info", "en to es in 'docs/notes.es.md': google: machine translation.")]


async def test_its_language_is_detected_once_for_all_of_it(
    served: Any, google: GoogleTranslate, sandbox: Path
) -> None:
    text = "# Madrid\n\nThe weather was sunny in the whole country for the last three weeks.\n\nOK\n"
    (sandbox / "a.md").write_text(text)
    async with served() as c:
        done = await c.call_tool("translate_document", {"path": "a.md", "target": "fr"})
        assert done.structured_content["source"] == "en"
        assert {query["sl"] for _, query in google.seen} == {"en"}
        with pytest.raises(ToolError, match=r"'a\.md' is in en already; name its source"):
            await c.call_tool("translate_document", {"path": "a.md", "target": "en"})
    assert not (sandbox / "a.en.md").exists()


async def test_a_fallback_is_told_and_warned_of(served: Any, google: GoogleTranslate) -> None:
    google.trouble = "429"
    logs: list[tuple[str, str]] = []

    async def log(message: Any) -> None:
        logs.append((message.level, message.data["msg"]))

    async with served(log_handler=log) as c:
        call = {"path": "docs/notes.md", "target": "es", "source": "en"}
        done = await c.call_tool("translate_document", call)
    notice = "google has had too many requests, so apertium translated."
    assert done.structured_content["providers"] == ["apertium"]
    assert done.structured_content["notices"] == [notice]
    assert ("warning", notice) in logs


REFUSED = [
        ({"path": "none.md", "target": "es"}, "none.md"),
        ({"path": "docs", "target": "es"}, "docs"),
        ({"path": "../notes.md", "target": "es"}, "notes.md"),
        ({"path": "docs/notes.md", "target": "Spansh"}, "Did you mean 'Spanish'"),
        ({"path": "docs/notes.md", "target": "es", "save_as": "docs/notes.md"}, "is there already"),
        ({"path": "docs/notes.md", "target": "es", "save_as": "../out.md"}, "out.md"),
        ({"path": "code.py", "target": "es"}, "neither text"),
        ({"path": "binary.txt", "target": "es"}, "no text"),
        ({"path": "long.txt", "target": "es", "source": "en"}, "lines of more than 64 KB"),
        ({"path": "large.txt", "target": "es"}, "holds 300,000 bytes; a document may hold 250,000"),
        ({"target": "es"}, "path is missing"),
    ]  # fmt: skip


async def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    served: Any, google: GoogleTranslate, sandbox: Path
) -> None:
    (sandbox / "code.py").write_text("print()")
    (sandbox / "binary.txt").write_bytes(bytes(range(256)))
    (sandbox / "long.txt").write_text("word " * 20_000)
    (sandbox / "large.txt").write_text("line\n" * 60_000)
    before = lying_in(sandbox)
    async with served(translate={"max_document": 250_000}) as c:
        for call, told in REFUSED:
            with pytest.raises(ToolError) as caught:
                await c.call_tool("translate_document", call)
            assert told in str(caught.value)
            assert str(sandbox) not in str(caught.value)
            assert lying_in(sandbox) == before


async def test_a_document_that_takes_too_long_or_changes_meanwhile_leaves_nothing(
    served: Any, google: GoogleTranslate, sandbox: Path
) -> None:
    google.trouble = "slow"
    call = {"path": "docs/notes.md", "target": "es", "source": "en"}
    async with served(translate={"document_timeout": 0.3, "providers": ("google",)}) as c:
        with pytest.raises(ToolError, match="not done within 0 s, so nothing was written"):
            await c.call_tool("translate_document", call)
    google.times = 1
    google.seen.clear()
    async with served(translate={"timeout": 1}) as c:
        asked = asyncio.create_task(c.call_tool("translate_document", call))
        for _ in range(500):
            if google.seen:
                break
            await asyncio.sleep(0.01)
        (sandbox / "docs/notes.md").write_text("other")
        with pytest.raises(ToolError, match="changed meanwhile, so nothing was written"):
            await asked
    assert {path.name for path in (sandbox / "docs").iterdir()} == {"notes.md"}


async def test_another_encoding_is_read_and_told(served: Any, google: GoogleTranslate, sandbox: Path) -> None:
    (sandbox / "old.txt").write_bytes("Grüße aus dem schönen Köln\r\nund für alle\r\n".encode("cp1252"))
    async with served() as c:
        done = await c.call_tool("translate_document", {"path": "old.txt", "target": "es", "source": "de"})
    assert (sandbox / "old.es.txt").read_bytes().decode() == (
        "Grüße aus dem schönen Köln (es)\r\nund für alle (es)\r\n"
    )
    assert any("the new one is in utf-8" in notice for notice in done.structured_content["notices"])


FLAT = """
import asyncio, resource, sys
from fastmcp import Client
from config import Settings
from server import create_server

async def main(root, url, name):
    server = create_server(Settings.model_validate({
        "servers": ["translate", "files"], "files": {"root": root, "write": True},
        "translate": {"providers": "google", "google_url": url},
    }))
    async with Client(server) as client:
        done = await client.call_tool(
            "translate_document", {"path": name, "target": "es", "source": "en"}, timeout=120
        )
        print(done.structured_content["untranslated"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
def test_five_megabytes_take_no_more_memory_than_one_chapter(
    google_server: tuple[GoogleTranslate, str], google: GoogleTranslate, sandbox: Path
) -> None:
    paragraph = "## Section {n}\n\nThis is the text number {n} of a long document about many things.\n\n"
    chapter = "".join(paragraph.format(n=n) for n in range(1_000)) + f"```\n{'code ' * 900}\n```\n\n"
    peaks = {}
    for chapters in (1, 60):  # those after the first are remembered: so much to ask would take a minute
        whole = chapter * chapters
        (sandbox / f"{chapters}.md").write_text(whole)
        ran = subprocess.run(
            [sys.executable, "-c", FLAT, str(sandbox), google_server[1], f"{chapters}.md"],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip
        untranslated, peak = ran.stdout.splitlines()[-1].split()
        assert untranslated == "0"
        peaks[chapters] = int(peak)
        translated = (sandbox / f"{chapters}.es.md").read_text()
        assert translated.replace(" (es)", "") == whole
    assert len(whole) > 5_000_000
    assert peaks[60] - peaks[1] < 25_000, peaks
