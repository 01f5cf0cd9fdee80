"""Translates a document of any length: what comes in as lines goes out translated, in order, bit by bit."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import anyio

from backends.translate.markdown import Markdown, Part, Plain, Structure
from backends.translate.protection import has_letters
from backends.translate.results import DocumentResult, TextResult
from errors import Refusal, TooMuch, Unknown, quote

Translate = Callable[[str], Awaitable[TextResult]]
Write = Callable[[bytes], Awaitable[None]]
Report = Callable[[int], Awaitable[None]]

PACK = 4_000  # characters that are asked for together: one question to Google, two to LibreTranslate
PACKS_AT_ONCE = 8
GIVEN_UP_AFTER = 20  # texts in a row that nobody could translate
SAMPLE = 2_000  # characters by which its language is told
MOST_NOTICES = 5
BETWEEN = "\n\n"
KINDS: dict[str, Callable[[], Structure]] = {
    ".md": Markdown, ".markdown": Markdown, ".mdown": Markdown,
    ".txt": Plain, ".text": Plain, "": Plain,
}  # fmt: skip


def structure_of(path: str) -> Structure:
    """How a file of this name is taken apart; refuses what is no prose."""
    made = KINDS.get(PurePosixPath(path).suffix.lower())
    if made is None:
        raise Unknown(
            f"{quote(path)} is neither text (.txt) nor Markdown (.md). For others there are files_read and "
            "translate_batch."
        )
    return made()


@dataclass
class Pack:
    """Parts of the document that follow each other, and how many characters of them are to be translated."""

    parts: list[Part] = field(default_factory=list)
    size: int = 0  # of all its parts

    @property
    def places(self) -> list[int]:
        return [n for n, part in enumerate(self.parts) if part.shape and has_letters(part.text)]


class Document:
    """One document on its way.

    Args:
        translate: Translates one text; raises Refusal.
        write: Takes what is done.
        report: Is told how many characters are.
    """

    def __init__(self, translate: Translate, write: Write, report: Report) -> None:
        self._translate, self._write, self._report = translate, write, report
        self._engines: dict[str, str] = {}
        self._notices: dict[str, None] = {}
        self._refusal: Refusal | None = None  # the last one
        self._texts = self._untranslated = self._failed_in_a_row = self._done = self._size = 0

    async def run(self, first: list[Pack], packs: AsyncIterator[Pack]) -> None:
        """Translate and write everything: those that were read already, and the rest.

        Raises:
            Refusal: Nobody could translate any of it, or many texts in a row.
        """
        window = first
        async for pack in packs:
            if len(window) >= PACKS_AT_ONCE:
                await self._finish(window)
                window = []
            window.append(pack)
        await self._finish(window)
        if self._refusal and not self._engines:
            raise self._refusal

    def result(self, path: str, source: str, target: str) -> DocumentResult:
        notices = list(self._notices)
        if self._untranslated:
            notices.append(
                f"{self._untranslated} of {self._texts} texts could not be translated and stand as they were."
            )
        return DocumentResult(
            path=path,
            source=source,
            target=target,
            providers=tuple(self._engines),
            quality="; ".join(f"{name}: {quality}" for name, quality in self._engines.items()),
            texts=self._texts,
            untranslated=self._untranslated,
            size=self._size,
            notices=tuple(notices),
        )

    async def _finish(self, window: list[Pack]) -> None:
        async with anyio.create_task_group() as tasks:
            for pack in window:
                tasks.start_soon(self._fill, pack)
        if self._refusal and self._failed_in_a_row >= GIVEN_UP_AFTER:
            raise self._refusal
        for pack in window:
            data = "".join(part.text for part in pack.parts).encode()
            await self._write(data)
            self._size += len(data)
            self._done += pack.size
        await self._report(self._done)

    async def _fill(self, pack: Pack) -> None:
        """Put the translations in the places of the texts."""
        places = pack.places
        answers = await self._answers([pack.parts[place].text for place in places])
        found = dict(zip(places, answers, strict=True))
        pack.parts = [
            Part(part.shape.fit(part.text, found.get(place) or part.text)) if part.shape else part
            for place, part in enumerate(pack.parts)
        ]

    async def _answers(self, texts: list[str]) -> list[str | None]:
        """Their translations, asked for together, or one by one where that fails."""
        self._texts += len(texts)
        if self._failed_in_a_row >= GIVEN_UP_AFTER:
            return [None] * len(texts)
        if len(texts) > 1:
            try:
                together = (await self._ask(BETWEEN.join(texts))).split(BETWEEN)
            except Refusal:
                together = []
            if len(together) == len(texts) and all(together):
                return list(together)
        return [await self._alone(text) for text in texts]

    async def _alone(self, text: str) -> str | None:
        try:
            return await self._ask(text)
        except Refusal as refusal:
            self._untranslated += 1
            self._failed_in_a_row += 1
            self._refusal = refusal
            self._notice(str(refusal))
            return None

    async def _ask(self, text: str) -> str:
        result = await self._translate(text)
        self._failed_in_a_row = 0
        if result.provider != "none":
            self._engines.setdefault(result.provider, result.quality.partition(";")[0])
        for notice in result.notices:
            self._notice(notice)
        return result.text

    def _notice(self, notice: str) -> None:
        if len(self._notices) < MOST_NOTICES:
            self._notices[notice] = None


async def packed(lines: AsyncIterator[str], structure: Structure) -> AsyncIterator[Pack]:
    """A document's parts, so many together as are asked for at once."""
    pack = Pack()
    async for part in _parts(lines, structure):
        if pack.size + len(part.text) > PACK and pack.parts:
            yield pack
            pack = Pack()
        pack.parts.append(part)
        pack.size += len(part.text)
    if pack.parts:
        yield pack


async def _parts(lines: AsyncIterator[str], structure: Structure) -> AsyncIterator[Part]:
    async for line in lines:
        for part in structure.feed(line):
            yield part
    for part in structure.end():
        yield part


async def beginning(packs: AsyncIterator[Pack]) -> list[Pack]:
    """So much of a document that its language can be told."""
    found: list[Pack] = []
    async for pack in packs:
        found.append(pack)
        if len(found) == PACKS_AT_ONCE or len(sample(found)) > SAMPLE:
            break
    return found


def sample(packs: Iterable[Pack]) -> str:
    """Text by which the language can be told."""
    texts = (pack.parts[place].text for pack in packs for place in pack.places)
    found = ""
    for text in texts:
        found += text + "\n"
        if len(found) > SAMPLE:
            break
    return found


def too_late(seconds: float) -> TooMuch:
    return TooMuch(
        f"The document was not done within {seconds:.0f} s, so nothing was written. Split it into smaller "
        "files."
    )
