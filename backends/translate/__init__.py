"""Translation by whichever engine answers: always named, always checked, never rubbish as text."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

import anyio
import anyio.to_thread

from backends import Health
from backends.translate import documents
from backends.translate.chain import Chain, Outcome
from backends.translate.chosen import chosen
from backends.translate.detect import UNDETERMINED, UNSURE, Detector
from backends.translate.engine import Engine
from backends.translate.languages import same
from backends.translate.pairs import Pairs
from backends.translate.pieces import has_words, whole_characters
from backends.translate.remembered import Remembered
from backends.translate.results import (
    BatchItem,
    BatchResult,
    Detection,
    DocumentResult,
    LanguageList,
    TextResult,
)
from config import TranslateSettings
from errors import Refusal, TooMuch, Unavailable, Unknown, quote
from state import State
from upstream import ProviderStats, stats_of

__all__ = ["BatchResult", "Detection", "DocumentResult", "LanguageList", "TextResult", "Translator"]

Report = Callable[[int, int], Awaitable[None]]

AT_ONCE = 8  # texts of a batch under way; the engines bound themselves more tightly
BATCH_TIMES = 3  # a batch may take this many times as long as one text: a minute, as clients wait
CLOSE_S = 3.0
WORTH_TELLING = 0.01
WORTH_GUESSING = 0.2  # the model says 'en' at 0.12 for what it knows nothing about
BEGINNING = 500
_MAY_HIDE = re.compile(r"[`<{\[$%&\\]")  # what begins code, a tag, a placeholder
REPLACED = "\ufffd"


class Translator:
    """All engines behind one door.

    Args:
        settings: Which engines, in which order, and where.
        clock: Seconds, for how long an engine rests after a failure.
        state: Where translations outlive the process and are shared; without it they do not.
    """

    def __init__(
        self,
        settings: TranslateSettings,
        clock: Callable[[], float] = time.monotonic,
        state: State | None = None,
    ) -> None:
        self._settings, self._clock, self._state = settings, clock, state
        self._build()

    def _build(self) -> None:
        engines = chosen(self._settings, self._clock)
        remembered = Remembered(self._settings.cache, self._state)
        self._chain = Chain(engines, self._settings.timeout, self._clock, remembered)
        self._pairs = Pairs(self._chain, self._settings)
        self._detector = Detector()

    async def __aenter__(self) -> Self:
        self._build()  # nothing of an earlier time it was open is left
        return self

    async def __aexit__(self, *_: object) -> None:
        # Shielded: a cancelled server ends its processes too. Bounded: nobody waits for a connection.
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S):
            async with AsyncExitStack() as stack:
                for engine in self._chain.engines:
                    stack.push_async_callback(engine.aclose)

    async def text(self, text: str, target: str, source: str = "auto") -> TextResult:
        """Translate one text."""
        self._refuse_too_much(len(text), "The text holds")
        into, out_of = await self._pairs.resolve(target, source)
        return await self._translate(text, into, out_of)

    async def batch(
        self, texts: Sequence[str], target: str, source: str = "auto", report: Report | None = None
    ) -> BatchResult:
        """Translate each text, equal ones once; one that fails is that item's error.

        Args:
            report: Is told how many of the different texts are done, out of how many.
        """
        self._refuse_too_much(sum(map(len, texts)), "The texts hold")
        into, out_of = await self._pairs.resolve(target, source)
        done: dict[str, TextResult | Refusal] = {}
        different = list(dict.fromkeys(texts))
        waiting = iter(different)

        async def work() -> None:
            for text in waiting:
                try:
                    done[text] = await self._translate(text, into, out_of)
                except Refusal as refusal:
                    done[text] = refusal
                if report:
                    await report(len(done), len(different))

        with anyio.move_on_after(self._settings.timeout * BATCH_TIMES):
            async with anyio.create_task_group() as tasks:
                for _ in range(min(AT_ONCE, len(different))):
                    tasks.start_soon(work)
        late = TooMuch("There was no time left for this text; send it again.")
        results = [done.get(text, late) for text in texts]
        refusals = [result for result in results if isinstance(result, Refusal)]
        if len(refusals) == len(results) and len({type(refusal) for refusal in refusals}) == 1:
            raise refusals[-1]  # the same for all, so said once
        notices = [
            notice for result in results if isinstance(result, TextResult) for notice in result.notices
        ]
        return BatchResult(
            items=tuple(_item(result) for result in results),
            target=into,
            failed=len(refusals),
            notices=tuple(dict.fromkeys(notices)),
        )

    async def pair(self, target: str, source: str = "auto") -> tuple[str, str | None]:
        """Canonical codes of a target and a source, None for one that is to be detected."""
        return await self._pairs.resolve(target, source)

    async def document(
        self,
        path: str,
        lines: AsyncIterator[str],
        pair: tuple[str, str | None],
        write: Callable[[bytes], Awaitable[None]],
        report: Callable[[int], Awaitable[None]],
    ) -> DocumentResult:
        """Translate a text or Markdown document of any length, little by little.

        Args:
            path: Its name, which says what it is.
            lines: With their ends.
            pair: Target and source, as `pair` gives them.
            write: Takes the translation, in order.
            report: Is told how many characters are done.
        """
        into, source = pair
        packs = documents.packed(lines, documents.structure_of(path))
        first = await documents.beginning(packs)
        if source is None:
            guess = (await self._detector.language(documents.sample(first))).code
            source = guess if guess != "und" else None
        if source and same(source, into):
            raise Unknown(f"{quote(path)} is in {source} already; name its source if that is wrong.")
        document = documents.Document(partial(self._translate, target=into, source=source), write, report)
        with anyio.move_on_after(self._settings.document_timeout) as scope:
            await document.run(first, packs)
        if scope.cancelled_caught:
            raise documents.too_late(self._settings.document_timeout)
        return document.result(path, source or "und", into)

    async def detect(self, text: str) -> Detection:
        """Languages the text may be in, best first; 'und' alone when that cannot be told."""
        self._refuse_too_much(len(text), "The text holds")
        guesses = await self._detector.guesses(text)
        if not guesses or guesses[0].confidence < UNSURE:
            return Detection(languages=(UNDETERMINED,))
        return Detection(languages=tuple(guess for guess in guesses if guess.confidence >= WORTH_TELLING))

    async def languages(self, query: str | None = None) -> LanguageList:
        """Languages and the engines that can do them now.

        Args:
            query: Part of a name or the beginning of a code; without it regional variants are left out.
        """
        return await self._pairs.listing(query)

    async def health(self, probe: bool = False) -> Health:
        """How the engines are; with `probe`, after asking each for a short translation."""
        if probe:
            await self._pairs.known()
            async with anyio.create_task_group() as tasks:
                for engine in self._chain.engines:
                    tasks.start_soon(self._probe, engine)
        states = [self._chain.state(engine) for engine in self._chain.engines]
        proven = ", ".join(p.name for p in states if p.state == "ready")
        untried = ", ".join(p.name for p in states if p.state == "untried")
        well = [f"{proven} can translate"] * bool(proven) + [f"{untried} can be asked"] * bool(untried)
        ill = [f"{p.name}: {p.note}" for p in states if p.state in ("failing", "missing")]
        mend = []
        if any(p.state == "failing" for p in states):
            mend.append("Check this machine's network.")
        if any(p.name == "apertium" and p.state == "missing" for p in states):
            mend.append("Translate without network: apt-get install apertium apertium-eng-spa, then restart.")
        if any(p.name == "deepl" and p.note.endswith("installed") for p in states):
            mend.append("Install the Python package deepl.")
        return Health(
            state="unavailable" if not well else "degraded" if ill else "ready",
            summary="; ".join([*(well or ["no engine can translate"]), *ill]) + ".",
            mend=" ".join(mend),
            providers=tuple(states),
        )

    def stats(self) -> list[ProviderStats]:
        """What each engine was asked."""
        return stats_of(self._chain.links)

    def completers(self) -> dict[str, Any]:
        return {"target": self._complete, "language": self._complete}

    async def _complete(self, typed: str, given: Mapping[str, str]) -> list[str]:
        """Codes and names that begin with what was typed."""
        known = await self._pairs.known()
        return await known.beginning_with(typed)

    async def _translate(self, text: str, target: str, source: str | None) -> TextResult:
        """One text, from a source that is known or is to be detected."""
        broken, text = text.count(REPLACED), whole_characters(text)
        lost = text.count(REPLACED) > broken
        sure = None
        if source is None:
            guess = await self._detector.language(text)
            source, sure = guess.code, guess.confidence
        as_it_is = ""
        if not _shows_words(text[:BEGINNING]) and not has_words(text):
            as_it_is = "nothing to translate: no words"
        elif source != "und" and same(source, target):
            as_it_is = f"nothing to translate: it is {source} already"
            as_it_is += "; name the source if that is wrong" if sure else ""
        if as_it_is:
            outcome = Outcome(text, "none", as_it_is, ())
        elif source != "und":
            if not self._chain.fitting(source, target):
                raise await self._pairs.unsupported(source, target)
            outcome = await self._chain.translate(text, source, target)
        else:
            outcome = await self._undetected(text, target)
        unchanged = outcome.provider != "none" and outcome.text.strip() == text.strip()
        return TextResult(
            text=outcome.text,
            provider=outcome.provider,
            source=source,
            source_confidence=sure or None,
            target=target,
            quality=outcome.quality + ("; came back unchanged" if unchanged else ""),
            notices=(*outcome.notices, *["Halves of characters were replaced."] * lost),
        )

    async def _undetected(self, text: str, target: str) -> Outcome:
        """An engine that detects may do what the small model here cannot."""
        try:
            return await self._chain.translate(text, None, target)
        except Unavailable as error:
            guesses = await self._detector.guesses(text)
            likely = [guess.code for guess in guesses[:1] if guess.confidence >= WORTH_GUESSING]
            maybe = f" It may be '{likely[0]}'." if likely else ""
            raise Unknown(
                f"The language of {quote(text)} cannot be told.{maybe} Send it again with its source, "
                "such as source='en'."
            ) from error

    def refuse_large_document(self, path: str, size: int) -> None:
        """Raises TooMuch for a document that is larger than may be translated."""
        if size > self._settings.max_document:
            raise TooMuch(
                f"{quote(path)} holds {size:,} bytes; a document may hold {self._settings.max_document:,}. "
                "Split it into smaller files."
            )

    def _refuse_too_much(self, characters: int, what: str) -> None:
        if characters > self._settings.max_chars:
            raise TooMuch(
                f"{what} {characters:,} characters; one call takes {self._settings.max_chars:,}. "
                "Send it in parts."
            )

    async def _probe(self, engine: Engine) -> None:
        for source, target in (("en", "es"), *engine.local_pairs()):
            if (pair := engine.pair(source, target)) and not engine.missing():
                await self._chain.probe(engine, pair, "Good morning")
                return


def _shows_words(text: str) -> bool:
    """Whether there plainly are words; to look for what is hidden takes 0.1 ms, and 10 for a long text."""
    return not _MAY_HIDE.search(text) and any(word.isalpha() for word in text.split())


def _item(result: TextResult | Refusal) -> BatchItem:
    if isinstance(result, Refusal):
        return BatchItem(error=str(result))
    return BatchItem(text=result.text, provider=result.provider, source=result.source, quality=result.quality)
