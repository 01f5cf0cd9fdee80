"""Translates a text of any length through an engine that takes little at once and drops white space.

A text becomes lines and what stands between them; each line is cut where it is longer than an engine
takes, and lines are asked for together where they fit. Line ends, control characters and the outer white
space never reach an engine, and what must not be translated is hidden from it (`protection`).
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio.to_thread

from backends.translate.engine import Rendering, Trouble
from backends.translate.placeholders import branches, messages
from backends.translate.protection import MASK, Line, has_letters, protect

Ask = Callable[[str], Awaitable[str]]
Size = Callable[[str], int]

LARGE = 20_000  # characters that take 20 ms to take apart: more are left to a thread
DEEPEST = 3  # plurals in selects in plurals; one deeper is left as it is

_SENTENCE_END = re.compile(r"[.!?…]['\"”’»)\]]*(?=\s)|[。！？]['\"”’」』）]*")


class Question(NamedTuple):
    """Pieces that are asked together as lines, and the places their translations go to."""

    text: str
    places: list[int]


def in_bytes(text: str) -> int:
    """How long a text is for a provider that counts bytes."""
    return len(text.encode())


def has_words(text: str) -> bool:
    """Whether anything is left to translate once placeholders, code and addresses are hidden."""
    return bool(protect(text).lines)


def whole_characters(text: str) -> str:
    """A text that can be sent: halves of surrogate pairs, which JSON can smuggle in, are none."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


async def render_in_pieces(text: str, limit: int, ask: Ask, quality: str) -> Rendering:
    """Translate a text of any length through `ask`, in as few questions as fit.

    This is all an engine calls. What is between the texts comes back byte for byte; placeholders, tags,
    code, links and addresses are hidden from the engine and seen to have come back, each once; where
    one did not, the words round it are asked for by themselves, and a notice says so.

    Args:
        limit: The most bytes that one question may hold. Google and MyMemory take the text in a URL, where
            a character costs as many bytes as in UTF-8, escaped threefold.
        ask: Gives an engine's answer to one question of one or more lines.
        quality: What the engine says of its answers.

    Raises:
        Trouble: An answer was empty, or not the answer to its question.
    """
    asking = _Asking(limit, ask)
    whole = await asking.translate(text)
    lines = len(asking.repaired)
    notice = (
        f"Placeholders came back spoilt in {lines} line{'s' * (lines != 1)}; they were put back, and the "
        "words between them translated by themselves."
    )
    return Rendering(whole, quality, (notice,) * bool(lines))


@dataclass
class _Asking:
    limit: int
    ask: Ask
    depth: int = 0
    repaired: list[Line] = field(default_factory=list)

    async def translate(self, text: str) -> str:
        large = len(text) > LARGE
        protected = await anyio.to_thread.run_sync(protect, text) if large else protect(text)
        lines = protected.lines
        for line in lines:
            for hidden in line.hidden:
                hidden.text = await self._messages(hidden.text)
        protected.between = [await self._messages(between) for between in protected.between]
        answers = await self._lines([line.masked for line in lines], protected.between)
        restored = [
            line.restored(answer) or await self._again(line)
            for line, answer in zip(lines, answers, strict=True)
        ]
        return protected.joined(restored)

    async def _messages(self, text: str) -> str:
        """A hidden part whose ICU messages have their texts translated, and nothing else."""
        if self.depth >= DEEPEST or "," not in text or "{" not in text:
            return text
        inner = _Asking(self.limit, self.ask, self.depth + 1, self.repaired)
        done, position = "", 0
        for start, end in messages(text):
            parts = branches(text[start:end])
            parts[1::2] = [await inner.translate(part) for part in parts[1::2]]
            done += text[position:start] + "".join(parts)
            position = end
        return done + text[position:]

    async def _again(self, line: Line) -> str:
        """A line whose hidden parts did not come back: by itself, then around them."""
        (answer,) = await self._lines([line.masked], ["", ""])
        if restored := line.restored(answer):
            return restored
        answers = await self._lines(line.fragments, ["\n\n"] * len(line.fragments))
        if any(line.is_spoilt(answer) for answer in answers):
            raise Trouble("sent back another text's translation", rest=False)
        self.repaired.append(line)
        return line.rebuilt(answers)

    async def _lines(self, lines: Sequence[str], between: Sequence[str]) -> list[str]:
        """The answers to lines; a blank line stays one between them, for it ends a sentence."""
        cuts = [cut(line, self.limit) for line in lines]
        pieces = [piece for parts in cuts for piece in parts[::2]]
        blank = [
            not place and "\n" in before.partition("\n")[2]
            for before, parts in zip(between, cuts, strict=False)
            for place in range(0, len(parts), 2)
        ]
        for question in self._questions(pieces, blank):
            answers = _split(await self.ask(question.text))
            if len(answers) != len(question.places):  # lines were joined or split: ask for each by itself
                answers = [" ".join(_split(await self.ask(pieces[place]))) for place in question.places]
            if not all(answers):
                raise Trouble("gave no translation", rest=False)
            for place, answer in zip(question.places, answers, strict=True):
                pieces[place] = answer
        left = iter(pieces)
        return ["".join(next(left) if n % 2 == 0 else gap for n, gap in enumerate(parts)) for parts in cuts]

    def _questions(self, pieces: Sequence[str], blank: Sequence[bool]) -> Iterator[Question]:
        """Consecutive pieces that fit together."""
        texts: list[str] = []
        places: list[int] = []
        size = 0
        for place, piece in enumerate(pieces):
            if not has_letters(MASK.sub("", piece)):
                continue
            text = ("\n\n" if blank[place] else "\n") + piece if places else piece
            if places and size + in_bytes(text) > self.limit:
                yield Question("".join(texts), places)
                texts, places, size, text = [], [], 0, piece
            texts.append(text)
            places.append(place)
            size += in_bytes(text)
        if places:
            yield Question("".join(texts), places)


def cut(line: str, limit: int, size: Size = in_bytes) -> list[str]:
    """One line as alternating texts and gaps, each text as long as fits."""
    parts: list[str] = []
    position = 0
    while (end := _fitting(line, position, limit, size)) < len(line):
        end = position + _border(line[position : end + 1], end - position)
        text = line[position:end].rstrip()
        following = end
        while following < len(line) and line[following].isspace():
            following += 1
        parts += [text, line[position + len(text) : following]]
        position = following
    return [*parts, line[position:]]


def _fitting(line: str, start: int, limit: int, size: Size) -> int:
    """Where the longest text that fits ends; one character is taken however long it is."""
    most = line[start : start + limit]
    if size(most) <= limit:
        return start + len(most)
    fits = bisect_right(range(1, len(most) + 1), limit, key=lambda length: size(most[:length]))
    return start + max(1, fits)


def _border(line: str, end: int) -> int:
    """The last good place to cut a line at or before `end`: after a sentence, a word, a character."""
    ends = [match.end() for match in _SENTENCE_END.finditer(line, 0, end + 1) if match.end() <= end]
    if ends:
        return ends[-1]
    if line[end].isspace() or line[end - 1].isspace():
        return end
    if len(words := line[:end].rsplit(maxsplit=1)) == 2:
        return end - len(words[1])
    for holds in (_is_one_word, _clings):
        whole = end
        while whole > 1 and holds(line[whole - 1], line[whole]):
            whole -= 1
        if whole > 1:
            return whole
    return end


def _is_one_word(before: str, character: str) -> bool:
    """In scripts without spaces, a Latin word: it may stand for a hidden part."""
    return (before + character).isascii() or _clings(before, character)


def _clings(before: str, character: str) -> bool:
    """Whether two characters are seen as one: an accent, or emoji that are joined."""
    return unicodedata.category(character) in ("Mn", "Mc", "Me") or "\u200d" in (before, character)


def _split(answer: str) -> list[str]:
    return [line.strip() for line in answer.splitlines() if line.strip()]
