"""A sentence through Apertium kept alive, warm and cold, against a `subprocess` of its command line."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from backends.translate.apertium import Apertium
from benchmarks.contenders import Bench
from benchmarks.rounds import OURS, Absent, Line, compare, lines

MODES = Path("/usr/share/apertium/modes")
PAIRS = {"eng-spa": ("en", "es"), "eng-cat": ("en", "ca"), "spa-eng": ("es", "en")}
SENTENCES = {
    "en": "The old city has three bridges and a river.",
    "es": "La ciudad vieja tiene tres puentes y un río.",
}
SPAWNED = "subprocess a call"


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    for pair in PAIRS:
        works = tuple(f"{pair}, a sentence, {how}" for how in ("warm", "start to end"))
        if (MODES / f"{pair}.mode").is_file() and shutil.which("apertium"):
            yield from _measured(pair, works, bench)
            continue
        absent = Absent(f"needs Apertium with {pair}")
        for work in works:
            yield from lines(work, {OURS: absent, SPAWNED: absent})


def _measured(pair: str, works: Sequence[str], bench: Bench) -> Iterator[Line]:
    source, target = PAIRS[pair]
    sentence = SENTENCES[source]
    spawned = _spawned(pair, sentence)
    with asyncio.Runner() as runner:
        engine = Apertium(MODES)
        engine.load()
        ends = engine.pair(source, target)
        if ends is None:
            raise RuntimeError(f"{pair} is not installed")

        async def warm() -> None:
            await engine.translate(sentence, ends)

        async def cold() -> None:
            fresh = Apertium(MODES)
            fresh.load()
            await fresh.translate(sentence, ends)
            await fresh.aclose()

        answer = runner.run(engine.translate(sentence, ends)).text
        if answer != spawned():
            raise RuntimeError(f"{pair} gave {answer!r}, the command line {spawned()!r}")
        for work, (ours, calls) in zip(works, ((warm, 15), (cold, 3)), strict=True):
            contenders = {OURS: _timed(runner, ours), SPAWNED: _timed_call(spawned)}
            yield from compare(work, contenders, bench.rounds, bench.many(calls))
        runner.run(engine.aclose())


def _spawned(pair: str, sentence: str) -> Callable[[], str]:
    def spawn() -> str:
        done = subprocess.run(
            ["apertium", "-u", pair], input=sentence.encode(), capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    return spawn


def _timed(runner: asyncio.Runner, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], float]:
    def once() -> float:
        async def timed() -> float:
            started = time.perf_counter()
            await work()
            return (time.perf_counter() - started) * 1000

        return runner.run(timed())

    return once


def _timed_call(work: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        started = time.perf_counter()
        work()
        return (time.perf_counter() - started) * 1000

    return once
