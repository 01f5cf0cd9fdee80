"""`server.py demo`: the real server asked over STDIO, and an honest word about each domain."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import commands
from commands import demo
from tests.fakes import Upstream
from tests.fakes.google_translate import GoogleTranslate
from tests.fakes.open_meteo import OpenMeteo
from tests.wire.conftest import ENVIRON, SERVER

ELSEWHERE = {"ALMANAC_TRANSLATE_APERTIUM_MODES": "/nonexistent"}  # whatever this machine has installed


def last_word(said: str, domain: str) -> str:
    """What the summary says of a domain, from its line on."""
    return said[said.rindex(f"\n{domain} ") :].removeprefix(f"\n{domain}").strip()


def run(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SERVER), "demo"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd="/",
        env={**ENVIRON, **ELSEWHERE, "PYTHONUTF8": "1", **env},
        timeout=60,
        check=False,
    )


def test_without_a_network_it_shows_the_refusals_and_still_ends_well() -> None:
    ran = run()
    said = " ".join(ran.stdout.split())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Madrid Madrid 3,255,944" in said, "the largest city of the database"
    for tool in (
        "sql_query", "files_list", "files_read", "files_search", "weather_find_place", "weather_forecast",
        "translate_text",
    ):  # fmt: skip
        assert f"\n{tool}\n" in ran.stdout, f"{tool} is asked, and what was asked is shown"
    assert said.count("refused:") == 2
    assert last_word(ran.stdout, "sql").startswith("worked")
    assert last_word(ran.stdout, "files").startswith("worked")
    assert last_word(ran.stdout, "weather").startswith("could not work here")
    assert last_word(ran.stdout, "translate").startswith("could not work here")
    assert "\x1b" not in ran.stdout, "no colours into a pipe"
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert ran.stderr == ""


def test_with_a_network_every_domain_works() -> None:
    with Upstream(OpenMeteo()) as weather, Upstream(GoogleTranslate()) as google:
        ran = run(
            ALMANAC_WEATHER_OPEN_METEO_URL=weather.url,
            ALMANAC_WEATHER_TIMEOUT="10",
            ALMANAC_TRANSLATE_GOOGLE_URL=f"{google.url}/m",
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for domain in ("sql", "files", "weather", "translate"):
        assert last_word(ran.stdout, domain).startswith("worked"), ran.stdout
    assert "refused" not in ran.stdout
    assert "provider: google" in ran.stdout
    assert "2026-06-0" in ran.stdout, "days of a forecast"
    assert "°C" in ran.stdout


# Servers that are not ours, in place of ours


FAKE = """
import json, sys, time

tools = json.load(open(__file__ + ".json"))
for line in sys.stdin:
    ask = json.loads(line)
    if "id" not in ask:
        continue
    reply = {"error": {"code": -32601, "message": "no such method"}}
    if ask["method"] == "initialize":
        reply = {"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "fake", "version": "0"}}}
    elif ask["method"] == "tools/list":
        reply = {"result": {"tools": [{"name": t, "inputSchema": {"type": "object"}} for t in tools]}}
    elif ask["method"] == "tools/call":
        answer = tools[ask["params"]["name"]]
        if answer in ("die", "sleep"):
            sys.exit(3) if answer == "die" else time.sleep(30)
        is_error = isinstance(answer, str)
        reply = {"result": {"content": [{"type": "text", "text": answer if is_error else ""}],
                            "isError": is_error, **({} if is_error else {"structuredContent": answer})}}
    print(json.dumps({"jsonrpc": "2.0", "id": ask["id"], **reply}), flush=True)
"""
ROWS = {"columns": ["name"], "rows": [["Málaga"]]}
NOT_WELL = {"domains": {"translate": {"state": "unavailable", "providers": []}}}
WELL = {"domains": {"translate": {"state": "ready", "providers": []}}}
Instead = Callable[..., str]


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Instead:
    """`instead(sql_query={...}, translate_text="a refusal")` runs the demo on a server of such tools.

    It gives what was printed; the demo has to end with status 1 unless told otherwise.
    """
    monkeypatch.setattr(demo, "HERE", tmp_path)
    monkeypatch.setattr("config.HERE", tmp_path)
    monkeypatch.setattr("logs.configure", lambda _: None)  # it is for a whole process, this is all tests'

    def run(expected: int = 1, code: str = FAKE, **tools: Any) -> str:
        (tmp_path / "server.py").write_text(code)
        (tmp_path / "server.py.json").write_text(json.dumps(tools))
        assert demo.main([]) == expected
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return said.out

    return run


def test_a_domain_that_is_switched_off_is_no_failure(
    instead: Instead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMANAC_SERVERS", "sql")
    said = instead(0, sql_query=ROWS)
    assert last_word(said, "sql").startswith("worked")
    assert "could not work here  It is switched off" in last_word(said, "files")
    monkeypatch.setenv("ALMANAC_SERVERS", "sql,weather")
    monkeypatch.setenv("ALMANAC_EXCLUDE_TAGS", "network")
    assert "It is switched off" in last_word(instead(0, sql_query=ROWS), "weather")


def test_a_tool_that_is_missing_without_a_setting_is_a_failure(instead: Instead) -> None:
    assert "The server has no such tool." in last_word(instead(sql_query=ROWS), "files")


def test_a_wrong_setting_is_told_instead_of_a_demonstration(
    instead: Instead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMANAC_SQL_MAX_ROW", "5")
    assert "ALMANAC_SQL_MAX_ROWS" in instead()


def test_a_server_that_does_not_start_is_told_with_its_last_words(instead: Instead) -> None:
    said = instead(code="import sys; sys.exit('the disk is on fire')")
    assert "did not start" in said
    assert "the disk is on fire" in said


def test_a_fault_of_the_server_fails_the_demonstration(instead: Instead) -> None:
    masked = "The server failed; the request was fine. Reference 1f3c."
    said = instead(sql_query=masked, translate_text=masked, status=NOT_WELL)
    assert last_word(said, "sql").startswith("FAILED")
    assert last_word(said, "translate").startswith("FAILED")


@pytest.mark.parametrize(("status", "word"), [(NOT_WELL, "could not work here"), (WELL, "FAILED")])
def test_a_refusal_is_excused_only_by_what_status_says(status: object, word: str, instead: Instead) -> None:
    said = instead(sql_query="No.", translate_text="No engine works.", status=status)
    assert last_word(said, "sql").startswith("FAILED"), "nothing excuses it"
    assert last_word(said, "translate").startswith(word)
    assert "No engine works." in said


def test_another_database_than_ours_is_no_failure(instead: Instead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_SQL_DATABASES", "sales=sales.db")
    monkeypatch.setenv("ALMANAC_SERVERS", "sql")
    assert "'world' is not among those served" in last_word(instead(0), "sql")


def test_an_answer_without_cities_is_a_failure(instead: Instead) -> None:
    assert "The database has no city" in last_word(instead(sql_query={"columns": [], "rows": []}), "sql")


def test_a_server_that_dies_halfway_fails_what_is_left(instead: Instead) -> None:
    said = instead(sql_query=ROWS, translate_text="die")
    assert last_word(said, "sql").startswith("worked")
    assert last_word(said, "translate").startswith("FAILED")


def test_what_a_tool_returns_cannot_steer_the_terminal(instead: Instead) -> None:
    said = instead(sql_query={"columns": ["na\x1bme"], "rows": [["\x1b[31mMad\x07rid[/]", None]]})
    assert "[31mMadrid[/]" in said
    assert "\x1b" not in said
    assert "\x07" not in said


@pytest.mark.slow
def test_a_call_without_an_answer_is_given_up(instead: Instead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "CALL_S", 0.5)
    started = time.monotonic()
    assert "It did not answer in time." in last_word(instead(sql_query="sleep"), "sql")
    assert time.monotonic() - started < 8


def test_a_console_that_cannot_write_a_letter_gets_a_question_mark(
    instead: Instead, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(sql_query=ROWS)
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    commands.run("demo", [])
    console.seek(0)
    assert "M?laga" in console.read()
