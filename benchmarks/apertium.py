"""A sentence through Apertium kept alive, warm and cold, against a `subprocess` of its command line."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from backends.translate.apertium import Apertium
from benchmarks.rounds import Line, compare

MODES = Path("/usr/share/apertium/modes")
PAIRS = {"eng-spa": ("en", "es"), "eng-cat": ("en", "ca"), "spa-eng": ("es", "en")}
SENTENCES = {
    "en": "The old city has three bridges and a river.",
    "es": "La ciudad vieja tiene tres puentes y un río.",
}
WARM, COLD = "subprocess a call", "subprocess a call (cold)"
GOALS = {WARM: 0.05, COLD: 1.5}  # warm: 5 ms at the median where a spawn costs 100 to 200


def run(directory: Path, peers: Path, rounds: int) -> list[Line]:
    """Every line of the comparison; of the pairs, those that are installed."""
    installed = [pair for pair in PAIRS if (MODES / f"{pair}.mode").is_file() and shutil.which("apertium")]
    return [line for pair in installed for line in _lines(pair, rounds)]


def _lines(pair: str, rounds: int) -> Iterator[Line]:
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
        yield from compare(
            f"{pair}, a sentence, warm",
            {"almanac": _timed(runner, warm), WARM: _timed_call(spawned)},
            {WARM: GOALS[WARM]},
            rounds,
            15,
        )
        yield from compare(
            f"{pair}, a sentence, start to end",
            {"almanac": _timed(runner, cold), COLD: _timed_call(spawned)},
            {COLD: GOALS[COLD]},
            rounds,
            3,
        )
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
