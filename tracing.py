"""Whether OpenTelemetry is asked for, by its own standard variables; nothing of it is imported otherwise.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or that of one signal), or `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER`
with `otlp` or `console`, switch it on; `OTEL_SDK_DISABLED=true` undoes that. The SDK reads the other ones.
"""

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from telemetry import Telemetry

SIGNALS = ("TRACES", "METRICS")

log = structlog.get_logger("almanac")


def wanted(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The signals that are asked for, and the exporters of each."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return {}
    found = {}
    for signal in SIGNALS:
        said = environ.get(f"OTEL_{signal}_EXPORTER", "").lower().split(",")
        names = tuple(name for part in said if (name := part.strip()))
        led = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        if not names and any(environ.get(name) for name in led):
            names = ("otlp",)
        if names and "none" not in names:
            found[signal] = names
    return found


@functools.cache
def started(version: str) -> "Telemetry | None":
    """What traces and measures this process; None unless that is asked for and can be done."""
    asked = wanted(os.environ)
    if not asked:
        return None
    try:
        from telemetry import Telemetry
    except ImportError:
        log.warning("OTEL_* variables ask for telemetry; install the extra `otel` of pyproject.toml")
        return None
    telemetry = Telemetry(version, asked)
    return telemetry if telemetry.is_on else None
