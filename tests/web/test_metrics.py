"""What Prometheus is told: what was counted, in its format, and to whom."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.openmetrics import parser as openmetrics

import metrics
from auth.tokens import mint
from config import Scope
from tests.web.served import Served, free_port

Serve = Callable[..., Served]
ON = {"metrics": True, "servers": ["sql", "weather"]}
PROMETHEUS = (  # what version 3 sends
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def call(
    server: Served, name: str, arguments: dict[str, Any], method: str = "tools/call", **more: Any
) -> Any:
    asked = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {"name": name, "arguments": arguments} if method != "resources/read" else {"uri": name},
    }
    assert server.ask(body=asked)[0] == 200


def numbers(server: Served, **asked: Any) -> dict[tuple[str, ...], float]:
    """Every sample that Prometheus reads: its name, then its labels' values in the order of their names."""
    status, headers, body = server.ask("GET", "/metrics", Accept=PROMETHEUS, **asked)
    assert status == 200, body
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in openmetrics.text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]  # has no types
        for sample in family.samples
    }


def test_calls_are_counted_by_tool_and_outcome_and_timed(served: Serve) -> None:
    server = served(**ON)
    for sql in ("SELECT 1", "SELECT 2", "VACUUM"):
        call(server, "sql_query", {"sql": sql})
    call(server, "sql_query", {"sql": 5})
    call(server, "sql_query; DROP", {})
    call(server, "almanac://weather/Secretville/current", {}, "resources/read")
    call(server, "almanac://made/up", {}, "resources/read")
    call(server, "weather_briefing", {"place": "Lima"}, "prompts/get")
    found = numbers(server)
    assert found["almanac_calls_total", "ok", "sql_query"] == 2
    assert found["almanac_calls_total", "denied", "sql_query"] == 1
    assert found["almanac_calls_total", "bad_arguments", "sql_query"] == 1
    assert found["almanac_calls_total", "unknown", "unknown"] == 1
    assert found["almanac_call_duration_seconds_count", "sql_query"] == 4
    assert 0 < found["almanac_call_duration_seconds_sum", "sql_query"] < 10
    assert found["almanac_prompts_total", "ok", "weather_briefing"] == 1
    assert found["almanac_reads_total", "unknown", "unknown"] == 1
    assert sum(value for name, value in found.items() if name[0] == "almanac_reads_total") == 2
    assert found["almanac_refusals_total", "denied"] == 1
    assert found["almanac_refusals_total", "bad_arguments"] == 1
    assert found["almanac_calls_in_flight",] == 0
    assert found["almanac_http_responses_total", "200"] >= 8
    assert found["process_resident_memory_bytes",] > 1_000_000
    assert found["almanac_domain_state", "sql", "ready"] == 1
    assert found["almanac_provider_state", "sql", "world", "ready"] == 1
    assert found["almanac_store_failing", "audit"] == 0
    text = json.dumps([list(name) for name in found])
    assert not any(made_up in text for made_up in ("Secretville", "made", "DROP"))


@pytest.mark.slow
def test_a_providers_trouble_caches_and_breakers_are_told(served: Serve) -> None:
    nowhere = {
        f"{name}_url": "http://127.0.0.1:9" for name in ("open_meteo", "met_norway", "nws", "geocoding")
    }
    server = served(**ON, weather={**nowhere, "timeout": 1, "providers": ["open_meteo"]})
    for _ in range(4):
        call(server, "weather_current", {"place": "Lima"})
    found = numbers(server)
    (name,) = {name[2] for name in found if name[0] == "almanac_provider_failures_total" and found[name]}
    assert found["almanac_provider_state", "weather", name, "failing"] == 1
    assert found["almanac_provider_failures_total", "weather", name] == 3
    assert found["almanac_provider_requests_total", "weather", name] >= 3
    assert found["almanac_provider_retries_total", "weather", name] >= 1
    assert found["almanac_breaker_open", "weather", name] == 1
    assert found["almanac_cache_requests_total", "weather", name, "miss"] >= 3
    assert found["almanac_refusals_total", "unavailable"] == 4


def test_what_is_taken_of_quotas_is_told(served: Serve) -> None:
    limits = {"quotas": {"sql": "3/day"}, "budget": "100/day", "costs": {"sql": 5}}
    server = served(**ON, limits=limits)
    for _ in range(4):
        call(server, "sql_query", {"sql": "SELECT 1"})
    found = numbers(server)
    assert found["almanac_quota_used_total", "sql"] == 3
    assert found["almanac_quota_used_total", "credits"] == 15
    assert found["almanac_refusals_total", "limited"] == 1


def test_off_unless_asked(served: Serve) -> None:
    assert served(servers=["sql"]).ask("GET", "/metrics")[0] == 404


@pytest.mark.parametrize(("scopes", "status"), [(("admin",), 200), (("read", "write"), 403), (None, 401)])
def test_where_tokens_are_asked_for_an_admins_is_needed(
    served: Serve, scopes: tuple[Scope, ...] | None, status: int
) -> None:
    token, entry = mint("ann", scopes or ("read",))
    server = served(**ON, auth={"mode": "tokens", "tokens": (entry,)})
    answered = server.ask("GET", "/metrics", token=token if scopes else "")
    assert answered[0] == status
    assert (b"almanac_calls" in answered[2]) == (status == 200)


def test_on_a_port_of_its_own_nobody_is_asked_and_the_main_one_has_none(served: Serve) -> None:
    token, entry = mint("ann", ("admin",))
    port = free_port()
    server = served(**ON, metrics_port=port, auth={"mode": "tokens", "tokens": (entry,)})
    assert server.ask("GET", "/metrics", token=token)[0] == 404
    own = Served.__new__(Served)
    own.port = port
    assert numbers(own)["almanac_calls_in_flight",] == 0
    assert own.ask("GET", "/ready")[::2] == (200, b'{"status":"ready"}')
    assert own.ask("GET", "/health")[0] == 200
    assert own.ask("POST", "/mcp", {})[0] == 404
    assert own.ask("GET", "/metrics", Host="evil.example")[0] == 421


def test_who_asks_for_no_format_is_given_the_plain_one(served: Serve) -> None:
    _, headers, body = served(**ON).ask("GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in parser.text_string_to_metric_families(body.decode())}
    assert {"almanac_calls", "process_resident_memory_bytes"} <= names


def test_a_head_gets_the_heads_alone(served: Serve) -> None:
    status, headers, body = served(**ON).ask("HEAD", "/metrics")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 1_000


async def test_on_windows_no_process_is_asked_whether_it_runs_by_a_signal_which_is_ctrl_c_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(metrics.SHARED, str(tmp_path))
    MmapedDict(str(tmp_path / "gauge_livemax_12345.db")).close()  # type: ignore[no-untyped-call]  # has no types
    sent: list[int] = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(pid))
    await metrics.Metrics("0").text()
    assert not sent


@pytest.mark.slow
def test_to_count_a_call_costs_less_than_thirty_microseconds() -> None:
    counted = metrics.Metrics("0")
    best = min(_seconds_a_call(counted) for _ in range(5))
    assert best < 30e-6, best


def _seconds_a_call(counted: metrics.Metrics) -> float:
    began = time.perf_counter()
    for _ in range(2_000):
        counted.began("call", "sql_query")
        counted.ended("call", "sql_query", "ok", 0.002)
        counted.answered(200)
    return (time.perf_counter() - began) / 2_000
