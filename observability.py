"""Who watches the server: Prometheus, OpenTelemetry, or nobody, which is the default and costs nothing."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import structlog
from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware

import tracing
from config import Settings

log = structlog.get_logger("almanac")


class Observability:
    """What is switched on, made when it is; open it with `async with`."""

    def __init__(self, settings: Settings, version: str) -> None:
        self._settings = settings
        self._metrics: Any = None
        self._telemetry = tracing.started(version)
        if settings.metrics and settings.transport == "stdio" and not settings.metrics_port:
            log.warning("over STDIO metrics need ALMANAC_METRICS_PORT to be fetched, so none are counted")
        elif settings.metrics:
            from metrics import Metrics

            self._metrics = Metrics(version)
        self._parts: list[Any] = [part for part in (self._telemetry, self._metrics) if part]

    @property
    def guards(self) -> list[Middleware]:
        """What has to stand around every call."""
        if not self._parts:
            return []
        from middleware.instrumentation import Instrumentation

        return [Instrumentation(tuple(self._parts))]

    def complete(
        self,
        root: FastMCP,
        domains: Mapping[str, Any],
        quotas: Mapping[str, int],
        stores: Mapping[str, Any],
        probes: Any,
    ) -> None:
        """Observe the server that was composed meanwhile.

        Args:
            root: The server.
            domains: Its backends.
            quotas: What was taken of each quota.
            stores: What writes, by name.
            probes: What they ask.
        """
        if self._metrics is None:
            return
        noted = {name: store for name, store in stores.items() if hasattr(store, "note")}
        self._metrics.observe(domains, probes.readiness.domains, quotas, noted)
        from web.metrics import Port, add_metrics

        if self._settings.metrics_port:
            self._parts.append(Port(self._metrics, probes, self._settings))
        else:
            add_metrics(root, self._metrics, probes)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for part in self._parts:
                await stack.enter_async_context(part)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
