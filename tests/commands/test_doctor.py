"""`server.py doctor`: what somebody configured has to work, what is merely not there is a warning."""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from backends import Health, Provider
from backends.weather import Weather
from commands import doctor
from commands.findings import Finding, judge
from config import Settings
from config.variables import variables

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
Make = Callable[..., Settings]


class Says:
    """A backend that says how it is."""

    max_rows = 100  # the limit in sql_query's description
    writes = False  # what registering asks of the sandbox

    def __init__(self, state: str = "ready", *providers: tuple[str, str], **more: Any) -> None:
        self._health = Health.model_validate(
            {
                "state": state,
                "summary": f"It is {state}.",
                "mend": "Do this." if state != "ready" else "",
                "providers": [{"name": name, "state": is_} for name, is_ in providers],
                **more,
            }
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def completers(self) -> Mapping[str, Any]:
        return {}

    async def health(self, probe: bool = False) -> Health:
        assert probe, "the doctor has every provider asked"
        return self._health


class Explodes(Says):
    async def health(self, probe: bool = False) -> Health:
        raise KeyError("nobody foresaw this")


class Hangs(Says):
    async def health(self, probe: bool = False) -> Health:
        await asyncio.sleep(60)
        raise AssertionError


def all_ready(**other: Says) -> dict[str, Any]:
    return {name: other.get(name, Says()) for name in ("translate", "weather", "sql", "files")}


def judged(settings: Settings, domain: str, says: Says) -> list[Finding]:
    return list(judge(domain, says._health, getattr(settings, domain)))


async def test_a_well_application_is_said_to_be_well(settings: Make) -> None:
    report = await doctor.examine(settings(), all_ready())
    assert report.well
    assert report.findings == ()
    assert list(report.settings) == ["ALMANAC_STATE_DIR"]
    assert len(report.tools) == 22
    assert report.switched_off == ()
    assert report.transport == "stdio"


# Who is at fault


def test_a_domain_that_does_not_work_is_an_error(settings: Make) -> None:
    for domain in ("sql", "files", "weather"):
        (finding,) = judged(settings(), domain, Says("unavailable", ("world", "missing")))
        assert (finding.level, finding.mend) == ("error", "Do this.")


def test_a_network_that_is_not_there_is_a_warning(settings: Make) -> None:
    (finding,) = judged(settings(), "weather", Says("degraded", ("Open-Meteo", "failing")))
    assert (finding.level, finding.about, finding.mend) == ("warning", "weather", "Do this.")


def test_having_no_translation_engine_is_a_warning_until_one_is_configured(settings: Make) -> None:
    says = Says("unavailable", ("google", "failing"), ("apertium", "missing"))
    assert [f.level for f in judged(settings(), "translate", says)] == ["warning"]
    for chosen in ({"providers": "apertium"}, {"google_url": NOWHERE}, {"apertium_modes": "/nonexistent"}):
        assert [f.level for f in judged(settings(translate=chosen), "translate", says)] == ["error"]
    assert [f.level for f in judged(settings(translate={"timeout": 5}), "translate", says)] == ["warning"]


def test_an_engine_that_is_listed_and_missing_is_an_error_though_another_one_works(settings: Make) -> None:
    says = Says("degraded", ("google", "ready"), ("apertium", "missing"))
    domain, engine = judged(settings(translate={"providers": "google,apertium"}), "translate", says)
    assert (domain.level, domain.about) == ("warning", "translate")
    assert (engine.level, engine.about) == ("error", "translate, apertium")
    assert engine.mend == "Check what ALMANAC_TRANSLATE_PROVIDERS says."


def test_an_engine_that_was_never_installed_is_a_warning_while_the_domain_is_ready(settings: Make) -> None:
    (finding,) = judged(
        settings(),
        "translate",
        Says("ready", ("google", "ready"), ("apertium", "missing"), mend="Install it."),
    )
    assert (finding.level, finding.about, finding.mend) == ("warning", "translate, apertium", "Install it.")


def test_a_database_that_somebody_named_and_is_missing_is_an_error(settings: Make) -> None:
    chosen = settings(sql={"databases": "world=data/world.db,sales=/nonexistent.db"})
    findings = judged(chosen, "sql", Says("degraded", ("world", "ready"), ("sales", "missing")))
    assert [(f.level, f.about) for f in findings] == [("warning", "sql"), ("error", "sql, sales")]


async def test_each_address_somebody_sets_for_the_weather_is_answered_for_by_one_provider(
    settings: Make,
) -> None:
    urls = [v for v in variables() if v.path[0] == "weather" and v.path[-1].endswith("_url")]
    nowhere = {v.path[-1]: NOWHERE for v in urls}
    async with Weather(settings(weather=nowhere).weather) as weather:
        health = await weather.health(probe=True)
    blamed = set()
    for variable in urls:
        section = settings(weather={variable.path[-1]: NOWHERE}).weather
        errors = [f for f in judge("weather", health, section) if f.level == "error"]
        assert len(errors) == 1, variable.name
        assert variable.name in errors[0].mend
        blamed.add(errors[0].about)
    assert len(blamed) == len(urls)


# What can go wrong while asking


async def test_a_domain_that_fails_to_say_how_it_is_does_not_stop_the_doctor(
    settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.1)
    report = await doctor.examine(settings(), all_ready(sql=Explodes(), files=Hangs()))
    assert not report.well
    assert "KeyError" in report.domains["sql"].summary
    assert "within 0.1 s" in report.domains["files"].summary
    assert report.domains["weather"].state == "ready"


# What is said


async def test_settings_are_told_without_their_secrets(settings: Make) -> None:
    chosen = settings(
        weather={"open_meteo_key": "k3y", "nws_url": "http://user:pa55@proxy.example/nws"},
        sql={"max_rows": 7},
        servers="sql,weather",
    )
    report = await doctor.examine(chosen, all_ready())
    assert report.settings == {
        "ALMANAC_STATE_DIR": str(chosen.state_dir),  # the tests' own
        "ALMANAC_SERVERS": "sql,weather",
        "ALMANAC_WEATHER_OPEN_METEO_KEY": "**********",
        "ALMANAC_WEATHER_NWS_URL": "http://***@proxy.example/nws",
        "ALMANAC_SQL_MAX_ROWS": 7,
    }


async def test_tools_that_are_switched_off_are_listed(settings: Make) -> None:
    report = await doctor.examine(settings(servers="sql,weather", exclude_tags="network"), all_ready())
    assert set(report.domains) == {"sql", "weather"}
    assert "weather_forecast" in report.switched_off
    assert "files_list" in report.switched_off
    assert "sql_query" in report.tools
    assert not set(report.tools) & set(report.switched_off)


async def test_tags_that_leave_no_tool_are_an_error(settings: Make) -> None:
    report = await doctor.examine(settings(include_tags="write"), all_ready())
    assert [(f.level, f.about) for f in report.findings] == [("error", "tools")]


async def test_an_address_that_cannot_be_listened_on_is_told(settings: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        report = await doctor.examine(settings(transport="http", port=port), all_ready())
    assert [(f.level, f.about) for f in report.findings] == [("warning", f"http on 127.0.0.1:{port}")]
    report = await doctor.examine(settings(transport="http", host="no.such.host.invalid"), all_ready())
    assert [f.level for f in report.findings] == ["error"]


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """`examined({"sql": Says("unavailable")}, "--json")` is the doctor's exit status and what it printed."""
    examine = doctor.examine
    monkeypatch.setattr("config.HERE", tmp_path)  # no .env of this machine
    monkeypatch.setattr("logs.configure", lambda _: None)  # it is for a whole process, this is all tests'

    def run(given: dict[str, Says], *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(doctor, "examine", lambda settings: examine(settings, all_ready(**given)))
        status = doctor.main(list(arguments))
        return status, capsys.readouterr().out

    return run


def test_the_exit_status_and_the_last_line_say_whether_all_is_well(examined: Any) -> None:
    status, said = examined({})
    assert status == 0
    assert said.rstrip().endswith("Everything that is configured works.")
    status, said = examined({"sql": Says("unavailable"), "weather": Says("degraded", ("[x]", "failing"))})
    assert status == 1
    assert "1 of the things configured does not work." in said
    assert "[x]: failing" in said, "what a provider says is not markup"
    assert "Do this." in said
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_the_report_is_told_to_machines_as_json(examined: Any) -> None:
    status, said = examined({"files": Says("unavailable")}, "--json")
    report = json.loads(said)
    assert (status, report["well"]) == (1, False)
    assert report["domains"]["files"]["state"] == "unavailable"
    assert report["findings"][0] == {
        "level": "error", "about": "files", "text": "It is unavailable.", "mend": "Do this.",
    }  # fmt: skip


def test_a_wrong_setting_is_told_and_nothing_else(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_PORT", "eighty")
    status, said = examined({})
    assert status == 1
    assert "ALMANAC_PORT" in said
    assert "eighty" not in said


async def test_the_real_application_can_be_examined_without_a_network(settings: Make) -> None:
    report = await doctor.examine(settings(translate={"timeout": 5}))
    assert report.well, report.findings
    assert report.domains["sql"].state == "ready"
    assert report.domains["weather"].state == "degraded"
    assert report.domains["files"].state in ("ready", "degraded")
    assert isinstance(report.domains["weather"].providers[0], Provider)
