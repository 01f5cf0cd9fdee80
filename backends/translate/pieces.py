"""Takes a text apart for engines that take little at once and drop white space, and puts it together.

A text becomes a list that alternates between texts to translate (even places) and what stands between
them (odd places): joining the list gives the text back, byte for byte. Line ends, control characters
and the outer white space never reach an engine.
"""

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from backends.translate.engine import Trouble

Ask = Callable[[str], Awaitable[str]]
Size = Callable[[str], int]

# White space, and characters that no engine's text holds: controls, noncharacters (U+FFFF reads as an
# end of file in Apertium) and halves of surrogate pairs. Runs are found once, so this stays linear.
_GAP = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]+")
_SENTENCE_END = re.compile(r"[.!?…]['\"”’»)\]]*(?=\s)|[。！？]['\"”’」』）]*")


def in_bytes(text: str) -> int:
    """How long a text is for a provider that counts bytes; one that counts characters takes `len`."""
    return len(text.encode())


class Question(NamedTuple):
    """Lines that are asked together, and the places their translations go to."""

    text: str
    places: list[int]


def has_letters(text: str) -> bool:
    """Whether there is anything to translate: emoji, digits and punctuation are the same everywhere."""
    return any(character.isalpha() for character in text)


def whole_characters(text: str) -> str:
    """A text that can be sent: halves of surrogate pairs, which JSON can smuggle in, are none."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def split(text: str, limit: int) -> list[str]:
    """Take a text apart at its line ends, and longer lines at sentences, words, or anywhere.

    Args:
        text: Any text.
        limit: Bytes of UTF-8 an engine takes at once. Google and MyMemory take the text in a URL, where
            a character costs as many bytes as in UTF-8, escaped threefold; what they say they take is
            4,999 and 499 characters.
    """
    parts: list[str] = []
    position = 0
    for gap in _GAP.finditer(text):
        if gap.start() == 0 or gap.end() == len(text) or _breaks_line(gap.group()):
            parts += [*_cut(text[position : gap.start()], limit), gap.group()]
            position = gap.end()
    return [*parts, *_cut(text[position:], limit)]


async def translate_in_pieces(text: str, limit: int, ask: Ask, size: Size = in_bytes) -> str:
    """Translate a text of any length through `ask`, in as few questions as fit.

    This is all an engine calls. What is between the texts comes back byte for byte; placeholders, tags,
    code, links and addresses are hidden from the engine and seen to have come back, each once; where
    one did not, the words round it are asked for by themselves.

    Args:
        limit: The most that one question may hold, as `size` counts it.
        ask: Gives an engine's answer to one question of one or more lines.
        size: `in_bytes`, or `len` for a provider that counts characters.

    Raises:
        Trouble: An answer was empty, or not the answer to its question.
    """
    parts = split(text, limit)
    for question in _questions(parts, limit):
        lines = _lines(await ask(question.text))
        if len(lines) != len(question.places):  # the engine joined or split lines: ask for each by itself
            lines = [" ".join(_lines(await ask(parts[place]))) for place in question.places]
        if not all(lines):
            raise Trouble("gave no translation", rest=False)
        for place, line in zip(question.places, lines, strict=True):
            parts[place] = line
    return "".join(parts)


def _breaks_line(gap: str) -> bool:
    return any(character != "\t" and unicodedata.category(character) != "Zs" for character in gap)


def _cut(line: str, limit: int) -> list[str]:
    """One line as alternating texts and gaps, each text as long as fits."""
    parts: list[str] = []
    while len(head := line.encode()[:limit].decode(errors="ignore") or line[:1]) < len(line):
        end = _border(line, len(head))
        text = line[:end].rstrip()
        rest = line[len(text) :].lstrip()
        parts += [text, line[len(text) : len(line) - len(rest)]]
        line = rest
    return [*parts, line]


def _border(line: str, end: int) -> int:
    """The last good place to cut a line at or before `end`: after a sentence, a word, a character."""
    ends = [match.end() for match in _SENTENCE_END.finditer(line, 0, end + 1) if match.end() <= end]
    if ends:
        return ends[-1]
    if line[end].isspace() or line[end - 1].isspace():
        return end
    if len(words := line[:end].rsplit(maxsplit=1)) == 2:
        return end - len(words[1])
    whole = end
    while whole > 1 and _clings(line[whole - 1], line[whole]):
        whole -= 1
    return whole if whole > 1 else end


def _clings(before: str, character: str) -> bool:
    """Whether two characters are seen as one: an accent, or emoji that are joined."""
    return unicodedata.category(character) in ("Mn", "Mc", "Me") or "\u200d" in (before, character)


def _questions(parts: list[str], limit: int) -> Iterator[Question]:
    """Consecutive texts that fit together, as lines; a blank line stays one, for it ends a sentence."""
    lines: list[str] = []
    places: list[int] = []
    size = 0
    for place in range(0, len(parts), 2):
        if not has_letters(parts[place]):
            continue
        between = "".join(parts[places[-1] + 1 : place]) if places else ""
        line = ("\n\n" if between.count("\n") > 1 else "\n" if places else "") + parts[place]
        if places and size + len(line.encode()) > limit:
            yield Question("".join(lines), places)
            lines, places, size = [], [], 0
            line = parts[place]
        lines.append(line)
        places.append(place)
        size += len(line.encode())
    if places:
        yield Question("".join(lines), places)


def _lines(answer: str) -> list[str]:
    return [line.strip() for line in answer.splitlines() if line.strip()]
