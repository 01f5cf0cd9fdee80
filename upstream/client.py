"""One remote service: asked once for what still holds, within a deadline, and left alone when it fails.

It knows no domain. Trouble becomes `Unavailable` in a sentence that names the provider and never its
address, key or raw error. A 4xx answer, which only the provider's own module can read, is `Declined`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, NoReturn, Self, TypeVar

import httpx2
import structlog

from errors import Unavailable
from upstream.answers import SLOW, Declined, Final, Trouble, Unusable, decoded, holds_until, judge
from upstream.breaker import Breaker
from upstream.budget import Budget
from upstream.counts import Counts
from upstream.deadline import a_little_before, deadline_in
from upstream.kept import Store, Stored, name_of
from upstream.line import Line
from upstream.once import MOST_BYTES, Kept, Once
from upstream.spans import asking

T = TypeVar("T")

log = structlog.get_logger("almanac")

ATTEMPTS = 3


@dataclass(kw_only=True, eq=False)
class _Question(Generic[T]):
    path: str
    params: Mapping[str, str]
    parse: Callable[[Any], T]
    name: str  # in the store
    ttl_s: float
    stale_s: float
    weight: float
    told: bool
    end: float
    began: bool = False


@dataclass(kw_only=True, eq=False)
class Upstream:
    """One remote service; open it with `async with`."""

    name: str  # what refusals call it
    url: str
    agent: str  # the User-Agent
    timeout_s: float  # for one question, every retry included
    otherwise: str = ""  # what still works without it: the last sentence of its refusals
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # query parameters that are shown nowhere
    at_once: int = 4  # requests it takes at the same time
    pace_s: float = 0  # seconds from the start of one request to that of the next
    retry_on: frozenset[int] = frozenset({502, 503, 504})  # besides 429
    final: Callable[[int, Any], Final | str] = lambda status, body: ""  # words for what no retry can mend
    budget: Budget | None = None
    breaker: Breaker = field(default_factory=Breaker)
    store: Store | None = None
    collection: str = "upstream"  # of the store
    transport: httpx2.AsyncBaseTransport | None = None  # instead of the network
    clock: Callable[[], float] = time.time
    most_bytes: int = MOST_BYTES  # of answers in memory
    state: Literal["ready", "untried", "failing"] = field(default="untried", init=False)
    note: str = field(default="", init=False)
    counts: Counts = field(default_factory=Counts, init=False)

    async def __aenter__(self) -> Self:
        self._once = Once(self.clock, most_bytes=self.most_bytes, counts=self.counts)
        self._line = Line(
            url=self.url,
            headers={"User-Agent": self.agent, "Accept": "application/json", **self.headers},
            secrets=self.secrets,
            at_once=self.at_once,
            pace_s=self.pace_s,
            transport=self.transport,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._once.close()
        await self._line.close()

    async def get(
        self,
        path: str,
        params: Mapping[str, str],
        parse: Callable[[Any], T],
        *,
        key: Hashable,
        ttl_s: float,
        deadline: float,
        stale_s: float = 0,
        weight: Callable[[], float] = lambda: 1.0,
        told: bool = False,
    ) -> Kept[T]:
        """What `parse` makes of the JSON at `path`, no older than `ttl_s`; 0 asks whatever is remembered.

        Args:
            path: Appended to the base address; never holds anything a caller sent.
            parse: Reads the body, None if it was not JSON; its ValueError says the body is no answer.
            key: Questions to the same path with the same key have the same answer.
            deadline: The loop's time at which the caller has to know.
            stale_s: How much longer the answer is kept for `last`.
            weight: What it costs of the budget.
            told: Its headers say how long it holds, up to `ttl_s`, and when it was last changed.

        Raises:
            Unavailable: There was no usable answer in time.
            Declined: A 4xx answer other than 429.
        """

        def fetch() -> Awaitable[Kept[T]]:  # what it needs is made only when it is
            question = _Question(
                path=path,
                params=params,
                parse=parse,
                name=name_of(self.url, path, key),
                ttl_s=ttl_s,
                stale_s=stale_s,
                weight=weight(),
                told=told,
                end=a_little_before(min(deadline, deadline_in(self.timeout_s))),
            )
            return self._fresh((path, key), question)

        try:
            async with asyncio.timeout_at(deadline):
                return await self._once.get((path, key), ttl_s, fetch)
        except TimeoutError as error:
            self._refuse(Trouble(SLOW), error)
        except Trouble as trouble:
            self._refuse(trouble, trouble)

    async def probe(
        self, path: str, params: Mapping[str, str], parse: Callable[[Any], object], deadline: float
    ) -> None:
        """Ask something small, whatever is remembered, to see how it is.

        Raises:
            Unavailable: It did not answer that.
        """
        try:
            await self.get(path, params, parse, key="probe", ttl_s=0, deadline=deadline)
        except Declined as error:
            self._refuse(Trouble(f"did not accept the question (HTTP {error.status})"), error)

    async def last(
        self, path: str, parse: Callable[[Any], T], *, key: Hashable, most_s: float
    ) -> Kept[T] | None:
        """The last good answer, if it is no older than `most_s`."""
        stored = await self._stored(name_of(self.url, path, key), parse)
        found = [kept for kept in (stored, self._once.last((path, key))) if kept]
        newest = max(found, key=lambda kept: kept.at, default=None)
        return newest if newest and 0 <= self.clock() - newest.at <= most_s else None

    def _refuse(self, trouble: Trouble, cause: BaseException) -> NoReturn:
        if not trouble.ours:
            self.state, self.note = "failing", trouble.words
            self.counts.failures += 1
        raise Unavailable(f"{self.name} {trouble.words}. {self.otherwise}".rstrip()) from cause

    async def _fresh(self, mark: Hashable, question: _Question[T]) -> Kept[T]:
        """What another process has asked meanwhile, else what the service says now."""
        previous = self._once.last(mark)
        if question.ttl_s > 0 and (stored := await self._stored(question.name, question.parse)):
            if stored.holds(self.clock(), question.ttl_s):
                self.counts.shared += 1
                return stored
            previous = previous or stored
        self.counts.misses += 1
        return await self._fetch(question, previous)

    async def _stored(self, name: str, parse: Callable[[Any], T]) -> Kept[T] | None:
        content = await self.store.get(self.collection, name) if self.store else None
        if content is None or (stored := Stored.unpacked(content)) is None:
            return None
        try:
            value = parse(decoded(stored.body))
            return Kept(value, stored.at, stored.until, stored.modified, len(stored.body))
        except ValueError:  # written by another version of this module
            return None

    async def _fetch(self, question: _Question[T], previous: Kept[T] | None) -> Kept[T]:
        if question.ttl_s > 0:
            self._may_ask(question.weight)
        began, told = asyncio.get_running_loop().time(), self.breaker.told
        try:
            kept = await self._in_time(question, previous)
        except Declined:
            self._answered(told)
            raise
        except Trouble as trouble:
            if not trouble.ours:
                self.breaker.failed(trouble.open_s)
            raise
        except asyncio.CancelledError:  # by its last caller; having waited that long says something, too
            if question.began and asyncio.get_running_loop().time() - began > self.timeout_s / 2:
                self.breaker.failed()
            raise
        else:
            self._answered(told)
            return kept
        finally:
            self.breaker.abandoned()

    def _may_ask(self, weight: float) -> None:
        if left_s := self.breaker.wait_s():
            why = self.note.partition(";")[0] or SLOW
            raise Trouble(f"{why}; it is asked again in {max(1, left_s):.0f} s", ours=True)
        if self.budget and (left_s := self.budget.wait_s(weight)):
            raise Trouble(f"takes no more free questions for {max(1, left_s):.0f} s", ours=True)
        self.breaker.admit()

    def _answered(self, told: int) -> None:
        self.breaker.succeeded(told)
        if told == self.breaker.told:
            self.state, self.note = "ready", ""

    async def _in_time(self, question: _Question[T], previous: Kept[T] | None) -> Kept[T]:
        import stamina  # 35 ms with tenacity, needed only once something is asked

        last: Trouble | None = None
        given_s = question.end - asyncio.get_running_loop().time()

        def again(error: Exception) -> bool | float:
            nonlocal last
            if not isinstance(error, Trouble) or not error.again:
                return False
            last = error
            if error.after_s is None:
                return True
            return error.after_s if deadline_in(error.after_s) < question.end else False

        try:
            async with asyncio.timeout_at(question.end):
                async for attempt in stamina.retry_context(
                    on=again, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2, wait_jitter=0.3
                ):
                    with attempt:
                        kept = await self._attempt(question, previous)
        except TimeoutError as error:
            if not question.began:
                raise Trouble("has too many questions waiting already", ours=True) from error
            fair = given_s >= min(1.0, self.timeout_s / 4)  # nobody is blamed for the end of a long call
            raise last or Trouble(SLOW, ours=not fair) from error
        return kept

    async def _attempt(self, question: _Question[T], previous: Kept[T] | None) -> Kept[T]:
        async with self._line.turn():
            again, question.began = question.began, True
            self.counts.asks(again)
            if self.budget:
                self.budget.spend(question.weight)
            since = {"If-Modified-Since": previous.modified} if previous and previous.modified else {}
            with asking("GET", self.url + question.path, self.name, again) as answered:
                response, content = await self._line.ask(question.path, question.params, since)
                answered(response.status_code)
        now, body = self.clock(), decoded(content)
        until = holds_until(response.headers, now) if question.told else float("inf")
        if response.status_code == 304 and previous is not None:
            kept = replace(previous, at=now, until=until)
            await self._renew(question, kept)
            return kept
        if final := self.final(response.status_code, body):
            words, open_s = (final, None) if isinstance(final, str) else final
            raise Trouble(words, open_s=open_s)
        judge(response, body, now, self.retry_on)
        if response.status_code == 203:
            log.warning("a service says that what we ask of it will end", service=self.name)
        try:
            value = question.parse(body)
        except ValueError as error:
            words = str(error) if isinstance(error, Unusable) else "sent an answer that cannot be read"
            raise Trouble(words, again=True) from error
        modified = response.headers.get("last-modified", "") if question.told else ""
        kept = Kept(value, now, until, modified, len(content))
        await self._keep(question, kept, content)
        return kept

    async def _keep(self, question: _Question[T], kept: Kept[T], content: bytes) -> None:
        if self.store and question.ttl_s > 0:
            stored = Stored(kept.at, kept.until, kept.modified, content)
            ttl_s = min(question.ttl_s, max(0.0, kept.until - kept.at)) + question.stale_s
            await self.store.put(self.collection, question.name, stored.packed(), ttl_s)

    async def _renew(self, question: _Question[T], kept: Kept[T]) -> None:
        content = await self.store.get(self.collection, question.name) if self.store else None
        if content is not None and (stored := Stored.unpacked(content)):
            await self._keep(question, kept, stored.body)
