"""Several processes are counted as one, whichever is asked, and one that was killed is not forgotten."""

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.web.test_metrics import PROMETHEUS
from tests.wire.conftest import Http, free_port
from tests.wire.test_workers import called, pytestmark, wait_for_workers

__all__ = ["pytestmark"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Http, int, Path]]:
    port, temporary = free_port(), tmp_path / "tmp"
    temporary.mkdir()
    env = {
        "ALMANAC_WORKERS": "2",
        "ALMANAC_METRICS": "true",
        "ALMANAC_METRICS_PORT": str(port),
        "ALMANAC_STATE_DIR": str(tmp_path),
        "TMPDIR": str(temporary),
    }
    with Http(env) as server:
        wait_for_workers(server, 2)
        yield server, port, temporary


def number(port: int, name: str, **labels: str) -> float:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": PROMETHEUS})
    with urllib.request.urlopen(asked, timeout=5) as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # has no types
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_the_sums_are_right_whoever_is_asked(own: tuple[Http, int, Path]) -> None:
    server, port, temporary = own
    for _ in range(30):
        called(server)
    told = {number(port, "almanac_calls_total", tool="sql_query", outcome="ok") for _ in range(10)}
    assert told == {30}
    assert number(port, "almanac_call_duration_seconds_count", tool="sql_query") == 30
    assert number(port, "almanac_build_info") == 1
    assert number(port, "process_resident_memory_bytes") > 100_000_000
    deadline = time.monotonic() + 5
    while len([*temporary.glob("*/gauge_livemax_*.db")]) < 2:  # each has looked at its domains
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert number(port, "almanac_domain_state", domain="sql", state="ready") == 1
    killed, _ = wait_for_workers(server, 2)
    os.kill(killed, signal.SIGKILL)
    wait_for_workers(server, 2, but=killed)
    called(server)
    assert number(port, "almanac_calls_total", tool="sql_query", outcome="ok") == 31
    assert number(port, "almanac_domain_state", domain="sql", state="ready") == 1
    assert any(temporary.iterdir())
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert not any(temporary.iterdir())
