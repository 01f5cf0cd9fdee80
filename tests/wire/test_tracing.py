"""A real server traced: one trace a call from the transport to the provider, and nothing private in it."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import Upstream
from tests.fakes.collector import Collector, Span, attributes_of
from tests.fakes.open_meteo import OpenMeteo
from tests.wire.conftest import ENVIRON, SERVER, Http, Stdio
from tests.wire.test_ending import Ask, asking, end_of, message

__all__ = ["asking"]

pytestmark = pytest.mark.slow
Start = Callable[..., Stdio]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
PLACE = "40.4165,-3.7026"
PROVIDERS = "GET /v1/forecast"


class Service:
    """A collector, a provider, and the settings of a server between them."""

    def __init__(self, collector: Collector, provider: OpenMeteo, at: str, asked: str) -> None:
        self.collector, self.provider = collector, provider
        self.env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": at,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=collectors-secret",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
            "ALMANAC_WEATHER_OPEN_METEO_URL": asked,
            "ALMANAC_WEATHER_PROVIDERS": "open_meteo",
            "ALMANAC_WEATHER_TIMEOUT": "5",
        }


@pytest.fixture
def service() -> Iterator[Service]:
    collector, provider = Collector(), OpenMeteo()
    with Upstream(collector) as at, Upstream(provider) as asked:
        yield Service(collector, provider, at.url, asked.url)


def call(era: str, name: str = "weather_current", **arguments: Any) -> dict[str, Any]:
    return message(name, arguments or {"place": PLACE}, era)


def chain(spans: list[Span], last: str) -> list[str]:
    """Names from a span of this name up to the one that came from elsewhere."""
    by_id = {span.id: span for span in spans}
    span: Span | None = next(span for span in spans if span.name == last)
    names = []
    while span:
        names.append(span.name)
        span = by_id.get(span.parent)
    return names


def of_calls(spans: list[Span]) -> list[Span]:
    """Without those of the start, which lists the tools."""
    return [span for span in spans if "almanac.reference" in span.attributes]


def no_secrets(collector: Collector) -> None:
    whole = b"".join(collector.raw)
    for private in (
        b"40.4",
        b"-3.70",
        b"Madrid",
        b"ecretville",
        b"collectors-secret",
        b"SELECT",
    ):
        assert private not in whole, private


@pytest.mark.parametrize("where", ["header", "meta", "nowhere"])
def test_over_http_a_call_is_one_trace_from_the_transport_to_the_provider(
    asking: Ask, service: Service, era: str, where: str
) -> None:
    asked = call(era)
    headers = {"traceparent": TRACEPARENT} if where == "header" else {}
    if where == "meta":
        asked["params"].setdefault("_meta", {})["traceparent"] = TRACEPARENT
    with Http(service.env) as server:
        answered = asking(server, asked, {**headers, "X-Request-Id": "proxy-1a2b3c"})
        response, answer = answered.answer()
        assert not answer["result"].get("isError"), answer
        spans = of_calls(service.collector.wait_for("POST /mcp", PROVIDERS))
    assert response.getheader("x-request-id") == "proxy-1a2b3c"
    of_the_call = {span.name: span for span in spans}
    assert len({span.trace for span in spans}) == 1
    assert (spans[0].trace == TRACE) is (where != "nowhere")
    assert of_the_call["POST /mcp"].parent == ("" if where == "nowhere" else PARENT)
    path = chain(spans, PROVIDERS)
    assert path[-2:] == ["tools/call weather_current", "POST /mcp"]
    assert of_the_call["POST /mcp"].attributes["http.response.status_code"] == 200
    asks = of_the_call[PROVIDERS].attributes
    assert (asks["http.request.method"], asks["server.address"]) == ("GET", "127.0.0.1")
    assert asks["http.response.status_code"] == 200
    assert all(span.attributes["almanac.reference"] == "proxy-1a2b3c" for span in spans)
    assert spans[0].resource["service.name"] == "almanac"
    assert spans[0].resource["deployment.environment.name"] == "tests"
    assert "traceparent" not in service.provider.headers
    no_secrets(service.collector)


@pytest.mark.parametrize("where", ["meta", "nowhere"])
def test_over_stdio_too_and_the_last_is_sent_before_the_end(
    stdio: Start, service: Service, era: str, where: str
) -> None:
    asked = call(era)
    if where == "meta":
        asked["params"].setdefault("_meta", {})["traceparent"] = TRACEPARENT
    server = stdio(env={**service.env, "OTEL_BSP_SCHEDULE_DELAY": "60000"})
    if era == "legacy":
        server.initialize()
    server.send(asked)
    assert not server.answer(1)["result"].get("isError")
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.stdin = None
    assert end_of(server) == 0
    spans = service.collector.wait_for(PROVIDERS)
    (ours,) = [span for span in spans if span.name == PROVIDERS]
    assert chain(spans, PROVIDERS)[-1] == "tools/call weather_current"
    assert (ours.trace == TRACE) is (where == "meta")
    top = next(span for span in spans if span.name == "tools/call weather_current")
    assert top.attributes["almanac.reference"]
    no_secrets(service.collector)


def test_what_callers_make_up_and_what_refusals_quote_stays_here(asking: Ask, service: Service) -> None:
    with Http(service.env) as server:
        for asked in (
            call("legacy", "weather_forecast", place="Secretville"),
            call("legacy", "sql_query", sql="SELECT Secretville"),
            call("legacy", "secretville"),
            call("legacy", "weather_secretville"),
            {"jsonrpc": "2.0", "id": 1, "method": "secretville/x", "params": {}},
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "resources/read",
                "params": {"uri": "almanac://weather/Secretville/current"},
            },
        ):
            asking(server, asked).answer()
        service.collector.wait_for("resources/read", "tools/call sql_query")
    assert b"exception.type" in b"".join(service.collector.raw)
    no_secrets(service.collector)


def test_calls_are_measured_by_the_names_of_the_conventions(asking: Ask, service: Service) -> None:
    with Http(service.env) as server:
        asking(server, call("legacy")).answer()
        asking(server, call("legacy", "sql_query", sql="DROP TABLE x; x")).answer()
        server.process.terminate()
        assert end_of(server) == 0
    measured = service.collector.metrics["mcp.server.operation.duration"]
    assert measured.unit == "s"
    points = {
        (attributes["gen_ai.tool.name"], attributes.get("error.type")): point.count
        for point in measured.histogram.data_points
        for attributes in [attributes_of(point)]
    }
    assert points["weather_current", None] == 1
    assert sum(points.values()) == 2
    no_secrets(service.collector)


def test_a_collector_that_is_gone_holds_nothing_up(stdio: Start, service: Service) -> None:
    server = stdio(env={**service.env, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    server.initialize()
    server.send(call("legacy"))
    assert not server.answer(1)["result"].get("isError")
    began = time.monotonic()
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.stdin = None
    assert server.process.wait(10) == 0
    assert time.monotonic() - began < 5


LOADED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import server, web.serve
from config import Settings
from pathlib import Path
settings = Settings.model_validate({"state_dir": Path(os.devnull) / "x", "transport": "http"})
root = server.create_server(settings)
web.serve.guarded(root, settings, None)
print("web.traced" in sys.modules)
print("Instrumentation" in [type(guard).__name__ for guard in root.middleware])
watching = ("opentelemetry.sdk", "prometheus_client", "telemetry")
print([name for name in sys.modules if name.startswith(watching)])
import fastmcp
print(fastmcp.settings.telemetry_mode)
"""


@pytest.mark.parametrize(
    ("env", "is_on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none",
          "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
    ],
    ids=str,
)  # fmt: skip
def test_nothing_is_imported_unless_the_variables_ask_for_it(env: dict[str, str], is_on: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(Path(SERVER).parent)],
        env={**ENVIRON, **env},
        capture_output=True,
        text=True,
        timeout=20,
    )
    traced, guards, loaded, mode = done.stdout.splitlines()
    found = (traced == "True", guards == "True", loaded != "[]", mode == "native")
    assert found == (is_on,) * 4, done.stderr


def test_what_can_be_sent_nowhere_is_said_and_costs_no_call_anything() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(Path(SERVER).parent)],
        env={**ENVIRON, "OTEL_TRACES_EXPORTER": "zipkin"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    said, traced, guards, _, mode = done.stdout.splitlines()
    assert (traced, guards, mode) == ("False", "False", "propagation_only"), done.stderr
    assert "telemetry cannot be sent that way" in said
