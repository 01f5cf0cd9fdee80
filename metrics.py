"""What is counted for Prometheus: only imported, and only counted, when ALMANAC_METRICS says so.

No label has a value that a caller makes up: tools, resources and prompts are those there are, anything else
is `unknown`. What backends and guards count by themselves, as plain numbers, is looked at when it is asked
for. With several workers each writes its numbers into a file that all of them add up, whoever is asked.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # as the library names it
LOOK_S = 5.0  # at what is counted elsewhere, so that another worker can tell of it
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
REFUSED = ("unknown", "denied", "limited", "too_much", "unavailable", "bad_arguments")
STATES = ("ready", "degraded", "unavailable")
PROVIDER_STATES = ("ready", "untried", "failing", "missing")
KINDS = {"call": "tool", "read": "resource", "prompt": "prompt"}


class Noted(Protocol):
    """What says in `note` why it does not do what it should, while that is so."""

    @property
    def note(self) -> str: ...


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """A directory in which the processes that are started meanwhile count together."""
    if os.environ.get(SHARED):
        yield
        return
    directory = tempfile.mkdtemp(prefix="almanac-metrics-")
    os.environ[SHARED] = directory
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        del os.environ[SHARED]


class Metrics:
    """The numbers of this server; open it with `async with`, which keeps them fresh for other workers."""

    def __init__(self, version: str) -> None:
        import prometheus_client as library

        self._library = library
        self._directory = os.environ.get(SHARED, "")
        library.disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types
        self._registry = library.CollectorRegistry()
        self._seen: dict[tuple[Any, ...], float] = {}
        self._domains: Mapping[str, Any] = {}
        self._health: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
        self._quotas: Mapping[str, int] = {}
        self._stores: Mapping[str, Noted] = {}
        self._task: asyncio.Task[None] | None = None
        self._children: dict[tuple[str, ...], Any] = {}
        self._define()
        if not self._directory:
            library.ProcessCollector(registry=self._registry)
        self._gauge("almanac_build_info", "The version that runs.", "version", mode="max").labels(
            version
        ).set(1)

    def _define(self) -> None:
        self._ended = {
            "call": self._counter("almanac_calls_total", "Calls of tools.", "tool", "outcome"),
            "read": self._counter("almanac_reads_total", "Reads of resources.", "resource", "outcome"),
            "prompt": self._counter("almanac_prompts_total", "Prompts given.", "prompt", "outcome"),
        }
        self._seconds = self._library.Histogram(
            "almanac_call_duration_seconds",
            "Time from a call to its answer.",
            ("tool",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._refusals = self._counter("almanac_refusals_total", "Calls, reads and prompts refused.", "kind")
        self._in_flight = self._gauge(
            "almanac_calls_in_flight", "Calls, reads and prompts that run.", mode="livesum"
        )
        self._responses = self._counter("almanac_http_responses_total", "Answers over HTTP.", "status")
        self._state = self._gauge("almanac_domain_state", "How a domain is; 1 is so.", "domain", "state")
        of_one = ("domain", "provider")
        self._provider = self._gauge(
            "almanac_provider_state", "How a provider is, from what is known; 1 is so.", *of_one, "state"
        )
        self._open = self._gauge(
            "almanac_breaker_open", "1 while a provider is left alone after failures.", *of_one
        )
        self._counts = {
            "requests": self._counter("almanac_provider_requests_total", "Requests to a provider.", *of_one),
            "retries": self._counter("almanac_provider_retries_total", "Those of them made again.", *of_one),
            "failures": self._counter(
                "almanac_provider_failures_total", "Questions without a usable answer.", *of_one
            ),
        }
        self._cache = self._counter(
            "almanac_cache_requests_total",
            "Questions answered from memory (hit), from what processes share (shared), or asked (miss).",
            *of_one,
            "result",
        )
        self._used = self._counter("almanac_quota_used_total", "What was taken of quotas by all.", "quota")
        self._failing = self._gauge("almanac_store_failing", "1 while it cannot be written.", "store")

    def observe(
        self,
        domains: Mapping[str, Any],
        health: Callable[[], Awaitable[Mapping[str, Any]]],
        quotas: Mapping[str, int],
        stores: Mapping[str, Noted],
    ) -> None:
        """Look at these when asked.

        Args:
            domains: The backends by name.
            health: That of each, by name; None for one that does not say.
            quotas: What was taken of each quota since the start.
            stores: What writes, by name.
        """
        self._domains, self._health, self._quotas, self._stores = domains, health, quotas, stores

    async def __aenter__(self) -> Self:
        if self._directory:
            self._task = asyncio.create_task(self._keep_looking())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._look()

    def began(self, event: str, name: str) -> None:
        """A call, a read or a prompt begins."""
        self._in_flight.inc()

    def ended(self, event: str, name: str, outcome: str, seconds: float) -> None:
        """It ended.

        Args:
            event: call, read or prompt.
            name: Of the tool, the resource or the prompt; one there is.
            outcome: In a word.
            seconds: It took.
        """
        self._in_flight.dec()
        key = (event, name, outcome)
        if (child := self._children.get(key)) is None:  # there are as many as there are names and outcomes
            child = self._children[key] = self._ended[event].labels(name, outcome)
        child.inc()
        if event == "call":
            if (child := self._children.get((name,))) is None:
                child = self._children[name,] = self._seconds.labels(name)
            child.observe(seconds)
        if outcome in REFUSED:
            self._refusals.labels(outcome).inc()

    def answered(self, status: int) -> None:
        """A request over HTTP is answered."""
        self._responses.labels(str(status)).inc()

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """All of it as Prometheus reads it, and the type that this is."""
        from prometheus_client.exposition import choose_encoder

        await self._look_at_domains()
        self._look()
        registry = self._registry
        if self._directory:
            from prometheus_client.multiprocess import MultiProcessCollector

            _forget_the_dead(Path(self._directory))
            registry = self._library.CollectorRegistry()
            MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]  # has no types
            registry.register(_Together(self._library, _living(Path(self._directory))))
        encode, kind = choose_encoder(accept)
        return encode(registry), kind

    async def _keep_looking(self) -> None:
        while True:
            await self._look_at_domains()
            self._look()
            await asyncio.sleep(LOOK_S)

    async def _look_at_domains(self) -> None:
        for name, health in (await self._health() if self._health else {}).items():
            for state in STATES:
                self._state.labels(name, state).set((health.state if health else STATES[-1]) == state)
            for provider in health.providers if health else ():
                for state in PROVIDER_STATES:
                    self._provider.labels(name, provider.name, state).set(provider.state == state)

    def _look(self) -> None:
        for name, domain in self._domains.items():
            for one in domain.stats() if hasattr(domain, "stats") else ():
                self._open.labels(name, one.provider).set(one.resting)
                for what, counter in self._counts.items():
                    self._add(counter, getattr(one, what), name, one.provider)
                for what, result in (("hits", "hit"), ("shared", "shared"), ("misses", "miss")):
                    self._add(self._cache, getattr(one, what), name, one.provider, result)
        for quota, used in self._quotas.items():
            self._add(self._used, used, quota)
        for name, store in self._stores.items():
            self._failing.labels(name).set(bool(store.note))

    def _add(self, counter: Any, now: float, *labels: str) -> None:
        """What has been counted elsewhere since the last look."""
        key = (counter, *labels)
        more, self._seen[key] = now - self._seen.get(key, 0), now
        counter.labels(*labels).inc(max(0, more))

    def _counter(self, name: str, about: str, *labels: str) -> Any:
        return self._library.Counter(name, about, labels, registry=self._registry)

    def _gauge(self, name: str, about: str, *labels: str, mode: Any = "livemax") -> Any:
        """By default one that is 1 as soon as it is so in one worker."""
        return self._library.Gauge(name, about, labels, registry=self._registry, multiprocess_mode=mode)


class _Together:
    """The library's numbers of a process (time, memory, files), of several added up."""

    def __init__(self, library: Any, pids: list[int]) -> None:
        self._library, self._pids = library, pids

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        found: dict[str, Any] = {}
        for pid in self._pids:
            for metric in self._library.ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():
                if metric.name not in found:
                    found[metric.name] = metric
                    continue
                (sample,), (more,) = found[metric.name].samples, metric.samples
                together = min if "start_time" in metric.name else sum
                value = together((sample.value, more.value))
                found[metric.name].samples = [sample._replace(value=value)]
        yield from found.values()


def _living(directory: Path) -> list[int]:
    """The processes that count there and run."""
    pids = {int(file.stem.rpartition("_")[2]) for file in directory.glob("*.db")}
    return sorted(pid for pid in pids if _runs(pid))


def _forget_the_dead(directory: Path) -> None:
    """What was so in a process that has ended is so no longer; what it counted stays."""
    for file in directory.glob("gauge_live*.db"):
        if not _runs(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    if sys.platform == "win32":  # where 0 is Ctrl-C; the dead are not told from the living there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
