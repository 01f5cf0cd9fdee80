"""Engines in order: each gets its share of the time, the next one steps in, and one that failed rests."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio

from backends import Provider
from backends.translate.engine import Engine, Pair, Trouble
from errors import Unavailable

PROBE_S = 5.0
REST_S = 60.0  # how long an engine that failed is not asked: an offline machine must not wait every time


class Failure(NamedTuple):
    reason: str
    at: float


class Outcome(NamedTuple):
    text: str
    provider: str
    quality: str
    notices: tuple[str, ...]


class Chain:
    """Asks the engines that can do a pair, best first."""

    def __init__(self, engines: Sequence[Engine], timeout_s: float, clock: Callable[[], float]) -> None:
        self.engines = engines
        self._timeout_s = timeout_s
        self._clock = clock
        self._failures: dict[str, Failure] = {}
        self._worked: set[str] = set()

    async def translate(self, text: str, source: str | None, target: str) -> Outcome:
        """Translate a text that holds letters; a source of None is left to an engine that detects.

        Raises:
            Unavailable: It says what each engine did, and what would help.
        """
        fitting = [(engine, pair) for engine in self.engines if (pair := engine.pair(source, target))]
        told = [f"{e.name} {self._resting(e.name)}" for e, _ in fitting if self._resting(e.name)]
        awake = [(engine, pair) for engine, pair in fitting if self.awake(engine)]
        deadline = anyio.current_time() + self._timeout_s
        for left, (engine, pair) in zip(range(len(awake), 0, -1), awake, strict=True):
            share_s = (deadline - anyio.current_time()) / left
            try:
                return await self._ask(engine, text, pair, share_s, told)
            except Trouble as trouble:
                self._note(engine.name, trouble)
                told.append(f"{engine.name} {trouble}")
        raise Unavailable(self._nobody(source, target, told, fitting))

    async def _ask(
        self, engine: Engine, text: str, pair: Pair, share_s: float, told: Sequence[str]
    ) -> Outcome:
        rendering = None
        with anyio.move_on_after(share_s):
            rendering = await engine.translate(text, pair)
        if rendering is None:
            # Its single questions have a shorter deadline, so it was answering, only not fast enough.
            raise Trouble("did not finish in time", rest=False)
        self._failures.pop(engine.name, None)
        self._worked.add(engine.name)
        notices = [f"{'; '.join(told)}, so {engine.name} translated."] if told else []
        return Outcome(
            rendering.text,
            engine.name,
            rendering.quality,
            (*notices, *[pair.notice] * bool(pair.notice), *rendering.notices),
        )

    async def probe(self, engine: Engine, pair: Pair, text: str) -> None:
        """Ask one engine now, resting or not, and remember how it went."""
        try:
            await self._ask(engine, text, pair, PROBE_S, ())
        except Trouble as trouble:
            self._note(engine.name, Trouble(str(trouble)))

    def state(self, engine: Engine) -> Provider:
        """How an engine is, from what is known now."""
        if missing := engine.missing():
            return Provider(name=engine.name, state="missing", note=missing)
        if resting := self._resting(engine.name):
            return Provider(name=engine.name, state="failing", note=resting)
        return Provider(name=engine.name, state="ready" if engine.name in self._worked else "untried")

    def awake(self, engine: Engine) -> bool:
        return not self._resting(engine.name)

    def _note(self, name: str, trouble: Trouble) -> None:
        if trouble.rest:
            self._failures[name] = Failure(str(trouble), self._clock())

    def _resting(self, name: str) -> str:
        """What an engine did, while it rests for it."""
        failure = self._failures.get(name)
        if failure is None or (since := self._clock() - failure.at) >= REST_S:
            return ""
        return f"{failure.reason} {since:.0f} s ago" if since >= 1 else failure.reason

    def _nobody(
        self, source: str | None, target: str, told: Sequence[str], fitting: Sequence[tuple[Engine, Pair]]
    ) -> str:
        direction = f"from {source} to {target}" if source else f"to {target} without a source"
        able = {engine.name for engine, _ in fitting}
        unable = [e for e in self.engines if e.name not in able]
        lacks = [f"{e.name}: {e.missing() or 'not this pair'}" for e in unable]
        if not fitting:
            return (
                f"No engine here translates {direction} ({'; '.join(lacks)}). "
                "translate_languages lists what can be done."
            )
        waits = [(REST_S - self._clock() + f.at, name) for name, f in self._failures.items() if name in able]
        wait_s, first = min(waits, default=(0, ""))
        again = f" {first} is asked again in {max(1, wait_s):.0f} s." if waits else ""
        return (
            f"No engine translated {direction}: {'; '.join([*told, *lacks])}.{again} A network connection or "
            "Apertium with this pair on the server would help; translate_languages lists what works now."
        )
