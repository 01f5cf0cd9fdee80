"""Engines in order: each gets its share of the time, the next one steps in, and one that fails rests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio

from backends import Provider
from backends.translate.doubts import Doubts
from backends.translate.engine import Engine, Pair, Rendering, Trouble
from backends.translate.remembered import Question, Remembered
from errors import Unavailable
from upstream import Breaker, Counts

PROBE_S = 5.0
FAILURES = 3  # in a row, of the kind that may be over at once; being offline or over a limit rests at once
REST_S = 60.0


class Outcome(NamedTuple):
    text: str
    provider: str
    quality: str
    notices: tuple[str, ...]


@dataclass
class Link:
    """An engine in the chain, and how it has been doing."""

    engine: Engine
    breaker: Breaker
    worked: bool = False
    reason: str = ""  # of its last failure, until it works again
    failed_at: float = 0.0
    counts: Counts = field(default_factory=Counts)

    @property
    def name(self) -> str:
        return self.engine.name


class Chain:
    """Asks the engines that can do a pair, best first.

    Args:
        remembered: What was translated before.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        timeout_s: float,
        clock: Callable[[], float],
        remembered: Remembered,
    ) -> None:
        self.engines = engines
        self._timeout_s, self._clock, self._remembered = timeout_s, clock, remembered
        self._links = {e.name: Link(e, Breaker(FAILURES, REST_S, clock)) for e in engines}
        self._doubts = Doubts()

    @property
    def links(self) -> Sequence[Link]:
        """The engines and how each has been doing."""
        return list(self._links.values())

    def fitting(self, source: str | None, target: str) -> list[tuple[Engine, Pair]]:
        """The engines that can do a pair, resting or not."""
        return [(engine, pair) for engine in self.engines if (pair := engine.pair(source, target))]

    async def translate(self, text: str, source: str | None, target: str) -> Outcome:
        """Translate a text that holds letters; a source of None is left to an engine that detects.

        Raises:
            Unavailable: It says what each engine did, and what would help.
        """
        fitting = self.fitting(source, target)
        told: list[str] = []
        deadline = anyio.current_time() + self._timeout_s
        for number, (engine, pair) in enumerate(fitting):
            link = self._links[engine.name]
            question = Question(engine.name, engine.generation, pair.source, pair.target, text)
            if rendering := await self._remembered.get(question):
                link.counts.hits += 1
                return self._outcome(link, rendering, pair, told)
            if not link.breaker.admit():
                told.append(f"{link.name} {link.reason}{self._ago(link)}")
                continue
            link.counts.misses += 1
            link.counts.asks(again=False)
            left = 1 + sum(self.awake(other) for other, _ in fitting[number + 1 :])
            try:
                rendering = await self._ask(link, text, pair, (deadline - anyio.current_time()) / left)
            except Trouble as trouble:
                self._note(link, trouble)
                told.append(f"{link.name} {trouble}")
                continue
            finally:
                link.breaker.abandoned()
            await self._remembered.put(question, rendering)
            return self._outcome(link, rendering, pair, told)
        raise Unavailable(self._nobody(source, target, told, fitting))

    async def _ask(self, link: Link, text: str, pair: Pair, share_s: float) -> Rendering:
        rendering = None
        with anyio.move_on_after(share_s):
            rendering = await link.engine.translate(text, pair)
        if rendering is None:
            # Its single questions have a shorter deadline, so it was answering, only not fast enough.
            raise Trouble("did not finish in time", rest=False)
        self._doubts.check(text, rendering.text, pair)
        link.breaker.succeeded()
        link.worked, link.reason = True, ""
        return rendering

    @staticmethod
    def _outcome(link: Link, rendering: Rendering, pair: Pair, told: Sequence[str]) -> Outcome:
        notices = [f"{'; '.join(told)}, so {link.name} translated."] if told else []
        notices += [pair.notice] * bool(pair.notice)
        return Outcome(rendering.text, link.name, rendering.quality, (*notices, *rendering.notices))

    async def probe(self, engine: Engine, pair: Pair, text: str) -> None:
        """Ask one engine now, resting or not, and remember how it went."""
        link = self._links[engine.name]
        try:
            await self._ask(link, text, pair, PROBE_S)
        except Trouble as trouble:
            self._note(link, Trouble(str(trouble), rest_s=trouble.rest_s or REST_S))

    def state(self, engine: Engine) -> Provider:
        """How an engine is, from what is known now."""
        link = self._links[engine.name]
        if missing := engine.missing():
            return Provider(name=engine.name, state="missing", note=missing)
        if link.reason and (not self.awake(engine) or self._clock() - link.failed_at < REST_S):
            return Provider(name=engine.name, state="failing", note=link.reason + self._ago(link))
        return Provider(name=engine.name, state="ready" if link.worked else "untried")

    def awake(self, engine: Engine) -> bool:
        return self._links[engine.name].breaker.wait_s() <= 0

    def _note(self, link: Link, trouble: Trouble) -> None:
        link.counts.failures += 1
        if trouble.rest:
            link.breaker.failed(trouble.rest_s)
            link.reason, link.failed_at = str(trouble), self._clock()

    def _ago(self, link: Link) -> str:
        """How long since it failed, in steps: a hundred texts of one batch say the same."""
        since = self._clock() - link.failed_at
        if since < 1:
            return ""
        return " just now" if since < 60 else f" {since / 60:.0f} min ago"

    def _nobody(
        self, source: str | None, target: str, told: Sequence[str], fitting: Sequence[tuple[Engine, Pair]]
    ) -> str:
        direction = f"from {source} to {target}" if source else f"to {target} without a source"
        able = {engine.name for engine, _ in fitting}
        lacks = [f"{e.name}: {e.missing() or 'not this pair'}" for e in self.engines if e.name not in able]
        waits = [(self._links[name].breaker.wait_s(), name) for name in able]
        wait_s, first = min([wait for wait in waits if wait[0] > 0], default=(0.0, ""))
        again = f" {first} is asked again in {max(1, wait_s):.0f} s." if first else ""
        return (
            f"No engine translated {direction}: {'; '.join([*told, *lacks])}.{again} A network connection or "
            "Apertium with this pair on the server would help; translate_languages lists what works now."
        )
