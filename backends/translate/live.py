"""Apertium's programs kept alive: one pipeline a pair, at most so many, each closed when it is idle."""

import asyncio
import contextlib
import itertools
import shlex
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from backends.translate.engine import Trouble
from backends.translate.pipeline import REAP_S, OutOfStep, Pipeline
from backends.translate.stream import from_stream, to_stream, unknown_words

HANG_S = 5.0  # the slowest pair tried takes 0.1 s for a piece, and 0.3 s to start


class LivePair:
    """The programs of one language pair, in two rows, so that what is unknown is seen in between.

    The last row writes words. Only before it are unknown words told from asterisks in the text; after
    it, the command line's `*` marks and the text's own look the same.
    """

    def __init__(self, mode: Path) -> None:
        commands = [shlex.split(part) for part in mode.read_text().split("|")]
        writing = next((n for n, command in enumerate(commands) if "$1" in command), len(commands))
        # -n: words it does not know are written as they are, without a mark.
        commands = [
            [program, "-z", *("-n" if word == "$1" else word for word in words if word != "$2")]
            for program, *words in commands
        ]
        self.programs = {command[0] for command in commands}
        self._rows = [Pipeline(row) for row in (commands[:writing], commands[writing:]) if row]
        self._lock = anyio.Lock()
        self._numbers = itertools.count(1)
        self._closed = False

    async def translate(self, text: str) -> tuple[str, Counter[str]]:
        """The translation, and the words that are unknown."""
        async with self._lock:
            # Live programs may have died or lost step since the last text, and get a second chance.
            for _ in range(2 if self._alive else 1):
                if self._closed:
                    break
                with contextlib.suppress(OutOfStep, TimeoutError):
                    return await self._once(text)
        raise Trouble("could not translate this text", rest=False)

    async def _once(self, text: str) -> tuple[str, Counter[str]]:
        in_step = False
        # It stands behind the text in a blank, which every program hands on: an answer that lacks it
        # is not the answer to this question.
        number = f"[#{next(self._numbers)}]"
        try:
            with anyio.fail_after(HANG_S):
                if not self._alive:
                    for row in self._rows:
                        await row.start()
                stream = answer = f"{to_stream(text)}{number}".encode()
                for row in self._rows:
                    stream, answer = answer, await row.exchange(answer)
            written, between = _decoded(answer), _decoded(stream)
            if not written.endswith(number):
                raise OutOfStep
            in_step = True
        finally:
            if not in_step:  # also when this task is cancelled: the answer is still on its way
                self.kill()
        return from_stream(written.removesuffix(number)), unknown_words(between)

    @property
    def _alive(self) -> bool:
        return all(row.alive for row in self._rows)

    def kill(self) -> None:
        for row in self._rows:
            row.kill()

    async def aclose(self) -> None:
        """End the programs, and the text that is on its way through them."""
        self._closed = True
        self.kill()
        with anyio.CancelScope(shield=True), anyio.move_on_after(REAP_S):
            async with self._lock:  # whoever had it may just have been starting programs
                self.kill()
        for row in self._rows:
            await row.aclose()


@dataclass(slots=True)
class _Use:
    """Who uses a pair now; when nobody does, since when, and what will close it."""

    callers: int = 0
    since: float = 0.0
    closing: asyncio.TimerHandle | None = None


class Stable:
    """The pairs that are alive.

    Args:
        most: How many at once; the idlest makes room for another, and where none is idle one waits.
        idle_s: After how long without a text a pair is closed.
    """

    def __init__(self, most: int, idle_s: float) -> None:
        self._most, self._idle_s = most, idle_s
        self._uses: dict[LivePair, _Use] = {}
        self._door = anyio.Lock(fast_acquire=True)  # in turn, so that a busy pair starves no other
        self._changed = anyio.Event()
        self._closed = False

    async def translate(self, live: LivePair, text: str) -> tuple[str, Counter[str]]:
        async with self._using(live):
            return await live.translate(text)

    @asynccontextmanager
    async def _using(self, live: LivePair) -> AsyncIterator[None]:
        async with self._door:
            while live not in self._uses and len(self._uses) >= self._most and not self._closed:
                idle = [pair for pair, use in self._uses.items() if not use.callers]
                if idle:
                    self._close(min(idle, key=lambda pair: self._uses[pair].since))
                else:
                    self._changed = anyio.Event()
                    await self._changed.wait()
            use = self._uses.setdefault(live, _Use())
            use.callers += 1
        if use.closing:
            use.closing.cancel()
        try:
            yield
        finally:
            use.callers -= 1
            if not use.callers and not self._closed:
                loop = asyncio.get_running_loop()
                use.since = loop.time()
                use.closing = loop.call_later(self._idle_s, self._close, live)
                self._changed.set()

    def _close(self, live: LivePair) -> None:
        use = self._uses.pop(live)
        if use.closing:
            use.closing.cancel()
        live.kill()

    def aclose(self) -> None:
        """Close none any more by and by: whoever owns the pairs does it now."""
        self._closed = True
        self._changed.set()
        for use in self._uses.values():
            if use.closing:
                use.closing.cancel()


def _decoded(stream: bytes) -> str:
    try:
        return stream.decode()
    except UnicodeDecodeError:
        raise OutOfStep from None
